"""A ray-caster in plain torch: textured rooms and boxes, exact z-depth, batched over rooms and frames."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from jaxtyping import Float, Float32
from torch import Tensor

TEXTURE_PERIOD = 128  # cells after which the texture lattice repeats; a power of two
TEXTURE_SEED = 20_251_014  # the one lattice that every face takes its own window of
RAYS_AT_ONCE = 65_536  # on a CPU the working set must stay in the cache


@dataclass(frozen=True)
class Rooms:
    """A batch of B rooms; box 0 of each is the room itself, seen from inside. World z points up, metres.

    Attributes:
        centre, half: box centres and half extents; a box with half = 0 is absent.
        yaw: turn of the box about z, radians.
        faces: look of each face (-x, +x, -y, +y, -z, +z): three RGB colours, base frequency
            in cells per metre, amplitude ratio from octave to octave, stripes per metre (0 = none), lattice
            offset (2), contrast, light.
    """

    centre: Float[Tensor, "rooms boxes 3"]
    half: Float[Tensor, "rooms boxes 3"]
    yaw: Float[Tensor, "rooms boxes"]
    faces: Float[Tensor, "rooms boxes 6 16"]

    def __len__(self) -> int:
        return self.centre.shape[0]

    def to(self, device: torch.device | str) -> Rooms:
        """The same rooms on `device`."""
        return Rooms(*(getattr(self, field.name).to(device) for field in fields(self)))

    def take(self, chosen: slice) -> Rooms:
        """The rooms in the slice `chosen`."""
        return Rooms(*(getattr(self, field.name)[chosen] for field in fields(self)))


def render(
    rooms: Rooms,
    extrinsics: Float[Tensor, "rooms frames 3 4"],
    intrinsics: Float[Tensor, "rooms frames 3 3"],
    height: int,
    width: int,
    octaves: int = 5,
) -> tuple[
    Float32[Tensor, "rooms frames 3 {height} {width}"], Float32[Tensor, "rooms frames {height} {width}"]
]:
    """What cameras in `rooms` see.

    Args:
        extrinsics: camera-from-world, OpenCV, metres.
        intrinsics: in pixels; pixel centres lie on integers.
        octaves: layers of texture detail; those finer than a pixel fade out.

    Returns:
        images in [0, 1] and z-depth in metres.

    Raises:
        ValueError: the size is not positive or the number of rooms and cameras differ.
    """
    if height < 1 or width < 1:
        raise ValueError(f"image size must be at least 1 x 1 pixels, got {height} x {width}")
    if extrinsics.shape[0] != len(rooms) or extrinsics.shape[:2] != intrinsics.shape[:2]:
        raise ValueError(
            f"need one (F, 3, 4) and one (F, 3, 3) per room, got {len(rooms)} rooms, "
            f"extrinsics {tuple(extrinsics.shape)}, intrinsics {tuple(intrinsics.shape)}"
        )
    lattice = texture_lattice(extrinsics.device)
    step = rooms_at_once(len(rooms), extrinsics.shape[1] * height * width, extrinsics.device)
    parts = [
        _render_some(rooms.take(slice(i, i + step)), extrinsics[i : i + step], intrinsics[i : i + step],
                     (height, width), octaves, lattice)
        for i in range(0, len(rooms), step)
    ]  # fmt: skip
    images, depth = (torch.cat(part) for part in zip(*parts, strict=True))
    return images, depth


def rooms_at_once(rooms: int, rays: int, device: torch.device) -> int:
    """How many rooms of so many rays each are rendered together: all, or on a CPU what its cache holds."""
    return max(1, RAYS_AT_ONCE // rays) if device.type == "cpu" else rooms


def texture_lattice(device: torch.device | str) -> Float32[Tensor, "corners 2"]:
    """Random values in [0, 1): the corners between which the textures interpolate."""
    generator = torch.Generator().manual_seed(TEXTURE_SEED)
    return torch.rand(TEXTURE_PERIOD**2, 2, generator=generator).to(device)


def _render_some(
    rooms: Rooms, extrinsics: Tensor, intrinsics: Tensor, size: tuple[int, int], octaves: int, lattice: Tensor
) -> tuple[Tensor, Tensor]:
    height, width = size
    batch, frames = extrinsics.shape[:2]
    rotation = extrinsics[..., :3].double()
    origin = -(rotation.transpose(-1, -2) @ extrinsics[..., 3:].double())[..., 0].float()  # (B, F, 3)
    direction = _rays(rotation.float(), intrinsics.float(), height, width)  # (B, F, HW, 3), z-depth 1
    depth, box = _nearest(rooms, origin, direction)
    footprint = depth / intrinsics[..., 0, 0, None].float()
    colour = _shade(rooms, origin, direction, depth, box, footprint, octaves, lattice)
    images = colour.reshape(batch, frames, height, width, 3).permute(0, 1, 4, 2, 3)
    return images.clamp(0, 1).contiguous(), depth.reshape(batch, frames, height, width)


def _rays(rotation: Tensor, intrinsics: Tensor, height: int, width: int) -> Tensor:
    """World directions whose parameter is z-depth: R^T K^-1 (u, v, 1)."""
    device = rotation.device
    v, u = torch.meshgrid(
        torch.arange(height, device=device, dtype=torch.float32),
        torch.arange(width, device=device, dtype=torch.float32),
        indexing="ij",
    )
    focal = intrinsics[..., (0, 1), (0, 1)][..., None, None, :]
    centre = intrinsics[..., :2, 2][..., None, None, :]
    plane = (torch.stack([u, v], -1) - centre) / focal  # (B, F, H, W, 2)
    camera = torch.cat([plane, torch.ones_like(plane[..., :1])], -1).flatten(2, 3)
    return camera @ rotation  # row vectors: camera @ R = (R^T camera^T)^T


def _nearest(rooms: Rooms, origin: Tensor, direction: Tensor) -> tuple[Tensor, Tensor]:
    """Slab test against every box: z-depth and index of the first one hit, (B, F, HW) each."""
    dx, dy, dz = direction.unbind(-1)
    inverse_z = _inverse(dz)
    depth = torch.full_like(dx, torch.inf)
    hit_box = torch.zeros_like(dx, dtype=torch.long)
    cosine, sine = rooms.yaw.cos(), rooms.yaw.sin()
    for box in range(rooms.half.shape[1]):
        c, s = cosine[:, box, None, None], sine[:, box, None, None]
        away = origin - rooms.centre[:, box, None]
        ox, oy = _turn(away[..., :1], away[..., 1:2], c, s)
        lx, ly = _turn(dx, dy, c, s)
        extent = rooms.half[:, box, None, None]
        x_in, x_out = _slab(ox, _inverse(lx), extent[..., 0])
        y_in, y_out = _slab(oy, _inverse(ly), extent[..., 1])
        z_in, z_out = _slab(away[..., 2:], inverse_z, extent[..., 2])
        leave = torch.minimum(torch.minimum(x_out, y_out), z_out)
        if box == 0:
            depth = leave
            continue
        enter = torch.maximum(torch.maximum(x_in, y_in), z_in)
        closer = (enter < leave) & (enter > 0) & (enter < depth)
        depth = torch.where(closer, enter, depth)
        hit_box.masked_fill_(closer, box)
    return depth, hit_box


def _turn(x: Tensor, y: Tensor, cosine: Tensor, sine: Tensor) -> tuple[Tensor, Tensor]:
    """World to box axes: a turn by -yaw about z."""
    return cosine * x + sine * y, cosine * y - sine * x


def _inverse(direction: Tensor) -> Tensor:
    """1 / direction, with a ray parallel to a slab replaced by one that is almost parallel."""
    return 1 / torch.where(direction.abs() < 1e-9, 1e-9, direction)


def _slab(origin: Tensor, inverse: Tensor, half: Tensor) -> tuple[Tensor, Tensor]:
    middle, reach = -origin * inverse, half * inverse.abs()
    return middle - reach, middle + reach


def _shade(
    rooms: Rooms, origin: Tensor, direction: Tensor, depth: Tensor, box: Tensor, footprint: Tensor,
    octaves: int, lattice: Tensor,
) -> Tensor:  # fmt: skip
    """RGB (rays, 3) of the points that were hit; a face looks equally bright from everywhere."""
    batch, boxes = rooms.yaw.shape
    flat = (box + boxes * torch.arange(batch, device=box.device)[:, None, None]).flatten()  # (rays,)
    c, s = rooms.yaw.flatten().cos()[flat], rooms.yaw.flatten().sin()[flat]
    ray = direction.flatten(0, 2)
    point = (origin[:, :, None] + depth[..., None] * direction).flatten(0, 2) - rooms.centre.flatten(0, 1)[
        flat
    ]
    x, y = _turn(point[:, 0], point[:, 1], c, s)
    local = torch.stack([x, y, point[:, 2]], -1)
    side = (local / rooms.half.flatten(0, 1)[flat].clamp(min=1e-6)).abs().argmax(-1)
    sign = local.gather(-1, side[:, None])[:, 0] > 0
    look = rooms.faces.flatten(0, 2)[flat * 6 + 2 * side + sign]  # (rays, 16)
    rx, ry = _turn(ray[:, 0], ray[:, 1], c, s)
    slant = torch.stack([rx, ry, ray[:, 2]], -1).gather(-1, side[:, None])[:, 0].abs() / ray.norm(dim=-1)
    u = torch.where(side == 0, y, x)
    v = torch.where(side == 2, y, point[:, 2])
    return _texture(
        torch.stack([u, v], -1), look, footprint.flatten() / slant.clamp(min=0.1), octaves, lattice
    )


def _texture(place: Tensor, look: Tensor, footprint: Tensor, octaves: int, lattice: Tensor) -> Tensor:
    """Colour (rays, 3) at `place` (rays, 2) metres on faces that look like `look`."""
    frequency, ratio, stripes = look[:, 9], look[:, 10], look[:, 11]
    noise = _value_noise(place, look[:, 12:14], frequency, ratio, footprint, octaves, lattice)
    contrast = look[:, 14, None]
    noise = (contrast * (noise - 0.5) + 0.5).clamp(0, 1)
    phase = 6.2832 * stripes * place[:, 0] + 3 * noise[:, 1]
    fade = (1 - 3 * stripes * footprint).clamp(0, 1) * (stripes > 0)
    second = torch.lerp(noise[:, 1], 0.5 + 0.5 * torch.tanh(4 * phase.sin()), 0.6 * fade)
    base = torch.lerp(look[:, 0:3], look[:, 3:6], noise[:, :1])
    return torch.lerp(base, look[:, 6:9], second[:, None]) * look[:, 15:]


def _value_noise(
    place: Tensor,
    offset: Tensor,
    frequency: Tensor,
    ratio: Tensor,
    footprint: Tensor,
    octaves: int,
    lattice: Tensor,
) -> Tensor:
    """Two channels (rays, 2) around 0.5; octaves finer than the `footprint` (metres) fade to their mean."""
    total = torch.zeros_like(place)
    norm = torch.zeros_like(frequency)
    amplitude = torch.ones_like(frequency)
    mask = TEXTURE_PERIOD - 1
    for octave in range(octaves):
        weight = amplitude * (1.5 - 2 * frequency * footprint).clamp(0, 1)
        spot = place * frequency[:, None] + offset + 17.3 * octave
        corner = spot.floor()
        t = spot - corner
        t = t * t * (3 - 2 * t)
        column, row = corner.long().unbind(-1)
        left, right = column & mask, (column + 1) & mask
        top, bottom = (row & mask) * TEXTURE_PERIOD, ((row + 1) & mask) * TEXTURE_PERIOD
        upper = torch.lerp(lattice[top + left], lattice[top + right], t[:, :1])
        lower = torch.lerp(lattice[bottom + left], lattice[bottom + right], t[:, :1])
        total += weight[:, None] * (torch.lerp(upper, lower, t[:, 1:]) - 0.5)
        norm += amplitude
        frequency, amplitude = frequency * 2.03, amplitude * ratio
    return total / norm[:, None] + 0.5
