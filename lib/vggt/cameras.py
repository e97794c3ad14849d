"""The nine-number pose encoding of VGGT and the quaternions in it; conventions as in `lib.geometry`."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional


def quaternion_to_matrix(quaternion: Float[Tensor, "*batch 4"]) -> Float[Tensor, "*batch 3 3"]:
    """Rotation matrices of quaternions, xyzw; any non-zero scale and sign."""
    x, y, z, w = quaternion.unbind(-1)
    s = 2.0 / quaternion.square().sum(-1)
    rows = (
        (1 - s * (y * y + z * z), s * (x * y - z * w), s * (x * z + y * w)),
        (s * (x * y + z * w), 1 - s * (x * x + z * z), s * (y * z - x * w)),
        (s * (x * z - y * w), s * (y * z + x * w), 1 - s * (x * x + y * y)),
    )
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)


def matrix_to_quaternion(rotation: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 4"]:
    """Unit quaternions, xyzw with w >= 0, of rotation matrices.

    Each of the four components in turn can be divided by; the largest one is used, so half turns are safe.
    """
    r = rotation
    xx, yy, zz = r[..., 0, 0], r[..., 1, 1], r[..., 2, 2]
    # row c of `outer` is 4 * component_c * (x, y, z, w)
    xy, xz, yz = r[..., 0, 1] + r[..., 1, 0], r[..., 0, 2] + r[..., 2, 0], r[..., 1, 2] + r[..., 2, 1]
    wx, wy, wz = r[..., 2, 1] - r[..., 1, 2], r[..., 0, 2] - r[..., 2, 0], r[..., 1, 0] - r[..., 0, 1]
    outer = torch.stack(
        [
            torch.stack((1 + xx - yy - zz, xy, xz, wx), dim=-1),
            torch.stack((xy, 1 - xx + yy - zz, yz, wy), dim=-1),
            torch.stack((xz, yz, 1 - xx - yy + zz, wz), dim=-1),
            torch.stack((wx, wy, wz, 1 + xx + yy + zz), dim=-1),
        ],
        dim=-2,
    )
    best = outer.diagonal(dim1=-2, dim2=-1).argmax(-1)[..., None, None].expand(*r.shape[:-2], 1, 4)
    quaternion = functional.normalize(outer.gather(-2, best).squeeze(-2), dim=-1)
    return torch.where(quaternion[..., 3:] < 0, -quaternion, quaternion)


def encode_pose(
    extrinsics: Float[Tensor, "*batch 3 4"],
    intrinsics: Float[Tensor, "*batch 3 3"],
    image_size: tuple[int, int],
) -> Float[Tensor, "*batch 9"]:
    """Pose encoding: translation 3, quaternion xyzw, field of view (vertical, horizontal), rad.

    extrinsics camera-from-world; intrinsics in pixels of an image (H, W). The principal point is not encoded.
    """
    height, width = image_size
    fov_h = 2 * torch.atan(height / 2 / intrinsics[..., 1, 1])
    fov_w = 2 * torch.atan(width / 2 / intrinsics[..., 0, 0])
    quaternion = matrix_to_quaternion(extrinsics[..., :3])
    return torch.cat((extrinsics[..., 3], quaternion, torch.stack((fov_h, fov_w), dim=-1)), dim=-1)


def decode_pose(
    encoding: Float[Tensor, "*batch 9"], image_size: tuple[int, int]
) -> tuple[Float[Tensor, "*batch 3 4"], Float[Tensor, "*batch 3 3"]]:
    """Extrinsics and intrinsics of pose encodings at image_size = (H, W).

    The principal point is the image centre (W/2, H/2). A field of view of 0 gives an infinite focal length.
    """
    height, width = image_size
    rotation = quaternion_to_matrix(encoding[..., 3:7])
    extrinsics = torch.cat((rotation, encoding[..., :3, None]), dim=-1)
    focal_y = height / 2 / torch.tan(encoding[..., 7] / 2)
    focal_x = width / 2 / torch.tan(encoding[..., 8] / 2)
    zero, one = torch.zeros_like(focal_x), torch.ones_like(focal_x)
    rows = ((focal_x, zero, one * (width / 2)), (zero, focal_y, one * (height / 2)), (zero, zero, one))
    intrinsics = torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)
    return extrinsics, intrinsics
