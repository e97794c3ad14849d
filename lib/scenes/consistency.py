"""Whether the files of a recording belong together: image sizes and intrinsics, time stamps and poses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float64

from lib.scenes.recording_files import Matrix, RecordingError

_OFF_CENTRE = 0.05  # of the side: how far from the middle a principal point may lie
_VGA_WIDTH = 640  # the width that the focal lengths of 7-Scenes and TUM belong to


def check_centre(file: Path, camera: Matrix, width: int, height: int) -> None:
    """Intrinsics have their principal point near the middle of the images that they are for.

    Raises:
        RecordingError: it lies elsewhere, as where images were made smaller and intrinsics left as they were.
    """
    if not np.abs(camera[:2, 2] / (width, height) - 0.5).max() <= _OFF_CENTRE:
        raise RecordingError(
            f"{file} has its principal point at ({camera[0, 2]:g}, {camera[1, 2]:g}), far from the middle of "
            f"{width}x{height} images: it is for another size; scale it, or give the images of its size"
        )


def vga_shrink(folder: Path, width: int, height: int) -> float:
    """How many times smaller than 640x480, which the focal lengths are for, an image is.

    Raises:
        RecordingError: it is of another shape, so that something was cut off.
    """
    if abs(width * 3 / (height * 4) - 1) > 0.02:
        raise RecordingError(
            f"{folder} has images of {width}x{height}, but its cameras are known for 640x480 and its "
            "fractions only; give the images as they were recorded"
        )
    return width / _VGA_WIDTH


def check_views(
    file: Path, colour: Matrix, colour_size: tuple[int, int], depth: Matrix, depth_size: tuple[int, int]
) -> None:
    """Where colour and depth differ by one factor in focal length and principal point, one was resized.

    Raises:
        RecordingError: they do.
    """
    sides = np.divide(depth_size, colour_size)
    focal = colour[[0, 1], [0, 1]] / depth[[0, 1], [0, 1]] * sides
    centre = colour[:2, 2] / depth[:2, 2] * sides
    if (abs(focal - 1) > 0.02).all() and (abs(centre / focal - 1) < 0.02).all():
        raise RecordingError(
            f"{file}: by their intrinsics, colour and depth images differ {focal[0]:.3g} times in field of "
            "view and in principal point: one of them is not of the size that its intrinsics are for"
        )


def why_no_pose(files: list[Path]) -> str:
    """What to say where none of these pose files gives a pose."""
    if any(file.is_file() for file in files):
        return "the pose files hold no finite pose, as where tracking was lost"
    there = sorted(file.name for file in files[0].parent.glob("*.txt"))[:3]
    return f"{files[0]} is not there" + (f", only {', '.join(there)} …" if there else "")


def why_no_time(
    times: Float64[np.ndarray, " images"], pose_times: Float64[np.ndarray, " poses"], allowed: float
) -> str:
    """What to say where none of the images, by time stamps in seconds, has a pose."""
    gap = min((float(np.abs(pose_times - time).min(initial=np.inf)) for time in times), default=np.inf)
    if gap <= allowed:
        return "no pose in groundtruth.txt is finite"
    return (
        f"the time stamps of rgb.txt and groundtruth.txt are {gap:g} s apart or more, allowed are "
        f"{allowed:g} s: are both in seconds, of one clock"
    )
