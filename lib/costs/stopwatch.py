"""Where the seconds of a forward pass go: clocks put on a network from outside.

Parts are timed by hooks and a function mode; the network itself is left as it is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from lib.merging import MergingRule, Plan, TokenLayout
from lib.vggt import VGGT

CLOCKS = ("CPU", "wall")
PARTS = (
    "embedding",
    "frame blocks",
    "projections and MLPs",
    "attention",
    "matching",
    "moving tokens",
    "heads",
    "rest",
)


@dataclass
class Stopwatch:
    """Inclusive seconds by name over one forward pass: (CPU, wall). Waits for a GPU's queue."""

    device: torch.device
    spent: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    running: dict[str, list[NDArray[np.float64]]] = field(default_factory=dict)

    def start(self, name: str) -> None:
        """Start a timer; timers of one name may nest."""
        self.running.setdefault(name, []).append(self._now())

    def stop(self, name: str) -> None:
        """Stop the timer of this name that started last."""
        elapsed = self._now() - self.running[name].pop()
        self.spent[name] = self.spent.get(name, np.zeros(2)) + elapsed

    def _now(self) -> NDArray[np.float64]:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return np.array([time.process_time(), time.perf_counter()])


class _AttentionTimer(TorchFunctionMode):
    """Times the fused attention kernel where it is called from a global block."""

    def __init__(self, stopwatch: Stopwatch) -> None:
        super().__init__()
        self.stopwatch = stopwatch

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kernel = func is functional.scaled_dot_product_attention
        if not kernel or not self.stopwatch.running.get("attention module"):
            return func(*args, **(kwargs or {}))
        self.stopwatch.start("attention")
        result = func(*args, **(kwargs or {}))
        self.stopwatch.stop("attention")
        return result


@dataclass(frozen=True)
class TimedRule:
    """A merging rule whose plans are timed."""

    rule: MergingRule
    stopwatch: Stopwatch

    def plan(self, x: Tensor, layout: TokenLayout) -> Plan | None:
        self.stopwatch.start("matching")
        plan = self.rule.plan(x, layout)
        self.stopwatch.stop("matching")
        return plan


def timed_modules(model: VGGT) -> Iterator[tuple[str, nn.Module]]:
    """Every module that is timed, with the name of its timer."""
    yield "aggregator", model.aggregator
    yield "embedding", model.aggregator.patch_embed
    yield from (("frame blocks", block) for block in model.aggregator.frame_blocks)
    for block in model.aggregator.global_blocks:
        yield "attention module", block.attn  # type: ignore[misc]
        yield "projections", block.attn.qkv  # type: ignore[misc, union-attr]
        yield "projections", block.attn.proj  # type: ignore[misc, union-attr]
        yield "mlp", block.mlp  # type: ignore[misc]
    heads = (model.camera_head, model.depth_head, model.point_head, model.track_head)
    yield from (("heads", head) for head in heads if head is not None)


@contextmanager
def watched(model: VGGT, stopwatch: Stopwatch) -> Iterator[None]:
    """Time the parts of `model` while the context is open; leaves no hook behind."""
    handles = []
    for name, module in timed_modules(model):
        handles.append(module.register_forward_pre_hook(lambda *_, n=name: stopwatch.start(n)))
        handles.append(module.register_forward_hook(lambda *_, n=name: stopwatch.stop(n)))
    try:
        with _AttentionTimer(stopwatch):
            yield
    finally:
        for handle in handles:
            handle.remove()


def exclusive(spent: Mapping[str, NDArray[np.float64]]) -> dict[str, NDArray[np.float64]]:
    """Seconds of `PARTS`, which add up to "whole", from inclusive ones; with "aggregator" and "whole".

    "attention" is the fused kernel of the global blocks alone; "moving tokens" what is left of their
    attention modules without kernel and projections: RoPE, norms of queries and keys, merging and unmerging.
    """
    s = {name: spent.get(name, np.zeros(2)) for name in ("attention", "matching", "heads", *spent)}
    parts = {name: s[name] for name in ("embedding", "frame blocks", "attention", "matching", "heads")}
    parts["projections and MLPs"] = s["projections"] + s["mlp"]
    parts["moving tokens"] = s["attention module"] - s["projections"] - s["attention"]
    parts["rest"] = s["whole"] - sum(parts.values())
    return {part: parts[part] for part in PARTS} | {"aggregator": s["aggregator"], "whole": s["whole"]}
