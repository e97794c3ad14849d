"""Chamfer distance as FastVGGT evaluates it."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64

from lib.metrics import ChamferDistance, Similarity
from lib.metrics.surfaces import Array, Cloud, checked_cloud, nearest_distances


def chamfer_fastvggt(
    estimate: Cloud,
    truth: Cloud,
    *,
    seed: int = 33,
    voxel_size: float = 0.05,
    max_distance: float = 0.5,
    max_points: int = 100_000,
) -> ChamferDistance:
    """Chamfer distance as FastVGGT evaluates it.

    The estimate is moved and scaled so that centre and diagonal of its axis-aligned bounding box equal those
    of the truth (so one outlier changes the scale); at most `max_points` random points of each cloud are
    averaged in voxels; the two means of the distances clipped at `max_distance` are **summed**. Lengths in
    the unit of the truth, metres for the defaults. The random choice is our own generator's, so above
    `max_points` points the number agrees with the released code only up to sampling noise.

    Args:
        estimate, truth: finite; their numbers of points may differ.

    Raises:
        ValueError: a cloud is empty or not finite, the estimate is one point, a size is not positive.

    Source: the released evaluation of FastVGGT.
    """
    if not min(voxel_size, max_distance, max_points) > 0:
        raise ValueError(
            f"voxel_size {voxel_size}, max_distance {max_distance}, max_points {max_points} must be positive"
        )
    guess, true = checked_cloud(estimate, "estimate"), checked_cloud(truth, "truth")
    move = bounding_box_similarity(guess, true)
    rng = np.random.default_rng(seed)
    guess, true = (_subset(cloud, max_points, rng) for cloud in (move.points(guess), true))
    guess, true = voxel_means(guess, voxel_size), voxel_means(true, voxel_size)
    accuracy = float(np.minimum(nearest_distances(guess, true), max_distance).mean())
    completeness = float(np.minimum(nearest_distances(true, guess), max_distance).mean())
    total = accuracy + completeness
    return ChamferDistance(total, accuracy, completeness, len(guess), len(true), move.scale)


def bounding_box_similarity(source: Cloud, target: Cloud) -> Similarity:
    """Scale and shift that give the axis-aligned bounding boxes the same centre and diagonal.

    Raises:
        ValueError: the source is a single place.

    Source: the released evaluation of FastVGGT.
    """
    low, high = _box(checked_cloud(source, "source"))
    low_target, high_target = _box(checked_cloud(target, "target"))
    diagonal = float(np.linalg.norm(high - low))
    if diagonal == 0:
        raise ValueError("all source points coincide, so their bounding box has no diagonal to scale by")
    scale = float(np.linalg.norm(high_target - low_target)) / diagonal
    return Similarity(scale, np.eye(3), (low_target + high_target) / 2 - scale * (low + high) / 2)


def voxel_means(points: Cloud, size: float) -> Float64[np.ndarray, "cubes 3"]:
    """Mean of the points in each occupied cube of edge `size`.

    The grid starts half an edge below the smallest coordinates, as in open3d's voxel down-sampling.
    """
    cloud = checked_cloud(points, "points")
    cells = np.floor((cloud - (cloud.min(0) - size / 2)) / size).astype(np.int64)
    _, owner, counts = np.unique(cells, axis=0, return_inverse=True, return_counts=True)
    sums = np.stack([np.bincount(owner.ravel(), weights=cloud[:, axis]) for axis in range(3)], axis=1)
    return sums / counts[:, None]


def _subset(points: Array, at_most: int, rng: np.random.Generator) -> Array:
    return points if len(points) <= at_most else points[rng.choice(len(points), at_most, replace=False)]


def _box(points: Array) -> tuple[Float64[np.ndarray, " 3"], Float64[np.ndarray, " 3"]]:
    return points.min(0), points.max(0)
