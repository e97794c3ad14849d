"""Training: configuration, sampling, losses, checkpoints, exact resume, evaluation, the command line."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from small_models import TINY_RUN
from torch import Tensor

from lib import train
from lib.geometry import relative_to_first, rotation_angle_deg, unproject
from lib.records.contents import hash_path
from lib.scenes.rooms import render_sequence
from lib.training import checkpoints, losses
from lib.training.config import TrainConfig, mini_model
from lib.training.data import Batch, RoomPool, _frame_choice, _recolour, render_shard, sample_batch
from lib.training.evaluation import (
    evaluate,
    evaluate_photographs,
    identity_baseline,
    oracle,
    sequence_errors,
    unexplained_motion,
    update_record,
)
from lib.training.export import export_weights, storage_change
from lib.training.loop import Trainer
from lib.training.optimisation import Average, StackedMuon, low_precision, rate_share
from lib.training.validation import validate, validation_walks
from lib.vggt.cameras import decode_pose, encode_pose
from lib.vggt.checkpoint import load
from lib.vggt.model import VGGT

CPU = torch.device("cpu")


def tiny(**changes: object) -> TrainConfig:
    values = TINY_RUN | {"growth_steps": 4, "warmup_steps": 2, "steps": 8, "validate_every": 100}
    return TrainConfig(**(values | changes))  # type: ignore[arg-type]


def make_batch(frames: int = 3) -> Batch:
    walk = render_sequence(1, frames, 24, 24, stride=2.0)
    assert walk.depth is not None and walk.extrinsics is not None and walk.intrinsics is not None
    return Batch(walk.images[None], walk.depth[None], walk.extrinsics[None], walk.intrinsics[None])


# configuration


def test_config_survives_json_and_refuses_what_it_does_not_know() -> None:
    config = tiny(stride=(1.0, 2.0))
    assert TrainConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    with pytest.raises(ValueError, match=r"unknown training options \['rat'\]"):
        TrainConfig.from_dict({"rat": 1})


@pytest.mark.parametrize(
    "changes",
    [{"most_frames": 5}, {"least_frames": 0}, {"frames_per_step": 2}, {"ema": 1.0}, {"match_layer": 9}],
)
def test_config_refuses(changes: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(changes)).split("_")[0]):
        tiny(**changes)


def test_options_on_the_command_line() -> None:
    config = train.parse_config(["seed=3", "muon=false", "stride=[1, 2]", "width=64", "depth=8"])
    assert config.seed == 3 and config.muon is False and config.stride == (1, 2)
    assert config.model == mini_model(width=64, depth=8)
    with pytest.raises(ValueError, match="name=value"):
        train.parse_config(["seed"])
    with pytest.raises(ValueError, match="unknown training options"):
        train.parse_config(["speed=3"])
    with pytest.raises(SystemExit, match="how long"):
        train.main(["seed=3"])


# data


def test_batches_depend_on_seed_and_step_only() -> None:
    config = tiny()
    shards = RoomPool(config, CPU).at(2)
    a, b, c = (sample_batch(config, shards, step) for step in (2, 2, 3))
    assert all(torch.equal(getattr(a, name), getattr(b, name)) for name in vars(a))
    assert a.images.shape != c.images.shape or not torch.equal(a.images, c.images)
    other = sample_batch(replace(config, seed=1), shards, 2)
    assert a.images.shape != other.images.shape or not torch.equal(a.images, other.images)


def test_pool_moves_on_and_reads_back_what_it_wrote(tmp_path: Path) -> None:
    config = tiny()
    pool = RoomPool(config, CPU, tmp_path)
    assert [len(pool.at(step)) for step in (0, 2, 3, 5, 6)] == [
        1,
        1,
        2,
        2,
        2,
    ]  # the third pushes out the first
    kept = [shard.images for shard in pool.at(6)]
    assert len(list(tmp_path.rglob("*.safetensors"))) == 2
    again = [shard.images for shard in RoomPool(config, CPU, tmp_path).at(6)]
    assert all(torch.equal(a, b) for a, b in zip(kept, again, strict=True))
    assert torch.equal(kept[0], render_shard(config, 1, CPU).images)


def test_frames_grow_and_stay_in_range() -> None:
    config = tiny(growth_steps=50, most_frames=3, shard_frames=4)
    shards = RoomPool(config, CPU).at(0)
    lengths = {sample_batch(config, shards, step).images.shape[1] for step in range(60)}
    assert lengths == {2, 3}


def test_frames_of_a_sequence_are_distinct_and_lie_in_one_window() -> None:
    rows = _frame_choice(200, 3, 5, 12, torch.Generator().manual_seed(0))
    assert all(len(set(row.tolist())) == 3 for row in rows)
    spans = rows.max(1).values - rows.min(1).values
    assert spans.max() == 4 and spans.min() == 2 and rows.min() == 0 and rows.max() == 11
    assert (rows[:, 0] != rows.min(1).values).any()  # frame 0 is not always the earliest


def test_colours_change_alike_in_all_frames_of_a_sequence() -> None:
    grey = torch.tensor([0.2, 0.4, 0.6])[:, None, None].expand(6, 4, 3, 2, 2).clone()
    changed = _recolour(grey, torch.Generator().manual_seed(0))
    assert torch.equal(changed, changed[:, :1].expand_as(changed))
    assert (
        len({tuple(row.argsort().tolist()) for row in changed[:, 0, :, 0, 0]}) > 1
    )  # channels change places
    assert len({row.sum().item() for row in changed[:, 0]}) == 6


# losses


def test_target_is_in_frame_zero_at_unit_mean_distance() -> None:
    batch = make_batch()
    target = losses.make_target(batch)
    assert target.points.norm(dim=-1).mean().item() == pytest.approx(1.0, rel=1e-5)
    assert torch.allclose(target.pose[0, 0, :7], torch.tensor([0.0, 0, 0, 0, 0, 0, 1]), atol=1e-6)
    # in metres and in the world, they are the unprojected depth
    metric = target.points[0] * target.scale
    first = batch.extrinsics[0, 0].double()
    world = (metric.double() - first[:, 3]) @ first[:, :3]
    expected = unproject(batch.depth[0], batch.extrinsics[0], batch.intrinsics[0])
    assert (world - expected).abs().max() < 1e-4


def test_tracks_of_a_camera_that_stands_still() -> None:
    """Each patch of a repeated frame is its own match, and does not move."""
    batch = make_batch(2)
    same = Batch(*(value[:, :1].repeat(1, 2, *([1] * (value.ndim - 2))) for value in vars(batch).values()))
    tracks = losses.true_tracks(losses.make_target(same), 8)
    assert tracks.seen.all()
    assert torch.allclose(tracks.place[0, 0], losses.patch_centres((3, 3), 8, CPU), atol=1e-3)
    assert losses.tracking_loss(torch.zeros(1, 2, 9, 2), tracks, (3, 3), 8) < 1e-3
    names = torch.eye(9).expand(1, 2, -1, -1)
    right = losses.matching_loss(names, tracks, (3, 3), 8)
    assert (
        right < 0.01 < losses.matching_loss(names.roll(1, 2)[:, :1].repeat(1, 2, 1, 1) * 0, tracks, (3, 3), 8)
    )
    wrong = torch.cat([names[:, :1], names[:, 1:].roll(1, 2)], 1)
    assert losses.matching_loss(wrong, tracks, (3, 3), 8) > 5


@pytest.mark.parametrize(
    ("step", "moved", "seen"),
    [
        (0.5, 4, [0, 1, 1, 0]),  # outside, in sight, in sight (column 6), hidden (column 10)
        (0.25, 2, [0, 1, 0, 0]),  # on the edge of the picture, in sight, hidden (columns 8 and 12)
    ],
)
def test_hidden_and_outside_patches_have_no_track(step: float, moved: int, seen: list[int]) -> None:
    """A wall at depth 2 seen again after a step aside; in frame 0 a near box covers its right half."""
    cameras = torch.eye(3, 4).repeat(1, 2, 1, 1)
    cameras[0, 1, 0, 3] = step  # the camera moves to the left: what it sees, frame 0 sees further left
    k = torch.tensor([[16.0, 0, 8], [0, 16, 8], [0, 0, 1]]).repeat(1, 2, 1, 1)
    depth = torch.full((1, 2, 16, 16), 2.0)
    depth[0, 0, :, 8:] = 1.0
    target = losses.make_target(Batch(torch.zeros(1, 2, 3, 16, 16), depth, cameras, k))
    tracks = losses.true_tracks(target, 4)
    u = tracks.place[0, 0, :, 0].view(4, 4)
    assert torch.allclose(u[0], torch.tensor([2.0, 6, 10, 14]) - moved, atol=1e-4)
    assert tracks.seen[0, 0].view(4, 4)[0].tolist() == seen


def test_a_sequence_without_valid_depth_keeps_metres_and_the_other_its_unit() -> None:
    cameras = torch.eye(3, 4).repeat(2, 2, 1, 1)
    cameras[:, 1, 0, 3] = 0.5
    k = torch.tensor([[16.0, 0, 8], [0, 16, 8], [0, 0, 1]]).repeat(2, 2, 1, 1)
    depth = torch.full((2, 2, 16, 16), 2.0)
    depth[0] = 0
    batch = Batch(torch.zeros(2, 2, 3, 16, 16), depth, cameras, k)
    target = losses.make_target(batch)
    alone = losses.make_target(Batch(*(getattr(batch, name)[1:] for name in vars(batch))))
    assert target.scale.tolist() == [1.0, alone.scale.item()] and alone.scale > 2
    assert target.relative[0, 1, 0, 3] == 0.5 and not target.valid[0].any()
    assert all(value.isfinite().all() for value in vars(target).values())


def test_losses_vanish_at_the_truth_and_grow_away_from_it() -> None:
    target = losses.make_target(make_batch())
    pose = target.pose
    assert losses.camera_loss([pose, pose], pose) == 0
    assert losses.camera_loss([pose, pose + 0.1], pose) > losses.camera_loss([pose + 0.1, pose], pose) > 0
    sure = torch.ones_like(target.depth)
    exact = losses.confident_loss(target.points, sure, target.points, target.valid)
    assert exact.item() == pytest.approx(1e-4, rel=0.01)  # the root's guard against an infinite slope
    off = losses.confident_loss(target.points + 0.1, sure, target.points, target.valid)
    assert off.item() == pytest.approx(0.1 * math.sqrt(3), rel=1e-3)
    ignored = losses.confident_loss(target.points + 0.1, sure, target.points, torch.zeros_like(target.valid))
    assert ignored == 0
    best = 0.2 / off.item()  # confidence that minimises c e - 0.2 log c
    at = [
        losses.confident_loss(target.points + 0.1, c * sure, target.points, target.valid)
        for c in (0.9 * best, best, 1.1 * best)
    ]
    assert at[1] < at[0] and at[1] < at[2]


@pytest.mark.parametrize("channel", range(9))
def test_every_channel_of_the_pose_has_its_share_of_the_camera_loss(channel: int) -> None:
    """Means over the place (3) and quaternion (4), half the mean over fields of view (2); Huber to 0.02."""
    share = [1 / 3] * 3 + [1 / 4] * 4 + [0.5 / 2] * 2
    pose = torch.zeros(1, 2, 9)
    for off, huber in ((0.1, 0.1 - 0.01), (0.01, 0.01**2 / 2 / 0.02)):
        wrong = pose.clone()
        wrong[..., channel] = off
        assert losses.camera_loss([wrong], pose).item() == pytest.approx(share[channel] * huber, rel=1e-4)
    three = losses.camera_loss([wrong, pose, pose], pose) / losses.camera_loss([wrong], pose)
    assert three.item() == pytest.approx(0.36 / 1.96, rel=1e-4)


def test_rate_rises_stays_and_falls_to_zero() -> None:
    shares = [rate_share(step, 2, 6, 4) for step in range(11)]
    assert shares == [0.5, 1, 1, 1, 1, 1, 0.75, 0.5, 0.25, 0, 0]
    assert rate_share(10**6, 2, None, 0) == 1


def test_rotation_angle() -> None:
    c, s = math.cos(0.3), math.sin(0.3)
    turn = torch.tensor([[c, -s, 0], [s, c, 0], [0, 0, 1]], dtype=torch.float64)
    assert rotation_angle_deg(turn, torch.eye(3).double()).item() == pytest.approx(math.degrees(0.3))


@pytest.mark.slow
def test_stacked_muon_is_muon() -> None:
    """Several shapes, tall and wide, some twice; also after its state went through a checkpoint."""
    draw = torch.Generator().manual_seed(0)
    shapes = [(4, 12), (16, 4), (4, 12), (5, 5)]
    ours = [torch.nn.Parameter(torch.randn(shape, generator=draw)) for shape in shapes]
    theirs = [torch.nn.Parameter(matrix.detach().clone()) for matrix in ours]
    muon = torch.optim.Muon(theirs, lr=0.1, weight_decay=0.02, adjust_lr_fn="match_rms_adamw")
    stacked = StackedMuon(ours, 0.1, 0.02)
    for _ in range(3):
        for matrix, twin in zip(ours, theirs, strict=True):
            matrix.grad = torch.randn(matrix.shape, generator=draw)
            twin.grad = matrix.grad.clone()
        muon.step()
        stacked.step()
        state, stacked = stacked.state_dict(), StackedMuon(ours, 0.1, 0.02)
        stacked.load_state_dict(state)
    for matrix, twin in zip(ours, theirs, strict=True):
        assert torch.allclose(matrix, twin, atol=0.02 * 0.1)  # the steps are of size 0.1, in bf16


def test_attention_trained_in_bf16_is_attention() -> None:
    """Values and slopes of a block under `low_precision` are those of fp32 but for the rounding."""
    block = VGGT.from_seed(tiny().model, 0).aggregator.global_blocks[0]
    x = torch.randn(2, 20, 32, generator=torch.Generator().manual_seed(0))
    positions = torch.zeros(1, 20, 2, dtype=torch.long)
    slopes = []
    for precision in (nullcontext(), low_precision(CPU)):
        with precision:
            y = block(x.clone().requires_grad_(), positions)
        block.zero_grad()
        y.float().square().sum().backward()
        slopes.append((y.detach().float(), block.attn.qkv.weight.grad.clone()))
    for exact, rounded in zip(*slopes, strict=True):
        assert (exact - rounded).norm() < 0.02 * exact.norm()


def test_relations_between_frames_have_no_frame_of_their_own() -> None:
    """A turn and a shift of the world change encodings, but nothing between frames; a real error shows."""
    target = losses.make_target(make_batch())
    size = (24, 24)
    world = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(0)))[0]
    world = world * world.det().sign()
    shift = torch.tensor([0.3, -1.0, 2.0])[:, None]
    turned = target.relative[..., :3] @ world
    moved = torch.cat([turned, target.relative[..., 3:] + target.relative[..., :3] @ shift], -1)
    elsewhere = encode_pose(moved, target.intrinsics, size)
    here = losses.between_frames(target.pose)
    assert (elsewhere - target.pose).abs().max() > 0.3
    assert torch.allclose(losses.between_frames(elsewhere), here, atol=1e-5)
    wrong = target.pose.clone()
    wrong[0, 1, 0] += 0.1
    assert losses.camera_loss([losses.between_frames(wrong)], here) > 0.01


def test_unit_without_a_reference_frame_does_not_depend_on_the_order() -> None:
    batch = make_batch()
    back = Batch(*(value.flip(1) for value in vars(batch).values()))
    assert torch.allclose(
        losses.make_target(batch, False).scale, losses.make_target(back, False).scale, rtol=1e-5
    )
    assert not torch.allclose(losses.make_target(batch).scale, losses.make_target(back).scale, rtol=1e-3)


@pytest.mark.parametrize(
    "shape", [{"reference": False}, {"causal": True}, {"patch_size": 4}, {"depth": 12}], ids=str
)
@pytest.mark.slow
def test_other_shapes_train_and_are_evaluated(tmp_path: Path, shape: dict[str, int]) -> None:
    model = mini_model(**({"depth": 4, "width": 32, "image_size": 16} | shape))  # type: ignore[arg-type]
    trainer = Trainer(tiny(model=model, steps=2, validate_every=2), tmp_path)
    trainer.run(show=False)
    assert trainer.progress.step == 2 and all(map(math.isfinite, trainer.progress.validations[0].values()))
    assert len(evaluate(trainer.averaged_model(), (2,), rooms=1, kinds=("longer",))) == 3
    assert TrainConfig.from_dict(json.loads(json.dumps(trainer.config.to_dict()))) == trainer.config


def test_average_forgets_its_start_and_then_follows_slowly() -> None:
    layer = torch.nn.Linear(1, 1)
    average = Average(layer, 0.5)
    before = average.weights["weight"].clone()
    with torch.no_grad():
        layer.weight.add_(1)
    average.update(layer, 0)  # a young average keeps a tenth
    assert (average.weights["weight"] - before).item() == pytest.approx(0.9, rel=1e-5)
    with torch.no_grad():
        layer.weight.add_(1)
    average.update(layer, 10**6)  # an old one keeps its decay
    assert (average.weights["weight"] - before).item() == pytest.approx(0.5 * 0.9 + 0.5 * 2, rel=1e-5)


class Claims(torch.nn.Module):
    """Stands for a model: says of every walk what `what(target)` says, (extrinsics, depth, points)."""

    def __init__(self, walks: Batch, what: Callable[[losses.Target], tuple[Tensor, Tensor, Tensor]]):
        super().__init__()
        self._walks, self._what, self._done = walks, what, 0
        self.config = SimpleNamespace(reference=True)

    def forward(self, images: Tensor) -> SimpleNamespace:
        some = slice(self._done, self._done + len(images))
        self._done += len(images)
        part = Batch(*(value[some] for value in vars(self._walks).values()))
        extrinsics, depth, points = self._what(losses.make_target(part))
        return SimpleNamespace(extrinsics=extrinsics, depth=depth[..., None], world_points=points)


def test_validation_of_the_truth_and_of_the_identity() -> None:
    walks = validation_walks(tiny(validation_rooms=10), CPU)
    exact = validate(Claims(walks, lambda t: (t.relative, t.depth, t.points)), walks)
    assert all(exact[name] < 0.05 for name in ("rot_deg", "trans", "abs_rel", "points"))
    assert exact["rot_identity_deg"] > 1 and exact["trans_identity"] > 0.02
    still = validate(
        Claims(walks, lambda t: (torch.eye(3, 4).expand_as(t.relative), 1.5 * t.depth, 0 * t.points)), walks
    )
    assert still["rot_deg"] == pytest.approx(exact["rot_identity_deg"], rel=1e-4)
    assert still["trans"] == pytest.approx(exact["trans_identity"], rel=1e-4)
    assert still["abs_rel"] == pytest.approx(0.5, rel=1e-4)
    assert still["points"] == pytest.approx(1, rel=0.3)  # the scene's mean distance is the unit


# checkpoints and resume


def test_a_damaged_checkpoint_is_refused_and_the_one_before_is_used(tmp_path: Path) -> None:
    paths = [checkpoints.save_checkpoint(tmp_path, step, {"step": step}) for step in (1, 2, 3)]
    assert not paths[0].exists()  # the last two are kept
    content = bytearray(paths[2].read_bytes())
    content[len(content) // 2] ^= 1
    paths[2].write_bytes(content)
    with pytest.raises(checkpoints.CorruptCheckpointError, match="damaged"):
        checkpoints.load_checkpoint(paths[2])
    with pytest.warns(UserWarning, match="going back"):
        assert checkpoints.load_latest(tmp_path) == {"step": 2}
    paths[1].write_bytes(paths[1].read_bytes()[:100])
    with (
        pytest.raises(checkpoints.CorruptCheckpointError, match="every checkpoint"),
        pytest.warns(UserWarning),
    ):
        checkpoints.load_latest(tmp_path)
    assert checkpoints.load_latest(tmp_path / "empty") is None


@pytest.mark.slow
def test_a_killed_run_goes_on_exactly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Losses after a kill equal those of an unbroken run, bit for bit, also when the pool moves on."""
    monkeypatch.setattr("lib.training.loop.CURVE_STEPS", 2)  # the kill comes between two points of the curves
    whole = Trainer(tiny(), tmp_path / "whole")
    expected = [whole.train_step() for _ in range(7)]
    broken = Trainer(tiny(), tmp_path / "broken")
    for _ in range(3):
        broken.train_step()
    broken.save()
    broken.train_step()  # done after the save, lost with the kill
    resumed = Trainer(tiny(), tmp_path / "broken")
    assert resumed.resume() and resumed.progress.step == 3
    assert [resumed.train_step() for _ in range(4)] == expected[3:]
    for name, value in whole.average.weights.items():
        assert torch.equal(value, resumed.average.weights[name]), name
    assert vars(resumed.progress) == vars(whole.progress) and len(whole.progress.losses) == 3


@pytest.mark.slow
def test_resume_refuses_other_options_and_names_them(tmp_path: Path) -> None:
    Trainer(tiny(), tmp_path).save()
    with pytest.raises(ValueError, match=r"model\.width was 32, now 64, .*; give the same options"):
        Trainer(tiny(model=mini_model(depth=4, width=64, image_size=16)), tmp_path).resume()
    with pytest.raises(ValueError, match=r"other options: seed was 0, now 1, rate was 0\.002, now 0\.1;"):
        Trainer(tiny(seed=1, rate=0.1), tmp_path).resume()
    assert Trainer(TrainConfig.from_dict(json.loads(json.dumps(tiny().to_dict()))), tmp_path).resume()


SMALL = [  # the options of `tiny`, as they are typed
    "depth=4", "width=32", "image_size=16", "frames_per_step=6", "most_frames=3", "shard_rooms=2",
    "shard_frames=4", "first_shards=1", "most_shards=2", "warmup_steps=2", "steps=3", "validation_rooms=2",
    "validation_frames=3",
]  # fmt: skip


@pytest.mark.slow
def test_a_run_can_begin_with_shipped_weights(tmp_path: Path) -> None:
    weights = tmp_path / "w.safetensors"
    train.main(["--folder", str(tmp_path / "a"), "--device", "cpu", *SMALL])
    train.main(["export", "--folder", str(tmp_path / "a"), "--weights", str(weights), "--device", "cpu"])
    first = json.loads(weights.with_suffix(".json").read_text())
    assert first["parent"] is None and first["sequences_with_parents"] == first["sequences"] > 0

    second = Trainer(tiny(), tmp_path / "b")
    second.start_from(weights)
    parent = load(weights).state_dict()
    assert all(torch.equal(value, parent[name]) for name, value in second.model.state_dict().items())
    assert all(torch.equal(value, parent[name]) for name, value in second.average.weights.items())
    second.train_step()
    second.save()
    export_weights(tmp_path / "b", tmp_path / "w2.safetensors")
    record = json.loads((tmp_path / "w2.json").read_text())
    assert record["parent"] == first["weights"]
    assert record["sequences_with_parents"] == first["sequences"] + record["sequences"]
    with pytest.raises(ValueError, match="other sizes"):
        Trainer(tiny(model=mini_model(depth=4, width=64, image_size=16)), tmp_path / "c").start_from(weights)


@pytest.mark.slow
def test_the_command_line_refuses_to_mix_runs(tmp_path: Path) -> None:
    weights, folder = tmp_path / "w.safetensors", ["--folder", str(tmp_path / "a"), "--device", "cpu"]
    train.main([*folder, *SMALL])
    train.main(["export", *folder, "--weights", str(weights)])
    with pytest.raises(SystemExit, match="is finished: its learning rate has fallen to zero"):
        train.main([*folder, *SMALL])
    half = Trainer(train.parse_config(SMALL), tmp_path / "half")
    half.train_step()
    half.save()
    with pytest.raises(SystemExit, match="did not begin with"):
        train.main(["--folder", str(tmp_path / "half"), "--from-weights", str(weights), *SMALL])
    warm = ["--folder", str(tmp_path / "warm"), "--from-weights", str(weights), "--device", "cpu"]
    train.main([*warm, *[word for word in SMALL if not word.startswith(("depth", "width", "image"))]])
    assert checkpoints.load_latest(tmp_path / "warm")["progress"]["parent"] == hash_path(weights)


@pytest.mark.slow
def test_run_finishes_exports_and_loads(tmp_path: Path) -> None:
    trainer = Trainer(tiny(validate_every=4), tmp_path / "run")
    trainer.run(show=False)
    progress = trainer.progress
    assert progress.step == 8 and progress.decay_start == 6 and len(progress.validations) == 2
    weights = export_weights(tmp_path / "run", tmp_path / "w.safetensors")
    images = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.allclose(
            load(weights)(images).pose_enc, trainer.averaged_model()(images).pose_enc, atol=2e-3
        )
    record = json.loads((tmp_path / "w.json").read_text())
    assert (
        record["steps"] == 8 and record["config"]["seed"] == 0 and record["sequences"] == progress.sequences
    )
    with pytest.raises(FileNotFoundError, match="train first"):
        export_weights(tmp_path / "none", weights)


@pytest.mark.parametrize(("elapsed", "start", "decay"), [(8.9, None, 0), (9.2, 8, 2), (11.9, 8, 1)])
def test_of_steps_and_budget_the_one_that_ends_first_decides_when_the_rate_falls(
    elapsed: float, start: int | None, decay: int, tmp_path: Path
) -> None:
    trainer = Trainer(tiny(steps=100), tmp_path)
    trainer.progress.step = 8
    trainer._plan_decay(elapsed, 12.0, step_before=0)
    assert (trainer.progress.decay_start, trainer.progress.decay_steps) == (start, decay)


def test_a_budget_brings_the_fall_of_a_resumed_run_forward_until_it_falls(tmp_path: Path) -> None:
    trainer = Trainer(tiny(steps=100), tmp_path)
    trainer._plan_decay(0.1, None, step_before=0)
    found = trainer.progress
    assert (found.decay_start, found.decay_steps) == (75, 25)
    found.step = 18
    trainer._plan_decay(9.2, 12.0, step_before=10)
    assert (found.decay_start, found.decay_steps) == (18, 2), "8 steps in 9.2 s: 2 in what is left"
    found.step = 19
    trainer._plan_decay(10.0, 12.0, step_before=10)
    assert (found.decay_start, found.decay_steps) == (18, 2)


def test_with_time_to_spare_the_rate_falls_over_the_last_steps(tmp_path: Path) -> None:
    trainer = Trainer(tiny(steps=100), tmp_path)
    for step, start in ((74, None), (75, 75)):
        trainer.progress.step = step
        trainer._plan_decay(1.0, 1e9, step_before=0)
        assert trainer.progress.decay_start == start
    assert trainer.progress.decay_steps == 25


@pytest.mark.slow
def test_a_budget_ends_the_run_with_a_decayed_rate(tmp_path: Path) -> None:
    trainer = Trainer(tiny(steps=None), tmp_path)
    trainer.run(budget_minutes=0.05, show=False)
    assert trainer.progress.decay_start is not None
    assert trainer.progress.step == trainer.progress.decay_start + trainer.progress.decay_steps
    assert trainer.optimisers.parts[0].param_groups[0]["lr"] == pytest.approx(0, abs=1e-9)


@pytest.mark.slow
def test_the_loss_falls(tmp_path: Path) -> None:
    trainer = Trainer(tiny(steps=30, shard_every=1000, warmup_steps=5), tmp_path)
    totals = [trainer.train_step()["total"] for _ in range(30)]
    assert sum(totals[-5:]) < 0.8 * sum(totals[:5])


# evaluation


def test_the_oracle_has_no_error_and_the_baseline_has() -> None:
    walk = render_sequence(0, 6, 24, 24, stride=3.0)
    truth, still = sequence_errors(oracle, walk), sequence_errors(identity_baseline, walk)
    for name, value in truth.items():
        assert abs(value) < 1e-6, name
        assert still[name] > 1e-2, name


def test_unexplained_motion_fits_the_unit_of_length_and_nothing_else() -> None:
    walk = render_sequence(0, 6, 8, 8, stride=3.0).extrinsics
    assert walk is not None
    truth = relative_to_first(walk.double())
    half, back, turned = truth.clone(), truth.clone(), truth.clone()
    half[..., 3] *= 0.5
    back[..., 3] *= -1
    turn = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]], dtype=torch.float64)
    turned[..., :3] = turned[..., :3] @ turn  # the same walk in a world that is turned by a right angle
    assert unexplained_motion(half, truth) == pytest.approx(0, abs=1e-7)
    assert unexplained_motion(back, truth) == 1
    assert unexplained_motion(turned, truth) > 0.3
    still = torch.eye(3, 4, dtype=torch.float64).expand(6, -1, -1)
    assert math.isnan(unexplained_motion(truth, still)) and unexplained_motion(still, truth) == 1


def test_two_frames_have_no_aligned_trajectory() -> None:
    errors = sequence_errors(oracle, render_sequence(0, 2, 16, 16))
    assert math.isnan(errors["ate_relative"]) and errors["rotation_deg"] < 1e-6


@pytest.mark.slow
def test_evaluation_table() -> None:
    model = VGGT.from_seed(tiny().model, 0).eval()
    rows = evaluate(model, (2, 3), rooms=2, kinds=("longer", "denser"))
    assert len(rows) == 2 * 2 * 3
    assert {row["who"] for row in rows} == {"model", "still", "oracle"}
    for row in rows:
        values = row["rotation_deg"]["values"]
        assert row["walks"] == len(values) == 2
        assert row["rotation_deg"]["median"] == pytest.approx(sum(values) / 2, rel=1e-4)
        assert (row["ate_relative"]["median"] is None) == (row["frames"] == 2)
    json.dumps(rows, allow_nan=False)
    with pytest.raises(ValueError, match="kind of walk"):
        evaluate(model, (2,), rooms=1, kinds=("wide",))


@pytest.mark.slow
def test_long_walks_take_half_the_rooms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lib.training.evaluation.LONG", 2)
    model = VGGT.from_seed(tiny().model, 0).eval()
    rows = evaluate(model, (2, 3), rooms=4, kinds=("longer",))
    assert {(row["frames"], row["walks"]) for row in rows} == {(2, 4), (3, 2)}


@pytest.mark.slow
def test_photographs_are_cut_into_pieces(redkitchen: Path) -> None:
    model = VGGT.from_seed(tiny(model=mini_model(depth=4, width=32, image_size=16)).model, 0).eval()
    rows = evaluate_photographs(model, redkitchen, (16, 200))
    assert {(row["frames"], row["walks"]) for row in rows} == {(16, 3)}  # 500 photographs, every tenth
    oracle = next(row for row in rows if row["who"] == "oracle")
    assert oracle["points_relative"]["median"] < 1e-6 and oracle["rotation_deg"]["median"] < 1e-6


def test_records_keep_lists_of_numbers_on_one_line(tmp_path: Path) -> None:
    entries = {"a": [1.5, None, 2], "b": {"c": [[1, 2], [3]]}, "d": "x"}
    update_record(tmp_path / "r.json", entries)
    assert "[ 1.5, null, 2 ]" in (tmp_path / "r.json").read_text()
    update_record(tmp_path / "r.json", {"d": "y"})
    assert json.loads((tmp_path / "r.json").read_text()) == entries | {"d": "y"}


@pytest.mark.slow
def test_half_precision_only_where_it_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = Trainer(tiny(), tmp_path / "run")
    trainer.save()
    for tolerance, kind in ((1.0, "float16"), (0.0, "float32")):
        monkeypatch.setattr("lib.training.export.HALF_TOLERANCE", tolerance)
        weights = export_weights(tmp_path / "run", tmp_path / "w.safetensors")
        stored = json.loads(weights.with_suffix(".json").read_text())["stored"]
        assert stored["dtype"] == kind
        change = storage_change(trainer.averaged_model(), load(weights))
        # The same weights elsewhere in memory may round differently, on some processors.
        assert change == pytest.approx(stored["change"], abs=1e-6) and (change < 1e-6) == (kind == "float32")


# Losses by hand --------------------------------------------------------------------------------------------


def test_camera_loss_by_hand() -> None:
    """Linear beyond 0.02: |e| - 0.01; shifts, rotations and views apart, views half; 0.6 for one before."""
    target = torch.zeros(1, 2, 9)
    last, before = torch.zeros(1, 2, 9), torch.zeros(1, 2, 9)
    last[..., 0], last[..., 3], last[..., 7] = 0.31, 0.41, 0.51
    before[..., 1] = 0.01  # quadratic: e² / 2 / 0.02
    late = 0.3 / 3 + 0.4 / 4 + 0.5 * 0.5 / 2
    early = 0.01**2 / 2 / 0.02 / 3
    assert losses.camera_loss([last], target).item() == pytest.approx(late)
    assert losses.camera_loss([before, last], target).item() == pytest.approx((0.6 * early + late) / 1.6)
    both = losses.camera_loss([last, before, last], target).item()
    assert both == pytest.approx((0.36 * late + 0.6 * early + late) / 1.96)


def test_confident_loss_by_hand() -> None:
    prediction, confidence = torch.zeros(1, 1, 3, 3), torch.full((1, 1, 3), 2.0)
    target = torch.tensor([[[[3.0, 4.0, 0.0], [0.0, 0.0, 1.0], [9.0, 9.0, 9.0]]]])
    valid = torch.tensor([[[True, True, False]]])
    expected = ((2 * 5 - 0.2 * math.log(2)) + (2 * 1 - 0.2 * math.log(2))) / 2
    assert losses.confident_loss(prediction, confidence, target, valid).item() == pytest.approx(expected)
    exact = losses.confident_loss(target, confidence, target, valid).item()
    assert exact == pytest.approx(2e-4 - 0.2 * math.log(2))
    assert losses.confident_loss(prediction, confidence, target, ~valid & valid).item() == 0
    one = losses.confident_loss(prediction, confidence, target, torch.tensor([[[True, False, False]]]))
    assert one.item() == pytest.approx(2 * 5 - 0.2 * math.log(2))


def test_matching_and_tracking_loss_by_hand() -> None:
    """Two patches of four pixels side by side, alike by 1 with themselves and by 0 with the other."""
    descriptors = torch.eye(2).expand(1, 2, 2, 2)
    at = torch.tensor([[[[2.0, 2.0], [4.0, 2.0]]]])  # the first is found, the second lies half-way
    sharp = math.log1p(math.exp(-10))
    cases = (([1.0, 0.0], sharp), ([0.0, 1.0], sharp + 5), ([1.0, 1.0], sharp + 2.5), ([0.0, 0.0], 0))
    for seen, expected in cases:
        tracks = losses.Tracks(at, torch.tensor([[seen]]))
        assert losses.matching_loss(descriptors, tracks, (1, 2), 4).item() == pytest.approx(
            expected, abs=1e-6
        )
    shifts = torch.zeros(1, 2, 2, 2)
    shifts[0, 1] = torch.tensor([[3.0, 4.0], [-0.5, 1.0]])
    for seen, expected in (([1.0, 0.0], 5.0), ([0.0, 1.0], 1.0), ([1.0, 1.0], 3.0), ([0.0, 0.0], 0.0)):
        tracks = losses.Tracks(at, torch.tensor([[seen]]))
        assert losses.tracking_loss(shifts, tracks, (1, 2), 4).item() == pytest.approx(expected, abs=1e-4)
    shifts[0, 1] = torch.tensor([[0.0, 0.0], [-0.5, 0.0]])
    exact = losses.tracking_loss(shifts, losses.Tracks(at, torch.ones(1, 1, 2)), (1, 2), 4)
    assert exact.item() == pytest.approx(1e-4)  # the root's guard against an infinite slope


def test_a_place_beyond_the_outer_patch_centres_belongs_to_the_outer_patch() -> None:
    """Three patches of four pixels, centres 2, 6 and 10; descriptors of the outer two change places."""
    descriptors = torch.eye(3)[torch.tensor([[0, 1, 2], [2, 1, 0]])][None]
    near = math.log1p(2 * math.exp(-10))
    for x, expected in ((-1.0, near), (6.0, near + 10), (11.5, near + 10)):
        tracks = losses.Tracks(torch.tensor([x, 2.0]).expand(1, 1, 3, 2), torch.tensor([[[0.0, 0.0, 1.0]]]))
        found = losses.matching_loss(descriptors, tracks, (1, 3), 4).item()
        assert found == pytest.approx(expected, abs=1e-5)


def test_one_valid_pixel_is_the_unit_of_length() -> None:
    """Of pictures that are not square; pixels of no depth do not count."""
    depth = torch.zeros(1, 2, 4, 6)
    depth[0, 1, 2, 3] = 2.0
    k = torch.tensor([[5.0, 0.0, 1.0], [0.0, 8.0, 1.0], [0.0, 0.0, 1.0]]).expand(1, 2, 3, 3)
    batch = Batch(torch.zeros(1, 2, 3, 4, 6), depth, torch.eye(3, 4).expand(1, 2, 3, 4), k)
    for reference in (True, False):
        target = losses.make_target(batch, reference)
        assert target.scale.item() == pytest.approx(math.dist((0.8, 0.25, 2.0), (0, 0, 0)))
        assert target.valid.sum() == 1 and target.valid[0, 1, 2, 3]
        assert target.depth.max() == 2 / target.scale
        views = torch.tensor([2 * math.atan(4 / 2 / 8), 2 * math.atan(6 / 2 / 5)])
        torch.testing.assert_close(target.pose[0, 1, 7:], views)


def test_relations_between_frames_by_hand() -> None:
    encodings = torch.randn(2, 3, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = losses.between_frames(encodings)
    for scene in range(2):
        cameras, _ = decode_pose(encodings[scene], (4, 4))
        for i in range(3):
            for j in range(3):
                turned = cameras[i, :, :3] @ cameras[j, :, :3].T
                moved = cameras[i, :, 3] - turned @ cameras[j, :, 3]
                expected = torch.cat([moved, turned.flatten(), encodings[scene, i, 7:]])
                torch.testing.assert_close(found[scene, 3 * i + j], expected)


PLACES = (  # (u, v) in frame 0's 5 x 4 pixels, depth of the point, depth that frame 0 sees there; visible?
    *((2.0, 1.25, 1.0, 1.0, 1), (-1.0, 1.25, 1.0, 1.0, 0), (9.0, 1.25, 1.0, 1.0, 0)),
    *(
        (0.0, 1.25, 1.0, 1.0, 0),
        (0.25, 1.25, 1.0, 1.0, 1),
        (3.75, 1.25, 1.0, 1.0, 1),
        (4.0, 1.25, 1.0, 1.0, 0),
    ),
    *((2.0, 0.0, 1.0, 1.0, 0), (2.0, 0.25, 1.0, 1.0, 1), (2.0, 2.75, 1.0, 1.0, 1), (2.0, 3.0, 1.0, 1.0, 0)),
    *((2.0, -3.0, 1.0, 1.0, 0), (2.0, 9.0, 1.0, 1.0, 0)),
    *((2.0, 1.25, 20.0, 20.5, 1), (2.0, 1.25, 20.0, 21.0, 0), (2.0, 1.25, 20.0, 19.0, 0)),
    *((2.0, 1.25, 1.5e-3, 1.5e-3, 1), (2.0, 1.25, 1e-3, 1e-3, 0)),
)


@pytest.mark.parametrize(("u", "v", "depth", "first", "visible"), PLACES)
def test_where_a_point_is_seen_in_frame_0(
    u: float, v: float, depth: float, first: float, visible: int
) -> None:
    """Strictly inside, in front of the camera, and at the depth that the nearest pixel has to a twentieth."""
    maps = torch.full((1, 2, 4, 5), 9.0)
    row, column = min(max(round(v), 0), 3), min(max(round(u), 0), 4)
    maps[0, 0, row, column] = first
    k = torch.tensor([[8.0, 0.0, 2.0], [0.0, 4.0, 1.5], [0.0, 0.0, 1.0]]).expand(1, 2, 3, 3)
    point = torch.tensor([(u - 2) / 8 * depth, (v - 1.5) / 4 * depth, depth]).expand(1, 2, 4, 5, 3)
    nothing = torch.zeros(1, 2, 9)
    cameras = torch.eye(3, 4).expand(1, 2, 3, 4)
    target = losses.Target(nothing, maps, point, maps > 0, cameras, k, torch.ones(1))
    tracks = losses.true_tracks(target, 1)
    torch.testing.assert_close(tracks.place[0, 0, 0], torch.tensor([u, v]))
    assert tracks.seen.unique().tolist() == [visible]


def test_a_point_behind_frame_0_is_not_seen() -> None:
    maps, point = torch.full((1, 2, 4, 5), 1e-3), torch.tensor([0.0, 0.0, -1.0]).expand(1, 2, 4, 5, 3)
    k = torch.tensor([[8.0, 0.0, 2.0], [0.0, 4.0, 1.5], [0.0, 0.0, 1.0]]).expand(1, 2, 3, 3)
    cameras = torch.eye(3, 4).expand(1, 2, 3, 4)
    target = losses.Target(torch.zeros(1, 2, 9), maps, point, maps > 0, cameras, k, torch.ones(1))
    assert not losses.true_tracks(target, 1).seen.any()


@pytest.mark.parametrize(("nearer", "seen"), [(0.96, 1.0), (0.94, 0.0), (1.04, 1.0), (1.06, 0.0)])
def test_a_patch_is_hidden_where_depths_differ_by_a_twentieth(nearer: float, seen: float) -> None:
    depth = torch.full((1, 2, 16, 16), 2.0)
    depth[:, 0] *= nearer
    k = torch.tensor([[16.0, 0.0, 8.0], [0.0, 16.0, 8.0], [0.0, 0.0, 1.0]]).expand(1, 2, 3, 3)
    batch = Batch(torch.zeros(1, 2, 3, 16, 16), depth, torch.eye(3, 4).expand(1, 2, 3, 4), k)
    assert losses.true_tracks(losses.make_target(batch), 8).seen.unique().tolist() == [seen]
