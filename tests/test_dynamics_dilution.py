"""Closed laws of dilution and of merged mixtures against the exact odds law and against particles."""

import numpy as np
import pytest

from book.study import collapse_laws as laws
from book.study import merging_laws, particle_merging
from book.study.corrected_merging.mixtures import mixture_layers
from lib import dynamics as dyn


@pytest.mark.parametrize("beta", [0.0, 4.0, 8.0, 12.0])
@pytest.mark.parametrize("tokens", [32, 512, 8192, 10**6])
def test_dilution_layers_follow_the_exact_recursion(beta, tokens):
    exact = laws.collapse_layers(tokens, beta, 0.1, 0.2)
    assert laws.dilution_layers(tokens, beta, 0.1, 0.2) == pytest.approx(exact, rel=0.03)


def test_dilution_layers_are_exact_in_the_limit_of_small_steps():
    errors = [
        abs(laws.dilution_layers(200, 8.0, h, 0.2) / laws.collapse_layers(200, 8.0, h, 0.2) - 1)
        for h in (0.2, 0.1, 0.05)
    ]
    assert errors[0] > 1.5 * errors[1] > 2.25 * errors[2]


def test_crossover_doubles_the_collapse_time_and_rules_thinning():
    crossover = laws.crossover_tokens(12.0, 0.1, 0.2)
    tau = laws.collapse_layers(crossover, 12.0, 0.1, 0.2)
    assert tau / laws.collapse_layers(1e9, 12.0, 0.1, 0.2) == pytest.approx(2, rel=0.05)
    for tokens in (crossover / 8, 8 * crossover):
        exact = laws.collapse_layers(tokens / 4, 12.0, 0.1, 0.2) / laws.collapse_layers(
            tokens, 12.0, 0.1, 0.2
        )
        assert laws.thinning_ratio(tokens, 4, crossover) == pytest.approx(exact, rel=0.1)


def test_crossover_needs_a_positive_cosine():
    with pytest.raises(ValueError, match="cosine 0"):
        laws.crossover_tokens(8.0, 0.1, 0.0)


@pytest.mark.parametrize(("m", "size_bias"), [(0.0, False), (0.525, False), (0.525, True)])
def test_mixture_law_against_particles(m, size_bias):
    layers = []
    for seed in range(3):
        x, _ = particle_merging.mixture_cloud(400, 128, 0.3, 0.3, seed)
        merge = particle_merging.BipartiteMerge(m, 0.25, seed, size_bias)
        layers.append(dyn.simulate(x, dyn.Layer(0.0, 0.1), 60, merge=merge, stop=0.05).layers_to())
    law = mixture_layers(m, 0.3, 0.25, 0.3, 400, 0.1, size_bias=size_bias)
    assert np.mean(layers) == pytest.approx(law, rel=0.06)


def test_mixture_law_peaks_at_the_turning_strength_and_is_flat_with_size_bias():
    def tau(m, bias):
        return mixture_layers(m, 0.3, 0.25, 0.3, 1000, 0.1, size_bias=bias)

    turning = merging_laws.turning_strength(0.3, 0.25)
    assert tau(turning, False) > max(tau(turning - 0.05, False), tau(turning + 0.05, False))
    assert tau(0.0, False) == tau(0.0, True) == tau(0.6, True)
