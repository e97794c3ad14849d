"""Scenes by name."""

import pytest
import torch

from lib.scenes.names import single_scenes
from lib.scenes.walks import SPAN, STEP, open_scene, walk


def test_ranges_and_pieces():
    assert single_scenes("longer:3-5") == ["longer:3", "longer:4", "longer:5"]
    assert single_scenes("rooms:7") == ["rooms:7"]
    assert single_scenes("a/b#3") == ["a/b#0/3", "a/b#1/3", "a/b#2/3"]
    assert single_scenes("some/folder") == ["some/folder"]


@pytest.mark.parametrize("scene", ["rooms:5-3", "a#0"])
def test_an_empty_range_is_refused(scene):
    with pytest.raises(ValueError, match="scene"):
        single_scenes(scene)


@pytest.mark.parametrize("scene", ["rooms:", "denser:x", "rooms:1-2"])
def test_a_walk_needs_one_room(scene):
    with pytest.raises(ValueError, match="rooms:7"):
        open_scene(scene, 2, 16, 8)


def test_walks_differ_in_how_far_they_go():
    longer, denser = walk("longer", 0, 15, 16), walk("denser", 0, 15, 16)
    every = walk("rooms", 0, int(14 * STEP) + 1, 16)
    step = int(STEP)
    assert torch.equal(longer.extrinsics, every.extrinsics[::step])
    assert torch.allclose(denser.extrinsics[-1], every.extrinsics[int(SPAN)], atol=1e-6)


def test_pieces_of_a_recording_are_its_frames_in_order(tmp_path):
    from PIL import Image

    for k in range(12):
        Image.new("RGB", (32, 32), (20 * k, 0, 0)).save(tmp_path / f"{k:03d}.png")
    first, second = (open_scene(f"{tmp_path}#{k}/2", 3, 32, 8).images[:, 0].mean((1, 2)) for k in (0, 1))
    reds = torch.cat([first, second])
    assert len(reds) == 6 and bool((reds.diff() > 0).all())
    assert reds[-1] > 9 * 20 / 255  # six spread over all twelve, not the first six
