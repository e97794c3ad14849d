"""What a camera in somebody's hand adds: exposure, colour balance, vignetting, blur, noise, and shaking."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Float32
from torch import Tensor

from lib.scenes.rooms import _cameras, _Draws

EXPOSED = 0.42  # mean brightness that automatic exposure aims at
SHAKES = 4  # sinusoids in each coordinate of a shaking hand


def photograph(
    draws: _Draws, images: Float32[Tensor, "rooms frames 3 height width"]
) -> Float32[Tensor, "rooms frames 3 height width"]:
    """The images in [0, 1] as a cheap camera would have taken them; geometry stays.

    Blur by less than a pixel, vignetting, automatic exposure that lags behind, a balance of colours that
    drifts, noise that grows with the light.
    """
    frames = images.shape[1]
    images = _blur(images, draws.between(0, 0.15, 1, 1, 1, 1))
    images = images * _vignette(images, draws.between(0, 0.5, 1, 1, 1, 1))
    light = images.mean((2, 3, 4), keepdim=True).clamp(min=0.02)
    correction = (EXPOSED / light) ** draws.between(0.2, 0.9, 1, 1, 1, 1)
    offset = torch.exp2(draws.between(-0.5, 0.5, 1, 1, 1, 1) + draws.between(-0.1, 0.1, frames, 1, 1, 1))
    balance = draws.between(0.85, 1.15, 1, 3, 1, 1) + draws.between(-0.03, 0.03, frames, 3, 1, 1)
    images = (images * correction * offset * balance).clamp(0, 1)
    shot, read = draws.between(0, 0.03, 1, 1, 1, 1), draws.between(0, 0.015, 1, 1, 1, 1)
    even = draws.uniform(*images.shape[1:]).clamp(1e-6, 1 - 1e-6)
    noise = math.sqrt(2) * torch.erfinv(2 * even - 1)  # of unit variance
    return (images + noise * (read.square() + shot.square() * images).sqrt()).clamp(0, 1)


def _blur(images: Tensor, share: Tensor) -> Tensor:
    """`share` of each pixel's light goes to either neighbour, along rows and then along columns."""
    for dim in (-1, -2):
        size = images.shape[dim]
        index = torch.arange(size)
        before, after = (index - 1).clamp(min=0), (index + 1).clamp(max=size - 1)
        sides = images.index_select(dim, before) + images.index_select(dim, after)
        images = (1 - 2 * share) * images + share * sides
    return images


def _vignette(images: Tensor, strength: Tensor) -> Tensor:
    """1 in the middle, 1 - `strength` in the corners."""
    height, width = images.shape[-2:]
    y, x = (torch.linspace(-1, 1, n) for n in (height, width))
    return 1 - strength * 0.5 * (y[:, None].square() + x.square())


def shake(
    draws: _Draws,
    extrinsics: Float[Tensor, "rooms frames 3 4"],
    times: Float[Tensor, "rooms frames"],
) -> Float[Tensor, "rooms frames 3 4"]:
    """Walks as a hand holds the camera: tilted throughout, and shaking by a degree and a centimetre or so.

    Smooth and defined at any time, like the walks; camera-from-world before and after, times in video frames.
    """
    size = draws.uniform(6, SHAKES).double() / SHAKES
    size[:, :3] *= 2 * draws.between(0.002, 0.02, 1, 1)  # metres
    size[:, 3:] *= 2 * torch.deg2rad(draws.between(0.2, 2.0, 1, 1))
    rate = draws.between(0.1, 1.2, 6, SHAKES).double()  # radians a video frame
    phase = draws.between(0, 2 * math.pi, 6, SHAKES).double()
    angle = rate[..., None] * times.double()[:, None, None] + phase[..., None]
    x, y, z, yaw, pitch, roll = (size[..., None] * angle.sin()).sum(2).unbind(1)
    tilt, lean = (torch.deg2rad(draws.between(*ends, 1)).double() for ends in ((-12.0, 30.0), (-12.0, 12.0)))
    # a camera at rest in axes x right, y down, z forward, as `_cameras` gives it for yaw = pitch = roll = 0
    upright = _cameras(torch.zeros(3).double(), *torch.zeros(3, 1).double().unbind())[0, :, :3]
    hand = _cameras(torch.stack([x, y, z], -1), yaw, pitch - tilt, roll + lean)
    rotation = hand[..., :3] @ upright.T
    return torch.cat([rotation @ extrinsics[..., :3], rotation @ extrinsics[..., 3:] + hand[..., 3:]], -1)
