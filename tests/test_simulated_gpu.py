"""Every path that a GPU would take, on tensors that say they are on one: devices, types, kernels, waits."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from simulated_gpu import Card, CardError
from small_models import tiny_vggt

from lib import dynamics
from lib.merging import AdaptiveRule, FastVGGTRule, KeyValueGridRule, UniformRule
from lib.probe import Probe
from lib.run import forward
from lib.scenes.rooms import RoomStyle, render_walks, room_seed
from lib.scenes.wider import render_wider_walks
from lib.spectra import AttentionOperator, Budget, exact_scalars, frame_pooled, spectrum_bracket
from lib.training import losses
from lib.training.config import TrainConfig, mini_model
from lib.training.data import Batch
from lib.training.evaluation import evaluate
from lib.training.loop import Trainer
from lib.vggt import FixedScale, memory
from lib.vggt.layers import softmax_attention

RULES = {
    "plain": None,
    "fastvggt": FastVGGTRule(0.5),
    "fastvggt, size bias": FastVGGTRule(0.5, size_bias=True),
    "projected": UniformRule(0.3, metric_width=16),
    "features, size bias": UniformRule(0.3, matching="features", size_bias=True),
    "position": UniformRule(0.3, matching="position"),
    "regions": UniformRule(0.3, region=2),
    "grid": KeyValueGridRule(0.5, seed=1),
    "grid, size bias": KeyValueGridRule(0.5, seed=1, size_bias=True),
    "adaptive": AdaptiveRule(0.5),
}


def images(frames: int = 4) -> torch.Tensor:
    return torch.rand(frames, 3, 32, 24, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("what", "message"),
    [
        (lambda x: x + torch.ones(3), "two devices"),
        (lambda x: torch.ones(3)[torch.arange(2, device="cuda")], "two devices"),
        (lambda x: torch.rand(3, device="cuda", generator=torch.Generator()), "generator of the CPU"),
        (lambda x: x.numpy(), "numpy"),
    ],
)
def test_what_a_gpu_refuses_is_refused(what, message):
    with Card(), pytest.raises(CardError, match=message):
        what(torch.ones(3).to("cuda"))


def test_what_keeps_a_gpu_waiting_is_counted_where_it_is_asked():
    with Card() as card:
        x = torch.ones(3).to("cuda")
        assert x.device.type == "cuda" and x.is_cuda and (x + 1).is_cuda and not x.cpu().is_cuda
        assert card.waited() == 1
        _ = bool((x > 0).all()), x[x > 0], x.tolist(), x + 1
        assert card.waited() == 4
        forward(tiny_vggt().to("cuda"), images())
        assert card.waited("lib/vggt/model.py") == 1


@pytest.mark.parametrize("merged", [False, True])
def test_particles_move_there_as_on_a_cpu(merged):
    x, layer = dynamics.biased_cloud(40, 6, 0.4, 0), dynamics.Layer(2.0, 0.1, values="random")

    def moved(tokens):
        groups = dynamics.groups_of((torch.arange(40) // 2).to(tokens.device), size_bias=True)
        return dynamics.simulate(tokens, layer, 3, merge=(lambda u, number: groups) if merged else None)

    truth = moved(x)
    with Card():
        found = moved(x.to("cuda"))
        assert found.tokens.is_cuda and not found.spread.is_cuda
        torch.testing.assert_close(found.tokens.cpu(), truth.tokens)
        torch.testing.assert_close(found.spread, truth.spread)


def test_mixed_types_in_attention_are_refused():
    with Card(), pytest.raises(CardError, match="attention of"):
        q = torch.ones(1, 1, 4, 8).to("cuda")
        torch.nn.functional.scaled_dot_product_attention(q, q, q.double())


def test_counted_keys_weigh_there_as_on_a_cpu():
    """There the logarithm of a count is one more column of the keys, whatever the scale."""
    q, k, v = torch.randn(3, 2, 2, 5, 12, generator=torch.Generator().manual_seed(0))
    sizes = torch.tensor([[1.0, 7.0, 1.0, 2.0, 1.0], [3.0, 1.0, 1.0, 1.0, 4.0]]).log()
    truth = softmax_attention(q, k, v, SimpleNamespace(log_sizes=sizes), 0.7)
    with Card():
        plan = SimpleNamespace(log_sizes=sizes.to("cuda"))
        found = softmax_attention(*(part.to("cuda") for part in (q, k, v)), plan, 0.7).cpu()
    torch.testing.assert_close(found, truth, atol=1e-5, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", RULES)
def test_a_pass_waits_once_and_keeps_the_fastest_kernel(name):
    """Once: for the look at the images; the adaptive rule asks each block how much it may merge."""
    rule, model = RULES[name], tiny_vggt()
    truth = forward(model, images(), rule)
    with Card() as card:
        there = tiny_vggt().to("cuda")
        forward(there, images(), rule)
        card.waits.clear(), card.kernels.clear()
        found = forward(there, images(), rule)
        assert card.waited("lib/vggt/model.py") == 1
        assert card.waited() == 1 + (3 if name == "adaptive" else 0), card.waits
        blocks = {where: n for where, n in card.kernels.items() if "bfloat16" in where}
        assert sum(blocks.values()) == 2 * model.config.depth and all("flash" in where for where in blocks)
        assert not card.doubles
        assert float(found.report.matching_seconds) >= 0
        moved = (found.pose_enc.cpu() - truth.pose_enc).norm() / truth.pose_enc.norm()
    assert moved < 0.05


@pytest.mark.slow
def test_features_wait_for_the_heads_in_half_precision():
    model = tiny_vggt()
    with Card(), torch.inference_mode(), torch.autocast("cuda", torch.bfloat16):
        kept, _ = model.to("cuda").aggregator(images()[None].to("cuda"), keep={0, 2})
        assert {value.dtype for value in kept.values()} == {torch.bfloat16}
    with Card(), torch.autocast("cuda", torch.bfloat16):
        kept, _ = tiny_vggt().to("cuda").aggregator(images()[None].to("cuda"), keep={0})
        assert kept[0].dtype == torch.float32, "with gradients as they are"


@pytest.mark.slow
@pytest.mark.parametrize(("name", "most"), [("plain", 41), ("fastvggt", 65), ("grid, size bias", 65)])
def test_a_probe_reads_there(name, most):
    """Waits of each head: a few for the Krylov space, one for each number that it gives."""
    with Card() as card:
        probe = Probe(merged=True, queries=(3, 40))
        forward(tiny_vggt().to("cuda"), images(), RULES[name], probe)
        heads = sum(len(reading.heads) for reading in probe.readings)
        assert heads == 9 and card.waited() <= most * heads, card.waits.most_common(5)


@pytest.mark.parametrize(("dtype", "kernel"), [(torch.float32, "efficient"), (torch.bfloat16, "flash")])
def test_spectra_use_the_kernel_of_their_type(dtype, kernel):
    generator = torch.Generator().manual_seed(0)
    q, k = (torch.randn(300, 16, generator=generator) for _ in range(2))
    truth = exact_scalars(AttentionOperator(q, k, 0.25), 0)
    with Card() as card:
        operator = AttentionOperator(q.to("cuda", dtype), k.to("cuda", dtype), 0.25)
        scalars = exact_scalars(operator, 0)
        bracket = spectrum_bracket(operator, 0, Budget(block=16), dense_below=0, steps=6)
        pooled = frame_pooled(operator, 10)
        assert card.kernels and all(f" {kernel} " in where for where in card.kernels)
        assert card.waited() <= 60
    assert scalars.stable_rank == pytest.approx(truth.stable_rank, rel=0.02)
    assert pooled.sum(1).tolist() == pytest.approx([1.0] * 10, abs=0.01)
    assert bracket.lower <= bracket.entropy <= bracket.upper


def test_a_kernel_that_says_no_log_sum_exp_is_not_asked():
    q = torch.ones(4, 8, dtype=torch.float64)
    with Card(), pytest.raises(NotImplementedError, match=r"log-sum-exp for torch\.float64 on cuda"):
        AttentionOperator(q.to("cuda"), q.to("cuda"), 1.0)


@pytest.mark.slow
def test_training_and_evaluation_run_there(tmp_path):
    small = {"frames_per_step": 4, "most_frames": 3, "shard_rooms": 2, "shard_frames": 3, "first_shards": 1}
    with Card() as card:
        trainer = Trainer(TrainConfig(mini_model(depth=4, width=32), steps=3, **small), tmp_path, "cuda")
        trainer.train_step()
        card.waits.clear()
        before = {name: value.cpu().clone() for name, value in trainer.model.state_dict().items()}
        card.waits.clear()
        losses = trainer.train_step()
        assert all(torch.isfinite(torch.tensor(value)) for value in losses.values())
        assert card.waited() <= 8, card.waits
        after = trainer.model.state_dict()
        assert any(not torch.equal(before[name], after[name].cpu()) for name in before)
        rows = evaluate(trainer.averaged_model(), (2,), 1, "cuda", ("longer",))
        assert {row["who"] for row in rows} == {"model", "still", "oracle"}


def test_logits_may_be_scaled_and_memory_is_asked_of_the_card():
    with Card(free=10**6):
        model = tiny_vggt().to("cuda")
        forward(model, images(), logit_scale=FixedScale(1.3))
        estimate = memory.estimate_memory(model.config, 400, 32, 24, autocast=torch.bfloat16)
        with pytest.raises(memory.InsufficientMemoryError, match=r"cuda has 0\.00 GB"):
            memory.require_memory(estimate, "cuda")


WORLDS = {
    "rooms": (),
    "furnished": ("curved", "thin", "clutter", "light"),
    "photographed": ("camera", "hand", "views"),
}


@pytest.mark.parametrize("name", WORLDS)
def test_rooms_are_drawn_on_a_gpu_as_on_a_cpu(name):
    seeds, times = [room_seed("val", 0), room_seed("val", 1)], torch.zeros(2, 1, dtype=torch.float64)
    truth = render_wider_walks(seeds, times, 12, 12, WORLDS[name])
    plain = render_walks(seeds, times, 12, 12, RoomStyle())
    with Card():
        found = render_wider_walks(seeds, times, 12, 12, WORLDS[name], "cuda")
        same = render_walks(seeds, times, 12, 12, RoomStyle(), "cuda")
        pairs = [
            (found.images, truth.images),
            (found.depth, truth.depth),
            (found.extrinsics, truth.extrinsics),
        ]
        pairs += [(same.images, plain.images), (same.depth, plain.depth), (same.extrinsics, plain.extrinsics)]
        assert all(there.is_cuda for there, _ in pairs)
        assert all(torch.allclose(there.cpu(), here, atol=1e-5) for there, here in pairs)


def test_losses_are_taken_on_a_gpu_as_on_a_cpu():
    k = torch.tensor([[16.0, 0, 8], [0, 16, 8], [0, 0, 1]]).repeat(1, 2, 1, 1)
    depth = 1 + torch.rand(1, 2, 16, 16, generator=torch.Generator().manual_seed(0))
    parts = (torch.zeros(1, 2, 3, 16, 16), depth, torch.eye(3, 4).repeat(1, 2, 1, 1), k)
    patches = torch.nn.functional.normalize(torch.arange(32.0).sin().reshape(1, 2, 4, 4), dim=-1)

    def taken(device: str) -> list[float]:
        target = losses.make_target(Batch(*(part.to(device) for part in parts)), reference=False)
        tracks = losses.true_tracks(target, 8)
        found = (
            losses.matching_loss(patches.to(device), tracks, (2, 2), 8),
            losses.tracking_loss(patches[..., :2].to(device), tracks, (2, 2), 8),
            losses.camera_loss([target.pose + 0.1], target.pose),
        )
        assert all(loss.device.type == device for loss in found)
        return [loss.item() for loss in found]

    with Card():
        assert taken("cuda") == pytest.approx(taken("cpu"))
