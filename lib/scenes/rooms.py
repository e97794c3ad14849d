"""Rendered rooms: an endless supply of posed video with exact depth, each a pure function of its seed."""

from __future__ import annotations

import math
from collections.abc import Iterable
from collections.abc import Sequence as Seeds
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float32, Float64
from torch import Tensor

from lib.scenes.raycasting import Rooms, render
from lib.scenes.sequence import Sequence

SPLITS = ("train", "val", "test")
WAVES = 3  # sinusoids in each coordinate of a walk
AXES = 6  # x, y, z, yaw, pitch, roll


@dataclass(frozen=True)
class RoomStyle:
    """What rooms and walks look like; lengths in metres, angles in degrees, (low, high) ranges are uniform.

    Attributes:
        half_side, half_height: half extents of the room.
        boxes: furniture asked for; what stands in the walk's way is left out.
        step: mean distance walked from one frame to the next.
        turn: mean turn of the head from one frame to the next.
        swing: how far the head turns to either side.
        field_of_view: horizontal, one value for each room.
        clearance: least distance from the camera to a wall or box.
    """

    half_side: tuple[float, float] = (2.0, 4.0)
    half_height: tuple[float, float] = (1.2, 1.7)
    boxes: int = 24
    step: float = 0.05
    turn: float = 1.8
    swing: float = 120.0
    field_of_view: tuple[float, float] = (58.0, 75.0)
    clearance: float = 0.4

    def __post_init__(self) -> None:
        if self.boxes < 1 or min(self.step, self.turn, self.swing, self.clearance) <= 0:
            raise ValueError(f"boxes, step, turn, swing and clearance must be positive, got {self}")
        if min(self.half_side[0], self.half_height[0]) < 2 * self.clearance:
            raise ValueError(f"rooms must be wider than four clearances ({4 * self.clearance} m), got {self}")


LARGE_ROOMS = RoomStyle(half_side=(5.0, 8.0), half_height=(1.5, 2.2), boxes=60, swing=180.0)


@dataclass(frozen=True)
class Rendering:
    """A batch of rendered walks: images in [0, 1], cameras, depth in metres."""

    images: Float32[Tensor, "rooms frames 3 height width"]
    extrinsics: Float32[Tensor, "rooms frames 3 4"]
    intrinsics: Float32[Tensor, "rooms frames 3 3"]
    depth: Float32[Tensor, "rooms frames height width"]


def room_seed(split: str, index: int) -> int:
    """The generator seed of room `index` of a split; no two splits share one, whatever their indices.

    Raises:
        ValueError: unknown split or negative index.
    """
    if split not in SPLITS or index < 0:
        raise ValueError(f"split must be one of {SPLITS} and index >= 0, got {split!r} and {index}")
    return len(SPLITS) * index + SPLITS.index(split)


def render_sequence(
    seed: int, frames: int, height: int, width: int, *, split: str = "test", stride: float = 1.0,
    style: RoomStyle | None = None, device: torch.device | str = "cpu",
) -> Sequence:  # fmt: skip
    """One walk through one room.

    Args:
        seed: which room of the split, >= 0.
        split: "train", "val" or "test".
        stride: video frames from one kept frame to the next; at 1 neighbours overlap by more than 90 %.
        style: rooms and walks; `LARGE_ROOMS` for longer walks.

    Raises:
        ValueError: a count or size below one, an unknown split, a stride that is not positive.
    """
    if frames < 1 or stride <= 0:
        raise ValueError(f"frames must be >= 1 and stride > 0, got {frames} and {stride}")
    times = stride * torch.arange(frames, dtype=torch.float64)[None]
    walk = render_walks([room_seed(split, seed)], times, height, width, style or RoomStyle(), device)
    name = f"room-{split}-{seed}"
    return Sequence(name, walk.images[0], walk.extrinsics[0], walk.intrinsics[0], walk.depth[0])


def render_walks(
    seeds: Seeds[int],
    times: Float[Tensor, "rooms frames"],
    height: int,
    width: int,
    style: RoomStyle,
    device: torch.device | str = "cpu",
) -> Rendering:
    """Walks through the rooms of `seeds` (see `room_seed`), seen at `times` in video frames.

    Rooms and walks are drawn on the CPU, so that a seed means the same room on every device.
    """
    draws = _Draws(seeds)
    rooms = draw_rooms(draws, style)
    extrinsics = draw_walks(draws, rooms.half[:, 0], times, style)
    rooms = clear_the_way(rooms, extrinsics, style.clearance)
    view = torch.deg2rad(draws.between(*style.field_of_view))
    focal = 0.5 * width / torch.tan(view / 2)
    intrinsics = torch.zeros(*times.shape, 3, 3)
    intrinsics[..., 0, 0] = intrinsics[..., 1, 1] = focal[:, None]
    intrinsics[..., 0, 2], intrinsics[..., 1, 2], intrinsics[..., 2, 2] = width / 2, height / 2, 1.0
    extrinsics, intrinsics = extrinsics.float().to(device), intrinsics.to(device)
    images, depth = render(rooms.to(device), extrinsics, intrinsics, height, width)
    return Rendering(images, extrinsics, intrinsics, depth)


class _Draws:
    """Uniform numbers for B rooms, one stream for each seed, so that a room does not depend on its batch."""

    def __init__(self, seeds: Iterable[int]):
        self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        if not self._generators:
            raise ValueError("seeds must name at least one room")

    def uniform(self, *shape: int) -> Tensor:
        """(B, *shape) in [0, 1)."""
        return torch.stack([torch.rand(shape, generator=generator) for generator in self._generators])

    def between(self, low: float, high: float, *shape: int) -> Tensor:
        """(B, *shape) in [low, high)."""
        return low + (high - low) * self.uniform(*shape)


def draw_rooms(draws: _Draws, style: RoomStyle) -> Rooms:
    """Rooms with furniture on the floor, panels on the walls and a few things in the air."""
    n = style.boxes
    side = draws.between(*style.half_side, 2)
    room = torch.cat([side, draws.between(*style.half_height, 1)], -1)[:, None]  # (B, 1, 3)
    half = draws.between(0.12, 0.55, n, 3)
    half[..., 2] *= draws.between(0.5, 2.0, n)
    kind, spot = draws.uniform(n), draws.between(-1, 1, n, 3)
    centre = spot * (room - 0.2)
    floor, panel = kind < 0.6, (kind >= 0.6) & (kind < 0.85)
    centre[..., 2] = torch.where(floor, half[..., 2] - room[..., 2], 0.7 * centre[..., 2])
    yaw = torch.where(panel, 0.0, draws.between(0, 2 * math.pi, n))
    wall = (draws.uniform(n) < 0.5).long()  # a panel hangs on an x wall (0) or on a y wall (1)
    across = torch.nn.functional.one_hot(wall, 3).bool() & panel[..., None]
    half = torch.where(across, 0.03, half)
    centre = torch.where(across, spot.sign() * room, centre)
    return Rooms(
        centre=torch.cat([torch.zeros_like(room), centre], 1),
        half=torch.cat([room, half], 1),
        yaw=torch.cat([torch.zeros_like(yaw[:, :1]), yaw], 1),
        faces=draw_faces(draws, n + 1),
    )


def draw_faces(draws: _Draws, boxes: int) -> Float[Tensor, "rooms {boxes} 6 16"]:
    """Looks of faces (see `Rooms.faces`): mostly muted, walls paler, floors browner."""
    hue = draws.uniform(boxes, 1, 1) + 0.12 * draws.between(-1, 1, boxes, 6, 3)
    saturation = draws.between(0.05, 0.65, boxes, 6, 3)
    value = draws.between(0.15, 0.95, boxes, 6, 3)
    hue[:, 0] = draws.uniform(6, 1) + 0.12 * draws.between(-1, 1, 6, 3)  # each wall has a colour of its own
    hue[:, 0, 4, :2] = draws.between(0.05, 0.13, 2)
    saturation[:, 0, :4] *= 0.6
    value[:, 0, (0, 1, 2, 3, 5)] = 0.35 + 0.65 * value[:, 0, (0, 1, 2, 3, 5)]
    colours = _rgb(hue, saturation, value).flatten(-2)  # (B, boxes, 6, 9)
    frequency = torch.exp2(draws.between(-0.3, 1.8, boxes, 6))
    ratio = draws.between(0.5, 0.9, boxes, 6)
    stripes = draws.between(1.0, 5.0, boxes, 6) * (draws.uniform(boxes, 6) < 0.25)
    offset = draws.between(0, 128, boxes, 6, 2)
    contrast = draws.between(1.8, 3.8, boxes, 6)
    # One lamp for each room: a face is as bright as it is turned to the lamp, over an ambient share.
    ambient, lamp = draws.between(0.45, 0.75, 1, 1), draws.uniform(1, 6)
    light = (ambient + (1 - ambient) * lamp) * draws.between(0.9, 1.0, boxes, 6)
    return torch.cat(
        [colours, torch.stack([frequency, ratio, stripes], -1), offset, torch.stack([contrast, light], -1)],
        -1,
    )


def _rgb(hue: Tensor, saturation: Tensor, value: Tensor) -> Tensor:
    """HSV (hue in turns) to RGB in a new last dimension."""
    wheel = (hue[..., None] + torch.tensor([0.0, 2 / 3, 1 / 3])) % 1.0
    pure = (torch.abs(wheel * 6 - 3) - 1).clamp(0, 1)
    return value[..., None] * (1 - saturation[..., None] * (1 - pure))


def draw_walks(
    draws: _Draws, room: Float[Tensor, "rooms 3"], times: Float[Tensor, "rooms frames"], style: RoomStyle
) -> Float64[Tensor, "rooms frames 3 4"]:
    """Smooth hand-held walks: each coordinate is a sum of sinusoids, so bounded and defined at any time.

    room: half extents in metres; times: in video frames, any order. Gives camera-from-world.
    """
    weight = draws.between(0.2, 1.0, AXES, WAVES).double() * torch.tensor([1.0, 0.5, 0.2])
    weight = weight / weight.sum(-1, keepdim=True)
    rate = torch.tensor([1.0, 1.9, 3.3]) * draws.between(0.7, 1.3, AXES, WAVES).double()
    phase = draws.between(0, 2 * math.pi, AXES, WAVES).double()
    reach = torch.cat([room - 2 * style.clearance, torch.zeros_like(room)], -1).double()
    reach[:, 2] = 0.35 * room[:, 2]
    reach[:, 3:] = torch.deg2rad(torch.tensor([style.swing, 12.0, 4.0], dtype=torch.float64))
    swing = reach[..., None] * weight  # (B, AXES, WAVES)
    speed = (swing * rate).square() / 2
    rate = rate.clone()
    rate[:, :3] *= (style.step / speed[:, :3].sum((1, 2)).sqrt())[:, None, None]
    rate[:, 3:] *= (math.radians(style.turn) / speed[:, 3:].sum((1, 2)).sqrt())[:, None, None]
    angle = rate[..., None] * times.double()[:, None, None] + phase[..., None]  # (B, AXES, WAVES, F)
    x, y, z, yaw, pitch, roll = (swing[..., None] * angle.sin()).sum(2).unbind(1)
    yaw = yaw + 2 * math.pi * draws.uniform(1).double()
    return _cameras(torch.stack([x, y, z], -1), yaw, pitch, roll)


def _cameras(position: Tensor, yaw: Tensor, pitch: Tensor, roll: Tensor) -> Tensor:
    """Camera-from-world (..., 3, 4) of cameras at `position` (..., 3), angles in radians, z up."""
    forward = torch.stack([pitch.cos() * yaw.cos(), pitch.cos() * yaw.sin(), pitch.sin()], -1)
    right = torch.stack([yaw.sin(), -yaw.cos(), torch.zeros_like(yaw)], -1)
    down = torch.linalg.cross(forward, right)
    c, s = roll.cos()[..., None], roll.sin()[..., None]
    rotation = torch.stack([c * right + s * down, c * down - s * right, forward], -2)  # rows = camera axes
    return torch.cat([rotation, -rotation @ position[..., None]], -1)


def clear_the_way(rooms: Rooms, extrinsics: Float[Tensor, "rooms frames 3 4"], clearance: float) -> Rooms:
    """Rooms without the boxes that come nearer than `clearance` metres to a camera."""
    rotation, shift = extrinsics[..., :3], extrinsics[..., 3:]
    camera = -(rotation.transpose(-1, -2) @ shift)[..., 0].float()  # (B, F, 3)
    away = camera[:, None] - rooms.centre[:, :, None]  # (B, boxes, F, 3)
    c, s = rooms.yaw.cos()[..., None], rooms.yaw.sin()[..., None]
    x, y = c * away[..., 0] + s * away[..., 1], c * away[..., 1] - s * away[..., 0]
    outside = (torch.stack([x, y, away[..., 2]], -1).abs() - rooms.half[:, :, None]).clamp(min=0)
    blocked = (outside.norm(dim=-1) < clearance).any(-1)
    blocked[:, 0] = False  # the room itself
    return Rooms(rooms.centre, rooms.half * ~blocked[..., None], rooms.yaw, rooms.faces)
