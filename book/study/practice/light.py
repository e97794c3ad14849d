"""The light mode of the advice: one long pass, few of its blocks and heads, its price before it starts.

A few frames run alone first. They time the machine, so that the long pass can be priced, and the alarm
compares with them.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from book.study.practice.alarm import LEAST, cameras, spread_out
from lib.costs.operations import attention_operations, forward_operations
from lib.merging import RegisteredRule, Setting, TokenLayout
from lib.run import Params, Setup, load_model, load_scene
from lib.vggt import AttentionEvent, LengthScale, VGGTConfig
from lib.vggt.memory import MemoryEstimate, estimate_memory, require_memory

BLOCKS, HEADS, QUERIES = 3, 2, 64  # of which the light mode reads
SETTINGS = (  # all with size bias, which leaves the share of frame 0 as it is
    Setting("fastvggt", 0.3, True),
    Setting("fastvggt", 0.7, True),
    Setting("grid", 0.7, True),
)
FORECAST_ROWS = 2  # numbers of a token's width, fp32, that a forecast holds beside what the block holds


def considered(layout: TokenLayout, seed: int) -> dict[Setting, RegisteredRule]:
    """The settings of the light mode that this layout can reach."""
    made = {setting: setting.merging(seed) for setting in SETTINGS}
    return {s: r for s, r in made.items() if r is not None and (r.saturates or r.largest_m(layout) >= s.m)}


def prepare(params: Params) -> Setup:
    """As `lib.run.prepare` for cameras only: no dense heads, and on a GPU the aggregator in bf16.

    Raises:
        ValueError: the network has no camera head; and as `lib.run.load_scene`.
        InsufficientMemoryError: naming what the pass needs, before it starts.
    """
    model, banner = load_model(replace(params, device="cpu"))
    if model.camera_head is None:
        raise ValueError(f"the light mode compares cameras, and {params.model!r} has no camera head")
    model.depth_head = model.point_head = model.track_head = None
    if params.device.startswith("cuda"):
        model.aggregator.to(torch.bfloat16)
    setup = Setup(params, model.to(params.device), load_scene(params, model.config), None, banner)
    require_memory(memory(setup), params.device)
    return setup


def memory(setup: Setup) -> MemoryEstimate:
    """Bytes of the pass with a forecast of `SETTINGS` in it."""
    frames, _, height, width = setup.sequence.images.shape
    config, dtype = setup.model.config, setup.model.aggregator.camera_token.dtype
    found = estimate_memory(config, frames, height, width, heads=("camera",), kept=1.0, dtype=dtype)
    return replace(found, blocks=found.blocks + 4 * FORECAST_ROWS * setup.layout.tokens * config.width)


@dataclass(frozen=True)
class Bill:
    """Operations of the light mode by what they are for; `alone` is what has run already, and was timed."""

    alone: float
    parts: Mapping[str, float]

    def seconds(self, spent: float) -> dict[str, float]:
        """Forecast of each part if operations go as fast as the few frames alone, which took `spent`."""
        return {name: operations * spent / self.alone for name, operations in self.parts.items()}


def bill(config: VGGTConfig, layout: TokenLayout, rules: Collection[RegisteredRule], few: int) -> Bill:
    """What the light mode will do after `few` frames ran alone; merged attention counts as if unmerged."""
    blocks = len(spread_out(config.depth, BLOCKS))
    n, width = layout.tokens, config.width
    merged = len(rules) * attention_operations(n, n, width)
    matching = float(np.sum([rule.matching_operations(layout, width) for rule in rules]))
    sampled = 2.0 * QUERIES * n * width / config.heads * HEADS
    return Bill(
        forward_operations(config, replace(layout, frames=few)).total,
        {
            "the pass": forward_operations(config, layout).total,
            f"rules in {blocks} blocks": blocks * (merged + matching),
            f"queries of {HEADS} heads": blocks * sampled,
        },
    )


def require_time(seconds: float, minutes: float) -> None:
    """Raises ValueError where the forecast exceeds the budget, with the way out."""
    if seconds > 60 * minutes:
        raise ValueError(
            f"the light mode is forecast to take {seconds / 60:.1f} minutes, more than minutes = "
            f"{minutes:g}; allow more, or give fewer frames"
        )


def alone(setup: Setup, trained: int) -> tuple[Tensor, list[int], float]:
    """Cameras of the few frames by themselves, their places, and the seconds of a second, warm pass."""
    chosen = spread_out(len(setup.sequence), max(LEAST, trained))
    few = replace(setup, sequence=setup.sequence.take(chosen))
    cameras(few)
    start = time.perf_counter()
    found = cameras(few)  # on the CPU, so the queue of a GPU is done
    return found, chosen, time.perf_counter() - start


@dataclass
class FirstFrame:
    """Observer: share of attention on frame 0, of some queries of later frames in a few blocks and heads.

    share: block -> mean over heads and queries. Cost: one row of attention a query; memory O(N · queries).
    """

    depth: int
    heads: int
    seed: int
    share: dict[int, float] = field(default_factory=dict)

    def observe(self, event: AttentionEvent) -> None:
        """Read one block if it is among the few."""
        layout = event.layout
        if event.kind != "global" or layout is None or event.layer not in spread_out(self.depth, BLOCKS):
            return
        chosen, first = spread_out(self.heads, HEADS), layout.tokens_per_frame
        generator = torch.Generator().manual_seed(self.seed)
        queries = torch.randint(first, layout.tokens, (QUERIES,), generator=generator).to(event.q_full.device)
        with torch.inference_mode(), torch.autocast(event.x.device.type, enabled=False):
            held = [self._share(event, head, queries, first) for head in chosen]
        self.share[event.layer] = float(np.mean(held))

    def _share(self, event: AttentionEvent, head: int, queries: Tensor, first: int) -> float:
        logits = event.scale * event.q_full[0, head, queries].float() @ event.k_full[0, head].float().mT
        return float(logits.softmax(-1)[:, :first].sum(-1).mean())


def log_odds(share: float, frames: int) -> float:
    """b, nats: log-odds of frame 0 against an average other frame, from its share among `frames` > 1."""
    return float(np.log(share / (1 - share)) + np.log(frames - 1))


@dataclass(frozen=True)
class Remedy:
    """What keeps the balance of training: bias on the keys of frame 0, nats; factor of all logits.

    No more frames than in training: 0 and 1. Source: the chapter on long sequences.
    """

    bias: float
    factor: float


def remedy(layout: TokenLayout, trained: int) -> Remedy:
    """ln((S−1)/(S_train−1)), and ln N/ln N_train with N_train the tokens of `trained` > 1 frames."""
    bias = max(0.0, float(np.log((layout.frames - 1) / (trained - 1))))
    return Remedy(bias, LengthScale(trained).factor(0, layout))


def shown(bill_seconds: Mapping[str, float]) -> str:
    """The price of each part and of all, as one line."""
    parts = [f"{name} {seconds:.3g} s" for name, seconds in bill_seconds.items()]
    return f"{'; '.join(parts)}; in all {sum(bill_seconds.values()):.3g} s"
