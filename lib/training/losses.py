"""The training losses of VGGT: camera, depth and points with confidence, tracks."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from lib.geometry import relative_to_first, unproject
from lib.training.data import Batch
from lib.vggt.cameras import encode_pose, quaternion_to_matrix

Depth = Float[Tensor, "batch frames height width"]
Points = Float[Tensor, "batch frames height width 3"]
Intrinsics = Float[Tensor, "batch frames 3 3"]
Encodings = Float[Tensor, "batch frames values"]
Loss = Float[Tensor, ""]

HUBER = 0.02  # where the camera loss turns from quadratic to linear
ITERATION_DECAY = 0.6  # weight of an earlier camera iteration relative to the next
CONFIDENCE_WEIGHT = 0.2  # of -log(confidence)
TEMPERATURE = 0.1  # of the matching softmax
DEPTH_TOLERANCE = 0.05  # relative depth difference beyond which a projected point counts as hidden


@dataclass(frozen=True)
class Target:
    """Ground truth in frame 0's coordinates at unit mean distance.

    `pose` holds encodings, `relative` is camera-from-frame-0, scaled; `scale`: metres of one unit.
    """

    pose: Float[Tensor, "batch frames 9"]
    depth: Depth
    points: Points
    valid: Bool[Tensor, "batch frames height width"]
    relative: Float[Tensor, "batch frames 3 4"]
    intrinsics: Intrinsics
    scale: Float[Tensor, " batch"]


def make_target(batch: Batch, reference: bool = True) -> Target:
    """Express a batch in frame 0's coordinates and divide by the mean distance of its points from frame 0.

    Without a reference frame the unit is the mean distance from the camera that saw the point, which no order
    of the frames changes. Where no depth is valid, there is no such mean, and the unit stays one metre.
    """
    relative = relative_to_first(batch.extrinsics)
    points = unproject(batch.depth, relative, batch.intrinsics)
    valid = batch.depth > 0
    count = valid.sum((1, 2, 3))
    away = points if reference else in_own_cameras(batch.depth, batch.intrinsics)
    total = (away.norm(dim=-1) * valid).sum((1, 2, 3))
    scale = torch.where(count > 0, total / count.clamp(min=1), 1.0)  # (B,)
    shift = relative[..., 3:] / scale[:, None, None, None]
    relative = torch.cat([relative[..., :3], shift], -1)
    size = (batch.depth.shape[-2], batch.depth.shape[-1])
    return Target(
        pose=encode_pose(relative, batch.intrinsics, size),
        depth=batch.depth / scale[:, None, None, None],
        points=points / scale[:, None, None, None, None],
        valid=valid,
        relative=relative,
        intrinsics=batch.intrinsics,
        scale=scale,
    )


def in_own_cameras(depth: Depth, intrinsics: Intrinsics) -> Points:
    """The points of each frame in the coordinates of its own camera."""
    return unproject(depth, torch.eye(3, 4).to(depth).expand(*depth.shape[:2], 3, 4), intrinsics)


def between_frames(encodings: Float[Tensor, "batch frames 9"]) -> Float[Tensor, "batch pairs 14"]:
    """Translation, rotation matrix and fields of view of every frame's camera from every frame's, E_i E_j⁻¹.

    Unlike the encodings, they do not depend on the coordinates that all cameras share.
    """
    rotation, shift = quaternion_to_matrix(encodings[..., 3:7]), encodings[..., :3]
    turned = rotation[:, :, None] @ rotation[:, None].mT  # (B, i, j, 3, 3)
    moved = shift[:, :, None] - (turned @ shift[:, None, :, :, None])[..., 0]
    view = encodings[:, :, None, 7:].expand(-1, -1, encodings.shape[1], -1)
    return torch.cat([moved, turned.flatten(-2), view], -1).flatten(1, 2)


def camera_loss(predictions: list[Encodings], target: Encodings) -> Loss:
    """Huber loss on every iteration's encodings, or on `between_frames` of them; later ones weigh more."""
    total = target.new_zeros(())
    weight = norm = 0.0
    for age, prediction in enumerate(reversed(predictions)):
        weight = ITERATION_DECAY**age
        error = functional.huber_loss(prediction, target, reduction="none", delta=HUBER) / HUBER
        parts = error[..., :3].mean() + error[..., 3:-2].mean() + 0.5 * error[..., -2:].mean()
        total, norm = total + weight * parts, norm + weight
    return total / norm


def confident_loss(
    prediction: Float[Tensor, "*batch height width channels"],
    confidence: Float[Tensor, "*batch height width"],
    target: Float[Tensor, "*batch height width channels"],
    valid: Bool[Tensor, "*batch height width"],
) -> Loss:
    """Mean over valid pixels of c |prediction - target| - alpha log c."""
    error = (prediction - target).square().sum(-1).add(1e-8).sqrt()
    loss = confidence * error - CONFIDENCE_WEIGHT * confidence.log()
    return (loss * valid).sum() / valid.sum().clamp(min=1)


@dataclass(frozen=True)
class Tracks:
    """Where the patch centres of frames 1.. lie in frame 0: `place` in pixels (u, v).

    `seen` is 1.0 where they are inside frame 0 and not hidden, else 0.0.
    """

    place: Float[Tensor, "batch later patches 2"]
    seen: Float[Tensor, "batch later patches"]


def matching_loss(
    descriptors: Float[Tensor, "batch frames patches width"],
    tracks: Tracks,
    grid: tuple[int, int],
    patch: int,
) -> Loss:
    """Cross-entropy of finding each patch centre of frames 1.. among the patches of frame 0.

    descriptors of unit length; grid: (h, w). The truth is spread bilinearly over the
    patches around the place; what is hidden or outside in frame 0 does not count. This and `tracking_loss`
    stand in for VGGT's loss on point tracks.
    """
    rows = _hat((tracks.place[..., 1] - patch // 2) / patch, grid[0])
    columns = _hat((tracks.place[..., 0] - patch // 2) / patch, grid[1])
    goal = (rows[..., :, None] * columns[..., None, :]).flatten(-2)  # (B, S-1, hw, hw)
    logits = descriptors[:, 1:] @ descriptors[:, :1].transpose(-1, -2) / TEMPERATURE
    loss = -(goal * logits.log_softmax(-1)).sum(-1)
    return (loss * tracks.seen).sum() / tracks.seen.sum().clamp(min=1)


def tracking_loss(
    shifts: Float[Tensor, "batch frames patches 2"], tracks: Tracks, grid: tuple[int, int], patch: int
) -> Loss:
    """Mean distance, in patches, between estimated and true shifts of the visible patch centres into frame 0.

    Frame 0's shifts are not used; grid: (h, w).
    """
    error = shifts[:, 1:] - (tracks.place - patch_centres(grid, patch, tracks.place.device)) / patch
    distance = error.square().sum(-1).add(1e-8).sqrt()
    return (distance * tracks.seen).sum() / tracks.seen.sum().clamp(min=1)


def patch_centres(grid: tuple[int, int], patch: int, device: torch.device) -> Float[Tensor, "patches 2"]:
    """Pixel (u, v) of each patch's centre; of the four middle pixels, the lower right one."""
    v, u = torch.meshgrid(*(torch.arange(n, device=device) * patch + patch // 2 for n in grid), indexing="ij")
    return torch.stack([u, v], -1).flatten(0, 1).float()


def true_tracks(target: Target, patch: int) -> Tracks:
    """Project the patch centres of frames 1.. into frame 0 and compare depths there."""
    height, width = target.depth.shape[-2:]
    middle = slice(patch // 2, None, patch)
    points = target.points[:, 1:, middle, middle].flatten(2, 3)  # (B, S-1, hw, 3), frame 0's coordinates
    depth = points[..., 2].clamp(min=1e-3)
    k = target.intrinsics[:, :1, None]
    u = points[..., 0] / depth * k[..., 0, 0] + k[..., 0, 2]
    v = points[..., 1] / depth * k[..., 1, 1] + k[..., 1, 2]
    inside = (u > 0) & (u < width - 1) & (v > 0) & (v < height - 1) & (points[..., 2] > 1e-3)
    row, column = v.round().clamp(0, height - 1).long(), u.round().clamp(0, width - 1).long()
    first = target.depth[:, 0].flatten(1)  # (B, HW)
    there = first.gather(1, (row * width + column).flatten(1)).view_as(depth)
    seen = inside & ((there - depth).abs() < DEPTH_TOLERANCE * depth)
    return Tracks(torch.stack([u, v], -1), seen.float())


def _hat(position: Float[Tensor, "*batch"], count: int) -> Float[Tensor, "*batch {count}"]:
    """Linear interpolation weights of `position` on the grid 0..count-1, clamped at the ends."""
    grid = torch.arange(count, device=position.device, dtype=position.dtype)
    return (1 - (position.clamp(0, count - 1)[..., None] - grid).abs()).clamp(min=0)
