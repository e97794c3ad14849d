"""What a sequence holds: its point cloud, and how long, wide and complete it is."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lib.scenes.sequence import Sequence


@dataclass(frozen=True)
class SequenceSummary:
    """Size of a sequence; lengths in metres, None where there are no poses or no depth.

    `path_m` is the length of the polyline through the camera centres, `extent_m` the size of their bounding
    box along the world axes, `valid_depth` the share of pixels with depth, in [0, 1], `median_depth_m` their
    median.
    """

    name: str
    frames: int
    height: int
    width: int
    path_m: float | None
    extent_m: tuple[float, float, float] | None
    valid_depth: float | None
    median_depth_m: float | None


def summarise(sequence: Sequence) -> SequenceSummary:
    """Frames, path length, extent and depth of a sequence."""
    frames, _, height, width = sequence.images.shape
    path, extent, valid, median = None, None, None, None
    if sequence.extrinsics is not None:
        centres = camera_centres(sequence.extrinsics)
        path = centres.diff(dim=0).norm(dim=1).sum().item()
        x, y, z = (centres.amax(0) - centres.amin(0)).tolist()
        extent = (x, y, z)
    if sequence.depth is not None:
        measured = sequence.depth[sequence.depth > 0]
        valid = measured.numel() / sequence.depth.numel()
        median = measured.median().item() if measured.numel() else None
    return SequenceSummary(sequence.name, frames, height, width, path, extent, valid, median)


def camera_centres(extrinsics: Tensor) -> Tensor:
    """Camera centres (S, 3) in the world from camera-from-world extrinsics (S, 3, 4): -R^T t."""
    rotation, translation = extrinsics[:, :, :3], extrinsics[:, :, 3]
    return -torch.einsum("sji,sj->si", rotation, translation)


def world_points(sequence: Sequence) -> Tensor:
    """World coordinates (S, H, W, 3) of all pixels, metres, float64; NaN where there is no depth.

    A pixel (column u, row v) of z-depth d lies at d ((u - cx) / fx, (v - cy) / fy, 1) before its camera
    (spec 1.8). Raises ValueError when the sequence lacks depth, extrinsics or intrinsics, naming what lacks.
    """
    depth, extrinsics, intrinsics = sequence.depth, sequence.extrinsics, sequence.intrinsics
    if depth is None or extrinsics is None or intrinsics is None:
        parts = {"depth": depth, "extrinsics": extrinsics, "intrinsics": intrinsics}
        lacking = [name for name, part in parts.items() if part is None]
        raise ValueError(f"{sequence.name} has no {' and no '.join(lacking)}, so its points are not known")
    depth, extrinsics, intrinsics = depth.double(), extrinsics.double(), intrinsics.double()
    height, width = depth.shape[1:]
    v, u = torch.meshgrid(
        torch.arange(height, device=depth.device), torch.arange(width, device=depth.device), indexing="ij"
    )
    pixels = torch.stack([u, v, torch.ones_like(u)], dim=-1).double()  # (H, W, 3)
    rays = torch.einsum("sij,hwj->shwi", torch.linalg.inv(intrinsics), pixels)
    camera = rays * depth.where(depth > 0, torch.nan)[..., None]
    rotation, translation = extrinsics[:, :, :3], extrinsics[:, :, 3]
    return torch.einsum("sji,shwj->shwi", rotation, camera - translation[:, None, None])


def point_cloud(sequence: Sequence, stride: int = 1) -> tuple[Tensor, Tensor]:
    """Points (n, 3) float64 in the world, metres, and their colours (n, 3) in [0, 1], where depth is valid.

    Every `stride`-th row and column is taken. Raises as `world_points`, and ValueError for a stride below 1.
    """
    if stride < 1:
        raise ValueError(f"stride is {stride}; it must be at least 1")
    points = world_points(sequence)[:, ::stride, ::stride]
    colours = sequence.images.permute(0, 2, 3, 1)[:, ::stride, ::stride]
    valid = points.isfinite().all(-1)
    return points[valid], colours[valid]
