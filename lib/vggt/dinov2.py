"""Patch embeddings: the DINOv2 ViT with registers, and the bare patch convolution. Source: DINOv2."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from lib.vggt.config import VGGTConfig
from lib.vggt.layers import blocks


def interpolate_pos_embed(
    table: Float[Tensor, "1 rows width"], height: int, width: int, *, square_image: bool
) -> Float[Tensor, "1 1+{height}*{width} width"]:
    """Fit a positional table to a grid of height x width patches.

    Class row first. Returned untouched iff the grid has g*g patches and the image is
    square; otherwise the patch part is resized in fp32 by antialiased bicubic to exactly (height, width).
    The table's dtype is kept.
    """
    patches = table.shape[1] - 1
    if height * width == patches and square_image:
        return table
    side = round(patches**0.5)
    grid = table[:, 1:].float().reshape(1, side, side, -1).permute(0, 3, 1, 2)  # (1, C, g, g)
    grid = functional.interpolate(grid, size=(height, width), mode="bicubic", antialias=True)
    grid = grid.permute(0, 2, 3, 1).flatten(1, 2).to(table.dtype)
    return torch.cat((table[:, :1], grid), dim=1)


class PatchConv(nn.Module):
    """Non-overlapping patches through one convolution."""

    def __init__(self, patch_size: int, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, kernel_size=patch_size, stride=patch_size)

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch patches dim"]:
        """Patch tokens of normalised images, row by row."""
        patches: Tensor = self.proj(images).flatten(2).transpose(1, 2)
        return patches


class VisionTransformer(nn.Module):
    """DINOv2 ViT with registers; returns the normalised patch tokens only."""

    def __init__(self, config: VGGTConfig) -> None:
        super().__init__()
        vit = config.patch_embed
        self.patch_size = config.patch_size
        self.patch_embed = PatchConv(config.patch_size, config.width)
        side = config.image_size // config.patch_size
        self.cls_token = nn.Parameter(torch.empty(1, 1, config.width))
        self.pos_embed = nn.Parameter(torch.empty(1, 1 + side * side, config.width))
        self.register_tokens = nn.Parameter(torch.empty(1, vit.registers, config.width))
        self.mask_token = nn.Parameter(torch.zeros(1, config.width))  # in the checkpoint, unused at inference
        scales = {"mlp_ratio": vit.mlp_ratio, "layer_scale": vit.layer_scale, "norm_eps": vit.norm_eps}
        self.blocks = nn.ModuleList(blocks(vit.depth, config.width, vit.heads, kind="vit", **scales))
        self.norm = nn.LayerNorm(config.width, eps=vit.norm_eps)
        if not self.pos_embed.is_meta:  # there is nothing to fill, and trying imports torch's compiler
            nn.init.normal_(self.cls_token, std=1e-6)
            nn.init.normal_(self.register_tokens, std=1e-6)
            nn.init.trunc_normal_(self.pos_embed, std=0.02)

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch patches dim"]:
        """Patch tokens of normalised images, row by row."""
        batch, _, rows, columns = images.shape
        x = self.patch_embed(images)
        x = torch.cat((self.cls_token.expand(batch, -1, -1), x), dim=1)
        height, width = rows // self.patch_size, columns // self.patch_size
        table = interpolate_pos_embed(self.pos_embed, height, width, square_image=rows == columns)
        x = x + table
        # registers carry no position, so they join after the table was added
        registers = self.register_tokens.expand(batch, -1, -1)
        x = torch.cat((x[:, :1], registers, x[:, 1:]), dim=1)
        for block in self.blocks:
            x = block(x)
        patches: Tensor = self.norm(x[:, 1 + registers.shape[1] :])
        return patches


def build_patch_embed(config: VGGTConfig) -> nn.Module:
    """The patch embedding `config.patch_embed.kind` names."""
    if config.patch_embed.kind == "conv":
        return PatchConv(config.patch_size, config.width)
    return VisionTransformer(config)
