"""Small VGGTs for tests: the one behind the golden numbers, and a tiny random one."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn

from lib.training.config import mini_model
from lib.vggt import (
    VGGT,
    AttentionEvent,
    CameraHeadConfig,
    DenseHeadConfig,
    PatchEmbedConfig,
    TrackHeadConfig,
    VGGTConfig,
)


def golden_vggt_config(sizes: dict, *, track: bool = True) -> VGGTConfig:
    """The golden small VGGT from ``config.json["small_vggt"]``; `track=False` leaves the track head out."""
    return VGGTConfig(
        image_size=sizes["img_size"],
        patch_size=sizes["patch_size"],
        width=sizes["width"],
        depth=sizes["depth"],
        heads=sizes["heads"],
        mlp_ratio=sizes["mlp_ratio"],
        registers=sizes["registers"],
        qk_norm=sizes["qk_norm"],
        rope_base=sizes["rope_base"],
        norm_eps=sizes["norm_eps"],
        patch_embed=PatchEmbedConfig(
            depth=sizes["vit_depth"],
            heads=sizes["vit_heads"],
            registers=sizes["vit_registers"],
            mlp_ratio=sizes["vit_mlp_ratio"],
            norm_eps=sizes["vit_norm_eps"],
        ),
        camera_head=CameraHeadConfig(
            trunk_depth=sizes["camera_trunk_depth"],
            heads=sizes["camera_heads"],
            iterations=sizes["camera_iterations"],
            mlp_ratio=sizes["camera_mlp_ratio"],
        ),
        depth_head=_dense(sizes, "depth"),
        point_head=_dense(sizes, "point"),
        track_head=_track(sizes) if track else None,
    )


def golden_vggt(golden: Path, golden_config: dict, *, track: bool = True) -> VGGT:
    """The golden small VGGT with its stored weights, in eval mode."""
    sizes = golden_config["small_vggt"]
    model = VGGT(golden_vggt_config(sizes, track=track))
    weights = load_file(golden / sizes["weights_file"])
    kept = {key: value for key, value in weights.items() if track or not key.startswith("track_head.")}
    model.load_state_dict(kept)
    return model.eval()


def tiny_config(**changes) -> VGGTConfig:
    """Three layer pairs of width 48 on 8-pixel patches, convolution embedding, all heads but tracks."""
    settings = dict(
        patch_size=8,
        width=48,
        depth=3,
        heads=3,
        layer_scale=0.5,
        token_std=0.5,
        patch_embed=PatchEmbedConfig(kind="conv"),
        camera_head=CameraHeadConfig(trunk_depth=1, heads=4),
        depth_head=_tiny_dense(2, "exp"),
        point_head=_tiny_dense(4, "inv_log"),
        track_head=None,
    )
    return VGGTConfig(**{**settings, **changes})


def tiny_vggt(seed: int = 0, **changes) -> VGGT:
    """A random tiny VGGT in eval mode whose gains and biases are far from their neutral initial values."""
    model = VGGT.from_seed(tiny_config(**changes), seed)
    generator = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.LayerNorm) and module.elementwise_affine:
                module.weight += 0.3 * torch.randn(module.weight.shape, generator=generator)
                module.bias += 0.3 * torch.randn(module.bias.shape, generator=generator)
    return model.eval()


def _tiny_dense(output_channels: int, activation: str) -> DenseHeadConfig:
    return DenseHeadConfig(
        output_channels, activation, features=8, out_channels=(8, 8, 12, 12), layers=(0, 1, 1, 2), hidden=8
    )


def _dense(sizes: dict, name: str) -> DenseHeadConfig:
    return DenseHeadConfig(
        output_channels=sizes[f"{name}_output_channels"],
        activation=sizes[f"{name}_activation"],
        confidence_activation=sizes[f"{name}_conf_activation"],
        features=sizes[f"{name}_features"],
        out_channels=tuple(sizes[f"{name}_out_channels"]),
        layers=tuple(sizes[f"{name}_layers"]),
        pos_embed=sizes["dpt_pos_embed"],
    )


def _track(sizes: dict) -> TrackHeadConfig:
    return TrackHeadConfig(
        features=sizes["track_features"],
        out_channels=tuple(sizes["track_out_channels"]),
        layers=tuple(sizes["track_layers"]),
        down_ratio=sizes["track_down_ratio"],
        stride=sizes["track_stride"],
        iterations=sizes["track_iterations"],
        corr_levels=sizes["track_corr_levels"],
        corr_radius=sizes["track_corr_radius"],
        hidden=sizes["track_hidden"],
        heads=sizes["track_heads"],
        blocks=sizes["track_blocks"],
        virtual_tracks=sizes["track_virtual"],
        max_scale=sizes["track_max_scale"],
    )


TINY_RUN = {  # options of a training that takes a second a step
    "model": mini_model(depth=4, width=32, image_size=16),
    "frames_per_step": 6,
    "most_frames": 3,
    "shard_rooms": 2,
    "shard_frames": 4,
    "first_shards": 1,
    "most_shards": 2,
    "shard_every": 3,
    "validation_rooms": 2,
    "validation_frames": 3,
}


class Kept:
    """Observer that keeps what global attention is observed with."""

    def __init__(self) -> None:
        self.events: list[AttentionEvent] = []

    def observe(self, event: AttentionEvent) -> None:
        """Keep the event, if it is of a global block."""
        if event.kind == "global":
            self.events.append(event)
