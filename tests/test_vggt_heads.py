"""Patch embedding, camera head and DPT head apart from the model: stored probes, units, and small laws."""

import numpy as np
import pytest
import torch
from parity import assert_close_golden
from PIL import Image
from small_models import tiny_config
from torch.nn import functional

from lib.vggt.config import CameraHeadConfig, DenseHeadConfig, PatchEmbedConfig
from lib.vggt.dense_head import (
    DenseHead,
    FusionBlock,
    ResidualConvUnit,
    activate_dense,
    resize,
    uv_axes,
    uv_embedding,
)
from lib.vggt.dinov2 import VisionTransformer, interpolate_pos_embed
from lib.vggt.heads import CameraHead


def _weights(probes, golden_config, name):
    prefix = name + golden_config["probes"]["weights_infix"]
    return {key[len(prefix) :]: value for key, value in probes.items() if key.startswith(prefix)}


class TestPositionalTable:
    def test_matches_stored_interpolations(self, units, golden_config):
        config = golden_config["units"]["pos_embed"]
        for case in config["cases"]:
            rows, columns = case["image_height"], case["image_width"]
            ours = interpolate_pos_embed(
                units[config["table"]],
                rows // config["patch_size"],
                columns // config["patch_size"],
                square_image=rows == columns,
            )
            tolerances = golden_config["tolerances"]["units"]
            assert_close_golden(
                case["key"], ours, units[case["key"]], tolerances, golden_config["units"]["file"]
            )

    def test_own_grid_is_returned_untouched_only_for_square_images(self):
        table = torch.randn(1, 1 + 36, 4, generator=torch.Generator().manual_seed(0))
        assert interpolate_pos_embed(table, 6, 6, square_image=True) is table
        oblong = interpolate_pos_embed(table, 4, 9, square_image=False)  # also 36 patches
        assert oblong.shape == table.shape and not torch.equal(oblong, table)

    @pytest.mark.parametrize(("rows", "columns"), [(3, 4), (9, 4)])
    def test_another_grid_is_resized_as_a_picture_library_does(self, rows, columns):
        """Bicubic, and where it shrinks each value is a mean over all that it stands for."""
        table = torch.randn(1, 1 + 36, 2, generator=torch.Generator().manual_seed(0))
        found = interpolate_pos_embed(table, rows, columns, square_image=rows == columns)
        assert torch.equal(found[:, 0], table[:, 0])
        for channel in range(2):
            picture = Image.fromarray(table[0, 1:, channel].reshape(6, 6).numpy())
            resized = np.asarray(picture.resize((columns, rows), Image.Resampling.BICUBIC))
            np.testing.assert_allclose(found[0, 1:, channel].reshape(rows, columns), resized, atol=1e-5)


class TestVisionTransformer:
    @torch.no_grad()
    @pytest.mark.parametrize(("rows", "columns"), [(2, 2), (1, 4)])
    def test_patches_carry_their_rows_of_the_table(self, rows, columns):
        """Without blocks: each patch by its own product, its row of the table, the last norm."""
        config = tiny_config(image_size=16, patch_embed=PatchEmbedConfig(depth=0, heads=3))
        torch.manual_seed(0)
        model = VisionTransformer(config)
        images = torch.rand(2, 3, 8 * rows, 8 * columns, generator=torch.Generator().manual_seed(0))
        weight, bias = model.patch_embed.proj.weight, model.patch_embed.proj.bias
        cut = [
            (images[:, None, :, 8 * r : 8 * r + 8, 8 * c : 8 * c + 8] * weight).sum((2, 3, 4)) + bias
            for r in range(rows)
            for c in range(columns)
        ]
        table = interpolate_pos_embed(model.pos_embed, rows, columns, square_image=rows == columns)[:, 1:]
        expected = functional.layer_norm(torch.stack(cut, 1) + table, (48,), eps=1e-6)
        torch.testing.assert_close(model(images), expected, atol=1e-5, rtol=1e-5)

    def test_it_begins_as_dinov2_does(self):
        torch.manual_seed(0)
        model = VisionTransformer(tiny_config(patch_embed=PatchEmbedConfig(depth=1, heads=3)))
        for token in (model.cls_token, model.register_tokens):
            assert token.std().item() == pytest.approx(1e-6, rel=0.3)
        (block,) = model.blocks
        assert [norm.eps for norm in (model.norm, block.norm1, block.norm2)] == [1e-6] * 3
        assert torch.equal(block.ls1.gamma, torch.ones(48)) and block.attn.rope_base is None


class TestCameraHead:
    @torch.no_grad()
    def test_its_first_two_steps_by_hand(self):
        torch.manual_seed(0)
        head = CameraHead(16, CameraHeadConfig(trunk_depth=1, heads=2, layer_scale=0.5)).eval()
        head.empty_pose_tokens.normal_()
        tokens = torch.randn(2, 3, 16)
        found = head(tokens, iterations=2)
        z = head.token_norm(tokens)
        plain = functional.layer_norm(z, (16,), eps=1e-6)
        pose, total = head.empty_pose_tokens.expand(2, 3, -1), torch.zeros(2, 3, 9)
        for encoding in found:
            shift, scale, gate = head.poseLN_modulation(head.embed_pose(pose)).split(16, -1)
            modulated = z + gate * ((1 + scale) * plain + shift)
            total = total + head.pose_branch(head.trunk_norm(head.trunk(modulated)))
            torch.testing.assert_close(encoding[..., :7], total[..., :7])
            torch.testing.assert_close(encoding[..., 7:], total[..., 7:].clamp(min=0))
            pose = total
        assert len(found) == 2 and len(head(tokens)) == 4

    def test_unless_it_is_told_otherwise_it_sees_all_frames(self):
        head = CameraHead(16, CameraHeadConfig(trunk_depth=2, heads=2))
        assert [block.causal for block in head.trunk] == [False, False]
        assert head.token_norm.eps == head.trunk[0].norm1.eps == 1e-5

    def test_each_norm_has_its_guard(self):
        """The modulated one has its own; the others take the model's. Source: VGGT, the camera head."""
        head = CameraHead(16, CameraHeadConfig(trunk_depth=1, heads=2), 1e-4)
        assert (head.adaln_norm.eps, head.token_norm.eps, head.trunk_norm.eps) == (1e-6, 1e-4, 1e-4)
        assert head.trunk[0].norm1.eps == 1e-4

    def test_matches_stored_iterations(self, probes, golden_config):
        sizes = golden_config["probes"]["camera"]
        config = CameraHeadConfig(
            trunk_depth=sizes["trunk_depth"],
            heads=sizes["heads"],
            iterations=sizes["iterations"],
            mlp_ratio=sizes["mlp_ratio"],
        )
        head = CameraHead(sizes["dim"], config, sizes["norm_eps"]).eval()
        head.load_state_dict(_weights(probes, golden_config, "camera"))
        assert head.adaln_norm.eps == sizes["adaln_eps"]
        with torch.no_grad():
            encodings = head(probes[sizes["tokens"]][:, :, 0])
        for key, encoding in zip(sizes["outputs"], encodings, strict=True):
            tolerances = golden_config["tolerances"]["probes"]
            assert_close_golden(key, encoding, probes[key], tolerances, golden_config["probes"]["file"])

    def test_gradient_of_the_last_iteration_does_not_flow_through_the_fed_back_pose(self):
        torch.manual_seed(0)
        head = CameraHead(16, CameraHeadConfig(trunk_depth=1, heads=2, iterations=2, layer_scale=0.5))
        tokens = torch.randn(1, 3, 16)
        first, second = head(tokens)
        # with the pose detached, the second output depends on the first additively only
        (through,) = torch.autograd.grad(second[..., :7].sum() - first[..., :7].sum(), head.empty_pose_tokens)
        assert torch.equal(through, torch.zeros_like(through))


class TestDenseHead:
    def test_matches_stored_points(self, probes, golden_config):
        sizes, tolerances = golden_config["probes"]["dpt"], golden_config["tolerances"]["probes"]
        head = DenseHead(
            sizes["dim"],
            sizes["patch_size"],
            sizes["special_tokens"],
            _dense_config(sizes),
            sizes["norm_eps"],
        ).eval()
        head.load_state_dict(_weights(probes, golden_config, "dpt"))
        features = dict(zip(sizes["layers"], (probes[key] for key in sizes["tokens"]), strict=True))
        with torch.no_grad():
            points, confidence = head(features, (sizes["image_height"], sizes["image_width"]))
        file = golden_config["probes"]["file"]
        assert_close_golden(sizes["points"], points, probes[sizes["points"]], tolerances, file)
        assert_close_golden(sizes["conf"], confidence, probes[sizes["conf"]], tolerances, file)

    @torch.no_grad()
    @pytest.mark.parametrize("changes", [{}, {"output_channels": None, "down_ratio": 2, "pos_embed": False}])
    def test_maps_by_hand(self, changes):
        head, features = _tiny_head(**changes)
        for value in (head.norm.weight, head.norm.bias):
            value += 0.3 * torch.randn(12, generator=torch.Generator().manual_seed(2))
        found = head.extract(features, (16, 24))
        torch.testing.assert_close(found.flatten(0, 1), _maps_by_hand(head, features), atol=1e-5, rtol=1e-4)
        if not changes:
            values, confidence = head(features, (16, 24))
            raw = found.movedim(2, -1)
            torch.testing.assert_close(values, raw[..., :3].sign() * (raw[..., :3].abs().exp() - 1))
            torch.testing.assert_close(confidence, 1 + raw[..., 3].exp())
        assert head.norm.eps == 1e-5

    def test_chunks_and_batches_decode_alike(self):
        head, features = _tiny_head()
        whole = head(features, (16, 24), frames_chunk=None)
        for chunk in (1, 2, 4, 100):
            for ours, theirs in zip(head(features, (16, 24), frames_chunk=chunk), whole, strict=True):
                torch.testing.assert_close(ours, theirs, atol=2e-6, rtol=1e-5)
        second = head({layer: value[1:] for layer, value in features.items()}, (16, 24))
        torch.testing.assert_close(second[0], whole[0][1:], atol=2e-6, rtol=1e-5)

    def test_feature_head_returns_maps_at_reduced_size(self):
        head, features = _tiny_head(output_channels=None, down_ratio=2, pos_embed=False)
        assert head.extract(features, (16, 24)).shape == (2, 3, 8, 8, 12)

    def test_residual_unit_adds_the_rectified_input(self):
        unit = ResidualConvUnit(4)
        torch.nn.init.zeros_(unit.conv2.weight)
        torch.nn.init.zeros_(unit.conv2.bias)
        x = torch.randn(1, 4, 3, 3, generator=torch.Generator().manual_seed(0))
        assert torch.equal(unit(x), x.clamp(min=0)) and x.min() < 0

    def test_coarsest_fusion_has_no_skip_unit(self):
        assert not hasattr(FusionBlock(4, has_skip=False), "resConfUnit1")

    def test_resize_keeps_the_corners_and_splits_large_batches(self, monkeypatch):
        x = torch.randn(3, 2, 3, 4, generator=torch.Generator().manual_seed(0))
        big = resize(x, (7, 9))
        torch.testing.assert_close(big[..., [0, -1], :][..., [0, -1]], x[..., [0, -1], :][..., [0, -1]])
        monkeypatch.setattr("lib.vggt.dense_head.INTERPOLATION_LIMIT", 7 * 9 * 2)
        assert torch.equal(resize(x, (7, 9)), big)

    @pytest.mark.parametrize(
        ("most", "pieces"), [(5 * 126, [5]), (5 * 126 - 1, [3, 2]), (2 * 126, [2, 2, 1]), (126, [1] * 5)]
    )
    def test_no_piece_of_a_resized_batch_is_larger_than_the_limit(self, monkeypatch, most, pieces):
        """Five pictures of two channels, each resized to 2 x 7 x 9 = 126 numbers, in as few as can be."""
        seen, plain = [], functional.interpolate

        def watched(part, **options):
            seen.append(len(part))
            return plain(part, **options)

        x = torch.randn(5, 2, 3, 4, generator=torch.Generator().manual_seed(0))
        expected = plain(x, size=(7, 9), mode="bilinear", align_corners=True)
        monkeypatch.setattr(functional, "interpolate", watched)
        monkeypatch.setattr("lib.vggt.dense_head.INTERPOLATION_LIMIT", most)
        assert torch.equal(resize(x, (7, 9)), expected) and seen == pieces


class TestEmbeddingAndActivations:
    def test_uv_grid_and_embedding_match(self, units, golden_config):
        config, tolerances = golden_config["units"]["uv"], golden_config["tolerances"]["units"]
        aspect = config["aspect_width"] / config["aspect_height"]
        y, x = uv_axes(config["height"], config["width"], aspect)
        grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)
        file = golden_config["units"]["file"]
        assert_close_golden(config["grid"], grid, units[config["grid"]], tolerances, file)
        embedding = uv_embedding(config["height"], config["width"], aspect, config["channels"])
        assert embedding.dtype == torch.float32
        assert_close_golden(config["embedding"], embedding, units[config["embedding"]], tolerances, file)

    @pytest.mark.parametrize(("height", "width", "aspect"), [(2, 4, 2.0), (3, 5, 0.75), (6, 1, 1.5)])
    def test_the_grid_spans_an_image_of_unit_half_diagonal(self, height, width, aspect):
        """Cells of equal size tile the image: its corners lie half a cell beyond the outer centres."""
        y, x = uv_axes(height, width, aspect)
        assert (len(y), len(x)) == (height, width)
        half_height = 1 / (1 + aspect**2) ** 0.5
        for axis, half in ((y, half_height), (x, aspect * half_height)):
            centres = (2 * torch.arange(len(axis), dtype=torch.float64) + 1) / len(axis) - 1
            torch.testing.assert_close(axis, half * centres)

    def test_the_embedding_by_hand(self):
        """First x, then y, each the sines and then the cosines at speeds 1 and 1/10."""
        found = uv_embedding(3, 2, 1.5, 8)
        y, x = uv_axes(3, 2, 1.5)
        for row in range(3):
            for column in range(2):
                parts = [(x[column], y[row])[axis] / torch.tensor([1.0, 10.0]) for axis in (0, 1)]
                expected = torch.cat([torch.cat((part.sin(), part.cos())) for part in parts])
                torch.testing.assert_close(found[row, column], expected.float())

    def test_the_embedding_is_computed_in_double_precision(self):
        found, (_, x) = uv_embedding(1, 5, 2.0, 256), uv_axes(1, 5, 2.0)
        angles = x[:, None] * torch.tensor([100.0 ** (-k / 64) for k in range(64)], dtype=torch.float64)
        assert torch.equal(found[0, :, :128], torch.cat((angles.sin(), angles.cos()), -1).float())

    def test_activations_match(self, units, golden_config):
        config, tolerances = golden_config["units"], golden_config["tolerances"]["units"]
        for case in config["activations"]:
            values, confidence = activate_dense(
                units[config["activation_input"]], case["activation"], case["conf_activation"]
            )
            assert_close_golden(case["points"], values, units[case["points"]], tolerances, config["file"])
            assert_close_golden(case["conf"], confidence, units[case["conf"]], tolerances, config["file"])

    def test_unknown_activations_are_named(self):
        x = torch.zeros(1, 2, 2, 2)
        with pytest.raises(ValueError, match="'cube'"):
            activate_dense(x, "cube", "expp1")
        with pytest.raises(ValueError, match="'cube'"):
            activate_dense(x, "exp", "cube")


def _maps_by_hand(head, features):
    """Maps of pictures of 2 x 3 patches of 8 pixels, with every stride, padding and size written out."""
    config, scratch, levels = head.config, head.scratch, []

    def placed(x):  # a tenth of the position embedding
        high, wide = x.shape[-2:]
        return x + 0.1 * uv_embedding(high, wide, 1.5, x.shape[1]).permute(2, 0, 1) if config.pos_embed else x

    def weights(layer):
        return layer.weight, layer.bias

    def refined(unit, x):
        x = x.relu()
        inner = functional.conv2d(x, *weights(unit.conv1), padding=1).relu()
        return x + functional.conv2d(inner, *weights(unit.conv2), padding=1)

    def resized(x, high, wide):
        return functional.interpolate(x, (high, wide), mode="bilinear", align_corners=True)

    for level, layer in enumerate(config.layers):
        tokens = head.norm(features[layer].flatten(0, 1)[:, 2:])  # without the special ones
        x = tokens.transpose(1, 2).reshape(6, 12, 2, 3)
        x = placed(functional.conv2d(x, *weights(head.projects[level])))
        if level < 2:
            x = functional.conv_transpose2d(x, *weights(head.resize_layers[level]), stride=(4, 2)[level])
        if level == 3:
            x = functional.conv2d(x, *weights(head.resize_layers[3]), stride=2, padding=1)
        levels.append(functional.conv2d(x, scratch[f"layer{level + 1}_rn"].weight, padding=1))
    assert [level.shape[-2:] for level in levels] == [(8, 12), (4, 6), (2, 3), (1, 2)]
    x = torch.zeros(())
    for level, (high, wide) in ((3, (2, 3)), (2, (4, 6)), (1, (8, 12)), (0, (16, 24))):
        block = scratch[f"refinenet{level + 1}"]
        x = levels[3] if level == 3 else x + refined(block.resConfUnit1, levels[level])
        x = functional.conv2d(resized(refined(block.resConfUnit2, x), high, wide), *weights(block.out_conv))
    x = functional.conv2d(x, *weights(scratch["output_conv1"]), padding=1)
    x = placed(resized(x, 16 // config.down_ratio, 24 // config.down_ratio))
    if config.output_channels is None:
        return x
    first, _, last = scratch["output_conv2"]
    return functional.conv2d(functional.conv2d(x, *weights(first), padding=1).relu(), *weights(last))


def _dense_config(sizes):
    return DenseHeadConfig(
        output_channels=sizes["output_channels"],
        activation=sizes["activation"],
        confidence_activation=sizes["conf_activation"],
        features=sizes["features"],
        out_channels=tuple(sizes["out_channels"]),
        layers=tuple(sizes["layers"]),
        pos_embed=sizes["pos_embed"],
    )


def _tiny_head(**changes):
    torch.manual_seed(0)
    settings = dict(output_channels=4, features=8, out_channels=(8, 8, 12, 12), layers=(0, 1, 2, 3), hidden=6)
    head = DenseHead(12, 8, 2, DenseHeadConfig(**{**settings, **changes})).eval()
    generator = torch.Generator().manual_seed(1)
    return head, {layer: torch.randn(2, 3, 2 + 6, 12, generator=generator) for layer in range(4)}


@pytest.mark.parametrize(
    ("name", "expected"), [("expp1", [3.0, 1.5]), ("expp0", [2.0, 0.5]), ("sigmoid", [2 / 3, 1 / 3])]
)
def test_confidences_by_hand(name, expected):
    maps = torch.tensor([[[[0.3, 0.4]], [[2.0, 0.5]]]])  # a value, and e^c of its confidence
    maps[:, 1] = maps[:, 1].log()
    values, confidence = activate_dense(maps, "linear", name)
    torch.testing.assert_close(values, maps[:, 0, ..., None])
    torch.testing.assert_close(confidence, torch.tensor([[expected]]))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("linear", [3.0, -4.0, 2.0]),
        ("exp", [np.exp(3), np.exp(-4), np.exp(2)]),
        ("inv_log", [np.expm1(3), -np.expm1(4), np.expm1(2)]),
        ("norm_exp", [x / 29**0.5 * np.expm1(29**0.5) for x in (3, -4, 2)]),
        ("xy_inv_log", [3 * np.expm1(2), -4 * np.expm1(2), np.expm1(2)]),
    ],
)
def test_activations_by_hand(name, expected):
    maps = torch.zeros(2, 4, 3, 5)
    maps[0, :, 1, 2] = torch.tensor([3.0, -4.0, 2.0, 0.0])
    maps[0, :, 2, 4] = 7.0  # what stands in other pixels does not enter
    values, _ = activate_dense(maps, name, "expp1")
    torch.testing.assert_close(values[0, 1, 2], torch.tensor(expected, dtype=torch.float32))
    assert torch.equal(values[1], torch.full((3, 5, 3), 1.0 if name == "exp" else 0.0))
