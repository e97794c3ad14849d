"""The whole model against stored stages and predictions, its weights and norms against VGGT-1B's tables."""

import csv

import pytest
import torch
from parity import assert_close_golden
from safetensors.torch import load_file
from small_models import golden_vggt
from torch import nn

from lib.geometry import unproject
from lib.vggt import VGGT, VGGTConfig


@pytest.fixture(scope="module")
def stored(golden, golden_config):
    return load_file(golden / golden_config["small_vggt"]["io_file"])


@pytest.fixture(scope="module")
def check(stored, golden_config):
    def compare(key, value):
        tolerances = golden_config["tolerances"]["small_vggt_io"]
        assert_close_golden(key, value, stored[key], tolerances, golden_config["small_vggt"]["io_file"])

    return compare


class Stages:
    """Outputs of named submodules during one forward pass, through plain forward hooks."""

    def __init__(self, model, names):
        self.outputs = {}
        self.handles = [model.get_submodule(name).register_forward_hook(self._keeper(name)) for name in names]

    def _keeper(self, name):
        def keep(module, inputs, output):
            self.outputs[name] = output

        return keep


@pytest.fixture(scope="module")
def run(golden, golden_config, stored):
    """(model, prediction, stage outputs) of the golden small VGGT without its track head."""
    model = golden_vggt(golden, golden_config, track=False)
    sizes = golden_config["small_vggt"]
    names = [
        "aggregator.patch_embed",
        "aggregator.patch_embed.patch_embed",
        *(f"aggregator.patch_embed.blocks.{layer}" for layer in range(sizes["vit_depth"])),
        "aggregator.frame_blocks.0.attn",
        "aggregator.global_blocks.1.attn",
        "aggregator.global_blocks.1.attn.q_norm",
        "camera_head.token_norm",
        *(f"depth_head.resize_layers.{level}" for level in range(4)),
        *(f"depth_head.scratch.refinenet{level}" for level in range(1, 5)),
        "depth_head.scratch.output_conv1",
    ]
    stages = Stages(model, names)
    with torch.no_grad():
        prediction = model(stored["in.images"])
    return model, prediction, stages.outputs


class TestStages:
    def test_patch_embed(self, run, golden_config, check):
        _, _, stages = run
        check("stage.vit_conv_tokens", stages["aggregator.patch_embed.patch_embed"])
        for layer in range(golden_config["small_vggt"]["vit_depth"]):
            check(f"stage.vit_block{layer}", stages[f"aggregator.patch_embed.blocks.{layer}"])
        check("stage.vit_x_norm_patchtokens", stages["aggregator.patch_embed"])

    def test_attention(self, run, check):
        _, _, stages = run
        check("stage.frame_block0.attn_out", stages["aggregator.frame_blocks.0.attn"])
        check("stage.global_block1.attn_out", stages["aggregator.global_blocks.1.attn"])
        check("stage.global_block1.q_after_qknorm", stages["aggregator.global_blocks.1.attn.q_norm"])

    def test_heads(self, run, check):
        _, _, stages = run
        check("stage.camera_token_norm", stages["camera_head.token_norm"])
        for level in range(4):
            check(f"stage.depth_resize{level}", stages[f"depth_head.resize_layers.{level}"])
            name = f"refinenet{level + 1}"
            check(f"stage.depth_{name}", stages[f"depth_head.scratch.{name}"])
        check("stage.depth_output_conv1", stages["depth_head.scratch.output_conv1"])

    def test_every_stored_stage_is_covered(self, stored, golden_config):
        covered = 2 + golden_config["small_vggt"]["vit_depth"] + 3 + 1 + 4 + 4 + 1
        assert covered == sum(key.startswith("stage.") for key in stored)


class TestOutputs:
    def test_aggregated_layers(self, run, golden_config, stored, check):
        model, _, _ = run
        depth = golden_config["small_vggt"]["depth"]
        with torch.no_grad():
            features, _ = model.aggregator(stored["in.images"][None], keep=range(depth))
        for layer in range(depth):
            check(f"out.aggregated{layer}", features[layer])

    def test_cameras(self, run, golden_config, check):
        _, prediction, _ = run
        assert len(prediction.pose_enc_list) == golden_config["small_vggt"]["camera_iterations"]
        for iteration, encoding in enumerate(prediction.pose_enc_list):
            check(f"out.pose_enc_iter{iteration}", encoding)
        check("out.pose_enc", prediction.pose_enc)
        check("out.extrinsic", prediction.extrinsics)
        check("out.intrinsic", prediction.intrinsics)

    def test_dense_predictions(self, run, check):
        _, prediction, _ = run
        check("out.depth", prediction.depth)
        check("out.depth_conf", prediction.depth_conf)
        check("out.world_points", prediction.world_points)
        check("out.world_points_conf", prediction.world_points_conf)

    def test_points_from_depth(self, run, check):
        _, prediction, _ = run
        cameras = prediction.extrinsics.double(), prediction.intrinsics.double()
        points = unproject(prediction.depth[..., 0].double(), *cameras)
        check("out.points_from_depth", points[0])


@pytest.fixture(scope="module")
def vggt_1b():
    with torch.device("meta"):
        return VGGT(VGGTConfig.vggt_1b())


class TestFullSize:
    def test_state_dict_equals_the_checkpoint_table(self, golden, vggt_1b):
        with (golden / "vggt1b_state_dict.csv").open() as stream:
            rows = list(csv.DictReader(stream))
        expected = {
            row["name"]: (row["shape"], row["dtype"]) for row in rows if row["in_state_dict"] == "yes"
        }
        ours = {name: _described(tensor) for name, tensor in vggt_1b.state_dict().items()}
        assert ours == expected
        buffers = {row["name"]: (row["shape"], row["dtype"]) for row in rows if row["in_state_dict"] == "no"}
        assert {name: _described(tensor) for name, tensor in vggt_1b.named_buffers()} == buffers

    def test_norm_layers_equal_the_table(self, golden, vggt_1b):
        with (golden / "vggt1b_norm_layers.csv").open() as stream:
            rows = list(csv.DictReader(stream))
        expected = {
            row["module"]: (row["type"], row["shape"], float(row["eps"]), row["affine"]) for row in rows
        }
        ours = {}
        for name, module in vggt_1b.named_modules():
            if isinstance(module, nn.LayerNorm):
                shape = "x".join(map(str, module.normalized_shape))
                ours[name] = ("LayerNorm", shape, module.eps, str(module.elementwise_affine))
            elif isinstance(module, nn.GroupNorm):
                shape = f"{module.num_groups}x{module.num_channels}"
                ours[name] = ("GroupNorm", shape, module.eps, str(module.affine))
        assert ours == expected

    def test_image_constants_survive_the_meta_device(self, vggt_1b):
        buffers = dict(vggt_1b.named_buffers())
        assert len(buffers) == 2 and not any(buffer.is_meta for buffer in buffers.values())

    def test_construction_on_meta_allocates_nothing(self, vggt_1b):
        assert all(parameter.is_meta for parameter in vggt_1b.parameters())

    @pytest.mark.slow
    def test_shapes_propagate_on_meta_at_full_size(self, vggt_1b):
        images = torch.empty(2, 3, 28, 42, device="meta")
        prediction = vggt_1b(images, heads=("camera", "depth", "points"))
        assert prediction.pose_enc.shape == (1, 2, 9)
        assert prediction.depth.shape == (1, 2, 28, 42, 1)
        assert prediction.world_points.shape == (1, 2, 28, 42, 3)


def _described(tensor):
    return "x".join(map(str, tensor.shape)), str(tensor.dtype).removeprefix("torch.")
