"""Which pose of one trajectory belongs to which of another: by time, by name, or by place in the file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath

import numpy as np
from jaxtyping import Float64

from lib.formats.trajectories import Poses, Trajectory, TrajectoryError
from lib.scenes.recording_files import associate

WAYS = ("time", "name", "order")


@dataclass(frozen=True)
class Pairs:
    """Poses of two trajectories, one row each for each pair; `by` is one of `WAYS`."""

    truth: Poses
    estimate: Poses
    by: str


def pair(
    truth: Trajectory,
    estimate: Trajectory,
    by: str | None = None,
    max_difference: float = 0.02,
    offset: float = 0.0,
) -> Pairs:
    """Pair the poses of an estimate with true ones, in the order of the truth.

    Args:
        by: "time" (closest pairs first, each pose once), "name" (of the images, with or without folder and
            suffixes), "order" (both hold one pose for each frame); None takes the first that both have.
        max_difference: seconds that the time stamps of a pair may differ.
        offset: added to the estimate's.

    Raises:
        TrajectoryError: nothing to pair by, or no pair; says how far they are apart.
    """
    if by is not None and by not in WAYS:
        raise TrajectoryError(f"pairing is {by!r}; choose one of {', '.join(WAYS)}")
    if not 0 <= max_difference < np.inf or not np.isfinite(offset):
        raise TrajectoryError(
            f"max_difference {max_difference} must be at least 0 and finite, offset {offset} finite"
        )
    stamps = _times(truth), _times(estimate)
    if by is None:
        named = truth.names is not None and estimate.names is not None
        timed = all(some is not None for some in stamps)
        by = "name" if named else "time" if timed else "order"
    if by == "time":
        found = _by_time(*stamps, max_difference, offset)
    elif by == "name":
        found = _by_name(truth.names, estimate.names)
    else:
        found = _by_order(len(truth), len(estimate))
    index = sorted(found)
    return Pairs(truth.poses[index], estimate.poses[[found[i] for i in index]], by)


def _times(trajectory: Trajectory) -> Float64[np.ndarray, " poses"] | None:
    """Its time stamps, or those that its names consist of (1305031102.175304.png)."""
    if trajectory.times is not None or trajectory.names is None:
        return trajectory.times
    try:
        return np.array([float(_stem(name)) for name in trajectory.names])
    except ValueError:
        return None


def _by_time(
    truth: Float64[np.ndarray, " poses"] | None,
    estimate: Float64[np.ndarray, " others"] | None,
    most: float,
    offset: float,
) -> dict[int, int]:
    if truth is None or estimate is None:
        which = "the truth" if truth is None else "the estimate"
        raise TrajectoryError(f"{which} has no time stamps; pair by name or by order")
    found = associate(truth, estimate + offset, most)
    if not found:
        gap = np.abs(truth[:, None] - estimate - offset).min()
        raise TrajectoryError(
            f"no two time stamps are within {most:g} s, the nearest are {gap:.6g} s apart: the truth runs "
            f"from {truth.min():.6f} to {truth.max():.6f}, the estimate from {estimate.min():.6f} to "
            f"{estimate.max():.6f}; give an offset or a larger difference, or pair by order"
        )
    return found


def _by_name(truth: tuple[str, ...] | None, estimate: tuple[str, ...] | None) -> dict[int, int]:
    if truth is None or estimate is None:
        which = "the truth" if truth is None else "the estimate"
        raise TrajectoryError(f"{which} has no names of images; pair by time or by order")
    for short in (str, _stem, _first):
        places = {short(name): place for place, name in enumerate(estimate)}
        true = [short(name) for name in truth]
        if len(places) < len(estimate) or len(set(true)) < len(true):
            continue
        if found := {place: places[name] for place, name in enumerate(true) if name in places}:
            return found
    raise TrajectoryError(
        f"no image has one name in both files (the truth has {truth[0]!r}, the estimate {estimate[0]!r}); "
        "rename them, or pair by order"
    )


def _by_order(truth: int, estimate: int) -> dict[int, int]:
    if truth != estimate:
        raise TrajectoryError(
            f"{truth} true and {estimate} estimated poses, and no time stamps or names in both that say "
            "which belong together; give files with time stamps or names, or as many poses"
        )
    return {place: place for place in range(truth)}


def _first(name: str) -> str:
    """frame-000012 of seq-01/frame-000012.color.png."""
    return PurePath(name).name.partition(".")[0]


def _stem(name: str) -> str:
    path = PurePath(name)
    return path.name.removesuffix(path.suffix) if not path.suffix[1:].isdigit() else path.name
