"""Rendered rooms: exact geometry, safe walks, overlap, seeds."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from lib.scenes.raycasting import (
    RAYS_AT_ONCE,
    Rooms,
    _texture,
    _value_noise,
    render,
    rooms_at_once,
    texture_lattice,
)
from lib.scenes.rooms import (
    LARGE_ROOMS,
    SPLITS,
    RoomStyle,
    _Draws,
    clear_the_way,
    draw_rooms,
    draw_walks,
    render_sequence,
    render_walks,
    room_seed,
)

SEEDS = range(12)


def rooms_and_walks(frames: int, style: RoomStyle, stride: float = 1.0) -> tuple[Rooms, Tensor]:
    draws = _Draws([room_seed("val", seed) for seed in SEEDS])
    rooms = draw_rooms(draws, style)
    times = stride * torch.arange(frames, dtype=torch.float64).expand(len(SEEDS), -1)
    extrinsics = draw_walks(draws, rooms.half[:, 0], times, style)
    return clear_the_way(rooms, extrinsics, style.clearance), extrinsics


def centres(extrinsics: Tensor) -> Tensor:
    return -(extrinsics[..., :3].transpose(-1, -2) @ extrinsics[..., 3:])[..., 0]


def world_points(depth: Tensor, extrinsics: Tensor, intrinsics: Tensor) -> Tensor:
    """(F, H, W, 3) float64, written out without the library."""
    height, width = depth.shape[-2:]
    v, u = torch.meshgrid(torch.arange(height).double(), torch.arange(width).double(), indexing="ij")
    pixels = torch.stack([u, v, torch.ones_like(u)], -1)
    rays = torch.einsum("fij,hwj->fhwi", torch.linalg.inv(intrinsics.double()), pixels)
    camera = rays * depth.double()[..., None] - extrinsics.double()[:, None, None, :, 3]
    return torch.einsum("fji,fhwj->fhwi", extrinsics.double()[..., :3], camera)


def one_room() -> Rooms:
    """A room of 8 x 6 x 4 m with one box of half extents 1 whose near face is 2 m in front of the origin."""
    centre, half = torch.zeros(1, 2, 3), torch.ones(1, 2, 3)
    half[0, 0] = torch.tensor([4.0, 3.0, 2.0])
    centre[0, 1] = torch.tensor([3.0, 0.0, 0.0])
    faces = torch.zeros(1, 2, 6, 16)
    faces[..., :9] = 0.25
    faces[:, 1, :, :9] = 0.75
    faces[..., 9:11] = faces[..., 14:] = 1.0
    return Rooms(centre, half, torch.zeros(1, 2), faces)


def test_as_many_rooms_at_once_as_the_cache_of_a_cpu_holds() -> None:
    assert rooms_at_once(9, RAYS_AT_ONCE // 3, torch.device("cpu")) == 3
    assert rooms_at_once(9, 2 * RAYS_AT_ONCE, torch.device("cpu")) == 1
    assert rooms_at_once(9, 2 * RAYS_AT_ONCE, torch.device("cuda")) == 9


def test_a_box_that_can_be_worked_out_by_hand() -> None:
    # camera at the origin looking along +x with z up: right = -y, down = -z
    rotation = torch.tensor([[0.0, -1, 0], [0, 0, -1], [1, 0, 0]])
    extrinsics = torch.cat([rotation, torch.zeros(3, 1)], 1)[None, None]
    intrinsics = torch.tensor([[4.0, 0, 4], [0, 4, 4], [0, 0, 1]])[None, None]
    images, depth = render(one_room(), extrinsics, intrinsics, 9, 9)
    assert depth[0, 0, 4, 4].item() == pytest.approx(2.0)  # the box
    assert images[0, 0, :, 4, 4].tolist() == pytest.approx([0.75] * 3)
    assert depth[0, 0, 4, 0].item() == pytest.approx(3.0)  # 45 degrees to the left: the wall y = 3
    assert depth[0, 0, 0, 4].item() == pytest.approx(2.0)  # 45 degrees up: the ceiling z = 2
    assert images[0, 0, :, 4, 0].tolist() == pytest.approx([0.25] * 3)


def diagonal() -> tuple[Tensor, Tensor]:
    """A camera at the origin that looks along +x with z up; its first pixel looks along (1, 1, 1)."""
    rotation = torch.tensor([[0.0, -1, 0], [0, 0, -1], [1, 0, 0]])
    intrinsics = torch.tensor([[4.0, 0, 4], [0, 4, 4], [0, 0, 1]])
    return torch.cat([rotation, torch.zeros(3, 1)], 1)[None, None], intrinsics[None, None]


def test_an_absent_box_is_not_seen_through_its_very_middle_either() -> None:
    room = one_room()
    room.centre[0, 1], room.half[0, 1] = torch.tensor([1.0, 1.0, 1.0]), torch.zeros(3)
    _, depth = render(room, *diagonal(), 9, 9)
    assert depth[0, 0, 0, 0].item() == pytest.approx(2.0)  # the ceiling


def test_pictures_hold_no_more_than_white() -> None:
    room = one_room()
    room.faces[..., 15] = 9.0
    images, _ = render(room, *diagonal(), 9, 9)
    assert images.min() == images.max() == 1


def test_all_of_a_picture_is_made_where_its_cameras_lie() -> None:
    """On a device without numbers, which takes none from the CPU."""
    images, depth = render(one_room().to("meta"), *(part.to("meta") for part in diagonal()), 9, 9)
    assert images.is_meta and depth.is_meta


def test_noise_between_the_corners_of_its_lattice_by_hand() -> None:
    """Two octaves, the second half as strong; the lattice repeats, and what is finer than a pixel fades."""
    lattice = texture_lattice("cpu")
    corners = lattice.reshape(128, 128, 2).double()  # row, column

    def between(x: float, y: float) -> Tensor:
        column, row = math.floor(x), math.floor(y)
        across, down = ((t * t * (3 - 2 * t)) for t in (x - column, y - row))
        rows = [
            (1 - across) * corners[r % 128, column % 128] + across * corners[r % 128, (column + 1) % 128]
            for r in (row, row + 1)
        ]
        return (1 - down) * rows[0] + down * rows[1] - 0.5

    place, offset = torch.tensor([[2.0, 3.0], [0.0, 0.0]]), torch.tensor([[131.0, 1.0], [127.5, -0.5]])
    frequency, ratio, footprint = (
        torch.tensor([1.0, 2.0]),
        torch.tensor([0.5, 0.5]),
        torch.tensor([0.0, 0.25]),
    )
    found = _value_noise(place, offset, frequency, ratio, footprint, 2, lattice)
    # the first octave of the second place has 1.5 - 2 * 2 * 0.25 = 0.5 of its weight, the second none
    first = between(133, 4) + 0.5 * between(2 * 2.03 + 131 + 17.3, 3 * 2.03 + 1 + 17.3)
    expected = torch.stack([first, 0.5 * between(127.5, -0.5)]) / 1.5 + 0.5
    torch.testing.assert_close(found.double(), expected, atol=2e-5, rtol=0)


def test_stripes_by_hand() -> None:
    """On a face without noise: two of them a metre, near and so far that they fade; and none."""
    look = torch.zeros(3, 16)
    look[:, 6:9], look[:, 9], look[:, 10], look[:, 15] = 1.0, 1.0, 0.5, 0.5
    look[:2, 11] = 2.0
    x = torch.tensor([0.0, 0.125, 0.3])
    place, footprint = torch.stack([x, torch.zeros(3)], -1), torch.tensor([0.0, 0.1, 0.0])
    found = _texture(place, look, footprint, 5, texture_lattice("cpu"))
    share = 0.6 * torch.tensor([1.0, 0.4, 0.0])  # 1 - 3 * 2 * 0.1, of which 0.6 are stripes
    wave = torch.tanh(4 * torch.sin(2 * math.pi * 2 * x + 1.5))
    expected = 0.5 * (0.5 + 0.5 * share * wave)
    torch.testing.assert_close(found, expected[:, None].expand(3, 3), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("cameras", "lenses"), [((2, 3), (2, 3)), ((1, 3), (1, 2)), ((1, 3), (2, 3))])
def test_one_set_of_cameras_for_each_room(unchecked, cameras, lenses) -> None:
    with pytest.raises(ValueError, match="got 1 rooms"):
        render(one_room(), torch.eye(4)[:3].expand(*cameras, 3, 4), torch.eye(3).expand(*lenses, 3, 3), 4, 4)


def test_depth_agrees_across_views() -> None:
    """A surface point of one view, looked at from another, is at its projected depth or behind something."""
    walk = render_walks([room_seed("test", 5)], torch.tensor([[0.0, 5.0]]).double(), 24, 24, RoomStyle())
    points = world_points(walk.depth[0, :1], walk.extrinsics[0, :1], walk.intrinsics[0, :1]).reshape(-1, 3)
    other, k = walk.extrinsics[0, 1].double(), walk.intrinsics[0, 1].double()
    seen = points @ other[:, :3].T + other[:, 3]
    seen = seen[seen[:, 2] > 0.3]
    spot = seen / seen[:, 2:] @ k.T
    inside = ((spot[:, :2] > 0) & (spot[:, :2] < 23)).all(-1)
    seen, spot = seen[inside], spot[inside]
    # one picture of a single pixel for each point: the principal point is put where the point projects to
    intrinsics = walk.intrinsics[:, 1:].repeat(1, len(spot), 1, 1)
    intrinsics[0, :, :2, 2] -= spot[:, :2].float()
    draws = _Draws([room_seed("test", 5)])
    rooms = draw_rooms(draws, RoomStyle())
    rooms = clear_the_way(rooms, walk.extrinsics.double(), RoomStyle().clearance)
    extrinsics = walk.extrinsics[:, 1:].expand(-1, len(spot), -1, -1)
    _, depth = render(rooms, extrinsics, intrinsics, 1, 1)
    relative = (depth.flatten().double() - seen[:, 2]) / seen[:, 2]
    visible = relative.abs() < 1e-2
    assert visible.double().mean() > 0.8
    assert relative[visible].abs().max() < 1e-5
    assert relative.max() < 1e-5  # nothing may lie behind a point that was hit


@pytest.mark.parametrize("style", [RoomStyle(), LARGE_ROOMS], ids=["usual", "large"])
def test_no_camera_in_a_box_or_near_a_wall(style: RoomStyle) -> None:
    rooms, extrinsics = rooms_and_walks(200, style)
    camera = centres(extrinsics).float()  # (B, F, 3)
    to_wall = (rooms.half[:, 0, None] - camera.abs()).amin()
    assert to_wall >= style.clearance
    away = camera[:, None] - rooms.centre[:, 1:, None]
    c, s = rooms.yaw[:, 1:, None].cos(), rooms.yaw[:, 1:, None].sin()
    local = torch.stack(
        [c * away[..., 0] + s * away[..., 1], c * away[..., 1] - s * away[..., 0], away[..., 2]], -1
    )
    gap = (local.abs() - rooms.half[:, 1:, None]).clamp(min=0).norm(dim=-1).amin(-1)  # (B, boxes)
    present = rooms.half[:, 1:].amax(-1) > 0
    assert present.float().mean() > 0.4
    assert gap[present].min() >= style.clearance


def test_neighbours_overlap_by_more_than_nine_tenths() -> None:
    """Share of pixels whose point lies inside the next frame's view, over whole walks."""
    for seed in range(3):
        walk = render_sequence(seed, 20, 24, 24)
        points = world_points(walk.depth, walk.extrinsics, walk.intrinsics)[:-1].flatten(1, 2)
        following, k = walk.extrinsics[1:].double(), walk.intrinsics[1:].double()
        camera = torch.einsum("fij,fnj->fni", following[..., :3], points) + following[:, None, :, 3]
        spot = torch.einsum("fij,fnj->fni", k, camera / camera[..., 2:])
        inside = ((spot[..., :2] > -0.5) & (spot[..., :2] < 23.5)).all(-1) & (camera[..., 2] > 0)
        assert inside.double().mean() > 0.9


def test_large_rooms_are_about_twice_as_wide_and_hold_more() -> None:
    """Ten to sixteen metres wide, three to 4.4 high, with sixty things; the head turns all around."""
    draws = _Draws(range(60))
    half = draw_rooms(draws, LARGE_ROOMS).half
    assert half.shape[1] == 1 + 60 and LARGE_ROOMS.swing == 180
    sides, heights = half[:, 0, :2], half[:, 0, 2]
    assert 5 <= sides.min() < 5.1 and 7.9 < sides.max() <= 8
    assert 1.5 <= heights.min() < 1.55 and 2.15 < heights.max() <= 2.2


def test_a_room_may_be_just_as_wide_as_four_clearances() -> None:
    assert RoomStyle(half_side=(1.0, 4.0), half_height=(0.8, 1.7), clearance=0.4).half_height[0] == 0.8


def test_speeds_are_those_asked_for() -> None:
    style = RoomStyle(step=0.08, turn=3.0)
    _, extrinsics = rooms_and_walks(2000, style)
    steps = (centres(extrinsics)[:, 1:] - centres(extrinsics)[:, :-1]).norm(dim=-1)
    assert steps.square().mean().sqrt().item() == pytest.approx(0.08, rel=0.1)
    turned = extrinsics[:, 1:, :, :3] @ extrinsics[:, :-1, :, :3].transpose(-1, -2)
    cosine = (turned.diagonal(dim1=-2, dim2=-1).sum(-1) - 1) / 2
    angles = torch.rad2deg(cosine.clamp(-1, 1).acos())
    assert angles.square().mean().sqrt().item() == pytest.approx(3.0, rel=0.15)


def test_a_seed_is_a_room() -> None:
    first, again = render_sequence(7, 2, 16, 16), render_sequence(7, 2, 16, 16)
    assert torch.equal(first.images, again.images) and torch.equal(first.extrinsics, again.extrinsics)
    batch = render_walks(
        [room_seed("test", 3), room_seed("test", 7)],
        torch.arange(2.0).double().expand(2, 2),
        16,
        16,
        RoomStyle(),
    )
    assert torch.allclose(batch.depth[1], first.depth, rtol=1e-6)
    assert not torch.allclose(batch.depth[0], first.depth, rtol=1e-2)


# Five test rooms, frames 0 and 40 at 24 x 24: mean and spread of red, green and blue, mean depth in metres,
# where the camera of frame 40 stands, and where it looks.
PICTURES = """
.5037 .4231 .5083 .1326 .1035 .1332 2.5175 -.9443 -1.3278 .0430 -.9396 .3377 .0558
.5003 .6328 .6683 .1109 .1344 .1577 1.4097 -.8177 -1.2585 .2487 -.4317 -.9001 -.0583
.4490 .3843 .4101 .1069 .1380 .1493 3.7863 -.8982 -1.9816 .3922 .7492 .6537 .1063
.3206 .3365 .2717 .1191 .0884 .1212 2.5878 .2959 .6910 .3718 .9683 .2480 -.0293
.4315 .4368 .4086 .1305 .0810 .0906 1.8672 -.4998 .8991 -.2935 -.9598 -.2658 -.0906
"""


def test_the_rooms_are_those_that_the_shipped_networks_know() -> None:
    """Another constant of walks, layouts or textures makes other data than they were trained on."""
    seeds, times = [room_seed("test", index) for index in range(5)], torch.tensor([[0.0, 40.0]]).double()
    walk = render_walks(seeds, times.expand(5, -1), 24, 24, RoomStyle())
    colours = [walk.images.mean((1, 3, 4)), walk.images.std((1, 3, 4)), walk.depth.mean((1, 2, 3))[:, None]]
    last = walk.extrinsics[:, 1].float()
    found = torch.cat([*colours, centres(last), last[:, 2, :3]], -1)
    stored = torch.tensor([[float(x) for x in line.split()] for line in PICTURES.split("\n") if line])
    torch.testing.assert_close(found, stored, atol=4e-4, rtol=0)


def test_splits_share_no_seed() -> None:
    seeds = [room_seed(split, index) for split in SPLITS for index in range(1000)]
    assert len(set(seeds)) == len(seeds)
    test, train = render_sequence(0, 1, 16, 16), render_sequence(0, 1, 16, 16, split="train")
    assert not torch.allclose(test.images, train.images)


def test_a_frame_does_not_depend_on_when_others_are_seen() -> None:
    """The walk is a function of time: every second frame of a walk is the walk at twice the stride."""
    style = RoomStyle(boxes=1)
    fine, coarse = (
        render_sequence(2, 5, 8, 8, style=style),
        render_sequence(2, 3, 8, 8, stride=2.0, style=style),
    )
    assert torch.allclose(fine.extrinsics[::2], coarse.extrinsics, atol=1e-6)


def test_pictures_are_varied() -> None:
    pictures = torch.stack([render_sequence(seed, 1, 24, 24).images[0] for seed in range(8)])
    assert pictures.std(dim=(-1, -2)).mean() > 0.05  # texture and shapes inside a picture
    assert pictures.mean(dim=(-1, -2)).std(dim=0).min() > 0.05  # rooms differ
    saturation = (pictures.amax(1) - pictures.amin(1)).mean()
    assert 0.05 < saturation < 0.5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: render_sequence(0, 0, 8, 8), "frames must be"),
        (lambda: render_sequence(0, 1, 0, 8), "image size"),
        (lambda: render_sequence(-1, 1, 8, 8), "index >= 0"),
        (lambda: render_sequence(0, 1, 8, 8, split="dev"), "split must be"),
        (lambda: render_sequence(0, 1, 8, 8, stride=0.0), "stride"),
        (lambda: RoomStyle(clearance=2.0), "clearances"),
        (lambda: RoomStyle(half_side=(0.5, 4.0)), "clearances"),
        (lambda: RoomStyle(half_height=(0.5, 1.7)), "clearances"),
        (lambda: RoomStyle(boxes=0), "positive"),
        (lambda: RoomStyle(step=0.0), "positive"),
        (lambda: _Draws([]), "at least one room"),
    ],
)
def test_refuses(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
