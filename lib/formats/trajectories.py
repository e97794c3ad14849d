"""Trajectories as text: TUM, KITTI, COLMAP, and 4x4 matrices, one file of each or one file for each pose.

Poses are camera-to-world in OpenCV axes, whatever a file holds: COLMAP writes the inverse, and 4x4 matrices
may be either, which is why whoever reads them says so.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float64
from scipy.spatial.transform import Rotation

from lib.geometry import invert
from lib.scenes.recording_files import RecordingError, natural, read_pose, read_text, read_trajectory

Poses = Float64[np.ndarray, "poses 4 4"]


class TrajectoryError(RecordingError):
    """A trajectory that cannot be read or compared; the message names file, line and what is expected."""


@dataclass(frozen=True)
class Trajectory:
    """Poses in the order of their file.

    Attributes:
        poses: camera-to-world.
        times: seconds, where the format has them.
        names: of the images, or of the files with one pose each, where there are any.
        left_out: poses of the file that are missing, not finite or all zero.
    """

    poses: Poses
    times: Float64[np.ndarray, " poses"] | None = None
    names: tuple[str, ...] | None = None
    left_out: int = 0

    def __len__(self) -> int:
        return len(self.poses)


def read_trajectory_file(path: str | Path, kind: str | None = None, inverse: bool = False) -> Trajectory:
    """Read a trajectory; None tells its format from its lines.

    Args:
        path: a text file, a COLMAP model's folder (its images.txt is read), or a folder with one file for
            each pose, a 4x4 matrix.
        kind: "tum" (time tx ty tz qx qy qz qw), "kitti" (the upper 3x4, twelve numbers a line), "colmap"
            (images.txt), "matrices" (4x4, sixteen numbers a line or four).
        inverse: matrices are world-to-camera.

    Raises:
        TrajectoryError: no such file, no poses, another format than asked for, or a broken line.
    """
    path = Path(path)
    if kind is not None and kind not in FORMATS:
        raise TrajectoryError(f"format is {kind!r}; choose one of {', '.join(FORMATS)}")
    try:
        if path.is_dir() and (path / "images.txt").is_file():
            path = path / "images.txt"
        if not path.exists():
            raise TrajectoryError(f"{path} is not there; give a file of poses, or a folder of them")
        if kind is None:
            kind = "matrices" if path.is_dir() else _told(path)
        found = FORMATS[kind](path)
    except TrajectoryError:
        raise
    except (RecordingError, OSError) as error:
        raise TrajectoryError(str(error)) from error
    if not len(found):
        lost = f"; all {found.left_out} are missing, not finite or zero" if found.left_out else ""
        raise TrajectoryError(f"{path} holds no pose in the format {kind}{lost}")
    if inverse and kind == "matrices":
        found = Trajectory(_inverse(found.poses), found.times, found.names, found.left_out)
    return found


def tum_text(poses: Poses, times: Float64[np.ndarray, " poses"]) -> str:
    """Camera-to-world poses as a TUM trajectory, all digits kept."""
    lines = ["# timestamp tx ty tz qx qy qz qw; camera-to-world"]
    turns = Rotation.from_matrix(poses[:, :3, :3]).as_quat(canonical=True)
    for time, pose, turn in zip(times, poses, turns, strict=True):
        lines.append(" ".join(f"{float(value)!r}" for value in (time, *pose[:3, 3], *turn)))
    return "\n".join(lines) + "\n"


def _told(path: Path) -> str:
    """The format of a file, from its first line that says anything."""
    words = next((line.split() for _, line in _lines(path)), [])
    numbers = all(_is_number(word) for word in words)
    kinds = {8: "tum", 12: "kitti", 16: "matrices", 4: "matrices"}
    if numbers and len(words) in kinds:
        return kinds[len(words)]
    if len(words) >= 10 and all(_is_number(word) for word in words[:9]):
        return "colmap"
    shown = " ".join(words)[:60]
    raise TrajectoryError(
        f"{path} begins with {shown!r}, {len(words)} words: none of {', '.join(FORMATS)}; name the format "
        "if the first line is damaged"
        if words
        else f"{path} holds no pose: it is empty"
    )


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Numbered lines that are neither blank nor comments, commas taken for blanks."""
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if line.strip() and not line.lstrip().startswith("#"):
            yield number, line.replace(",", " ")


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _tum(path: Path) -> Trajectory:
    times, poses = read_trajectory(path)
    kept = [index for index, pose in enumerate(poses) if pose is not None]
    matrices = [pose for pose in poses if pose is not None]
    return Trajectory(np.reshape(matrices, (-1, 4, 4)), times[kept], None, len(poses) - len(kept))


def _numbers(path: Path, number: int, line: str, count: int) -> list[float]:
    words = line.split()
    if len(words) != count or not all(_is_number(word) for word in words):
        raise TrajectoryError(f"{path}, line {number}: {count} numbers expected, got {line.strip()[:60]!r}")
    return [float(word) for word in words]


def _kitti(path: Path) -> Trajectory:
    rows = [_numbers(path, number, line, 12) for number, line in _lines(path)]
    upper = np.reshape(np.array(rows, dtype=float), (-1, 3, 4))
    last = np.broadcast_to([0.0, 0.0, 0.0, 1.0], (len(upper), 1, 4))
    return _finite(path, np.concatenate([upper, last], 1))


def _colmap(path: Path) -> Trajectory:
    """Every second line is of a pose; those between list the points that its image shows, or are blank."""
    text = read_text(path).splitlines()
    lines = [(n, line) for n, line in enumerate(text, start=1) if not line.lstrip().startswith("#")]
    while lines and not lines[0][1].strip():
        lines.pop(0)
    poses, names = [], []
    for number, line in lines[::2]:
        words = line.split(maxsplit=9)
        if not words and number == lines[-1][0]:
            continue
        if len(words) < 10 or not all(_is_number(word) for word in words[:9]):
            raise TrajectoryError(
                f"{path}, line {number}: IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME expected, and a line "
                f"of points (it may be blank) between two of these; got {line.strip()[:60]!r}"
            )
        w, x, y, z, *shift = (float(word) for word in words[1:8])
        pose = np.eye(4) * math.nan
        if any((w, x, y, z)) and np.isfinite([w, x, y, z, *shift]).all():
            pose = np.eye(4)
            pose[:3, :3], pose[:3, 3] = Rotation.from_quat([x, y, z, w]).as_matrix(), shift
        poses.append(pose)
        names.append(words[9].strip())
    return _finite(path, _inverse(np.reshape(poses, (-1, 4, 4))), tuple(names))


def _matrices(path: Path) -> Trajectory:
    if path.is_dir():
        files = sorted(path.glob("*.txt"), key=natural)
        found = [(re.sub(r"\.pose$", "", file.stem), read_pose(file)) for file in files]
        named = [(name, pose) for name, pose in found if pose is not None]
        poses = np.reshape([pose for _, pose in named], (-1, 4, 4))
        return Trajectory(poses, None, tuple(name for name, _ in named), len(found) - len(named))
    lines = list(_lines(path))
    wide = 4 if lines and len(lines[0][1].split()) == 4 else 16
    rows = [_numbers(path, number, line, wide) for number, line in lines]
    if wide == 4 and len(rows) % 4:
        raise TrajectoryError(f"{path} has {len(rows)} lines of four numbers; a pose has four of them")
    return _finite(path, np.reshape(np.array(rows, dtype=float), (-1, 4, 4)))


def _finite(path: Path, poses: Poses, names: tuple[str, ...] | None = None) -> Trajectory:
    """Without the poses that are not finite or have no rotation; without names, all must be there.

    Raises:
        TrajectoryError: a pose is lost from a list in which only the place says which image it is of.
    """
    lost = ~np.isfinite(poses).all(axis=(1, 2)) | ~poses[:, :3, :3].any(axis=(1, 2))
    if lost.any() and names is None:
        raise TrajectoryError(
            f"{path}: pose {int(np.flatnonzero(lost)[0])} (from 0) is not finite or has no rotation; without "
            "time stamps or names its place says which frame it is of: take the frame out of both files"
        )
    kept = None if names is None else tuple(n for n, gone in zip(names, lost, strict=True) if not gone)
    return Trajectory(poses[~lost], None, kept, int(lost.sum()))


def _inverse(poses: Poses) -> Poses:
    return invert(torch.from_numpy(poses)).numpy()


FORMATS: dict[str, Callable[[Path], Trajectory]] = {
    "tum": _tum,
    "kitti": _kitti,
    "colmap": _colmap,
    "matrices": _matrices,
}
