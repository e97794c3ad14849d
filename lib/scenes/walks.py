"""Scenes by name: walks through test rooms, recordings, and pieces of a recording."""

from __future__ import annotations

import torch

from lib.scenes.names import KINDS, ROOMS, folder_and_piece, located
from lib.scenes.names import single_scenes as single_scenes
from lib.scenes.recordings import open_recording
from lib.scenes.rooms import LARGE_ROOMS, RoomStyle, render_sequence
from lib.scenes.sequence import Sequence

STEP = 3.0  # video frames between the frames of a walk like those of validation
SPAN = 7 * STEP  # video frames from first to last of a "denser" walk: eight steps of validation


def walk(kind: str, room: int, frames: int, size: int, device: torch.device | str = "cpu") -> Sequence:
    """A walk of `frames` frames through test room `room`, `size` pixels square.

    Args:
        kind: "rooms", every video frame; "longer", every third, so that more frames walk farther; "denser",
            the stretch of eight such steps seen in more frames; "large", as "longer" in rooms twice as wide.
        room: number of the test room, >= 0.

    Raises:
        ValueError: an unknown kind; and as `render_sequence`.
    """
    strides = {"rooms": 1.0, "longer": STEP, "denser": SPAN / max(1, frames - 1), "large": STEP}
    if kind not in strides:
        raise ValueError(f"kind of walk must be one of {KINDS}, got {kind!r}")
    style = LARGE_ROOMS if kind == "large" else RoomStyle()
    return render_sequence(room, frames, size, size, stride=strides[kind], style=style, device=device)


def open_scene(scene: str, frames: int, size: int, patch_size: int) -> Sequence:
    """The frames of one scene at the resolution of a model.

    Args:
        scene: "rooms:7" (and the other kinds of `walk`), a folder with a recording or photographs, or
            "FOLDER#1/4", the second of four equal pieces of it.
        frames: S; spread evenly over a recording or its piece.
        size: pixels of the model's longer side.
        patch_size: sides are multiples of it.

    Raises:
        ValueError: a walk without a room, or several; a recording that cannot be read or is too short.
    """
    if rooms := ROOMS.fullmatch(scene):
        if rooms[3] is not None:
            raise ValueError(f"scene {scene!r} names several rooms; this run takes one, as in rooms:7")
        return walk(rooms[1], int(rooms[2]), frames, size)
    if scene.split(":")[0] in KINDS:
        raise ValueError(
            f"scene {scene!r}: write the kind of walk and the number of a test room, as in rooms:7"
        )
    folder, number, pieces = folder_and_piece(scene)
    if number < 0:
        raise ValueError(
            f"scene {scene!r} names several pieces; this run takes one, as in {folder}#0/{pieces}"
        )
    # read just enough frames that every piece has its own `frames`
    where = located(folder)
    whole = open_recording(where, frames=frames * pieces, target=size, patch_size=patch_size)
    return whole if pieces == 1 else whole.take(range(number * frames, (number + 1) * frames))
