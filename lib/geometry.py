"""Posed cameras: inverses, centres, relative poses, angles between rotations, and points from depth.

OpenCV convention throughout: x right, y down, z forward; extrinsics are camera-from-world; pixel centres are
integers; depth is z-depth. Functions are differentiable and keep dtype and device.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def camera_centres(extrinsics: Float[Tensor, "*batch rows 4"]) -> Float[Tensor, "*batch 3"]:
    """Places of cameras in the world, −Rᵀt, from camera-from-world extrinsics of 3 or 4 rows."""
    return -(extrinsics[..., :3, :3] * extrinsics[..., :3, 3:]).sum(-2)


def invert(poses: Float[Tensor, "*batch rows 4"]) -> Float[Tensor, "*batch 4 4"]:
    """Inverse of rigid motions of 3 or 4 rows: [Rᵀ | −Rᵀt] over (0, 0, 0, 1)."""
    upper = torch.cat([poses[..., :3, :3].mT, camera_centres(poses)[..., None]], -1)
    last = torch.zeros_like(upper[..., :1, :])
    last[..., 3] = 1
    return torch.cat([upper, last], -2)


def relative_to_first(extrinsics: Float[Tensor, "*batch frames 3 4"]) -> Float[Tensor, "*batch frames 3 4"]:
    """Camera-from-camera-0, E_i E_0⁻¹, of camera-from-world extrinsics."""
    rotation, shift = extrinsics[..., :3], extrinsics[..., 3:]
    turned = rotation @ rotation[..., :1, :, :].mT
    return torch.cat([turned, shift - turned @ shift[..., :1, :, :]], -1)


def rotation_angle_deg(
    a: Float[Tensor, "*#batch 3 3"], b: Float[Tensor, "*#batch 3 3"]
) -> Float[Tensor, "*batch"]:
    """Angle in degrees of the rotation between a and b.

    From |a − b|_F = 2√2 sin(angle/2): all digits of a small angle are kept, and a half turn is good to 1e-6
    degrees in float64.
    """
    return torch.rad2deg(2 * torch.asin(((a - b).flatten(-2).norm(dim=-1) / 8**0.5).clamp(max=1)))


def unproject(
    depth: Float[Tensor, "*batch height width"],
    extrinsics: Float[Tensor, "*batch 3 4"],
    intrinsics: Float[Tensor, "*batch 3 3"],
) -> Float[Tensor, "*batch height width 3"]:
    """Points of z-depth, in the frame that extrinsics start from; intrinsics in pixels, without skew."""
    height, width = depth.shape[-2:]
    v = torch.arange(height, device=depth.device, dtype=depth.dtype)[:, None]
    u = torch.arange(width, device=depth.device, dtype=depth.dtype)
    k = intrinsics[..., None, None]
    x = (u - k[..., 0, 2, :, :]) / k[..., 0, 0, :, :] * depth
    y = (v - k[..., 1, 2, :, :]) / k[..., 1, 1, :, :] * depth
    camera = torch.stack([x, y, depth], -1) - extrinsics[..., None, None, :, 3]
    return torch.einsum("...ji,...hwj->...hwi", extrinsics[..., :3], camera)
