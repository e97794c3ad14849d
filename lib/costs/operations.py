"""Multiplications and additions of one forward pass, by what they are for: an account of time, not a clock.

A product of an (a, b) with a (b, c) matrix counts 2abc. Softmax, norms and the prediction heads are left out:
all are linear in the tokens, so that the share of global attention is, if anything, overstated.
"""

from __future__ import annotations

from dataclasses import dataclass

from lib.merging import TokenLayout
from lib.vggt.config import VGGTConfig


@dataclass(frozen=True)
class Operations:
    """Operations of a forward pass. embedding: the DINOv2 blocks, attention included; dense: projections and
    MLPs of the alternating blocks; frame_attention, global_attention: QKᵀ and AV; matching: similarities of
    sources and destinations in all global blocks.
    """

    embedding: float
    dense: float
    frame_attention: float
    global_attention: float
    matching: float = 0.0

    @property
    def alternating(self) -> float:
        """Those of the alternating blocks: all but the embedding and the matching."""
        return self.dense + self.frame_attention + self.global_attention

    @property
    def total(self) -> float:
        """Sum of all parts."""
        fixed = self.embedding + self.dense + self.frame_attention
        return fixed + self.global_attention + self.matching


def dense_operations(tokens: int, width: int, mlp_ratio: float = 4.0) -> float:
    """Projections (q, k, v, output) and MLP of one block: 2·tokens·width²·(4 + 2·ratio)."""
    return 2 * tokens * width**2 * (4 + 2 * mlp_ratio)


def attention_operations(queries: float, keys: float, width: int) -> float:
    """QKᵀ and AV of one block, all heads together: 4·queries·keys·width."""
    return 4 * queries * keys * width


def matching_share(destinations: float) -> float:
    """Operations of bipartite matching over those of full attention: f(1−f)/2, at any size and strength.

    ``destinations`` f, share of all tokens, in [0, 1]; every other token is scored against every destination
    over the full width (2·(1−f)N·fN·n against 4N²n).

    Raises:
        ValueError: ``destinations`` lies outside [0, 1].
    """
    if not 0 <= destinations <= 1:
        raise ValueError(f"the share of destinations must lie in [0, 1], got {destinations}")
    return destinations * (1 - destinations) / 2


def forward_operations(
    config: VGGTConfig, layout: TokenLayout, pairs: float = 1.0, matching: float = 0.0
) -> Operations:
    """Operations of one forward pass over the frames of ``layout``.

    pairs: query–key pairs of global attention over those without merging, mean over blocks (kept² where
    queries and keys merge alike). matching: operations of choosing the plan of one global block, see
    `lib.merging.RegisteredRule.matching_operations`.
    """
    tokens, width = layout.tokens, config.width
    whole = attention_operations(tokens, tokens, width)
    in_frames = attention_operations(tokens, layout.tokens_per_frame, width)
    dense = dense_operations(tokens, width, config.mlp_ratio)
    embedding = 0.0
    if config.patch_embed.kind == "dinov2":
        per_block = dense_operations(tokens, width, config.patch_embed.mlp_ratio) + in_frames
        embedding = config.patch_embed.depth * per_block
    return Operations(
        embedding=embedding,
        dense=2 * config.depth * dense,
        frame_attention=config.depth * in_frames,
        global_attention=config.depth * whole * pairs,
        matching=config.depth * matching,
    )
