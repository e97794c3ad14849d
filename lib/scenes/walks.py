"""Scenes by name: walks through test rooms, recordings, and pieces of a recording."""

from __future__ import annotations

import re

import torch

from lib.scenes.recordings import open_recording
from lib.scenes.rooms import LARGE_ROOMS, RoomStyle, render_sequence
from lib.scenes.sequence import Sequence

STEP = 3.0  # video frames between the frames of a walk like those of validation
SPAN = 7 * STEP  # video frames from first to last of a "denser" walk: eight steps of validation
KINDS = ("rooms", "longer", "denser", "large")
ROOMS = re.compile(rf"({'|'.join(KINDS)}):(\d+)(?:-(\d+))?")
PIECE = re.compile(r"(.+)#(\d+)/(\d+)")
PIECES = re.compile(r"(.+)#(\d+)")


def single_scenes(scene: str) -> list[str]:
    """Names of the single scenes that a name with a range stands for.

    >>> single_scenes("denser:0-2")
    ['denser:0', 'denser:1', 'denser:2']
    >>> single_scenes("kitchen#2")
    ['kitchen#0/2', 'kitchen#1/2']

    Raises:
        ValueError: a range that ends before it begins, or no pieces.
    """
    if rooms := ROOMS.fullmatch(scene):
        kind, first, last = rooms[1], int(rooms[2]), int(rooms[3] or rooms[2])
        if last < first:
            raise ValueError(f"scene {scene!r}: the range {first}-{last} ends before it begins")
        return [f"{kind}:{number}" for number in range(first, last + 1)]
    if pieces := PIECES.fullmatch(scene):
        if int(pieces[2]) < 1:
            raise ValueError(f"scene {scene!r}: a recording is cut into at least one piece")
        return [f"{pieces[1]}#{k}/{pieces[2]}" for k in range(int(pieces[2]))]
    return [scene]


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
        size: pixels of the model's longer side. patch_size: sides are multiples of it.

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
    if piece := PIECE.fullmatch(scene):
        return _piece(piece[1], int(piece[2]), int(piece[3]), frames, size, patch_size)
    return open_recording(scene, frames=frames, target=size, patch_size=patch_size)


def _piece(folder: str, number: int, pieces: int, frames: int, size: int, patch_size: int) -> Sequence:
    # read just enough frames that every piece has its own `frames`
    whole = open_recording(folder, frames=frames * pieces, target=size, patch_size=patch_size)
    return whole.take(range(number * frames, (number + 1) * frames))
