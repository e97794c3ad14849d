"""Spheres and cylinders for the ray-caster: what rooms of boxes lack, exact like them."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

CAP = 1e-4  # metres: nearer than this to the end of a cylinder, a hit lies on its cap


@dataclass(frozen=True)
class Solids:
    """A batch of B rooms of spheres and cylinders with flat ends. Metres, world z up.

    Attributes:
        centre: of each solid.
        axis: unit vector along a cylinder; for a sphere, the pole of its texture.
        radius: 0: the solid is absent.
        half: half length of a cylinder; infinite for a sphere.
    """

    centre: Float[Tensor, "rooms solids 3"]
    axis: Float[Tensor, "rooms solids 3"]
    radius: Float[Tensor, "rooms solids"]
    half: Float[Tensor, "rooms solids"]

    def to(self, device: torch.device | str) -> Solids:
        """The same solids on `device`."""
        return Solids(*(getattr(self, field.name).to(device) for field in fields(self)))

    def take(self, chosen: slice) -> Solids:
        """Those of the rooms in the slice `chosen`."""
        return Solids(*(getattr(self, field.name)[chosen] for field in fields(self)))

    def beside(self, other: Solids) -> Solids:
        """These solids and, after them, the `other` ones of the same rooms."""
        both = ((getattr(self, field.name), getattr(other, field.name)) for field in fields(self))
        return Solids(*(torch.cat(pair, 1) for pair in both))

    def clear(self, cameras: Float[Tensor, "rooms frames 3"], clearance: float) -> Solids:
        """Without the solids that come nearer than `clearance` metres to a camera."""
        away = cameras[:, None] - self.centre[:, :, None]  # (B, solids, F, 3)
        along = (away * self.axis[:, :, None]).sum(-1)
        half = torch.where(self.half.isinf(), 0.0, self.half)[..., None]
        nearest = along.clamp(-half, half)  # of the axis to the camera
        distance = (away - nearest[..., None] * self.axis[:, :, None]).norm(dim=-1)
        blocked = (distance < self.radius[..., None] + clearance).any(-1)
        return Solids(self.centre, self.axis, self.radius * ~blocked, self.half)


def nearest_solid(
    solids: Solids, origin: Float[Tensor, "rooms frames 3"], direction: Float[Tensor, "rooms frames rays 3"]
) -> tuple[Float[Tensor, "rooms frames rays"], Int[Tensor, "rooms frames rays"]]:
    """Ray parameter and number of the first solid that each ray meets from outside; infinite and 0 if none.

    Directions need not be unit vectors; where their parameter is z-depth, so is the result.
    """
    square = direction.square().sum(-1)
    depth, which = torch.full_like(square, torch.inf), torch.zeros_like(square, dtype=torch.long)
    for number in range(solids.radius.shape[1]):
        enter, leave = _interval(solids, number, origin, direction, square)
        closer = (enter < leave) & (enter > 0) & (enter < depth)
        depth = torch.where(closer, enter, depth)
        which.masked_fill_(closer, number)
    return depth, which


def _interval(
    solids: Solids, number: int, origin: Tensor, direction: Tensor, square: Tensor
) -> tuple[Tensor, Tensor]:
    """Where rays enter and leave a solid: |o + t d|² without its part along a cylinder's axis is r²."""
    axis = solids.axis[:, number, None]
    radius, half = solids.radius[:, number, None, None], solids.half[:, number, None, None]
    away = origin - solids.centre[:, number, None]  # (B, F, 3)
    straight = (~half.isinf()).float()
    along_ray = (direction @ axis[..., None])[..., 0]
    along_away = (away * axis).sum(-1, keepdim=True)
    a = (square - straight * along_ray.square()).clamp(min=1e-12)
    b = (direction @ away[..., None])[..., 0] - straight * along_away * along_ray
    c = away.square().sum(-1, keepdim=True) - straight * along_away.square() - radius.square()
    inside = b.square() - a * c
    root = inside.clamp(min=0).sqrt()
    inverse = 1 / torch.where(along_ray.abs() < 1e-9, 1e-9, along_ray)
    middle, reach = -along_away * inverse, half * inverse.abs()
    enter = torch.maximum((-b - root) / a, middle - reach)
    leave = torch.minimum((-b + root) / a, middle + reach)
    missed = (inside <= 0) | (radius <= 0)
    return enter.masked_fill(missed, torch.inf), leave


def surface(
    solids: Solids, index: Int[Tensor, " rays"], point: Float[Tensor, "rays 3"]
) -> tuple[Float[Tensor, "rays 3"], Float[Tensor, "rays 2"]]:
    """Outward unit normal and place on the surface, in metres, of `point` on each solid.

    index: number of the solid in the flattened batch.
    """
    pick = [getattr(solids, field.name).flatten(0, 1)[index] for field in fields(solids)]
    centre, axis, radius, half = pick
    away = point - centre
    along = (away * axis).sum(-1)
    ball = half.isinf()
    out = torch.where(ball[:, None], away, away - along[:, None] * axis)
    cap = ~ball & (along.abs() > half - CAP)
    normal = torch.where(cap[:, None], along.sign()[:, None] * axis, out / out.norm(dim=-1, keepdim=True))
    first, second = _across(axis)
    x, y = (away * first).sum(-1), (away * second).sum(-1)
    latitude = radius * torch.asin((along / radius).clamp(-1, 1))
    side = torch.stack([radius * torch.atan2(y, x), torch.where(ball, latitude, along)], -1)
    return normal, torch.where(cap[:, None], torch.stack([x, y], -1), side)


def _across(axis: Tensor) -> tuple[Tensor, Tensor]:
    """Two unit vectors that stand upright on `axis` and on each other."""
    steep: Bool[Tensor, " rays"] = axis[..., 2].abs() > 0.9
    aside = torch.zeros_like(axis)
    aside[..., 0], aside[..., 2] = steep.float(), (~steep).float()
    first = torch.nn.functional.normalize(torch.linalg.cross(axis, aside), dim=-1)
    return first, torch.linalg.cross(axis, first)
