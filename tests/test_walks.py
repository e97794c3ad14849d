"""Scenes by name."""

import pytest
import torch

from lib.scenes import walks
from lib.scenes.names import folder_and_piece, single_scenes
from lib.scenes.rooms import LARGE_ROOMS, RoomStyle
from lib.scenes.walks import SPAN, STEP, open_scene, walk


def test_ranges_and_pieces():
    assert single_scenes("longer:3-5") == ["longer:3", "longer:4", "longer:5"]
    assert single_scenes("rooms:7") == ["rooms:7"]
    assert single_scenes("a/b#3") == ["a/b#0/3", "a/b#1/3", "a/b#2/3"]
    assert single_scenes("some/folder") == ["some/folder"]
    assert single_scenes("a/b#0/3") == ["a/b#0/3"]
    assert folder_and_piece("a") == ("a", 0, 1)
    assert folder_and_piece("a#1/4") == ("a", 1, 4)
    assert folder_and_piece("a#4") == ("a", -1, 4)


@pytest.mark.parametrize("scene", ["a#4/4", "a#0/0", "a#0"])
def test_pieces_are_numbered_from_zero(scene):
    with pytest.raises(ValueError, match="pieces are numbered from 0 and there is at least one"):
        folder_and_piece(scene)


def test_each_kind_of_walk_by_hand(monkeypatch):
    """Video frames from frame to frame, and the rooms; a denser walk of eight frames is a longer one."""
    monkeypatch.setattr(walks, "render_sequence", lambda *where, **how: (where, how))
    usual = {"style": RoomStyle(), "device": "cuda"}
    for kind, frames, stride in (
        *(("rooms", 8, 1.0), ("longer", 8, 3.0), ("denser", 8, 3.0)),
        *(("denser", 22, 1.0), ("denser", 2, 21.0), ("denser", 1, 21.0)),
    ):
        assert walk(kind, 5, frames, 16, "cuda") == ((5, frames, 16, 16), {"stride": stride, **usual})
    assert walk("large", 5, 2, 16)[1] == {"stride": 3.0, "style": LARGE_ROOMS, "device": "cpu"}


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
