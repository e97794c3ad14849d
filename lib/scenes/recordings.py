"""Recorded sequences: ScanNet, 7-Scenes, TUM RGB-D, or any folder of images, as a `Sequence`.

`open_recording` does it all; `read_layout`, `select_frames` and `load_frames` are its three steps: list the
files, choose frames, read pixels. Images are brought to the size of the model; intrinsics and depth follow,
so that a pixel of the result sees the same ray as before.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Unpack

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from lib.scenes.framing import Framing, Size, fit, read_colour, read_depth
from lib.scenes.layouts import Frame, Recording, read_layout
from lib.scenes.pictures import image_size
from lib.scenes.recording_files import Matrix, RecordingError
from lib.scenes.sequence import Sequence

SELECTIONS = ("even", "fastvggt", "first")


def open_recording(
    path: str | Path,
    frames: int | None = None,
    selection: str = "even",
    *,
    stride: int = 1,
    layout: str | None = None,
    need_poses: bool = False,
    intrinsics: Iterable[Iterable[float]] | None = None,
    **size: Unpack[Size],
) -> Sequence:
    """Read a recorded sequence; the layout is told from the files unless `layout` names it (`read_layout`).

    Args:
        frames, selection, stride: which frames; see `select_frames`. Those without a finite pose are left out
            first, with a warning that counts them, unless the layout has no poses at all.
        need_poses: an error instead of a sequence with ``extrinsics=None``.
        intrinsics, size: see `load_frames`.

    Raises:
        RecordingError: missing folder, no images, no poses where needed, unequal sizes, unreadable files.
        ValueError: an argument out of its range.
    """
    recording = read_layout(path, layout)
    if need_poses and recording.frames[0].pose is None:
        raise RecordingError(f"{path} ({recording.layout}) holds images but no poses, and poses are needed")
    if recording.dropped:
        total = len(recording.dropped) + len(recording.frames)
        count = f"{len(recording.dropped)} of {total} frames without a usable pose"
        warnings.warn(f"{path}: left out {count} (first: {recording.dropped[0]})", stacklevel=2)
    chosen = select_frames(len(recording.frames), frames, selection, stride=stride)
    return load_frames(recording, chosen, intrinsics, **size)


def select_frames(
    available: int, frames: int | None = None, selection: str = "even", *, stride: int = 1
) -> list[int]:
    """Indices of the frames to use, increasing, starting with 0.

    First every `stride`-th of the `available` frames is kept, then `frames` of those (None: all):
    "even" spreads them over the whole sequence, first and last included; "first" takes the first ones;
    "fastvggt" takes every floor((n - 1) / (frames - 1))-th after the first, which drops the tail, and gives
    all n if fewer than asked.

    Raises:
        ValueError: unknown selection, stride or frames below 1, more frames than there are (but for
            "fastvggt").

    Source: the released evaluation of FastVGGT.
    """
    if selection not in SELECTIONS:
        raise ValueError(f"selection is {selection!r}; choose one of {list(SELECTIONS)}")
    if stride < 1 or available < 1 or (frames is not None and frames < 1):
        raise ValueError(f"available {available}, stride {stride} and frames {frames} must be at least 1")
    kept = list(range(0, available, stride))
    if frames is None or frames == len(kept):
        return kept
    if selection == "fastvggt":
        if frames >= len(kept):
            return kept
        step = max(1, (len(kept) - 1) // max(frames - 1, 1))
        return [0, *kept[1:][::step][: frames - 1]]
    if frames > len(kept):
        raise ValueError(
            f"{frames} frames asked for, but there are {len(kept)} ({available} frames, stride {stride})"
        )
    if selection == "first":
        return kept[:frames]
    return [kept[round(i)] for i in np.linspace(0, len(kept) - 1, frames)]


def load_frames(
    recording: Recording,
    indices: Iterable[int],
    intrinsics: Iterable[Iterable[float]] | None = None,
    **size: Unpack[Size],
) -> Sequence:
    """Read the frames at `indices` of a recording.

    Args:
        intrinsics: three rows of three for pixels of the colour images, upright ones where they are turned by
            their EXIF orientation (layout "images"); overrides what the recording says.
        size: ``target=518, patch_size=14`` is VGGT's `crop` rule (width `target`, height the nearest multiple
            of the patch size, at most `target` rows); ``height=56, width=56`` takes the largest centred part
            of that shape, scaled to it; with neither, images stay as recorded.

    Returns:
        `Sequence` with float64 cameras, absolute as recorded; depth is None if no frame has any, and 0 where
        it was not measured.

    Raises:
        RecordingError, ValueError: as `open_recording`.
    """
    frames = [recording.frames[index] for index in indices]
    # poses and intrinsics belong to the pixels as stored; photographs without are seen as viewers show them
    upright = recording.layout == "images"
    recorded = _common_size([frame.colour for frame in frames], upright)
    framing = fit(recorded, **size)
    camera = _colour_camera(recording, recorded, intrinsics)
    images = torch.stack([read_colour(frame.colour, framing, upright) for frame in frames])
    depth = _depth_maps(recording, frames, framing, camera)
    poses = [frame.pose for frame in frames if frame.pose is not None]
    extrinsics = torch.from_numpy(np.linalg.inv(np.stack(poses))[:, :3]) if poses else None
    intrinsic = None
    if camera is not None:
        intrinsic = torch.from_numpy(framing.intrinsics(camera)).expand(len(frames), 3, 3).contiguous()
    return Sequence(recording.name, images, extrinsics, intrinsic, depth)


def _depth_maps(
    recording: Recording, frames: list[Frame], framing: Framing, camera: Matrix | None
) -> Float32[Tensor, "frames height width"] | None:
    if not any(frame.depth for frame in frames):
        return None
    maps = [
        np.zeros((framing.height, framing.width), np.float32)
        if frame.depth is None
        else read_depth(frame.depth, framing, recording.depth_unit, camera, recording.depth_camera)
        for frame in frames
    ]
    return torch.from_numpy(np.stack(maps))


def _common_size(files: list[Path], upright: bool) -> tuple[int, int]:
    """(width, height) of all images."""
    first = image_size(files[0], upright)
    for file in files[1:]:
        if (size := image_size(file, upright)) != first:
            raise RecordingError(
                f"images differ in size: {files[0]} is {first[0]}x{first[1]}, but {file} is "
                f"{size[0]}x{size[1]}; make them equal first"
            )
    return first


def _colour_camera(
    recording: Recording, size: tuple[int, int], intrinsics: Iterable[Iterable[float]] | None
) -> Matrix | None:
    if intrinsics is not None:
        given = np.array([list(row) for row in intrinsics], dtype=np.float64)
        if given.shape != (3, 3) or not np.isfinite(given).all():
            raise ValueError(f"intrinsics must be a finite (3, 3) matrix, got shape {given.shape}")
        return given
    return None if recording.colour_camera is None else recording.colour_camera(*size)
