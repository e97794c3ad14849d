"""`Sequence`: a run of images of one scene, with cameras and depth where they are known."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Sequence:
    """One image sequence; checked on construction.

    Cameras are OpenCV (x right, y down, z forward); pixel (column u, row v) of `images` is seen along
    ((u - cx) / fx, (v - cy) / fy, 1), so that pixel centres lie on integers.

    Attributes:
        name: what to call it in records and figures.
        images: float32 RGB in [0, 1].
        extrinsics: float32 or float64, camera-from-world, metres; None if unknown.
        intrinsics: pixels of `images`; None if unknown.
        depth: z-depth in metres, 0 where there is no measurement; None if unknown.

    Raises:
        ValueError: a shape does not fit, a value is not finite, or lies outside its range.
    """

    name: str
    images: Float[Tensor, "frames 3 height width"]
    extrinsics: Float[Tensor, "frames 3 4"] | None = None
    intrinsics: Float[Tensor, "frames 3 3"] | None = None
    depth: Float[Tensor, "frames height width"] | None = None

    def __post_init__(self) -> None:
        if self.images.ndim != 4 or self.images.shape[0] < 1 or self.images.shape[1] != 3:
            raise ValueError(f"images must be (S >= 1, 3, H, W), got {tuple(self.images.shape)}")
        frames, _, height, width = self.images.shape
        _check(self.images, "images", (frames, 3, height, width), low=0.0, high=1.0)
        if self.extrinsics is not None:
            _check(self.extrinsics, "extrinsics", (frames, 3, 4))
            _check_rotations(self.extrinsics[:, :, :3])
        if self.intrinsics is not None:
            _check(self.intrinsics, "intrinsics", (frames, 3, 3))
            focal = torch.stack([self.intrinsics[:, 0, 0], self.intrinsics[:, 1, 1]])
            if not bool((focal > 0).all()):
                raise ValueError(
                    f"focal lengths must be positive, the smallest is {focal.min().item():g} pixels"
                )
        if self.depth is not None:
            _check(self.depth, "depth", (frames, height, width), low=0.0)

    def __len__(self) -> int:
        return self.images.shape[0]

    def take(self, indices: Iterable[int]) -> Sequence:
        """The frames at `indices` (each in [-S, S)), in that order, as a new sequence.

        Raises:
            ValueError: no index, or one outside.
        """
        wanted = list(indices)
        bad = [i for i in wanted if not -len(self) <= i < len(self)]
        if bad or not wanted:
            raise ValueError(
                f"frame indices must be a non-empty list in [-{len(self)}, {len(self)}), got {bad or wanted}"
            )
        index = torch.tensor(wanted, device=self.images.device)
        return Sequence(self.name, *(None if t is None else t[index] for t in self._tensors()))  # type: ignore[arg-type]

    def to(self, device: torch.device | str) -> Sequence:
        """The same sequence with all its tensors on `device`."""
        return Sequence(self.name, *(None if t is None else t.to(device) for t in self._tensors()))  # type: ignore[arg-type]

    def _tensors(self) -> list[Tensor | None]:
        return [getattr(self, field.name) for field in fields(self) if field.name != "name"]


def _check(
    value: Tensor, name: str, shape: tuple[int, ...], low: float | None = None, high: float | None = None
) -> None:
    if tuple(value.shape) != shape:
        raise ValueError(f"{name} must have shape {shape}, got {tuple(value.shape)}")
    if not value.is_floating_point():
        raise ValueError(f"{name} must be floating point, got {value.dtype}")
    if not bool(value.isfinite().all()):
        raise ValueError(f"{name} holds NaN or infinite values")
    smallest, largest = value.min().item(), value.max().item()
    if (low is not None and smallest < low) or (high is not None and largest > high):
        bounds = f"[{low:g}, {'inf' if high is None else format(high, 'g')}]"
        raise ValueError(f"{name} must lie in {bounds}, got values from {smallest:g} to {largest:g}")


def _check_rotations(rotation: Tensor) -> None:
    """Recorded poses carry few digits, hence the tolerance; a scaled or mirrored matrix is far outside."""
    product = rotation @ rotation.transpose(-1, -2)
    deviation = (product - torch.eye(3, dtype=product.dtype, device=product.device)).abs().max().item()
    if deviation > 1e-2 or not bool((torch.linalg.det(rotation) > 0).all()):
        raise ValueError(
            f"extrinsics must hold rotations: R R^T differs from 1 by {deviation:g}, or det R < 0"
        )
