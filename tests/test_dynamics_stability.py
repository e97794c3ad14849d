"""Rates about stationary states and entropies of densities: each against an independent oracle."""

import math

import numpy as np
import pytest
import torch

from book.study import mean_flow as mf
from book.study.entropy.densities import ZonalDensity, neighbour_entropy, poisson_entropy
from book.study.mean_field.stability import harmonic_rate, harmonic_response, linear_rates, sphere_grid
from lib import dynamics as dyn

TWO_CAPS = ZonalDensity(3, lambda s: np.exp(1.5 * s) + 0.5 * np.exp(-4 * s), modes=48, nodes=96)


@pytest.mark.parametrize("width", [2, 3])
@pytest.mark.parametrize(("degree", "beta"), [(1, 0.1), (2, 1.0), (3, 8.0)])
def test_harmonics_grow_as_derived(width, degree, beta):
    assert harmonic_response(degree, width, beta, nodes=16) == pytest.approx(
        harmonic_rate(degree, width, beta), rel=1e-3
    )


def test_harmonic_rates_in_both_limits():
    assert harmonic_rate(1, 5, 1e-6) == pytest.approx(harmonic_rate(1, 5, 0.0)) == 0.8
    assert harmonic_rate(3, 5, 0.0) == 0.0
    assert 1e6 * harmonic_rate(3, 5, 1e6) == pytest.approx(3 * (3 + 5 - 2), rel=1e-4)  # backward heat
    with pytest.raises(ValueError, match="at least 0"):
        harmonic_rate(1, 3, -1.0)


def test_sphere_grid_integrates_low_polynomials_exactly():
    x, mass = sphere_grid(3, 8)
    assert float(mass.sum()) == pytest.approx(1)
    assert float(mass @ x[:, 1] ** 2) == pytest.approx(1 / 3)
    assert float(mass @ (x[:, 0] ** 2 * x[:, 2] ** 2)) == pytest.approx(1 / 15)
    with pytest.raises(ValueError, match="width 4"):
        sphere_grid(4, 8)


def test_rates_of_an_antipodal_pair():
    e = torch.eye(3, dtype=torch.float64)[:1]
    rates = linear_rates(torch.cat([e.repeat(7, 1), -e.repeat(3, 1)]))
    expected = [1.0] * 2 + [0.4] * 4 + [0.0] * 2 + [-0.4] * 12
    np.testing.assert_allclose(rates, expected, atol=1e-6)
    np.testing.assert_allclose(linear_rates(e.repeat(4, 1), sign=-1), [1] * 6 + [0] * 2, atol=1e-6)


def test_rates_need_a_stationary_cloud():
    with pytest.raises(ValueError, match="stationary"):
        linear_rates(dyn.uniform_cloud(4, 3, 0))


@pytest.mark.parametrize("beta", [0.1, 5.0, 100.0])
@pytest.mark.parametrize("sign", [1, -1])
def test_entropy_rate_against_transport(beta, sign):
    assert TWO_CAPS.entropy_rate_by_transport(beta, sign=sign) == pytest.approx(
        sign * TWO_CAPS.entropy_rate(beta), rel=1e-6
    )


def test_zonal_density_of_a_known_kernel():
    r, n = 0.5, 4
    kernel = ZonalDensity(n, lambda s: ((1 - r * r) / (1 + r * r - 2 * r * s)) ** (n - 1))
    assert kernel.mean_length == pytest.approx(float(mf.mobius_mean(r, n)))
    assert kernel.fisher_information == pytest.approx(4 * (n - 1) ** 3 * r**2 / (n * (1 - r**2) ** 2))


def test_poisson_entropy_on_the_circle_is_known_in_closed_form():
    for r in (0.1, 0.9, 0.999):
        assert poisson_entropy(r, 2) == pytest.approx(math.log(1 - r**2))


@pytest.mark.parametrize("width", [2, 3, 5])
def test_entropy_of_particles(width):
    cloud = mf.poisson_cloud(8000, width, 0.4, seed=1)
    assert neighbour_entropy(cloud) == pytest.approx(poisson_entropy(0.4, width), abs=0.06)
