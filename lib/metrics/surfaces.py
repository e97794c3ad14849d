"""Errors of depth maps, point maps and point clouds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Num
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from torch import Tensor

from lib.metrics.cameras import IDENTITY, Similarity, to_array, umeyama

Cloud = Num[Tensor, "_ 3"] | Num[np.ndarray, "_ 3"]  # any number of points
Array = Float64[np.ndarray, "_ 3"]  # a cloud after checking
Mask = Bool[Tensor, "*pixels"] | Bool[np.ndarray, "*pixels"]


@dataclass(frozen=True)
class DepthErrors:
    """Errors of z-depth over all valid pixels of a sequence.

    `abs_rel` is the mean of |estimate - truth| / truth, `delta_1_25` the share of pixels in [0, 1] with
    max(estimate / truth, truth / estimate) < 1.25, `rmse` is in the unit of the truth, `scale` is the factor
    that the estimate was multiplied with.
    """

    abs_rel: float
    delta_1_25: float
    rmse: float
    scale: float
    pixels: int


@dataclass(frozen=True)
class PointErrors:
    """Distances between corresponding points, in the unit of the truth, after `alignment`."""

    rmse: float
    mean: float
    median: float
    points: int
    alignment: Similarity


@dataclass(frozen=True)
class ChamferDistance:
    """Nearest-neighbour distances between two clouds, in the unit of the truth.

    `accuracy` is the mean from the estimate to the truth, `completeness` the mean from the truth to the
    estimate, `distance` their mean; the numbers of points are those compared, `scale` the factor that the
    estimate was multiplied with.
    """

    distance: float
    accuracy: float
    completeness: float
    points_estimate: int
    points_truth: int
    scale: float


def depth_errors(
    estimate: Num[Tensor, " ..."] | Num[np.ndarray, " ..."],
    truth: Num[Tensor, "*pixels"] | Num[np.ndarray, "*pixels"],
    *,
    mask: Mask | None = None,
    scale: str = "none",
) -> DepthErrors:
    """AbsRel, share within 1.25 and RMSE of z-depth.

    Args:
        truth: valid where finite and > 0; the estimate has its shape.
            The trailing axis of a model's depth, of length 1, is dropped.
        mask: only these pixels are looked at.
        scale: "none", or "median" for one factor median(truth) / median(estimate) for the whole sequence,
            since a model without metric scale can only be judged up to one.

    Raises:
        ValueError: shapes differ, no valid pixel, NaN in the estimate, unknown `scale`, median not positive.
    """
    if scale not in ("none", "median"):
        raise ValueError(f"scale is {scale!r}; choose 'none' or 'median'")
    guess, true = to_array(estimate), to_array(truth)
    if guess.ndim == true.ndim + 1 and guess.shape[-1] == 1:
        guess = guess[..., 0]
    guess, true = _valid(guess, true, np.isfinite(true) & (true > 0), mask)
    factor = 1.0
    if scale == "median":
        middle = float(np.median(guess))
        if middle <= 0:
            raise ValueError(
                f"the median of the estimated depth is {middle:g}; median scaling needs it positive"
            )
        factor = float(np.median(true)) / middle
    guess = guess * factor
    # products instead of ratios, so that an estimate of zero or less counts as wrong without dividing by it
    near = (guess < 1.25 * true) & (true < 1.25 * guess)
    difference = np.abs(guess - true)
    rmse = float(np.sqrt(np.mean(difference**2)))
    return DepthErrors(float(np.mean(difference / true)), float(near.mean()), rmse, factor, len(true))


def point_errors(
    estimate: Num[Tensor, "*pixels 3"] | Num[np.ndarray, "*pixels 3"],
    truth: Num[Tensor, "*pixels 3"] | Num[np.ndarray, "*pixels 3"],
    *,
    mask: Mask | None = None,
    alignment: Similarity | str | None = None,
) -> PointErrors:
    """Distances between corresponding points, such as the pixels of two point maps.

    Args:
        estimate, truth: truth is valid where finite.
        mask: only these points are looked at.
        alignment: None, a `Similarity` (such as that of the cameras), or "similarity" for the Umeyama Sim(3)
            between the valid points themselves.

    Raises:
        ValueError: shapes differ, no valid point, NaN in the estimate, unknown alignment.
        DegenerateAlignmentError: "similarity" with fewer than 3, coincident or collinear points.
    """
    guess, true = to_array(estimate), to_array(truth)
    if guess.shape[-1:] != (3,):
        raise ValueError(f"points must be (..., 3), got {guess.shape}")
    guess, true = _valid(guess, true, np.asarray(np.isfinite(true).all(-1)), mask)
    if alignment == "similarity":
        alignment = umeyama(guess, true)
    move = _given(alignment)
    distances = np.linalg.norm(move.points(guess) - true, axis=-1)
    rmse = float(np.sqrt(np.mean(distances**2)))
    return PointErrors(rmse, float(distances.mean()), float(np.median(distances)), len(distances), move)


def chamfer(estimate: Cloud, truth: Cloud, *, alignment: Similarity | None = None) -> ChamferDistance:
    """Textbook Chamfer distance: the mean of the two mean nearest-neighbour distances, nothing clipped.

    Args:
        estimate, truth: finite; their numbers of points may differ.
        alignment: moves the estimate first, e.g. ``camera_errors(...).alignment`` (convention "centres") or
            ``umeyama(...)`` of corresponding points; None compares the clouds as they lie.

    Raises:
        ValueError: a cloud is empty, not (n, 3) or not finite.
    """
    move = _given(alignment)
    guess, true = move.points(checked_cloud(estimate, "estimate")), checked_cloud(truth, "truth")
    there, back = nearest_distances(guess, true), nearest_distances(true, guess)
    accuracy, completeness = float(there.mean()), float(back.mean())
    mean = (accuracy + completeness) / 2
    return ChamferDistance(mean, accuracy, completeness, len(guess), len(true), move.scale)


def _valid(
    guess: NDArray[Any], true: NDArray[Any], valid: NDArray[Any], mask: Mask | None
) -> tuple[NDArray[Any], NDArray[Any]]:
    """The valid entries of both, flattened to (pixels, ...), after checking shapes and values."""
    if guess.shape != true.shape:
        raise ValueError(f"estimate is {guess.shape} but truth is {true.shape}; shapes must be equal")
    if mask is not None:
        chosen = to_array(mask).astype(bool)
        if chosen.shape != valid.shape:
            raise ValueError(f"mask is {chosen.shape}; it must be {valid.shape}")
        valid = valid & chosen
    if not valid.any():
        raise ValueError("no valid pixel: the truth is empty, or the mask leaves nothing of it")
    guess, true = guess[valid], true[valid]
    broken = int((~np.isfinite(guess)).sum())
    if broken:
        raise ValueError(f"the estimate holds {broken} NaN or infinite values where the truth is valid")
    return guess, true


def _given(alignment: Similarity | str | None) -> Similarity:
    if alignment is None:
        return IDENTITY
    if not isinstance(alignment, Similarity):
        raise ValueError(f"alignment is {alignment!r}; give None or a Similarity")
    return alignment


def checked_cloud(points: Cloud, name: str) -> Array:
    """Points in float64.

    Raises:
        ValueError: none, not (n, 3) or not finite; the message begins with `name`.
    """
    cloud = to_array(points)
    if cloud.ndim != 2 or cloud.shape[1] != 3 or len(cloud) == 0:
        raise ValueError(f"{name} must be a cloud (n >= 1, 3), got {cloud.shape}")
    if not np.isfinite(cloud).all():
        raise ValueError(f"{name} holds {int((~np.isfinite(cloud)).sum())} NaN or infinite coordinates")
    return cloud


def nearest_distances(points: Array, cloud: Array) -> Float64[np.ndarray, " points"]:
    """Distance of each point to the nearest of a cloud."""
    return np.asarray(cKDTree(cloud).query(points)[0])
