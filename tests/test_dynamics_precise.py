"""Many-digit collapse and rank against double precision, the closed laws, and known ranks."""

import math

import numpy as np
import pytest
import torch

from book.study import collapse_laws as laws
from book.study.attention_map.precise import collapse_logs, kernel_pivots
from lib import dynamics as dyn


@pytest.mark.parametrize(("step", "residual"), [(0.0, False), (0.4, True)])
def test_collapse_agrees_with_the_particle_simulation_where_doubles_suffice(step, residual):
    x = dyn.biased_cloud(7, 3, 0.4, seed=1)
    run = dyn.simulate(x, dyn.Layer(1.5, step or 1.0, "post", residual=residual), 3)
    logs = collapse_logs(x, 1.5, 3, step, digits=60)
    np.testing.assert_allclose(logs, np.log(1.5 * run.spread.numpy()), rtol=1e-7)


def test_without_residual_the_logarithm_triples_and_with_it_grows_linearly():
    x = dyn.biased_cloud(6, 3, 0.8, seed=0)
    bare = collapse_logs(x, 1.0, 4, digits=120)
    assert bare[-1] / bare[-2] == pytest.approx(3, abs=1e-3)
    slow = collapse_logs(x, 1.0, 60, step=0.5, digits=60)
    assert slow[-2] - slow[-1] == pytest.approx(laws.terminal_rate(0.5), rel=1e-3)


def test_collapse_refuses_what_it_cannot_hold():
    x = dyn.biased_cloud(6, 3, 0.8, seed=0)
    with pytest.raises(ValueError, match="more digits"):
        collapse_logs(x, 1.0, 5, digits=30)
    with pytest.raises(ValueError, match="beta 0"):
        collapse_logs(x, 0, 1)


def test_pivots_multiply_to_the_determinant_and_count_distinct_tokens():
    x = dyn.uniform_cloud(6, 3, seed=2)
    determinant = torch.linalg.det((2.0 * x @ x.T).exp())
    assert math.prod(kernel_pivots(x, 2.0)) == pytest.approx(float(determinant), rel=1e-9)
    doubled = kernel_pivots(torch.cat([x, x[:2]]), 2.0, digits=80)
    assert len(doubled) == 6
