"""Truncated softmax: exact sums, orders of the error, and the two sharp bounds hunted by random search."""

import numpy as np
import pytest
import torch

from book.study.linearised_softmax import expansion as ex
from lib import dynamics as dyn


def cosines(seed: int = 0, tokens: int = 200) -> torch.Tensor:
    x = dyn.uniform_cloud(tokens, 8, seed)
    return x @ x.T


@pytest.mark.parametrize("order", [0, 1, 2])
def test_rows_sum_to_one_and_ignore_a_constant(order):
    z = 0.7 * cosines()
    a = ex.truncated_softmax(z, order)
    torch.testing.assert_close(a.sum(-1), torch.ones(200, dtype=torch.float64))
    torch.testing.assert_close(a, ex.truncated_softmax(z + 3, order))


@pytest.mark.parametrize(("order", "power"), [(0, 1), (1, 2), (2, 3)])
def test_error_falls_with_the_next_power(order, power):
    s = cosines()
    ratio = ex.row_errors(0.02 * s, order).mean() / ex.row_errors(0.01 * s, order).mean()
    assert float(ratio.log2()) == pytest.approx(power, abs=0.02)


def test_an_unknown_order_is_refused():
    with pytest.raises(ValueError, match="order 3"):
        ex.truncated_softmax(cosines(), 3)


@pytest.mark.parametrize("alpha", [0.01, 0.3, 2.0, 8.0])
def test_no_random_row_breaks_a_bound(alpha):
    generator = torch.Generator().manual_seed(3)
    s = torch.rand(4000, 9, generator=generator, dtype=torch.float64).pow(0.1) * 2 - 1
    s[:2000] = s[:2000].round()
    z = alpha * s[s.amax(-1) > s.amin(-1)]
    ranges = ex.half_ranges(z)
    assert np.all(ex.row_errors(z).numpy() <= ex.row_bound(ranges))
    assert np.all(ex.entry_errors(z).numpy() <= ex.entry_bound(ranges))


def test_bounds_are_attained_by_opposite_groups():
    row = 0.001 * ex.opposite_groups(100_000, ex.EXTREMAL_SHARE)
    assert float(ex.row_errors(row)) / ex.row_bound(0.001) == pytest.approx(1, abs=1e-3)
    entry = 2.0 * ex.opposite_groups(10**6, 0.0)
    assert float(ex.entry_errors(entry)) / ex.entry_bound(2.0) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("sigma", [0.1, 1.0, 2.0])
def test_gaussian_row_error_is_the_limit_of_many_keys(sigma):
    z = sigma * torch.special.ndtri((torch.arange(400_000, dtype=torch.float64) + 0.5) / 400_000)
    assert float(ex.row_errors(z)) == pytest.approx(ex.gaussian_row_error(sigma), rel=2e-3)


def test_gaussian_row_error_needs_a_positive_width():
    with pytest.raises(ValueError, match="sigma 0"):
        ex.gaussian_row_error(0)
