"""The small files of a recording: lists of images, poses, matrices, time stamps; errors name the file."""

from __future__ import annotations

import math
import os
import re
from pathlib import Path

import numpy as np
from jaxtyping import Float64
from scipy.spatial.transform import Rotation

Matrix = Float64[np.ndarray, "3 3"]  # intrinsics, pixels
Pose = Float64[np.ndarray, "4 4"]  # camera-to-world, metres
IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm"),
    *(".heic", ".heif", ".avif"),
)


class RecordingError(ValueError):
    """A recording that cannot be read; the message names the file or folder and says what is expected."""


def list_images(folder: Path, pattern: str = "*") -> list[Path]:
    """Image files matching `pattern`, in natural order (img2 before img10); hidden files are no images.

    Raises:
        RecordingError: there are none, or one is a link to nothing.
    """
    files = [file for file in folder.glob(pattern) if is_image(file)]
    if not files:
        raise RecordingError(f"no images in {folder} (looked for {', '.join(IMAGE_SUFFIXES)})")
    return sorted(files, key=natural)


def is_image(file: Path) -> bool:
    """Whether its name is that of an image, hidden ones (as macOS and editors leave them) aside.

    Raises:
        RecordingError: a link to nothing.
    """
    if file.name.startswith(".") or file.suffix.lower() not in IMAGE_SUFFIXES:
        return False
    if file.is_symlink() and not file.exists():
        raise RecordingError(
            f"{file} is a link to {os.readlink(file)}, which is not there; mend or remove it"
        )
    return file.is_file()


def read_pose(file: Path) -> Pose | None:
    """Camera-to-world with its rotation made orthonormal, or None if missing, not finite or all zero.

    Raises:
        RecordingError: not a rigid pose, or unreadable.
    """
    if not file.is_file():
        return None
    pose = read_matrix(file)
    if pose.shape != (4, 4):
        raise RecordingError(f"{file} must hold a 4x4 pose, got {pose.shape[0]}x{pose.shape[1]}")
    if not np.isfinite(pose).all() or not pose[:3, :3].any():
        return None  # ScanNet writes -inf where tracking was lost, other exporters zeros
    rotation = pose[:3, :3]
    deviation = np.abs(rotation @ rotation.T - np.eye(3)).max()
    if deviation > 1e-2 or np.linalg.det(rotation) < 0:
        raise RecordingError(
            f"{file} is not a rigid pose: |R R^T - 1| = {deviation:.3g} (at most 0.01), "
            f"det R = {np.linalg.det(rotation):.3g} (must be +1)"
        )
    return _rigid(Rotation.from_matrix(rotation), pose[:3, 3])


def read_matrix(file: Path) -> Float64[np.ndarray, "side side"]:
    """A matrix of three or four rows from a text file.

    Raises:
        RecordingError: the file is missing, or holds something else.
    """
    try:
        numbers = np.array(read_text(file).split(), dtype=float)
    except ValueError as error:
        if isinstance(error, RecordingError):
            raise
        raise RecordingError(f"{file} is not a table of numbers ({error})") from error
    if numbers.size not in (9, 16):
        raise RecordingError(f"{file} must hold a 3x3 or 4x4 matrix, got {numbers.size} numbers")
    side = 3 if numbers.size == 9 else 4
    return numbers.reshape(side, side)


def pinhole(fx: float, fy: float, cx: float, cy: float) -> Matrix:
    """Intrinsics without skew, pixels."""
    return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1.0]])


def read_trajectory(file: Path) -> tuple[Float64[np.ndarray, " times"], list[Pose | None]]:
    """Time stamps and camera-to-world poses of a TUM trajectory: tx ty tz qx qy qz qw a line.

    A pose that is not finite is None.

    Raises:
        RecordingError: as `read_timed`, or a pose that is not seven numbers.
    """
    rows = read_timed(file, 7)
    try:
        poses = [_quaternion_pose(words) for _, words in rows]
    except ValueError as error:
        raise RecordingError(f"{file} has a pose that is not seven numbers ({error})") from error
    return np.array([time for time, _ in rows]), poses


def read_timed(file: Path, words: int) -> list[tuple[float, list[str]]]:
    """(time stamp in seconds, the `words` words behind it) of every line that is not a comment, by time.

    Raises:
        RecordingError: naming file and line.
    """
    rows = []
    for number, line in enumerate(read_text(file).splitlines(), start=1):
        parts = line.replace(",", " ").split()
        if not parts or parts[0].startswith("#"):
            continue
        try:
            time, rest = float(parts[0]), parts[1:]
            if not math.isfinite(time):
                raise ValueError(f"{parts[0]} is no time stamp")
            if len(rest) != words:
                raise ValueError(f"{words} words expected after the time stamp, got {len(rest)}")
        except ValueError as error:
            raise RecordingError(f"{file}, line {number}: {error}") from error
        rows.append((time, rest))
    return sorted(rows)


def associate(
    times: Float64[np.ndarray, " times"], others: Float64[np.ndarray, " others"], max_difference: float
) -> dict[int, int]:
    """Pair time stamps (seconds) at most this far apart: closest pairs first, each stamp once."""
    if len(others) == 0:
        return {}
    order = np.argsort(others, kind="stable")
    candidates = []
    for index, time in enumerate(times):
        low, high = np.searchsorted(others[order], [time - max_difference, time + max_difference])
        candidates += [(abs(others[j] - time), index, int(j)) for j in order[low : high + 1]]
    pairs: dict[int, int] = {}
    taken: set[int] = set()
    for difference, index, other in sorted(candidates):
        if difference <= max_difference and index not in pairs and other not in taken:
            pairs[index] = other
            taken.add(other)
    return pairs


def read_text(file: Path) -> str:
    """Of a small text file in UTF-8, with or without a byte order mark.

    Raises:
        RecordingError: it is missing, or not such a text.
    """
    try:
        return file.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise RecordingError(f"{file} is missing") from error
    except (UnicodeDecodeError, OSError) as error:
        raise RecordingError(f"{file} is not text in UTF-8 ({error}); save it as UTF-8") from error


def natural(file: Path) -> list[tuple[int, str]]:
    """Key of an order in which img2 comes before img10."""
    parts = re.split(r"(\d+)", file.name)  # isdecimal: int() knows no other digits, such as circled ones
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts] + [(-1, file.name)]


def _quaternion_pose(words: list[str]) -> Pose | None:
    values = np.array(words, dtype=float)
    if not np.isfinite(values).all() or not values[3:].any():
        return None
    return _rigid(Rotation.from_quat(values[3:]), values[:3])


def _rigid(rotation: Rotation, translation: Float64[np.ndarray, " 3"]) -> Pose:
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = rotation.as_matrix(), translation
    return pose
