"""A bias on the logits of frame 0's keys keeps its share; biases between frames isolate causes."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode

from lib.merging import MergingRule, Plan, TokenLayout
from lib.merging.plan import Grouping

QUERIES = ("all", "special", "patches")


@dataclass(frozen=True)
class Anchored:
    """ln((S−1)/(frames−1)) on the logits of frame 0's keys: each counts as that many.

    With nothing else this keeps the odds of frame 0 against all other frames at what they would be in a
    sequence of `frames` frames > 1, whatever the logits are. rule: merging below it, None = none. Shorter
    sequences stay.
    """

    frames: float
    rule: MergingRule | None = None

    def __post_init__(self) -> None:
        if not 1 < self.frames < math.inf:
            raise ValueError(f"frames must be above 1, got {self.frames}")

    def plan(self, x: Tensor, layout: TokenLayout) -> Plan | None:
        """The plan of `rule` (or one that merges nothing) with frame 0's keys weighted."""
        inner = None if self.rule is None else self.rule.plan(x, layout)
        if layout.frames <= self.frames:
            return inner
        if inner is None:
            everything = torch.arange(layout.tokens, device=x.device).expand(x.shape[0], -1)
            keys = Grouping.from_rows(everything, layout.tokens)
            inner = Plan(layout.tokens, keys, torch.ones_like(everything, dtype=torch.float64))
        first = torch.zeros(x.shape[0], 1, layout.tokens, 1, dtype=torch.float64, device=x.device)
        first[:, :, : layout.tokens_per_frame] = math.log((layout.frames - 1) / (self.frames - 1))
        weights = inner.merge_keys(first)[:, 0, :, 0].exp()  # a row with members elsewhere: in between
        base = inner.sizes if inner.size_bias else torch.ones_like(inner.sizes)
        return replace(inner, sizes=base * weights, size_bias=True)


class FrameBias(TorchFunctionMode):
    """Within it global attention of an unmerged network gets a bias by the frames of query and key.

    Args:
        bias: (S, S) nats, rows are frames of queries. tokens: of one frame.
        layers: global blocks that get it, None = all.
        queries: "all", or only "special" tokens (camera and registers), or only "patches".
        special: how many of a frame's tokens are special.
    """

    def __init__(
        self,
        bias: Tensor,
        tokens: int,
        layers: Collection[int] | None = None,
        queries: str = "all",
        special: int = 0,
    ) -> None:
        super().__init__()
        self.total = len(bias) * tokens
        self.mask = bias.repeat_interleave(tokens, 0).repeat_interleave(tokens, 1)
        if queries != "all":
            is_special = torch.arange(self.total) % tokens < special
            self.mask[is_special if queries == "patches" else ~is_special] = 0.0
        self.layers, self.seen = layers, 0

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Pass everything on; add the mask to attention among all tokens."""
        kwargs = dict(kwargs or {})
        if func is scaled_dot_product_attention and args[0].shape[-2] == self.total:
            if self.layers is None or self.seen in self.layers:
                args, kwargs["attn_mask"] = args[:3], self.mask
            self.seen += 1
        return func(*args, **kwargs)


class Split(TorchFunctionMode):
    """Within it unmerged global attention takes the share of frame 0 and the rest from unlike sharpness.

    Two softmaxes, one over the keys of frame 0 and one over all others, their logits multiplied by
    `pattern`, are joined with the mass that frame 0 has when the logits are multiplied by `share`. With
    share = pattern = f this is the factor f on all logits.

    Args:
        frames, tokens: S, and the tokens of one frame.
    """

    def __init__(self, frames: int, tokens: int, share: float, pattern: float) -> None:
        super().__init__()
        self.total, self.tokens, self.share, self.pattern = frames * tokens, tokens, share, pattern

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Pass everything on; attention among all tokens is put together from its two parts."""
        kwargs = dict(kwargs or {})
        if func is not scaled_dot_product_attention or args[0].shape[-2] != self.total:
            return func(*args, **kwargs)
        q, k, v = args[:3]
        sharp, cut = kwargs["scale"] * self.pattern, self.tokens
        frame_0 = torch.zeros_like(v)
        frame_0[..., :cut, :] = 1.0
        mass = func(q, k, frame_0, scale=kwargs["scale"] * self.share)[..., :1]
        first = func(q, k[..., :cut, :], v[..., :cut, :], scale=sharp)
        return mass * first + (1 - mass) * func(q, k[..., cut:, :], v[..., cut:, :], scale=sharp)


def bias_between(frames: int, first: float = 0.0, own: float = 0.0) -> Tensor:
    """(S, S) nats: `first` on the keys of frame 0, `own` on those of the query's own frame, if another."""
    bias = own * torch.eye(frames)
    bias[:, 0] = first
    return bias
