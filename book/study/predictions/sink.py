"""The reference frame's share of global attention: how it dilutes, what merging does to it, what restores it.

Frame 0 is the reference. A long sequence and a short one hold the same `SHORT` frames, and what is compared
are the queries of these frames, so that a share differs by its surroundings only.
"""

from __future__ import annotations

from collections.abc import Sequence as Numbers
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from book.study.anchored import Anchored
from book.study.head_laws import reference_odds, reference_share
from lib.merging import MergingRule, Plan, TokenLayout
from lib.run import forward
from lib.vggt import VGGT, AttentionEvent, LogitScale

Arrays = dict[str, NDArray[np.float64]]
SHORT = 8  # frames of the short sequence


def reference_rows(plan: Plan | None, layout: TokenLayout) -> tuple[Tensor, float]:
    """(keys,) which key rows hold a token of frame 0, and their share f of all weight on keys (item 0)."""
    first = layout.tokens_per_frame
    if plan is None:
        return torch.arange(layout.tokens) < first, 1 / layout.frames
    members, offsets = plan.keys.members[0].cpu(), plan.keys.offsets[0].cpu()
    row = torch.bucketize(torch.arange(len(members)), offsets, right=True) - 1
    held = torch.zeros(plan.key_length, dtype=torch.bool)
    held[row[members < first]] = True
    weight = plan.sizes[0].cpu() if plan.size_bias else torch.ones(plan.key_length, dtype=torch.float64)
    return held, float(weight[held].sum() / weight.sum())


@dataclass
class Share:
    """Observer: share of attention on frame 0, of the queries of chosen frames, and f, in each global block.

    shares: per block (heads, frames · tokens a frame); weights: f. Memory O(queries · N) for one head.
    """

    frames: Numbers[int]
    shares: list[NDArray[np.float64]] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)

    def observe(self, event: AttentionEvent) -> None:
        """Read a global block."""
        if event.kind != "global" or event.layout is None:
            return
        each = event.layout.tokens_per_frame
        tokens = (torch.tensor(self.frames)[:, None] * each + torch.arange(each)).flatten().to(event.q.device)
        plan = event.plan
        rows = tokens if plan is None or plan.output_rows is None else plan.output_rows[0][tokens]
        held, weight = reference_rows(plan, event.layout)
        bias = None if plan is None or plan.log_sizes is None else plan.log_sizes[0].float()
        with torch.inference_mode(), torch.autocast(event.x.device.type, enabled=False):
            found = []
            for q, k in zip(event.q[0].float(), event.k[0].float(), strict=True):
                logits = event.scale * q[rows] @ k.T
                a = torch.softmax(logits if bias is None else logits + bias, -1)
                found.append(a[:, held.to(a.device)].sum(-1).double().cpu().numpy())
        self.shares.append(np.stack(found))
        self.weights.append(weight)


def shares(
    model: VGGT,
    images: Tensor,
    frames: Numbers[int],
    rule: MergingRule | None = None,
    scale: LogitScale | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(blocks, heads, queries) share of frame 0 and (blocks,) f of one run; see `Share`."""
    probe = Share(frames)
    forward(model, images, rule, probe, logit_scale=scale, heads=())
    return np.stack(probe.shares), np.array(probe.weights)


def matched(frames: int) -> list[int]:
    """The frames of a long sequence that are the short one. Raises ValueError where they are not even."""
    if frames % SHORT or frames == SHORT:
        raise ValueError(f"frames must be a multiple of {SHORT} above it, got {frames}")
    return list(range(0, frames, frames // SHORT))


def dilution(model: VGGT, images: Tensor, restore: bool = True, scale: LogitScale | None = None) -> Arrays:
    """Shares of frame 0 in SHORT and in all S frames, (blocks, heads) each, means over queries.

    sink.short, sink.long measured; sink.law: predicted for S from SHORT; sink.restored: in S frames when the
    keys of frame 0 weigh (S−1)/(SHORT−1), through the whole network, where asked for.
    """
    places = matched(len(images))
    short, _ = shares(model, images[places], range(SHORT), scale=scale)
    long, _ = shares(model, images, places, scale=scale)
    law = reference_share(reference_odds(short, 1 / SHORT), 1 / len(images))
    found = {"short": short, "long": long, "law": law}
    if restore:
        found["restored"] = shares(model, images, places, Anchored(SHORT), scale)[0]
    return {f"sink.{name}": values.mean(-1) for name, values in found.items()}


def merged_share(
    model: VGGT, images: Tensor, rules: Numbers[MergingRule], scale: LogitScale | None = None
) -> Arrays:
    """What merging does to the share of frame 0 in S frames, per rule.

    sink.merged, sink.merged_law (rules, blocks): measured, and from SHORT unmerged frames and the weight f of
    the rows with frame 0 in the plan; means over heads and queries.
    """
    places = matched(len(images))
    short, _ = shares(model, images[places], range(SHORT), scale=scale)
    odds = reference_odds(short, 1 / SHORT)
    found, laws = [], []
    for rule in rules:
        share, weights = shares(model, images, places, rule, scale)
        found.append(share.mean((1, 2)))
        pairs = zip(odds, weights, strict=True)
        laws.append([float(reference_share(o, f).mean()) for o, f in pairs])
    return {"sink.merged": np.array(found), "sink.merged_law": np.array(laws)}
