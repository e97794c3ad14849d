"""Where attention goes: mass on frame 0, own frame, patches that show the same surface, and the rest."""

from __future__ import annotations

import time
from collections.abc import Sequence as Several
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lib.geometry import unproject
from lib.merging import TokenLayout
from lib.scenes.sequence import Sequence
from lib.training.losses import DEPTH_TOLERANCE, patch_centres
from lib.vggt.layers import AttentionEvent

GROUPS = ("frame 0", "own frame", "matching", "rest")


def draw_queries(layout: TokenLayout, count: int, seed: int) -> Tensor:
    """(2·count,) tokens: `count` patches of random frames 1 …, then the camera tokens of those frames."""
    generator = torch.Generator().manual_seed(seed)
    frames = torch.randint(1, layout.frames, (count,), generator=generator)
    patches = torch.randint(layout.patches, (count,), generator=generator)
    first = frames * layout.tokens_per_frame
    return torch.cat([first + layout.special + patches, first])


def matching_tokens(sequence: Sequence, layout: TokenLayout, queries: Tensor) -> Tensor:
    """(queries, N) bool: patch tokens of all frames that show the surface at the centre of a query's patch.

    None match a camera token, nor anything without true depth and cameras.
    """
    found = torch.zeros(len(queries), layout.tokens, dtype=torch.bool)
    if sequence.depth is None or sequence.extrinsics is None or sequence.intrinsics is None:
        return found
    patch = sequence.images.shape[-1] // layout.patches_wide
    centres = patch_centres((layout.patches_high, layout.patches_wide), patch, torch.device("cpu")).long()
    world = unproject(sequence.depth, sequence.extrinsics, sequence.intrinsics)
    frame, token = queries // layout.tokens_per_frame, queries % layout.tokens_per_frame - layout.special
    is_patch = token >= 0
    u, v = centres[token.clamp(min=0)].unbind(-1)
    points = world[frame, v, u].float()  # (queries, 3)
    seen, index = _project(points, sequence, patch, layout)
    for row in torch.nonzero(is_patch)[:, 0].tolist():
        found[row, index[row][seen[row]]] = True
    return found


def _project(points: Tensor, sequence: Sequence, patch: int, layout: TokenLayout) -> tuple[Tensor, Tensor]:
    """Whether each frame sees each point, and the token of the patch it falls into, both (queries, S)."""
    assert sequence.depth is not None and sequence.extrinsics is not None and sequence.intrinsics is not None
    poses, lens = sequence.extrinsics.float(), sequence.intrinsics.float()
    camera = torch.einsum("sij,qj->qsi", poses[..., :3], points) + poses[:, :, 3]
    depth = camera[..., 2].clamp(min=1e-3)
    u = (camera[..., 0] / depth * lens[:, 0, 0] + lens[:, 0, 2]).round().long()
    v = (camera[..., 1] / depth * lens[:, 1, 1] + lens[:, 1, 2]).round().long()
    height, width = sequence.depth.shape[-2:]
    inside = (u >= 0) & (u < width) & (v >= 0) & (v < height) & (camera[..., 2] > 1e-3)
    u, v = u.clamp(0, width - 1), v.clamp(0, height - 1)
    frames = torch.arange(layout.frames)
    there = sequence.depth[frames, v, u].float()
    seen = inside & ((there - depth).abs() < DEPTH_TOLERANCE * depth)
    token = (v // patch) * layout.patches_wide + u // patch + layout.special
    return seen, frames * layout.tokens_per_frame + token


def group_masks(layout: TokenLayout, queries: Tensor, matches: Tensor) -> Tensor:
    """(N, queries, 4) one-hot: group of each key for each query, in the order of `GROUPS`; disjoint."""
    frame = torch.arange(layout.tokens) // layout.tokens_per_frame
    first = (frame == 0)[:, None].expand(-1, len(queries))
    own = frame[:, None] == (queries // layout.tokens_per_frame)[None]
    match = matches.T & ~first & ~own
    return torch.stack([first, own, match, ~(first | own | match)], -1).float()


@dataclass
class Shares:
    """Observer of global attention: ln Σ e^ℓ of each group of keys, for chosen queries, layer by layer.

    masks: of `group_masks`. factors: by which the logits are multiplied on top of what the model did, each
    read from the same activations. found: one array (factors, heads, queries, 4) a layer, nats; merged keys
    count for the groups of their members in equal parts. seconds: of the processor, spent here.
    """

    queries: Tensor
    masks: Tensor
    factors: Several[float] = (1.0,)
    found: list[NDArray[np.float32]] = field(default_factory=list)
    seconds: float = 0.0

    def observe(self, event: AttentionEvent) -> None:
        """Read one layer."""
        if event.kind == "global":
            start = time.process_time()
            self.found.append(self._read(event))
            self.seconds += time.process_time() - start

    def _read(self, event: AttentionEvent) -> NDArray[np.float32]:
        plan = event.plan
        rows = self.queries if plan is None or plan.output_rows is None else plan.output_rows[0, self.queries]
        weights = self.masks.flatten(1)[None, None]
        if plan is not None:
            weights = plan.merge_keys(weights)
        weights = weights[0, 0].view(-1, *self.masks.shape[1:])  # (Nk, queries, 4)
        logits = event.scale * (event.q[0][:, rows].float() @ event.k[0].float().transpose(-1, -2))
        bias = 0.0 if plan is None or plan.log_sizes is None else plan.log_sizes[0].float()
        layer = []
        for factor in self.factors:
            scaled = factor * logits + bias
            top = scaled.amax(-1, keepdim=True)
            sums = torch.einsum("hqk,kqg->hqg", (scaled - top).exp(), weights)
            layer.append(sums.clamp(min=1e-30).log() + top)
        return torch.stack(layer).numpy()

    def table(self) -> NDArray[np.float32]:
        """(layers, factors, heads, queries, 4)."""
        return np.stack(self.found)
