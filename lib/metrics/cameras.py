"""Camera errors: ATE, ARE, RPE-trans and RPE-rot, in the textbook and in the FastVGGT convention.

"centres" is the textbook: the poses are camera-to-world, so their translations are camera centres, and the
estimate is moved onto the truth by the Sim(3) of Umeyama (1991). "fastvggt", that of the released evaluation
of FastVGGT, does the same with world-to-camera matrices and then moves the whole track rigidly so that its
first pose coincides. A world-to-camera translation is not a place in the world, and an error of the first
frame is spread over all frames: the two conventions give different numbers for the same prediction.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float64, Num
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from lib.geometry import invert, rotation_angle_deg

Poses = Num[Tensor, "frames _ 4"] | Num[np.ndarray, "frames _ 4"]  # of 3 or 4 rows
Points = Num[Tensor, "points 3"] | Num[np.ndarray, "points 3"]
Track = Float64[np.ndarray, "frames 4 4"]  # poses after checking

# name -> (invert the world-to-camera matrices, align the origin after the Sim(3))
CONVENTIONS: dict[str, tuple[bool, bool]] = {"centres": (True, False), "fastvggt": (False, True)}
_ROTATION_TOLERANCE = 1e-2  # recorded poses carry few digits; a scaled or mirrored matrix is far outside
_MIN_POSES = 3  # a Sim(3) between fewer points is not determined


class DegenerateAlignmentError(ValueError):
    """The points do not determine a similarity: too few, coincident, or all on one line."""


@dataclass(frozen=True)
class Similarity:
    """The map x -> scale * rotation @ x + translation."""

    scale: float
    rotation: Float64[np.ndarray, "3 3"]
    translation: Float64[np.ndarray, " 3"]

    @property
    def matrix(self) -> Float64[np.ndarray, "4 4"]:
        """Homogeneous matrix."""
        matrix = np.eye(4)
        matrix[:3, :3] = self.scale * self.rotation
        matrix[:3, 3] = self.translation
        return matrix

    def points(
        self, points: Num[Tensor, "*batch 3"] | Num[np.ndarray, "*batch 3"]
    ) -> Float64[np.ndarray, "*batch 3"]:
        """Map points."""
        return np.asarray(self.scale * to_array(points) @ self.rotation.T + self.translation)

    def poses(self, poses: Track) -> Track:
        """Map poses whose translations are points: rotations are turned, translations mapped."""
        moved = poses.copy()
        moved[:, :3, :3] = self.rotation @ poses[:, :3, :3]
        moved[:, :3, 3] = self.points(poses[:, :3, 3])
        return moved

    def then(self, other: Similarity) -> Similarity:
        """This map followed by `other`."""
        return Similarity(
            other.scale * self.scale, other.rotation @ self.rotation, other.points(self.translation)
        )


IDENTITY = Similarity(1.0, np.eye(3), np.zeros(3))


@dataclass(frozen=True)
class CameraErrors:
    """Errors of one estimated trajectory; RMSE over frames (or pairs of frames) unless the name says median.

    Lengths are in the unit of the truth, angles in degrees. `path_length` is that of the true camera
    centres, `alignment` the map that was applied to the estimated poses ("centres": estimated world -> true
    world, fit for moving estimated points too).
    """

    ate: float
    are_deg: float
    rpe_trans: float
    rpe_rot_deg: float
    ate_median: float
    are_median_deg: float
    rpe_trans_median: float
    rpe_rot_median_deg: float
    path_length: float
    frames: int
    delta: int
    convention: str
    alignment: Similarity

    @property
    def ate_relative(self) -> float:
        """ATE divided by the length of the true path; NaN if the camera did not move."""
        return self.ate / self.path_length if self.path_length > 0 else float("nan")

    def to_dict(self) -> dict[str, float | int | str]:
        """Everything but the alignment, plus its scale and `ate_relative`: plain values for a record."""
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "alignment"}
        return values | {"ate_relative": self.ate_relative, "alignment_scale": self.alignment.scale}


def camera_errors(
    estimate_w2c: Poses, truth_w2c: Poses, convention: str = "centres", delta: int = 1
) -> CameraErrors:
    """Errors of estimated cameras in one of the two named conventions (module docstring).

    Args:
        estimate_w2c, truth_w2c: camera-from-world of at least 3 frames.
        convention: "centres" or "fastvggt".
        delta: RPE compares frames i and i + delta, for all i.

    Raises:
        ValueError: unknown convention, shapes that differ, NaN, a matrix without a rotation, delta outside
            [1, S - 1].
        DegenerateAlignmentError: fewer than 3 poses, coincident or collinear translations.
    """
    if convention not in CONVENTIONS:
        raise ValueError(f"convention is {convention!r}; choose one of {sorted(CONVENTIONS)}")
    inverted, origin = CONVENTIONS[convention]
    estimate, truth = _pair(estimate_w2c, truth_w2c)
    if inverted:
        estimate, truth = _inverse(estimate), _inverse(truth)
    errors = trajectory_errors(estimate, truth, origin=origin, delta=delta)
    centres = truth if inverted else _inverse(truth)
    return replace(errors, convention=convention, path_length=path_length(centres))


def trajectory_errors(
    estimate: Poses, truth: Poses, *, similarity: bool = True, origin: bool = False, delta: int = 1
) -> CameraErrors:
    """Errors of two pose tracks taken as they are: the translation of a pose is its place.

    Takes the same as `camera_errors`. `similarity`: first move the estimate by the Umeyama Sim(3)
    between the translations; `origin`: then move it rigidly so that pose 0 coincides.

    Raises:
        ValueError: as `camera_errors`.
    """
    estimates, truths = _pair(estimate, truth)
    alignment = umeyama(estimates[:, :3, 3], truths[:, :3, 3]) if similarity else IDENTITY
    if origin:
        step = truths[0] @ _inverse(alignment.poses(estimates[:1]))[0]
        alignment = alignment.then(Similarity(1.0, step[:3, :3], step[:3, 3]))
    moved = alignment.poses(estimates)
    distances = np.linalg.norm(moved[:, :3, 3] - truths[:, :3, 3], axis=1)
    angles = _angles_deg(truths, moved)
    drifts, turns = _relative_errors(moved, truths, delta)
    return CameraErrors(
        ate=_rmse(distances),
        are_deg=_rmse(angles),
        rpe_trans=_rmse(drifts),
        rpe_rot_deg=_rmse(turns),
        ate_median=float(np.median(distances)),
        are_median_deg=float(np.median(angles)),
        rpe_trans_median=float(np.median(drifts)),
        rpe_rot_median_deg=float(np.median(turns)),
        path_length=path_length(truths),
        frames=len(truths),
        delta=delta,
        convention=f"as given, similarity={similarity}, origin={origin}",
        alignment=alignment,
    )


def umeyama(source: Points, target: Points) -> Similarity:
    """The similarity that moves `source` onto `target` with least squares.

    Raises:
        ValueError: shapes differ or values are not finite.
        DegenerateAlignmentError: fewer than 3 points, coincident points, or points on one line.

    Source: Umeyama, "Least-squares estimation of transformation parameters between two
    point patterns" (IEEE PAMI, 1991).
    """
    x, y = to_array(source), to_array(target)
    if x.shape != y.shape or x.ndim != 2 or x.shape[1] != 3:
        raise ValueError(f"points to align must both be (n, 3), got {x.shape} and {y.shape}")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("points to align hold NaN or infinite values")
    if len(x) < _MIN_POSES:
        raise DegenerateAlignmentError(f"a Sim(3) alignment needs at least {_MIN_POSES} points, got {len(x)}")
    centred_x, centred_y = x - x.mean(0), y - y.mean(0)
    _check_extent(x, centred_x, "estimated")
    _check_extent(y, centred_y, "true")
    u, singular, vt = np.linalg.svd(centred_y.T @ centred_x / len(x))
    if singular[1] <= 1e-12 * singular[0]:
        raise DegenerateAlignmentError(
            "the points to align lie on one line, so the rotation about it is not determined "
            f"(covariance singular values {singular[0]:.3g}, {singular[1]:.3g}); use more varied frames"
        )
    signs = np.array([1.0, 1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt))])
    rotation = u * signs @ vt
    scale = float((singular * signs).sum() / (centred_x**2).sum(1).mean())
    return Similarity(scale, rotation, y.mean(0) - scale * rotation @ x.mean(0))


def path_length(poses: Poses) -> float:
    """Length of the polyline through the translations of poses.

    Give camera-to-world poses to get the way that the camera went.
    """
    translations = _to_poses(poses, "poses")[:, :3, 3]
    return float(np.linalg.norm(np.diff(translations, axis=0), axis=1).sum())


def to_array(values: ArrayLike | Num[Tensor, " ..."] | Bool[Tensor, " ..."]) -> Float64[np.ndarray, " ..."]:
    """float64 copy on the CPU of a tensor or an array."""
    if isinstance(values, Tensor):
        values = values.detach().to("cpu").double().numpy()
    return np.asarray(values, dtype=np.float64)


def _pair(estimate: Poses, truth: Poses) -> tuple[Track, Track]:
    estimates, truths = _to_poses(estimate, "estimate"), _to_poses(truth, "truth")
    if len(estimates) != len(truths):
        raise ValueError(
            f"{len(estimates)} estimated poses but {len(truths)} true ones; give one for each frame"
        )
    return estimates, truths


def _to_poses(values: Poses, name: str) -> Track:
    """Poses of four rows, checked."""
    given = to_array(values)
    if given.ndim != 3 or given.shape[1:] not in ((3, 4), (4, 4)) or len(given) == 0:
        raise ValueError(f"{name} must be (S, 3, 4) or (S, 4, 4) with S >= 1, got {given.shape}")
    broken = np.flatnonzero(~np.isfinite(given).all(axis=(1, 2)))
    if broken.size:
        raise ValueError(
            f"{name} holds NaN or infinite values in frames {broken[:10].tolist()}; leave them out"
        )
    poses = np.tile(np.eye(4), (len(given), 1, 1))
    poses[:, :3] = given[:, :3]
    rotation = poses[:, :3, :3]
    deviation = np.abs(rotation @ rotation.transpose(0, 2, 1) - np.eye(3)).max(axis=(1, 2))
    wrong = np.flatnonzero((deviation > _ROTATION_TOLERANCE) | (np.linalg.det(rotation) < 0))
    if wrong.size:
        raise ValueError(
            f"{name} of frame {wrong[0]} is not a rotation: |R R^T - 1| = {deviation[wrong[0]]:.3g} "
            f"(at most {_ROTATION_TOLERANCE:g}), det R = {np.linalg.det(rotation[wrong[0]]):.3g} (must be +1)"
        )
    return poses


def _check_extent(points: NDArray[Any], centred: NDArray[Any], name: str) -> None:
    if np.abs(centred).max() <= 1e-9 * np.abs(points).max():
        raise DegenerateAlignmentError(
            f"all {len(points)} {name} points coincide (up to 1e-9 of their distance from the origin), "
            "so neither scale nor rotation is determined"
        )


def _relative_errors(estimate: Track, truth: Track, delta: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Length and angle (degrees) of the difference of the motions from i to i + delta."""
    if not 1 <= delta < len(truth):
        raise ValueError(f"delta is {delta}; with {len(truth)} poses it must lie in [1, {len(truth) - 1}]")
    true_steps = _inverse(truth[:-delta]) @ truth[delta:]
    steps = _inverse(estimate[:-delta]) @ estimate[delta:]
    drifts = np.linalg.norm((_inverse(true_steps) @ steps)[:, :3, 3], axis=1)
    return drifts, _angles_deg(true_steps, steps)


def _angles_deg(a: Track, b: Track) -> Float64[np.ndarray, " frames"]:
    return rotation_angle_deg(*(torch.from_numpy(poses[:, :3, :3]) for poses in (a, b))).numpy()


def _inverse(poses: Track) -> Track:
    return invert(torch.from_numpy(poses)).numpy()


def _rmse(errors: Float64[np.ndarray, " n"]) -> float:
    return float(np.sqrt(np.mean(errors**2)))
