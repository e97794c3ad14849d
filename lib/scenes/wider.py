"""A wider world: rendered rooms with what recordings have and box rooms lack, one switch for each ingredient.

A room is a pure function of its seed, of its ingredients, and (noise and exposure only) of the number of
frames. Each ingredient draws from a stream of its own, so that adding one changes nothing in the others.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from collections.abc import Sequence as Seeds
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float32
from torch import Tensor

from lib.geometry import camera_centres
from lib.scenes.natural import SIDE, TEXTURES, sample, texture_bank
from lib.scenes.photographic import photograph, shake
from lib.scenes.raycasting import (
    Rooms,
    _nearest,
    _rays,
    _texture,
    _turn,
    rooms_at_once,
    texture_lattice,
)
from lib.scenes.rooms import (
    Rendering,
    RoomStyle,
    _Draws,
    clear_the_way,
    draw_faces,
    draw_rooms,
    draw_walks,
)
from lib.scenes.solids import Solids, nearest_solid, surface

INGREDIENTS = {
    "curved": "spheres and cylinders as large as furniture",
    "thin": "rods of one to six centimetres",
    "clutter": "small boxes, balls and bottles on the furniture and on the floor",
    "textures": "surfaces with the statistics of natural images",
    "light": "one lamp, diffuse shading with distance, some gloss",
    "camera": "pixels that average over their area, exposure, colour balance, vignetting, blur, noise",
    "hand": "a tilted camera in a shaking hand",
    "views": "fields of view from 42 to 80 degrees",
}
VIEWS = (42.0, 80.0)  # degrees, horizontal
STREAM = 1 << 40  # seeds of rooms lie below: an ingredient's stream is none of a room's
SAMPLES = ((0.0, 0.0), (1 / 3, 1 / 3), (-1 / 3, -1 / 3))  # rays through a pixel; the first one measures depth


@dataclass(frozen=True)
class World:
    """B furnished rooms with their looks.

    Attributes:
        looks: as `Rooms.faces`, of all faces of all boxes and then of the solids.
        skins: number of the texture, texels per metre, offset (2) in texels, contrast; None: painted.
        lamp: position in metres (3), colour (3), ambient share, gloss; None: painted light.
    """

    rooms: Rooms
    solids: Solids
    looks: Float[Tensor, "rooms surfaces 16"]
    skins: Float[Tensor, "rooms surfaces 5"] | None = None
    lamp: Float[Tensor, "rooms 8"] | None = None

    def take(self, chosen: slice, device: torch.device | str) -> World:
        """The rooms in the slice `chosen`, on `device`."""
        tensors = (self.looks, self.skins, self.lamp)
        return World(
            self.rooms.take(chosen).to(device),
            self.solids.take(chosen).to(device),
            *(None if t is None else t[chosen].to(device) for t in tensors),  # type: ignore[arg-type]
        )


def render_wider_walks(
    seeds: Seeds[int],
    times: Float[Tensor, "rooms frames"],
    height: int,
    width: int,
    ingredients: Collection[str] = tuple(INGREDIENTS),
    device: torch.device | str = "cpu",
) -> Rendering:
    """Walks as `lib.scenes.rooms.render_walks` gives them, through rooms with these `INGREDIENTS`.

    Without any they are the same rooms and walks.

    Raises:
        ValueError: an ingredient that nobody knows.
    """
    check_ingredients(ingredients)
    style, draws = RoomStyle(), _Draws(seeds)
    own = {name: _Draws(s + STREAM * n for s in seeds) for n, name in enumerate(INGREDIENTS, 1)}
    rooms = draw_rooms(draws, style)
    extrinsics = draw_walks(draws, rooms.half[:, 0], times, style)
    view = draws.between(*style.field_of_view)
    if "hand" in ingredients:
        extrinsics = shake(own["hand"], extrinsics, times)
    if "views" in ingredients:
        view = own["views"].between(*VIEWS)
    world = furnish(own, clear_the_way(rooms, extrinsics, style.clearance), extrinsics, ingredients)
    focal = 0.5 * width / torch.tan(torch.deg2rad(view) / 2)
    intrinsics = torch.eye(3).repeat(*times.shape, 1, 1)
    intrinsics[..., 0, 0] = intrinsics[..., 1, 1] = focal[:, None]
    intrinsics[..., 0, 2], intrinsics[..., 1, 2] = width / 2, height / 2
    extrinsics, intrinsics = extrinsics.float().to(device), intrinsics.to(device)
    samples = SAMPLES if "camera" in ingredients else SAMPLES[:1]
    images, depth = render_world(world, extrinsics, intrinsics, (height, width), samples)
    if "camera" in ingredients:
        images = photograph(own["camera"], images.cpu()).to(device)
    return Rendering(images, extrinsics, intrinsics, depth)


def check_ingredients(ingredients: Collection[str]) -> None:
    """Refuse names that are no ingredients.

    Raises:
        ValueError: names what is unknown and what is known.
    """
    if unknown := sorted(set(ingredients) - set(INGREDIENTS)):
        raise ValueError(f"unknown ingredients {unknown} of the wider world; known: {sorted(INGREDIENTS)}")


def furnish(
    own: dict[str, _Draws],
    rooms: Rooms,
    extrinsics: Float[Tensor, "rooms frames 3 4"],
    ingredients: Collection[str],
    clearance: float = RoomStyle.clearance,
) -> World:
    """`rooms` with the things that `ingredients` ask for, out of the way of the cameras."""
    solids, faces = _nothing(len(rooms)), list[Tensor]()
    if "clutter" in ingredients:
        rooms, things, looks = _clutter(own["clutter"], rooms)
        rooms = clear_the_way(rooms, extrinsics, clearance)
        solids, faces = solids.beside(things), [*faces, looks]
    for name, draw in (("curved", _curved), ("thin", _thin)):
        if name in ingredients:
            things, looks = draw(own[name], rooms.half[:, 0])
            solids, faces = solids.beside(things), [*faces, looks]
    solids = solids.clear(camera_centres(extrinsics).float(), clearance)
    looks = torch.cat([rooms.faces.flatten(1, 2), *faces], 1)
    skins = _skins(own["textures"], looks.shape[1]) if "textures" in ingredients else None
    lamp = _lamp(own["light"], rooms.half[:, 0]) if "light" in ingredients else None
    if lamp is not None:
        looks = torch.cat([looks[..., :15], torch.ones_like(looks[..., 15:])], -1)
    return World(rooms, solids, looks, skins, lamp)


def _nothing(rooms: int) -> Solids:
    return Solids(
        torch.zeros(rooms, 0, 3), torch.zeros(rooms, 0, 3), torch.zeros(rooms, 0), torch.zeros(rooms, 0)
    )


def _looks(draws: _Draws, count: int) -> Tensor:
    """One look for each of `count` solids; `draw_faces` makes its first box a room, so it is left out."""
    return draw_faces(draws, count + 1)[:, 1:, 0]


def _upright(draws: _Draws, count: int, share: float) -> Tensor:
    """Unit vectors: `share` of them point up, the others anywhere."""
    z, turn = draws.between(-1, 1, count), draws.between(0, 2 * math.pi, count)
    level = (1 - z.square()).sqrt()
    anywhere = torch.stack([level * turn.cos(), level * turn.sin(), z], -1)
    return torch.where(draws.uniform(count, 1) < share, torch.tensor([0.0, 0.0, 1.0]), anywhere)


def _curved(draws: _Draws, room: Tensor, balls: int = 4, columns: int = 5) -> tuple[Solids, Tensor]:
    """Balls anywhere; cylinders, most of them standing on the floor."""
    count = balls + columns
    radius = draws.between(0.08, 0.45, count)
    half = draws.between(0.15, 0.9, count)
    centre = draws.between(-1, 1, count, 3) * (room[:, None] - 0.2)
    axis = _upright(draws, count, 0.75)
    half[:, :balls] = torch.inf
    high = torch.where(half.isinf(), radius, half)
    stands = draws.uniform(count) < 0.6
    centre[..., 2] = torch.where(stands, high - room[:, 2:], centre[..., 2])
    return Solids(centre, axis, radius, half), _looks(draws, count)


def _thin(draws: _Draws, room: Tensor, count: int = 8) -> tuple[Solids, Tensor]:
    """Rods: legs and stands on the floor, bars in the air."""
    radius, half = draws.between(0.005, 0.03, count), draws.between(0.3, 1.2, count)
    centre = draws.between(-1, 1, count, 3) * (room[:, None] - 0.2)
    axis = _upright(draws, count, 0.5)
    stands = axis[..., 2] == 1
    centre[..., 2] = torch.where(stands, half - room[:, 2:], 0.7 * centre[..., 2])
    return Solids(centre, axis, radius, half), _looks(draws, count)


def _clutter(draws: _Draws, rooms: Rooms, boxes: int = 12, solids: int = 8) -> tuple[Rooms, Solids, Tensor]:
    """Small things on furniture, or on the floor where theirs was in the way."""
    count, room = boxes + solids, rooms.half[:, :1]
    host = (1 + draws.uniform(count) * (rooms.half.shape[1] - 1)).long()[..., None].expand(-1, -1, 3)
    below, under = rooms.centre.gather(1, host), rooms.half.gather(1, host)
    half = draws.between(0.03, 0.16, count, 3)
    centre = below + draws.between(-0.9, 0.9, count, 3) * under
    top = torch.where(under[..., 2] > 0, below[..., 2] + under[..., 2], -room[..., 2])
    centre[..., 2] = top + half[..., 2]
    yaw = draws.between(0, 2 * math.pi, count)
    ball = torch.arange(solids) < solids // 2
    radius = 0.6 * half[:, boxes:, 0]
    length = torch.where(ball, torch.inf, half[:, boxes:, 2])
    centre[:, boxes:, 2] += torch.where(ball, radius - half[:, boxes:, 2], 0.0)
    axis = torch.tensor([0.0, 0.0, 1.0]).expand(len(rooms), solids, 3)
    fuller = Rooms(
        torch.cat([rooms.centre, centre[:, :boxes]], 1),
        torch.cat([rooms.half, half[:, :boxes]], 1),
        torch.cat([rooms.yaw, yaw[:, :boxes]], 1),
        torch.cat([rooms.faces, draw_faces(draws, boxes + 1)[:, 1:]], 1),
    )
    return fuller, Solids(centre[:, boxes:], axis, radius, length), _looks(draws, solids)


def _skins(draws: _Draws, surfaces: int) -> Tensor:
    texture = (TEXTURES * draws.uniform(surfaces)).floor()
    texels = torch.exp2(draws.between(5.0, 8.0, surfaces))  # 32 to 256 a metre
    offset = SIDE * draws.uniform(surfaces, 2)
    contrast = torch.exp2(draws.between(-3.0, 0.3, surfaces))  # many walls are almost plain
    return torch.cat([torch.stack([texture, texels], -1), offset, contrast[..., None]], -1)


def _lamp(draws: _Draws, room: Tensor) -> Tensor:
    place = draws.between(-0.8, 0.8, 3) * room
    place[:, 2] = draws.between(0.5, 0.95) * room[:, 2]
    colour = 1 + draws.between(-0.15, 0.15, 1) * torch.tensor([1.0, 0.0, -1.0])
    return torch.cat([place, colour, draws.between(0.25, 0.7, 1), draws.between(0.0, 0.4, 1)], -1)


def render_world(
    world: World,
    extrinsics: Float[Tensor, "rooms frames 3 4"],
    intrinsics: Float[Tensor, "rooms frames 3 3"],
    size: tuple[int, int],
    samples: tuple[tuple[float, float], ...] = SAMPLES[:1],
) -> tuple[Float32[Tensor, "rooms frames 3 height width"], Float32[Tensor, "rooms frames height width"]]:
    """Images in [0, 1] and z-depth in metres, as `lib.scenes.raycasting.render`.

    samples: where in a pixel rays pass, (right, down) of its centre; colours are averaged, depth is that of
    the first.
    """
    device, (height, width) = extrinsics.device, size
    batch, frames = extrinsics.shape[:2]
    step = rooms_at_once(batch, frames * height * width, device)
    images, depths = [], []
    for start in range(0, batch, step):
        some = slice(start, start + step)
        part = world.take(some, device)
        shots = [_see(part, extrinsics[some], _moved(intrinsics[some], *at), size) for at in samples]
        images.append(torch.stack([colour for colour, _ in shots]).mean(0))
        depths.append(shots[0][1])
    colour = torch.cat(images).reshape(batch, frames, height, width, 3).permute(0, 1, 4, 2, 3)
    return colour.contiguous(), torch.cat(depths).reshape(batch, frames, height, width)


def _moved(intrinsics: Tensor, right: float, down: float) -> Tensor:
    """Intrinsics under which integer pixels see what these see at (u + right, v + down)."""
    shift = torch.zeros(3, 3, device=intrinsics.device)
    shift[0, 2], shift[1, 2] = right, down
    return intrinsics - shift


def _see(
    world: World, extrinsics: Tensor, intrinsics: Tensor, size: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """Colour (rays, 3) and z-depth (rays) of all rays of all frames."""
    origin = camera_centres(extrinsics.double()).float()
    direction = _rays(extrinsics[..., :3], intrinsics, *size)
    depth, box = _nearest(world.rooms, origin, direction)
    far, solid = nearest_solid(world.solids, origin, direction)
    depth, is_solid = torch.minimum(depth, far), (far < depth).flatten()
    point = (origin[:, :, None] + depth[..., None] * direction).flatten(0, 2)
    ray, room = direction.flatten(0, 2), torch.arange(len(world.rooms), device=point.device)
    room = room[:, None, None].expand_as(box).flatten()
    normal, place, number = _box_surface(world.rooms, box.flatten(), room, point)
    if len(chosen := is_solid.nonzero()[:, 0]):
        flat = solid.flatten()[chosen] + world.solids.radius.shape[1] * room[chosen]
        normal[chosen], place[chosen] = surface(world.solids, flat, point[chosen])
        number[chosen] = 6 * world.rooms.yaw.shape[1] + solid.flatten()[chosen]
    length = ray.norm(dim=-1)
    slant = (normal * ray).sum(-1) / length
    pixel = (depth / intrinsics[..., 0, 0, None]).flatten() / slant.abs().clamp(min=0.1)
    colour = _paint(world, number + world.looks.shape[1] * room, place, pixel)
    if world.lamp is not None:
        towards = -ray / length[:, None]
        colour = _light(world.lamp[room], point, -normal * slant.sign()[:, None], towards, colour)
    return colour.clamp(0, 1), depth.flatten()


def _box_surface(rooms: Rooms, box: Tensor, room: Tensor, point: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Normal, place on the face in metres, and number of the face among those of the room's boxes."""
    flat = box + rooms.yaw.shape[1] * room
    c, s = rooms.yaw.flatten().cos()[flat], rooms.yaw.flatten().sin()[flat]
    away = point - rooms.centre.flatten(0, 1)[flat]
    x, y = _turn(away[:, 0], away[:, 1], c, s)
    z = away[:, 2]
    local = torch.stack([x, y, z], -1) / rooms.half.flatten(0, 1)[flat].clamp(min=1e-6)
    side = local.abs().argmax(-1)
    sign = local.gather(-1, side[:, None])[:, 0].sign()
    zero = torch.zeros_like(c)
    axes = torch.stack([torch.stack([c, s, zero], -1), torch.stack([-s, c, zero], -1)], 1)
    upwards = torch.tensor([0.0, 0.0, 1.0], device=point.device).expand(len(point), 1, 3)
    normal = torch.cat([axes, upwards], 1)[torch.arange(len(point), device=point.device), side]
    place = torch.stack([torch.where(side == 0, y, x), torch.where(side == 2, y, z)], -1)
    return sign[:, None] * normal, place, 6 * box + 2 * side + (sign > 0)


def _paint(world: World, number: Tensor, place: Tensor, pixel: Tensor) -> Tensor:
    """Colour of surfaces in their own light; `pixel`: size of a pixel on them, metres."""
    look = world.looks.flatten(0, 1)[number]
    if world.skins is None:
        return _texture(place, look, pixel, 5, texture_lattice(place.device))
    texture, texels, across, down, contrast = world.skins.flatten(0, 1)[number].unbind(-1)
    spot = place * texels[:, None] + torch.stack([across, down], -1)
    shade = sample(texture_bank().to(place.device), texture.long(), spot, pixel * texels)
    return (look[:, :3] + contrast[:, None] * (shade - 0.5)).clamp(0, 1) * look[:, 15:]


def _light(lamp: Tensor, point: Tensor, normal: Tensor, towards: Tensor, colour: Tensor) -> Tensor:
    """Diffuse light of a lamp that fades with distance, over an ambient share; and its highlight (Blinn)."""
    place, tint, ambient, gloss = lamp[:, :3], lamp[:, 3:6], lamp[:, 6:7], lamp[:, 7:]
    way = place - point
    distance = way.norm(dim=-1, keepdim=True).clamp(min=1e-3)
    fade = 1.5 / (1 + (distance / 2.5).square())  # 1 at 1.8 m
    diffuse = (normal * way / distance).sum(-1, keepdim=True).clamp(min=0) * fade
    middle = torch.nn.functional.normalize(way / distance + towards, dim=-1)
    shine = (normal * middle).sum(-1, keepdim=True).clamp(min=0) ** 40
    lit: Tensor = tint * (colour * (ambient + (1 - ambient) * 1.6 * diffuse) + gloss * shine * fade)
    return lit
