"""What holds for any VGGT: symmetries, arguments that must not change results, merging, errors."""

import inspect
import json
from dataclasses import fields, replace

import pytest
import torch
from small_models import tiny_config, tiny_vggt

from lib.merging import FastVGGTRule, KeyValueGridRule
from lib.vggt import VGGT, CameraHeadConfig, PatchEmbedConfig, Prediction, VGGTConfig
from lib.vggt.aggregator import Aggregator
from lib.vggt.dense_head import DenseHead
from lib.vggt.memory import estimate_memory
from lib.vggt.tracks import TrackHead

DENSE = ("pose_enc", "depth", "depth_conf", "world_points", "world_points_conf")
TENSORS = (*DENSE, "extrinsics", "intrinsics")


def _images(*lead, seed=0):
    return torch.rand(*lead, 3, 16, 24, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def model():
    return tiny_vggt().requires_grad_(False)


class Watcher:
    def __init__(self):
        self.events = []

    def observe(self, event):
        self.events.append(event)


def _assert_bitwise_equal(first: Prediction, second: Prediction):
    for name in TENSORS:
        assert torch.equal(getattr(first, name), getattr(second, name)), name


class TestSymmetries:
    def test_equivariant_to_permuting_all_frames_but_the_first(self, model):
        images, order = _images(5), [0, 3, 1, 4, 2]
        plain, permuted = model(images), model(images[order])
        for name in DENSE:
            torch.testing.assert_close(
                getattr(permuted, name), getattr(plain, name)[:, order], atol=2e-5, rtol=1e-4
            )

    def test_the_first_frame_is_special(self, model):
        images, order = _images(3), [1, 0, 2]
        plain, swapped = model(images), model(images[order])
        assert (swapped.pose_enc - plain.pose_enc[:, order]).abs().max() > 1e-2

    def test_scenes_of_a_batch_do_not_mix(self, model):
        images = torch.stack((_images(3, seed=1), _images(3, seed=2)))
        both = model(images)
        for index in range(2):
            alone = model(images[index])
            for name in DENSE:
                torch.testing.assert_close(
                    getattr(both, name)[index], getattr(alone, name)[0], atol=2e-5, rtol=1e-4
                )

    def test_scene_axis_may_be_left_out(self, model):
        images = _images(2)
        _assert_bitwise_equal(model(images), model(images[None]))

    def test_the_first_frame_has_special_tokens_of_its_own(self, model):
        """Slot 0 of the camera and register tokens is for frame 0 of every scene, slot 1 for all others."""
        watcher, aggregator = Watcher(), model.aggregator
        model(_images(2, 3), probe=watcher)
        entering = watcher.events[0].x.unflatten(0, (2, 3))  # (scenes, frames, tokens, width)
        special = model.config.special_tokens
        for frame, slot in ((0, 0), (1, 1), (2, 1)):
            own = torch.cat((aggregator.camera_token[0, slot], aggregator.register_token[0, slot]))
            assert torch.equal(entering[:, frame, :special], own.expand(2, -1, -1))
        assert not torch.equal(entering[0, 0, :special], entering[0, 1, :special])

    def test_images_are_normalised_as_those_that_the_patch_embedding_knows(self, model):
        """Mean and spread of the colours of ImageNet, before each patch becomes a token."""
        images, watcher = _images(2), Watcher()
        model(images, probe=watcher, heads=())
        mean, spread = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])[..., None, None]
        projection = model.aggregator.patch_embed.proj
        tokens = torch.nn.functional.conv2d(
            (images - mean) / spread, projection.weight, projection.bias, stride=8
        )
        entering = watcher.events[0].x[:, model.config.special_tokens :]
        torch.testing.assert_close(entering, tokens.flatten(2).transpose(1, 2), atol=1e-5, rtol=1e-5)

    def test_cameras_are_read_off_the_last_camera_tokens(self, model):
        """The token in front of each frame, after the last pair of blocks; the last round is the answer."""
        images, last = _images(3), model.config.depth - 1
        features, _ = model.aggregator(images[None], keep={last})
        rounds = model.camera_head(features[last][:, :, 0])
        found = model(images, heads=("camera",))
        assert all(torch.equal(a, b) for a, b in zip(found.pose_enc_list, rounds, strict=True))
        assert torch.equal(found.pose_enc, rounds[-1]) and not torch.equal(rounds[-1], rounds[-2])

    def test_special_tokens_begin_with_the_spread_of_the_configuration(self):
        torch.manual_seed(0)
        aggregator = Aggregator(tiny_config(depth=1, depth_head=None, point_head=None, token_std=0.02))
        for token in (aggregator.camera_token, aggregator.register_token):
            assert token.std().item() == pytest.approx(0.02, rel=0.25)

    @pytest.mark.parametrize("kind", ["conv", "dinov2"])
    def test_row_and_column_are_told_apart(self, kind):
        patch_embed = PatchEmbedConfig(kind=kind, depth=1, heads=3)
        model = tiny_vggt(patch_embed=patch_embed).requires_grad_(False)
        images = _images(2)[..., :16]
        turned, plain = model(images.transpose(-1, -2)), model(images)
        assert (turned.pose_enc - plain.pose_enc).abs().max() > 1e-2

    def test_a_random_position_embedding_is_as_small_as_where_it_was_first_trained(self):
        patch_embed = PatchEmbedConfig(kind="dinov2", depth=1, heads=3)
        embedding = tiny_vggt(patch_embed=patch_embed, width=48).aggregator.patch_embed.pos_embed
        assert embedding.std().item() == pytest.approx(0.02, rel=0.2)


class TestNeutralArguments:
    def test_no_merging_is_bitwise_plain(self, model):
        images = _images(3)
        plain = model(images)
        _assert_bitwise_equal(plain, model(images, merging=None, merging_start=1))
        rule = FastVGGTRule(0.5)
        _assert_bitwise_equal(plain, model(images, merging=rule, merging_start=model.config.depth))

    def test_probing_is_bitwise_neutral(self, model):
        images, watcher = _images(2, 3), Watcher()
        _assert_bitwise_equal(model(images), model(images, probe=watcher))
        depth = model.config.depth
        labels = [(event.kind, event.layer) for event in watcher.events]
        assert labels == [(kind, layer) for layer in range(depth) for kind in ("frame", "global")]
        frame, whole = watcher.events[:2]
        assert frame.x.shape == (6, frame.layout.tokens_per_frame, model.config.width)
        assert whole.x.shape == (2, whole.layout.tokens, model.config.width)
        assert (frame.layout.frames, frame.layout.patches_high, frame.layout.patches_wide) == (3, 2, 3)

    def test_probing_a_merged_pass_is_bitwise_neutral(self, model):
        images, watcher, rule = _images(3), Watcher(), FastVGGTRule(0.5)
        merged = model(images, merging=rule)
        _assert_bitwise_equal(merged, model(images, merging=rule, probe=watcher))
        plans = [event.plan for event in watcher.events if event.kind == "global"]
        assert all(plan is not None for plan in plans)
        assert all(event.plan is None for event in watcher.events if event.kind == "frame")

    @pytest.mark.parametrize("heads", [("camera",), ("depth",), ("points",), ("points", "camera")])
    def test_a_subset_of_heads_equals_the_full_run(self, model, heads):
        images = _images(3)
        full, part = model(images), model(images, heads=heads)
        owned = {
            "camera": ("pose_enc", "extrinsics", "intrinsics"),
            "depth": ("depth", "depth_conf"),
            "points": ("world_points", "world_points_conf"),
        }
        for head, names in owned.items():
            for name in names:
                if head in heads:
                    assert torch.equal(getattr(part, name), getattr(full, name))
                else:
                    assert getattr(part, name) is None

    def test_frame_chunks_make_no_difference(self, model):
        images = _images(5)
        whole, chunked = model(images, frames_chunk=None), model(images, frames_chunk=2)
        for name in DENSE:
            torch.testing.assert_close(getattr(whole, name), getattr(chunked, name), atol=2e-6, rtol=1e-5)

    def test_frames_are_decoded_eight_at_once_unless_asked_otherwise(self):
        """The memory estimate counts on it."""
        takers = (VGGT.forward, DenseHead.forward, DenseHead.extract, TrackHead.forward, estimate_memory)
        defaults = [inspect.signature(taker).parameters["frames_chunk"].default for taker in takers]
        assert defaults == [8] * 5

    def test_only_layers_that_are_read_are_kept(self, model):
        features, _ = model.aggregator(_images(1, 2), keep={1})
        assert set(features) == {1}
        read = model.config.layers_read
        assert read(("camera",)) == {2} and read(("depth",)) == {0, 1, 2}
        early = tiny_config(depth_head=replace(model.config.depth_head, layers=(0, 0, 1, 1)))
        assert early.layers_read(("depth",)) == {0, 1} and early.layers_read(("depth", "camera")) == {0, 1, 2}
        assert tiny_config(camera_head=None).layers_read(("camera",)) == set()

    @pytest.mark.parametrize("rule", [None, KeyValueGridRule(stride=2, size_bias=True)])
    def test_autocast_leaves_the_heads_in_full_precision(self, model, rule):
        images = _images(3)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            prediction = model(images, merging=rule)
        plain = model(images, merging=rule)
        for name in DENSE:
            value = getattr(prediction, name)
            assert value.dtype == torch.float32 and value.isfinite().all()
        assert (prediction.pose_enc - plain.pose_enc).norm() < 0.1 * plain.pose_enc.norm()

    def test_a_model_in_half_precision_runs(self):
        model = tiny_vggt().requires_grad_(False).to(torch.bfloat16)
        prediction = model(_images(2), merging=FastVGGTRule(0.3))
        assert prediction.depth.dtype == torch.bfloat16 and prediction.depth.isfinite().all()


class TestMerging:
    def test_report_counts_what_the_plans_say(self, model):
        watcher = Watcher()
        report = model(_images(4), merging=FastVGGTRule(0.5), merging_start=1, probe=watcher).report
        plans = [event.plan for event in watcher.events if event.kind == "global"]
        tokens = watcher.events[0].layout.tokens
        assert plans[0] is None and report.kept[0] == 1.0
        assert report.kept[1:] == tuple(plan.kept for plan in plans[1:])
        assert all(kept < 1 for kept in report.kept[1:])
        assert report.pairs == tokens**2 + sum(plan.pairs for plan in plans[1:])
        assert report.pairs_plain == model.config.depth * tokens**2 and report.tokens == tokens
        assert report.matching_seconds > 0
        by_hand = sum(len(event.q[0, 0]) * len(event.k[0, 0]) for event in watcher.events[1::2])
        assert report.pairs == by_hand

    def test_plain_report(self, model):
        report = model(_images(2)).report
        assert report.kept == (1.0,) * model.config.depth
        assert report.pairs == report.pairs_plain and report.matching_seconds == 0

    def test_merging_starts_where_asked(self, model):
        images, rule = _images(4), FastVGGTRule(0.5)
        plain, late, early = (
            model.aggregator(images[None], keep=range(3), **arguments)[0]
            for arguments in ({}, {"merging": rule, "merging_start": 1}, {"merging": rule})
        )
        width = model.config.width
        assert torch.equal(plain[0], late[0])
        assert not torch.equal(plain[0], early[0])
        assert torch.equal(plain[1][..., :width], late[1][..., :width])  # frame block 1 comes first
        assert not torch.equal(plain[1][..., width:], late[1][..., width:])

    def test_scenes_of_a_batch_merge_on_their_own(self, model):
        images = torch.stack((_images(3, seed=1), _images(3, seed=2)))
        rule = FastVGGTRule(0.5)
        both = model(images, merging=rule)
        alone = model(images[1], merging=rule)
        torch.testing.assert_close(both.depth[1], alone.depth[0], atol=5e-5, rtol=1e-4)


class TestTraining:
    def test_every_parameter_of_the_conv_model_gets_a_gradient(self):
        model = tiny_vggt()
        prediction = model(_images(2, 3))
        loss = sum(encoding.square().sum() for encoding in prediction.pose_enc_list)
        loss = loss + prediction.depth.log().square().mean() + prediction.depth_conf.mean()
        loss = loss + prediction.world_points.square().mean() + prediction.world_points_conf.mean()
        loss.backward()
        dead = [
            name for name, value in model.named_parameters() if value.grad is None or not value.grad.any()
        ]
        assert dead == []

    def test_a_seed_decides_the_weights_and_spares_the_global_state(self):
        state = torch.random.get_rng_state()
        first, again, other = (VGGT.from_seed(tiny_config(), seed).state_dict() for seed in (1, 1, 2))
        assert torch.equal(torch.random.get_rng_state(), state)
        assert all(torch.equal(first[name], again[name]) for name in first)
        name = "aggregator.camera_token"
        assert not torch.equal(first[name], other[name])


RELEASED = """
image_size 518, patch_size 14, width 1024, depth 24, heads 16, mlp_ratio 4, registers 4, qk_norm True,
rope_base 100, norm_eps 1e-5, layer_scale 0.01, token_std 1e-6, causal False, reference True
patch_embed: kind dinov2, depth 24, heads 16, registers 4, mlp_ratio 4, layer_scale 1, norm_eps 1e-6
camera_head: trunk_depth 4, heads 16, iterations 4, mlp_ratio 4, layer_scale 0.01
depth_head: output_channels 2, activation exp, confidence_activation expp1, features 256, pos_embed True,
down_ratio 1, hidden 32
point_head: output_channels 4, activation inv_log, confidence_activation expp1, features 256, pos_embed True,
down_ratio 1, hidden 32
track_head: features 128, down_ratio 2, stride 2, iterations 4, corr_levels 7, corr_radius 4, hidden 384,
heads 8, blocks 6, virtual_tracks 64, max_scale 518
"""


class TestConfig:
    def test_the_large_model_is_the_released_one(self):
        """Every size and setting of VGGT-1B, and the number of weights that they make."""
        config = VGGTConfig.vggt_1b()
        found = config.to_dict()
        sections = {"": found} | {k: found.pop(k) for k in list(found) if isinstance(found[k], dict)}
        for name in ("depth_head", "point_head", "track_head"):
            assert list(sections[name].pop("layers")) == [4, 11, 17, 23]
            assert list(sections[name].pop("out_channels")) == [256, 512, 1024, 1024]
        text = RELEASED.replace(",\n", ", ").strip().split("\n")
        for line in text:
            name, _, settings = line.rpartition(": ")
            pairs = dict(setting.split() for setting in settings.split(", "))
            assert {key: str(value) for key, value in sections.pop(name).items() if key not in pairs} == {}
            assert all(_setting(pairs[k]) == getattr(getattr(config, name, config), k) for k in pairs)
        assert sections == {}
        with torch.device("meta"):
            weights = VGGT(config).parameters()
        assert sum(value.numel() for value in weights) == 1_256_537_516

    def test_json_round_trip(self):
        for config in (VGGTConfig.vggt_1b(), tiny_config()):
            assert VGGTConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config

    def test_absent_heads_are_absent(self):
        model = tiny_vggt(camera_head=None, point_head=None).requires_grad_(False)
        prediction = model(_images(2))
        assert model.available_heads == ("depth",)
        filled = {entry.name for entry in fields(prediction) if getattr(prediction, entry.name) is not None}
        assert filled == {"report", "depth", "depth_conf"}

    def test_the_large_model_can_do_without_its_track_head(self):
        whole, part = VGGTConfig.vggt_1b(), VGGTConfig.vggt_1b(enable_track=False)
        assert whole.enable_track and not part.enable_track
        assert part == replace(whole, track_head=None)

    def test_iterations_are_configurable(self):
        model = tiny_vggt(camera_head=CameraHeadConfig(trunk_depth=1, heads=4, iterations=2))
        assert len(model(_images(2), heads=("camera",)).pose_enc_list) == 2

    def test_impossible_sizes_are_named(self):
        with pytest.raises(ValueError, match="width 50 is not a multiple of heads 3"):
            tiny_config(width=50)
        with pytest.raises(ValueError, match="divisible by 4, got 6"):
            tiny_config(width=12, heads=2)
        with pytest.raises(ValueError, match="'linear'"):
            tiny_config(patch_embed=PatchEmbedConfig(kind="linear"))
        with pytest.raises(ValueError, match=r"depth_head.layers must be four layers in 0\.\.2"):
            tiny_config(depth_head=replace(tiny_config().depth_head, layers=(0, 1, 2, 3)))
        with pytest.raises(ValueError, match="no field"):
            VGGTConfig.from_dict({"colour": 3})


def _setting(text: str) -> bool | float | str:
    if text in ("True", "False"):
        return text == "True"
    return text if text[0].isalpha() else float(text)


class TestErrors:
    @pytest.mark.usefixtures("unchecked")
    @pytest.mark.parametrize(
        ("images", "message"),
        [
            (torch.rand(2, 4, 16, 24), r"got \(1, 2, 4, 16, 24\)"),
            (torch.rand(3, 16, 24), r"\(S, 3, H, W\).*got \(3, 16, 24\)"),
            (torch.rand(0, 3, 16, 24), "S >= 1"),
            (torch.rand(2, 3, 18, 24), "height 18 is not a multiple of the patch size 8; use 16 or 24"),
            (torch.rand(2, 3, 16, 5), "width 5 is not a multiple of the patch size 8; use 8"),
            (torch.rand(2, 3, 0, 24), "height 0 is not a multiple of the patch size 8; use 8"),
            (torch.full((2, 3, 16, 24), float("nan")), "NaN or infinite"),
            (torch.rand(2, 3, 16, 24) / 0, "NaN or infinite"),
            ((1 / torch.arange(24)).expand(2, 3, 16, 24), "NaN or infinite"),
            ((-1 / torch.arange(24)).expand(2, 3, 16, 24), "NaN or infinite"),
            (torch.rand(2, 3, 16, 24) * 255, "divide by 255"),
            (torch.rand(2, 3, 16, 24) - 0.5, r"lie in \[0, 1\]"),
            (torch.zeros(2, 3, 16, 24, dtype=torch.uint8), "floating point"),
        ],
    )
    def test_images(self, model, images, message):
        with pytest.raises(ValueError, match=message):
            model(images)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"query_points": torch.rand(4, 2)}, "no track head"),
            ({"heads": ("camera", "sky")}, r"\['sky'\] are not in this model"),
            ({"heads": ("tracks",)}, r"\['tracks'\] are not in this model"),
            ({"heads": "camera"}, "collection of names"),
            ({"frames_chunk": 0}, "at least 1"),
            ({"merging_start": 4}, r"0\.\.3, got 4"),
            ({"merging_start": -1}, r"0\.\.3, got -1"),
        ],
    )
    def test_arguments(self, model, arguments, message):
        with pytest.raises(ValueError, match=message):
            model(_images(2), **arguments)


def test_a_model_of_one_pair_of_blocks_needs_no_dense_head():
    config = tiny_config(depth=1, depth_head=None, point_head=None)
    assert VGGT.from_seed(config, 0).depth_head is None
