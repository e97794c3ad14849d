"""Attention between frames at any length: the pooled matrix row by row, and what a run keeps."""

import math

import numpy as np
import pytest
import torch

from book.study.fusion import draw, lengths
from lib.merging import Setting, TokenLayout
from lib.run import Params
from lib.spectra import AttentionOperator, LiftedAttention, frame_pooled


def operators():
    """A plain head of five frames and one that a rule has merged."""
    layout = TokenLayout(5, 4, 4)
    generator = torch.Generator().manual_seed(0)
    q, k, x = torch.randn(3, layout.tokens, 8, generator=generator)
    yield AttentionOperator(q, k, 8**-0.5)
    plan = Setting("fastvggt", 0.5).merging(0).plan(x[None], layout)
    merged = plan.merge(q[None, None], k[None, None], k[None, None])
    yield LiftedAttention(AttentionOperator(merged[0][0, 0], merged[1][0, 0], 8**-0.5), plan, 0)


@pytest.mark.parametrize("operator", list(operators()), ids=["plain", "merged"])
def test_pooled_by_rows_is_the_pooled_matrix(operator):
    pooled = lengths.pooled_by_rows(operator, 5)
    np.testing.assert_allclose(pooled, frame_pooled(operator, 5), atol=1e-6)
    np.testing.assert_allclose(pooled.sum(1), 1, atol=1e-5)


@pytest.mark.slow
def test_a_run_keeps_both_parts_and_the_errors():
    table = lengths.measure(Params(model="random", scene="denser:0-1", frames=3, m=0.0), [0.5])
    assert table.settings == ["plain", "fastvggt 0.5"]
    entropy, static = table.arrays["propagated.entropy"], table.arrays["static.entropy"]
    assert entropy.shape[:2] == (2, 2) and (entropy <= math.log(3) + 1e-9).all()
    np.testing.assert_array_equal(entropy[0], static[0])  # nothing merged: both are the unmerged run
    np.testing.assert_allclose(entropy[1, :, 0], static[1, :, 0])  # the first block sees the same tokens
    assert np.abs(entropy[1, :, -1] - static[1, :, -1]).max() > 1e-9  # later ones do not
    assert (table.arrays["kept"][0] == 1).all() and (table.arrays["kept"][1] < 1).all()
    assert np.isfinite(table.arrays["errors.unexplained"]).all()
    found = table.medians()
    assert len(found["rotation"][0]) == 2 and found["rotation"][1] == "deg"
    np.testing.assert_allclose(found["static_entropy"][0][1], np.median(static[1].mean((1, 2)) / math.log(3)))


@pytest.mark.parametrize(("frames", "strengths"), [(1, [0.5]), (3, [0.0]), (3, [1.0])])
def test_what_cannot_be_measured_is_said(frames, strengths):
    with pytest.raises(ValueError, match=f"got {frames}, "):
        lengths.measure(Params(model="random", scene="denser:0", frames=frames, m=0.0), strengths)


def test_the_figure_shows_every_room_the_median_and_the_static_one():
    moved, same = np.array([[0.1, 0.2, 0.6], [0.2, 0.3, 0.7]]), np.array([[0.1, 0.2, 0.6], [0.1, 0.25, 0.6]])
    (ax,) = draw.pooled_against_m({8: (["plain", "fastvggt 0.7"], moved, same)}).axes
    lines = [line.get_ydata().tolist() for line in ax.lines]
    assert lines == [*moved.T.tolist(), [0.2, 0.3], [0.2, 0.25]]
    assert ax.lines[0].get_xdata().tolist() == [0.0, 0.7] and ax.get_title() == "8 frames"
