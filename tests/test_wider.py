"""The wider world: exact solids, natural textures, a camera that keeps the geometry, default rooms."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from small_models import TINY_RUN
from torch import Tensor

from lib import train
from lib.geometry import camera_centres, rotation_angle_deg
from lib.records.contents import hash_path
from lib.scenes import wider as wider_rooms
from lib.scenes.natural import (
    LEVELS,
    SIDE,
    TEXTURES,
    level_start,
    power_noise,
    sample,
    texture_bank,
)
from lib.scenes.photographic import photograph, shake
from lib.scenes.raycasting import Rooms, render
from lib.scenes.rooms import RoomStyle, _Draws, clear_the_way, draw_rooms, render_walks, room_seed
from lib.scenes.solids import Solids, nearest_solid, surface
from lib.scenes.wider import INGREDIENTS, World, _lamp, _paint, render_wider_walks
from lib.training.config import mini_model
from lib.training.data import render_shard
from lib.training.domains import evaluate_domains_file, wider_walks
from lib.training.evaluation import evaluate_photographs, identity_baseline, predict, sequence_errors
from lib.training.loop import Trainer
from lib.training.wider import WiderConfig, WiderPool, read_config, render_wider_shard
from lib.vggt.checkpoint import load, save
from lib.vggt.model import VGGT

SEEDS = [room_seed("val", number) for number in range(3)]
TIMES = 3.0 * torch.arange(4, dtype=torch.float64).expand(len(SEEDS), -1)
CPU = torch.device("cpu")


def wider(*ingredients: str, size: int = 24) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    walk = render_wider_walks(SEEDS, TIMES, size, size, ingredients)
    return walk.images, walk.depth, walk.extrinsics, walk.intrinsics


def solid(axis: list[float], radius: float, half: float, centre: list[float]) -> Solids:
    return Solids(
        torch.tensor([[centre]]), torch.tensor([[axis]]), torch.tensor([[radius]]), torch.tensor([[half]])
    )


def rays() -> tuple[Tensor, Tensor]:
    """Origin and directions with z-depth 1 of a camera at (0.3, -0.2, 0) that looks along z."""
    u = torch.linspace(-0.6, 0.6, 41)
    y, x = torch.meshgrid(u, u, indexing="ij")
    return torch.tensor([[[0.3, -0.2, 0.0]]]), torch.stack([x, y, torch.ones_like(x)], -1).reshape(
        1, 1, -1, 3
    )


def test_a_sphere_lies_where_the_closed_form_says() -> None:
    origin, direction = rays()
    depth, which = nearest_solid(solid([0, 0, 1.0], 0.7, math.inf, [0.1, 0.2, 3.0]), origin, direction)
    o, d = origin[0, 0].double() - torch.tensor([0.1, 0.2, 3.0]).double(), direction[0, 0].double()
    a, b, c = (d * d).sum(-1), 2 * (d * o).sum(-1), (o * o).sum() - 0.49
    root = b * b - 4 * a * c
    hit = root > 1e-4
    truth = (-b - root.clamp(min=0).sqrt()) / (2 * a)
    assert hit.sum() > 100 and not which.any()
    assert torch.allclose(depth[0, 0][hit].double(), truth[hit], atol=2e-5)
    assert depth[0, 0][root < -1e-4].isinf().all()


@pytest.mark.parametrize("axis", [[0.0, 1.0, 0.0], [0.6, 0.0, 0.8]])
def test_points_of_a_cylinder_lie_on_its_side_or_on_its_ends(axis: list[float]) -> None:
    origin, direction = rays()
    can = solid(axis, 0.4, 0.5, [0.0, 0.0, 2.5])
    depth, _ = nearest_solid(can, origin, direction)
    seen = depth[0, 0].isfinite()
    point = (origin[0] + depth[0, 0, :, None] * direction[0, 0])[seen] - can.centre[0]
    along = point @ can.axis[0, 0]
    across = (point - along[:, None] * can.axis[0]).norm(dim=-1)
    side, end = (across - 0.4).abs() < 1e-4, (along.abs() - 0.5).abs() < 1e-4
    assert seen.sum() > 100 and (side | end).all() and side.any()
    assert (across < 0.4 + 1e-4).all() and (along.abs() < 0.5 + 1e-4).all()
    assert end.any() == (axis[2] != 0)
    normal, place = surface(can, torch.zeros(len(point), dtype=torch.long), point + can.centre[0])
    assert torch.allclose(normal.norm(dim=-1), torch.ones(len(normal)), atol=1e-5)
    assert ((normal * direction[0, 0][seen]).sum(-1) < 1e-3).all(), "normals point to the camera"
    assert (place.abs() <= 0.4 * math.pi + 0.5).all()


def test_absent_solids_and_solids_in_the_way_are_not_seen() -> None:
    origin, direction = rays()
    ball = solid([0, 0, 1.0], 0.7, math.inf, [0.1, 0.2, 3.0])
    assert ball.clear(origin[0][None], 1.0).radius.item() == pytest.approx(0.7)
    along = torch.tensor([[[0.1, 0.2, 1.2]]])  # a sphere has no length along its pole
    assert ball.clear(along, 1.0).radius.item() == pytest.approx(0.7)
    gone = ball.clear(torch.tensor([[[0.1, 0.2, 1.4]]]), 1.0)
    assert gone.radius.item() == 0 and nearest_solid(gone, origin, direction)[0].isinf().all()
    can = solid([0.0, 1.0, 0.0], 0.2, 1.0, [0.0, 0.0, 0.0])
    for y, radius in ((1.3, 0.0), (1.7, 0.2)):  # beyond the end of its axis by 0.3 and by 0.7
        assert can.clear(torch.tensor([[[0.0, y, 0.0]]]), 0.4).radius.item() == pytest.approx(radius)


def test_of_several_solids_the_nearest_in_front_is_seen_by_hand() -> None:
    """Two one behind the other; one behind the camera, one around it, and an absent one are not seen."""
    centres = torch.tensor([[[0.0, 0, 3], [0, 0, 0.75], [0, 0, -3], [0, 0, 0], [0, 0, 0.2]]])
    radius = torch.tensor([[1.0, 0.25, 1.0, 5.0, 0.0]])
    things = Solids(centres, torch.tensor([0.0, 0, 1]).expand(1, 5, 3), radius, torch.full((1, 5), math.inf))
    directions = torch.tensor([[[[0.0, 0, 1], [0, 0, 2], [1, 0, 0]]]])
    depth, which = nearest_solid(things, torch.zeros(1, 1, 3), directions)
    assert depth[0, 0].tolist() == [0.5, 0.25, math.inf] and which[0, 0].tolist() == [1, 1, 0]


def test_rays_along_a_cylinder_meet_its_cap_or_pass_it_by() -> None:
    can = solid([0.0, 0, 1], 0.5, 1.0, [0.0, 0, 3])
    origin = torch.tensor([[[0.2, 0, 0], [0.7, 0, 0]]])
    depth, _ = nearest_solid(can, origin, torch.tensor([0.0, 0, 1]).expand(1, 2, 1, 3))
    assert depth.flatten().tolist() == [2.0, math.inf]


def test_a_ray_that_grazes_the_rim_of_a_cylinder_passes_it_by() -> None:
    """From (2, 0, 0) towards (1, 0, 1): there it reaches the barrel and leaves the height in one point."""
    can = solid([0.0, 0, 1], 1.0, 1.0, [0.0, 0, 0])
    rays = torch.tensor([[[[-1.0, 0, 1], [-1.0, 0, 0.5]]]])
    depth, _ = nearest_solid(can, torch.tensor([[[2.0, 0, 0]]]), rays)
    assert depth.flatten().tolist() == [math.inf, 1.0]


def test_an_absent_ball_is_not_seen_through_its_very_middle_either() -> None:
    """By rounding, a ray through the middle of a point seems to cross it every other time."""
    direction = torch.randn(1000, 1, 1, 3, generator=torch.Generator().manual_seed(0))
    nothing = torch.zeros(1000, 1)
    axis = torch.tensor([0.0, 0, 1]).expand(1000, 1, 3)
    points = Solids(1.7 * direction[:, 0], axis, nothing, nothing + math.inf)
    depth, _ = nearest_solid(points, torch.zeros(1000, 1, 3), direction)
    assert depth.isinf().all()


HALF = math.pi / 2


@pytest.mark.parametrize(
    ("axis", "half", "point", "normal", "place"),
    [
        # about an axis upright, angles count from y towards -x; of a ball, the second place is its latitude
        ([0.0, 0, 1], math.inf, [0.0, 2, 0], [0.0, 1, 0], [0.0, 0]),
        ([0.0, 0, 1], math.inf, [-2.0, 0, 0], [-1.0, 0, 0], [2 * HALF, 0]),
        ([0.0, 0, 1], math.inf, [0.0, 3**0.5, 1], [0.0, 3**0.5 / 2, 0.5], [0, 2 * math.pi / 6]),
        ([0.0, 0, 1], math.inf, [0.0, 1e-5, -2.0001], [0.0, 0, -1], [0, -2 * HALF]),
        ([0.0, 0, 1], math.inf, [0.0, 1e-5, 2.0001], [0.0, 0, 1], [0, 2 * HALF]),
        ([0.0, 0, 1], 3.0, [-2.0, 0, 1], [-1.0, 0, 0], [2 * HALF, 1]),
        ([0.0, 0, 1], 3.0, [0.6, 0.8, 3], [0.0, 0, 1], [0.8, -0.6]),
        ([0.0, 0, 1], 3.0, [0.6, 0.8, -3], [0.0, 0, -1], [0.8, -0.6]),
        # a tenth of a millimetre from its end the side begins
        ([0.0, 0, 1], 3.0, [0.0, 2, 2.99995], [0.0, 0, 1], [2, 0]),
        ([0.0, 0, 1], 3.0, [0.0, 2, 2.99985], [0.0, 1, 0], [0, 2.99985]),
        # about an axis along x they count from -y towards -z
        ([1.0, 0, 0], 3.0, [0.5, 0, 2], [0.0, 0, 1], [-2 * HALF, 0.5]),
        ([1.0, 0, 0], 3.0, [0.5, -2, 0], [0.0, -1, 0], [0, 0.5]),
    ],
)
def test_places_on_solids_by_hand(
    axis: list[float], half: float, point: list[float], normal: list[float], place: list[float]
) -> None:
    """Of radius 2, two metres above the origin of the world."""
    where = torch.tensor([point]) + torch.tensor([0.0, 0, 2])
    found = surface(solid(axis, 2.0, half, [0.0, 0, 2]), torch.zeros(1, dtype=torch.long), where)
    torch.testing.assert_close(found[0], torch.tensor([normal]), atol=1e-4, rtol=0)
    torch.testing.assert_close(found[1], torch.tensor([place], dtype=torch.float32), atol=1e-4, rtol=0)


def test_what_is_just_as_far_as_the_clearance_stays() -> None:
    """A ball of radius 1, and the side of a box, a metre from a camera at the origin."""
    camera, extrinsics = torch.zeros(1, 1, 3), torch.eye(3, 4)[None, None]
    ball = solid([0, 0, 1.0], 1.0, math.inf, [2.0, 0.0, 0.0])
    centre, half = torch.zeros(1, 2, 3), torch.full((1, 2, 3), 4.0)
    centre[0, 1, 0], half[0, 1] = 2.0, 1.0
    rooms = Rooms(centre, half, torch.zeros(1, 2), torch.zeros(1, 2, 6, 16))
    for clearance, stays in ((1.0, True), (1.125, False)):
        assert bool(ball.clear(camera, clearance).radius.any()) == stays
        assert bool(clear_the_way(rooms, extrinsics, clearance).half[0, 1].any()) == stays


@pytest.mark.slow
def test_textures_fall_off_as_one_over_f_and_their_levels_are_means() -> None:
    noise = power_noise(np.random.default_rng(0))
    power = np.abs(np.fft.fft2(noise[..., 0])) ** 2
    low, high = power[2:5, 0].mean(), power[16:40, 0].mean()
    slope = np.log(low / high) / np.log(np.sqrt(16 * 39) / np.sqrt(2 * 4))
    assert 1.5 < slope < 2.5, "power falls as 1/f²"
    bank = texture_bank()
    assert len(bank) == int(level_start(torch.tensor([LEVELS - 1]))[0]) + TEXTURES
    fine = bank[: SIDE * SIDE].reshape(SIDE, SIDE, 3).float()
    start = int(level_start(torch.tensor([1]))[0])
    second = bank[start : start + SIDE * SIDE // 4].reshape(SIDE // 2, SIDE // 2, 3).float()
    assert (second - fine.reshape(SIDE // 2, 2, SIDE // 2, 2, 3).mean((1, 3))).abs().max() < 1.01
    assert fine.std() > 20, "it is not plain"


@pytest.mark.slow
def test_sampling_a_texture_gives_its_texels_and_repeats() -> None:
    bank, third = texture_bank(), torch.full((4,), 3)
    place = torch.tensor([[10.5, 20.5], [10.5 + SIDE, 20.5 - SIDE], [11.0, 20.5], [10.5, 20.5]])
    coarse = torch.tensor([1.0, 0.25, 1.0, 2.0**LEVELS])  # and from so near that a texel is several pixels
    found = sample(bank, third, place, coarse)
    texels = bank[3 * SIDE * SIDE : 4 * SIDE * SIDE].reshape(SIDE, SIDE, 3).float() / 255
    assert torch.allclose(found[0], texels[20, 10]) and torch.equal(found[0], found[1])
    assert torch.allclose(found[2], texels[20, 10:12].mean(0))
    assert torch.allclose(found[3], texels.mean((0, 1)), atol=0.01)


def test_without_ingredients_the_world_is_the_rooms_and_an_unknown_one_is_named() -> None:
    plain = render_walks(SEEDS, TIMES, 24, 24, RoomStyle())
    images, depth, extrinsics, intrinsics = wider()
    assert torch.allclose(images, plain.images, atol=1e-5) and torch.equal(depth, plain.depth)
    assert torch.equal(extrinsics, plain.extrinsics) and torch.equal(intrinsics, plain.intrinsics)
    with pytest.raises(ValueError, match=r"unknown ingredients \['fog'\]"):
        wider("fog")


@pytest.mark.parametrize("name", INGREDIENTS)
def test_each_ingredient_changes_what_it_names_and_nothing_else(name: str) -> None:
    before, after = wider(), wider(name)
    changed = [not torch.equal(a, b) for a, b in zip(before, after, strict=True)]
    expected = {"hand": [True, True, True, False], "views": [True, True, False, True]}
    looks, things = [True, False, False, False], [True, True, False, False]
    assert changed == expected.get(name, things if name in ("curved", "thin", "clutter") else looks)
    assert after[0].min() >= 0 and after[0].max() <= 1
    if name in ("curved", "thin", "clutter"):
        same = before[1] == after[1]
        assert (after[1] <= before[1]).all() and torch.equal(
            before[0].movedim(2, -1)[same], after[0].movedim(2, -1)[same]
        )


def test_rays_through_a_pixel_pass_around_its_middle_and_the_first_through_it() -> None:
    assert wider_rooms.SAMPLES[0] == (0, 0)
    assert torch.tensor(wider_rooms.SAMPLES).sum(0).tolist() == [0, 0]
    assert wider_rooms.SAMPLES[1] == (1 / 3, 1 / 3)


def test_a_world_is_seen_through_the_middle_of_its_pixels_unless_told_otherwise() -> None:
    draws = _Draws(SEEDS[:2])
    rooms = draw_rooms(draws, RoomStyle())
    extrinsics = torch.eye(3, 4).expand(2, 1, 3, 4)
    intrinsics = torch.tensor([[8.0, 0, 4], [0, 8, 4], [0, 0, 1]]).expand(2, 1, 3, 3)
    rooms = clear_the_way(rooms, extrinsics, 0.4)
    world = wider_rooms.furnish({}, rooms, extrinsics, ())
    images, depth = wider_rooms.render_world(world, extrinsics, intrinsics, (8, 8))
    plain = render(rooms, extrinsics, intrinsics, 8, 8)
    assert torch.equal(depth, plain[1]) and torch.allclose(images, plain[0], atol=1e-5)


def test_intrinsics_and_surfaces_are_worked_out_where_the_cameras_lie() -> None:
    """On a device without numbers, which takes none from the CPU."""
    rooms = draw_rooms(_Draws(SEEDS), RoomStyle()).to("meta")
    number = torch.zeros(5, dtype=torch.long, device="meta")
    found = wider_rooms._box_surface(rooms, number, number, torch.zeros(5, 3, device="meta"))
    assert all(part.is_meta for part in found)
    assert wider_rooms._moved(torch.zeros(1, 1, 3, 3, device="meta"), 0.5, 0.5).is_meta


def test_the_whole_world_is_a_function_of_the_seed() -> None:
    first, again = wider(*INGREDIENTS), wider(*reversed(INGREDIENTS))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    alone = render_wider_walks(SEEDS[1:2], TIMES[:1], 24, 24, tuple(INGREDIENTS))
    assert torch.allclose(alone.images[0], first[0][1], atol=1e-5)
    assert first[0].min() >= 0 and first[0].max() <= 1 and first[1].min() > 0.05


def test_depth_of_the_wider_world_is_seen_alike_from_the_next_frame() -> None:
    """Points of a frame, seen from the next one, lie on what that one sees, or are hidden there."""
    _, depth, extrinsics, intrinsics = wider("curved", "thin", "clutter", "hand", size=48)
    v, u = torch.meshgrid(torch.arange(48.0), torch.arange(48.0), indexing="ij")
    pixels = torch.stack([u, v, torch.ones_like(u)], -1)
    for room in range(len(SEEDS)):
        camera = (pixels @ torch.linalg.inv(intrinsics[room, 0]).T) * depth[room, 0, ..., None]
        world = (camera - extrinsics[room, 0, :, 3]) @ extrinsics[room, 0, :, :3]
        there = world @ extrinsics[room, 1, :, :3].T + extrinsics[room, 1, :, 3]
        spot = (there / there[..., 2:]) @ intrinsics[room, 1].T
        row, column = spot[..., 1].round().long(), spot[..., 0].round().long()
        inside = (there[..., 2] > 0.1) & (row >= 0) & (row < 48) & (column >= 0) & (column < 48)
        seen = depth[room, 1][row.clamp(0, 47), column.clamp(0, 47)]
        gap = ((seen - there[..., 2]) / there[..., 2])[inside]
        assert inside.float().mean() > 0.3 and gap.abs().median() < 0.02 and (gap > 0.2).float().mean() < 0.06


def test_a_photograph_is_exposed_balanced_darker_in_the_corners_and_noisy() -> None:
    flat = torch.full((4, 3, 3, 32, 32), 0.1)
    taken = photograph(_Draws(range(4)), flat)
    assert (taken.mean((2, 3, 4)) > 0.1).all(), "automatic exposure brightens the dark"
    corner, middle = taken[..., :6, :6].mean(), taken[..., 13:19, 13:19].mean()
    assert corner < middle
    assert taken[0, 0, 0].diff(dim=-1).std() > 0 and taken.min() >= 0 and taken.max() <= 1
    colours = taken.mean((3, 4))
    assert (colours[:, :, 0] - colours[:, :, 1]).abs().max() > 0.005


def test_a_shaking_hand_tilts_the_camera_and_moves_it_by_centimetres() -> None:
    many = [room_seed("val", number) for number in range(16)]
    still = torch.eye(3, 4).double().expand(16, 40, -1, -1)
    times = torch.arange(40.0).expand(16, -1)
    held = shake(_Draws(many), still, times)
    unit = held[..., :3] @ held[..., :3].mT
    assert torch.allclose(unit, torch.eye(3).double().expand_as(unit), atol=1e-9)
    away = camera_centres(held).norm(dim=-1)
    assert 0.001 < away.median() < 0.03 and away.max() < 0.1
    step = rotation_angle_deg(held[:, 1:, :, :3], held[:, :-1, :, :3])
    assert 0.05 < step.median() < 2 and step.max() < 8
    tilt = torch.rad2deg(torch.asin(held[:, :, 2, 1])).mean(1)  # forward, along the old camera's down
    assert tilt.max() > 10 and tilt.median() > 0, "hands point cameras down rather than up"


# training


def tiny(**changes: object) -> WiderConfig:
    values = TINY_RUN | {"steps": 2, "wider": tuple(INGREDIENTS), "wider_share": 0.5}
    return WiderConfig(**(values | changes))  # type: ignore[arg-type]


def test_options_of_either_world_are_read_back_and_bad_ones_refused() -> None:
    config = tiny()
    assert read_config(config.to_dict()) == config
    plain = {name: value for name, value in config.to_dict().items() if not name.startswith("wider")}
    assert type(read_config(plain)).__name__ == "TrainConfig"
    with pytest.raises(ValueError, match="unknown ingredients"):
        tiny(wider=("fog",))
    with pytest.raises(ValueError, match="wider_share must lie in"):
        tiny(wider_share=1.5)


@pytest.mark.slow
def test_a_share_of_the_shards_is_wider_and_the_others_are_the_rooms_of_before() -> None:
    config = tiny()
    same = [
        torch.equal(render_wider_shard(config, n, CPU).images, render_shard(config, n, CPU).images)
        for n in range(10)
    ]
    assert 1 < sum(same) < 9
    assert not torch.equal(
        render_wider_shard(tiny(wider_share=1.0), 0, CPU).depth, render_shard(config, 0, CPU).depth
    )


@pytest.mark.slow
def test_a_wider_run_trains_resumes_and_keeps_its_rooms_apart(tmp_path: Path) -> None:
    trainer = Trainer(tiny(), tmp_path)
    assert isinstance(trainer.pool, WiderPool)
    trainer.run(show=False)
    again = Trainer(tiny(), tmp_path)
    assert again.resume() and again.finished
    with pytest.raises(ValueError, match=r"wider_share was 0\.5, now 1\.0"):
        Trainer(tiny(wider_share=1.0), tmp_path).resume()
    (folder,) = (tmp_path / "rooms").iterdir()
    assert folder.name.endswith("-0.5") and "curved" in folder.name
    kept = WiderPool(tiny(), CPU, tmp_path / "rooms").at(0)
    assert torch.equal(kept[0].images, render_wider_shard(tiny(), 0, CPU).images)


@pytest.mark.slow
def test_domains_are_seen_beside_others_and_enter_the_record(tmp_path: Path) -> None:
    config = mini_model(depth=4, width=32, image_size=16)
    one, two = tmp_path / "one.safetensors", tmp_path / "two.safetensors"
    for seed, path in enumerate((one, two)):
        save(VGGT.from_seed(config, seed), path, {"steps": 7})
    train.main(["evaluate", str(one), str(two), "--wider", "--rooms", "1"])
    record = json.loads(one.with_suffix(".json").read_text())["domains"]
    assert record["weights"] == hash_path(one) and record["others"] == {
        "two": {"weights": hash_path(two), "steps": 7}
    }
    found = {(row["walk"], row["who"]): row["rotation_deg"]["values"] for row in record["rows"]}
    assert {walk for walk, _ in found} == {"rooms", "all", *INGREDIENTS}
    assert found["rooms", "model"] != found["rooms", "two"]
    assert found["rooms", "still"] == found["light", "still"] != found["hand", "still"]
    (walk,) = wider_walks(("hand",), 8, 1, 16)
    assert found["hand", "model"][0] == pytest.approx(
        sequence_errors(predict(load(one)), walk)["rotation_deg"], rel=1e-3
    )
    assert found["hand", "still"][0] == pytest.approx(
        sequence_errors(identity_baseline, walk)["rotation_deg"], rel=1e-3
    )
    save(VGGT.from_seed(mini_model(depth=4, width=32, image_size=24), 0), two, {"steps": 7})
    with pytest.raises(ValueError, match="pictures of different sizes"):
        evaluate_domains_file(one, [two], rooms=1)


def test_photographs_alone_leave_the_record_of_the_weights_as_it_is(tmp_path: Path, redkitchen: Path) -> None:
    path = tmp_path / "one.safetensors"
    save(VGGT.from_seed(mini_model(depth=4, width=32, image_size=16), 0), path, {"steps": 7})
    path.with_suffix(".json").write_text("{}")
    train.main(
        ["evaluate", str(path), "--photographs", str(redkitchen), "--rooms", "0", "--frames", "2", "3"]
    )
    assert path.with_suffix(".json").read_text() == "{}"
    record = json.loads((tmp_path / "recordings" / "one.json").read_text())
    assert record["weights"] == hash_path(path)
    assert [(row["walk"], row["frames"], row["who"]) for row in record["rows"]][::3] == [
        (redkitchen.name, 2, "model"),
        (redkitchen.name, 3, "model"),
    ]
    assert record["rows"] == evaluate_photographs(load(path), redkitchen, (2, 3))


@pytest.mark.parametrize(
    "words", [["--rooms", "0"], ["--wider", "--rooms", "0", "--photographs", "x"], ["--rooms", "-1"]]
)
def test_no_rooms_and_no_photographs_are_one_clear_error(tmp_path: Path, words: list[str]) -> None:
    path = tmp_path / "one.safetensors"
    save(VGGT.from_seed(mini_model(depth=4, width=32, image_size=16), 0), path, {"steps": 7})
    with pytest.raises(SystemExit, match=r"error: --rooms (0|-1) leaves nothing to evaluate"):
        train.main(["evaluate", str(path), *words])


def test_a_lamp_is_redder_where_it_is_less_blue():
    lamp = _lamp(_Fixed(0.75), torch.ones(1, 3))
    torch.testing.assert_close(lamp[0, 3:6], torch.tensor([1.075, 1.0, 0.925]))


class _Fixed:
    """Draws that all lie at the same share of their interval."""

    def __init__(self, share: float) -> None:
        self.share = share

    def between(self, low: float, high: float, *shape: int) -> torch.Tensor:
        return torch.full((1, *shape), low + (high - low) * self.share)


def test_a_surface_is_never_brighter_than_its_own_light() -> None:
    """However strong the contrast of its texture: colour and texture stay in [0, 1] before the light."""
    look = torch.ones(1, 1, 16)
    look[..., 15] = 0.5
    skin = torch.tensor([[[0.0, 100.0, 0.0, 0.0, 9.0]]])
    world = World(rooms=None, solids=None, looks=look, skins=skin)  # type: ignore[arg-type]
    place = torch.rand(500, 2, generator=torch.Generator().manual_seed(0))
    colour = _paint(world, torch.zeros(500, dtype=torch.long), place, torch.full((500,), 1e-3))
    assert colour.max() == 0.5 and colour.min() == 0


def test_a_textured_surface_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Texture 7 at 10 texels a metre from texel (3, 4) on, half as strong, on grey in half the light."""
    asked = []

    def grey(bank: Tensor, texture: Tensor, spot: Tensor, footprint: Tensor) -> Tensor:
        asked.append((texture.tolist(), spot.tolist(), footprint.tolist()))
        return torch.full((1, 3), 0.75)

    monkeypatch.setattr(wider_rooms, "sample", grey)
    monkeypatch.setattr(wider_rooms, "texture_bank", lambda: torch.zeros(1, 3))
    look = torch.full((1, 2, 16), 0.25)
    look[..., 15] = 0.5
    skins = torch.zeros(1, 2, 5)
    skins[0, 1] = torch.tensor([7.0, 10.0, 3.0, 4.0, 0.5])
    world = World(rooms=None, solids=None, looks=look, skins=skins)  # type: ignore[arg-type]
    colour = _paint(world, torch.tensor([1]), torch.tensor([[1.0, 2.0]]), torch.tensor([0.5]))
    assert asked == [([7], [[13.0, 24.0]], [5.0])]
    assert colour.tolist() == [[(0.25 + 0.5 * 0.25) * 0.5] * 3]


def test_a_grazing_ray_covers_ten_pixels_of_a_wall_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    painted = wider_rooms._paint
    monkeypatch.setattr(wider_rooms, "_paint", lambda *those: sizes.append(those[-1]) or painted(*those))
    _, depth, _, intrinsics = wider(size=32)
    across = depth.flatten() / intrinsics[0, 0, 0, 0]  # of a pixel that looks straight at a wall
    widest = (sizes[0].sort().values[-20:].mean() / across.max()).item()
    assert (torch.cat(sizes) <= 10.001 * across.max()).all() and widest > 1
    assert max((found / across[: len(found)]).max().item() for found in sizes) == pytest.approx(10, rel=1e-3)
