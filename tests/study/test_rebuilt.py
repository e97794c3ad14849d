"""One room beside the truth: the world of frame 0, one unit of length, and a viewer of several views."""

from dataclasses import replace

import browser
import numpy as np
import pytest
import torch

from book.study.long_sequences import rebuilt
from lib.geometry import invert, relative_to_first
from lib.run import Params, prepare, run


@pytest.fixture(scope="module")
def outcome():
    return run(prepare(Params(model="mini", scene="denser:0", frames=4, m=0.0)))


def test_the_truth_lies_in_the_world_of_frame_0(outcome) -> None:
    true = rebuilt.truth(outcome.setup.sequence)
    np.testing.assert_allclose(true.cameras[0], np.eye(4), atol=1e-6)
    assert len(true.points) == len(true.colours) and true.colours.dtype == np.uint8
    local = (true.points - true.cameras[-1, :3, 3]) @ true.cameras[-1, :3, :3]
    last = local[-(len(local) // 4) :]  # pixels of the last frame lie before it and within its field of view
    assert (last[:, 2] > 0).all()
    assert (np.abs(last[:, :2] / last[:, 2:]) <= true.fields[-1] + 1e-6).all()


def test_only_the_unit_of_length_is_fitted(outcome) -> None:
    """A run that says the truth, twice as large and from elsewhere, comes out as the truth."""
    frames = outcome.setup.sequence
    extrinsics = relative_to_first(frames.extrinsics.double())
    extrinsics[:, :, 3] *= 2
    turned = torch.tensor([[0, -1, 0, 1], [1, 0, 0, 2], [0, 0, 1, 3]]).double()
    square = torch.cat([turned, torch.tensor([[0, 0, 0, 1]]).double()])
    said = replace(
        outcome.prediction,
        extrinsics=(extrinsics @ square)[None].float(),
        intrinsics=frames.intrinsics[None].float(),
        depth=2 * frames.depth[None, ..., None].float(),
        depth_conf=torch.ones_like(frames.depth)[None],
    )
    true = rebuilt.truth(frames)
    found = rebuilt.estimate("found", replace(outcome, prediction=said), true)
    right = invert(relative_to_first(frames.extrinsics.double())).numpy()
    np.testing.assert_allclose(found.cameras, right, atol=1e-5)
    np.testing.assert_allclose(found.fields, true.fields, atol=1e-5)
    # of equal confidence the first are kept
    np.testing.assert_allclose(found.points, true.points[: len(found.points)], atol=1e-3)


@pytest.mark.slow
@pytest.mark.skipif(browser.chromium() is None, reason="no chromium on the path")
def test_views_are_chosen_by_keyboard_in_the_theme_of_the_page(outcome) -> None:
    true = rebuilt.truth(outcome.setup.sequence)
    text = rebuilt.to_turn("Room & all", [true, rebuilt.estimate("plain", outcome, true)])
    assert len(text) < 300_000
    with browser.figure(text) as page:
        viewer = page.frames[1]
        viewer.get_by_role("radio", name="truth").focus()
        page.keyboard.press("ArrowRight")
        assert viewer.evaluate("canvas.dataset.shown") == "plain"
        assert viewer.evaluate("shown.points.length") == 3 * rebuilt.POINTS
        for theme, ground in (("dark", "rgb(22, 24, 27)"), ("light", "rgb(255, 255, 255)")):
            page.evaluate("theme => { document.documentElement.dataset.theme = theme }", theme)
            page.wait_for_timeout(50)
            assert viewer.evaluate("getComputedStyle(document.body).backgroundColor") == ground
