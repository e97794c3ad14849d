"""Laws of real heads: identities for any N and n, first order where they are first order."""

import numpy as np
import pytest
import torch

from book.study import collapse_laws, head_laws
from lib import dynamics as dyn


def cloud(seed, tokens=12, width=7):
    return torch.randn(tokens, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def stream_odds(z):
    """|B|²/mean|d|² of streams."""
    mean = z.mean(0)
    return float(mean @ mean / (z - mean).square().sum(-1).mean())


@pytest.mark.parametrize("seed", range(3))
def test_the_signed_odds_law_is_exact_for_streams(seed):
    z, o = cloud(seed), 0.7 * cloud(seed + 50)
    update = head_laws.Update.of(z, o)
    assert np.log(stream_odds(z + o) / stream_odds(z)) == pytest.approx(update.log_odds_change)


def test_it_is_the_odds_law_of_identity_values():
    x, h, beta = dyn.equiangular_cloud(20, 0.3), 0.2, 2.0
    o = h * dyn.attend(x, x, x, beta)
    mu = collapse_laws.self_share(20, beta, 0.3)
    update = head_laws.Update.of(x, o)
    assert (update.growth, update.gain) == (pytest.approx(1 + h), pytest.approx(h * mu))
    assert update.log_odds_change == pytest.approx(2 * np.log((1 + h) / (1 + h * mu)))
    assert head_laws.log_odds(x + o) - head_laws.log_odds(x) == pytest.approx(update.log_odds_change)


def test_an_update_against_the_mean_lowers_the_odds():
    z = cloud(3) + 2
    o = (-0.5 * z.mean(0)).expand_as(z)
    update = head_laws.Update.of(z, o)
    assert (update.growth, update.gain, update.variance) == (pytest.approx(0.5), 0, 0)
    assert update.log_odds_change == pytest.approx(2 * np.log(0.5))


@pytest.mark.parametrize("seed", range(3))
def test_the_first_change_is_the_derivative_of_the_spread(seed):
    z, change, h = cloud(seed), cloud(seed + 9), 1e-5
    numeric = float(dyn.spread(z + h * change) - dyn.spread(z - h * change)) / (2 * h)
    assert head_laws.first_change(z, change) == pytest.approx(numeric, rel=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_the_pull_is_the_first_change_of_identity_values(seed):
    x = dyn.unit(cloud(seed))
    weights = torch.rand(len(x), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    weights /= weights.sum()
    moved = (weights @ x - x.mean(0)).expand_as(x)
    assert head_laws.pull_change(x, weights) == pytest.approx(head_laws.first_change(x, moved))


def test_shares_of_the_reference():
    share = np.array([0.1, 0.5, 0.9])
    odds = head_laws.reference_odds(share, 1 / 8)
    assert head_laws.reference_share(odds, 1 / 8) == pytest.approx(share)
    assert head_laws.reference_share(31.0, 1 / 32) == pytest.approx(0.5)  # S* = 1 + e^b
    weighted = odds * head_laws.restoring_factor(32, 8)
    assert head_laws.reference_share(weighted, 1 / 32) == pytest.approx(share)
    assert np.isfinite(head_laws.reference_odds(1.0, 1 / 8))


def test_both_orders_sum_to_the_whole_change():
    split = head_laws.Split.of(10.0, 7.0, 11.0, 9.0)
    assert split.static_first + split.dynamic_last == split.dynamic_first + split.static_last == -1
    assert (split.static, split.dynamic) == (-2.5, 1.5)
