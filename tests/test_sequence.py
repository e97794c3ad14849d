"""Sequence: what it accepts, what it refuses, and how frames are taken."""

from __future__ import annotations

import pytest
import torch

from lib.scenes.sequence import Sequence


def make(frames: int = 3, height: int = 4, width: int = 5, **changes: torch.Tensor) -> Sequence:
    generator = torch.Generator().manual_seed(0)
    parts = {
        "images": torch.rand(frames, 3, height, width, generator=generator),
        "extrinsics": torch.eye(3, 4).repeat(frames, 1, 1),
        "intrinsics": torch.eye(3).repeat(frames, 1, 1),
        "depth": torch.rand(frames, height, width, generator=generator),
    }
    return Sequence("made", **(parts | changes))


def test_take_keeps_frames_together() -> None:
    whole = make()
    part = whole.take([2, 0, -1])
    assert len(part) == 3
    for name in ("images", "extrinsics", "intrinsics", "depth"):
        source, got = getattr(whole, name), getattr(part, name)
        assert torch.equal(got, source[[2, 0, 2]])


def test_photographs_without_poses_are_a_sequence() -> None:
    bare = Sequence("bare", torch.zeros(1, 3, 2, 2))
    assert bare.take([0]).extrinsics is None
    assert bare.to("cpu").depth is None


def test_all_frames_can_be_counted_from_the_end() -> None:
    whole = make()
    assert torch.equal(whole.take([-3, -1]).images, whole.images[[0, 2]])


@pytest.mark.parametrize(("deviation", "is_one"), [(0.009, True), (0.015, False)])
def test_a_recorded_rotation_may_deviate_by_a_hundredth(deviation: float, is_one: bool) -> None:
    extrinsics = (1 + deviation) ** 0.5 * torch.eye(3, 4).repeat(3, 1, 1)
    if is_one:
        assert len(make(extrinsics=extrinsics)) == 3
        return
    with pytest.raises(ValueError, match="must hold rotations"):
        make(extrinsics=extrinsics)


@pytest.mark.parametrize("indices", [[3], [-4], []])
def test_take_refuses_frames_that_are_not_there(indices: list[int]) -> None:
    with pytest.raises(ValueError, match="frame indices"):
        make().take(indices)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": torch.zeros(3, 4, 5)}, "images must be"),
        ({"images": torch.zeros(0, 3, 4, 5)}, "images must be"),
        ({"images": torch.full((3, 3, 4, 5), 1.5)}, r"images must lie in \[0, 1\]"),
        ({"images": torch.full((3, 3, 4, 5), -0.5)}, r"images must lie in \[0, 1\]"),
        ({"images": torch.zeros(3, 3, 4, 5, dtype=torch.uint8)}, "floating point"),
        ({"extrinsics": torch.eye(4).repeat(3, 1, 1)}, "extrinsics must have shape"),
        ({"extrinsics": 2 * torch.eye(3, 4).repeat(3, 1, 1)}, "rotations"),
        ({"extrinsics": torch.eye(3, 4).repeat(3, 1, 1) * torch.tensor([-1.0, 1, 1])[:, None]}, "rotations"),
        ({"intrinsics": torch.zeros(3, 3, 3)}, "focal lengths"),
        ({"depth": torch.full((3, 4, 5), -1.0)}, "depth must lie"),
        ({"depth": torch.full((3, 4, 5), torch.nan)}, "NaN"),
        ({"depth": torch.zeros(2, 4, 5)}, "depth must have shape"),
    ],
)
def test_refuses(changes: dict[str, torch.Tensor], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(**changes)
