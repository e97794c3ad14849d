"""The transformer inside the tracker: attention over time, and across tracks via virtual ones.

Source: VGGT.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lib.merging.plan import Features
from lib.vggt.config import TrackHeadConfig
from lib.vggt.layers import Mlp, normal_parameter


class TrackAttention(nn.Module):
    """Self-attention block whose skip carries the normalised input: x = norm(x); x = x + attn(x)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.mlp = Mlp(width, 4 * width)

    def forward(self, x: Features) -> Features:
        """One block."""
        x = self.norm1(x)
        x = x + self.attn(x, x, x, need_weights=False)[0]
        change: Tensor = self.mlp(self.norm2(x))
        return x + change


class TrackCrossAttention(nn.Module):
    """Cross-attention block; like `TrackAttention` it adds to the normalised input."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.norm_context = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.cross_attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.mlp = Mlp(width, 4 * width)

    def forward(self, x: Features, context: Float[Tensor, "batch others width"]) -> Features:
        """One block; x asks, the context answers."""
        x, context = self.norm1(x), self.norm_context(context)
        x = x + self.cross_attn(x, context, context, need_weights=False)[0]
        change: Tensor = self.mlp(self.norm2(x))
        return x + change


class UpdateTransformer(nn.Module):
    """Attention over time for every track, and over tracks through a few learned virtual ones."""

    def __init__(self, width_in: int, width_out: int, config: TrackHeadConfig) -> None:
        super().__init__()
        width, heads, blocks = config.hidden, config.heads, config.blocks
        self.input_norm = nn.LayerNorm(width_in)
        self.input_transform = nn.Linear(width_in, width)
        self.output_norm = nn.LayerNorm(width)
        self.flow_head = nn.Linear(width, width_out)
        # the misspelling is the public checkpoint's
        self.virual_tracks = normal_parameter(1, config.virtual_tracks, 1, width)
        self.time_blocks = _repeat(TrackAttention, blocks, width, heads)
        self.space_virtual_blocks = _repeat(TrackAttention, blocks, width, heads)
        self.space_point2virtual_blocks = _repeat(TrackCrossAttention, blocks, width, heads)
        self.space_virtual2point_blocks = _repeat(TrackCrossAttention, blocks, width, heads)

    def forward(
        self, x: Float[Tensor, "batch points frames width_in"]
    ) -> Float[Tensor, "batch points frames width_out"]:
        """Updates of every point in every frame; points keep single precision up to here."""
        batch, points, frames = x.shape[:3]
        start = self.input_transform(self.input_norm(x.to(self.input_norm.weight.dtype)))
        virtual = self.virual_tracks.expand(batch, -1, frames, -1)
        x = torch.cat((start, virtual), dim=1)  # (B, N + virtual, S, hidden)
        for block, time_block in enumerate(self.time_blocks):
            x = time_block(x.flatten(0, 1)).unflatten(0, (batch, -1))
            x = self._across_tracks(block, x.transpose(1, 2).flatten(0, 1), points)
            x = x.unflatten(0, (batch, frames)).transpose(1, 2)
        update: Tensor = self.flow_head(self.output_norm(x[:, :points] + start))
        return update

    def _across_tracks(
        self, block: int, x: Float[Tensor, "sequences tokens width"], points: int
    ) -> Float[Tensor, "sequences tokens width"]:
        """One exchange between points and virtual tracks, which come last in x."""
        point, virtual = x[:, :points], x[:, points:]
        virtual = self.space_virtual2point_blocks[block](virtual, point)
        virtual = self.space_virtual_blocks[block](virtual)
        point = self.space_point2virtual_blocks[block](point, virtual)
        return torch.cat((point, virtual), dim=1)


def _repeat(kind: type[nn.Module], count: int, width: int, heads: int) -> nn.ModuleList:
    return nn.ModuleList(kind(width, heads) for _ in range(count))
