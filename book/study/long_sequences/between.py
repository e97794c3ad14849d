"""Interventions in global attention of an unmerged network, between frames: they isolate causes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Collection
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode

QUERIES = ("all", "special", "patches")


class GlobalAttention(TorchFunctionMode):
    """Within it attention among `total` tokens is what `attend` makes of it; all else passes."""

    def __init__(self, total: int) -> None:
        super().__init__()
        self.total = total

    @abstractmethod
    def attend(self, q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
        """The attention of one block, (B, heads, total, head width)."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Called for every function of PyTorch in it."""
        if func is scaled_dot_product_attention and args[0].shape[-2] == self.total:
            q, k, v = args[:3]
            return self.attend(q, k, v, (kwargs or {})["scale"])
        return func(*args, **(kwargs or {}))


class FrameBias(GlobalAttention):
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
        super().__init__(len(bias) * tokens)
        self.mask = bias.repeat_interleave(tokens, 0).repeat_interleave(tokens, 1)
        if queries != "all":
            is_special = torch.arange(self.total) % tokens < special
            self.mask[is_special if queries == "patches" else ~is_special] = 0.0
        self.layers, self.seen = layers, 0

    def attend(self, q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
        """With the mask in the chosen blocks."""
        here = self.layers is None or self.seen in self.layers
        self.seen += 1
        return scaled_dot_product_attention(q, k, v, self.mask if here else None, scale=scale)


class Split(GlobalAttention):
    """Within it unmerged global attention takes the share of frame 0 and the rest from unlike sharpness.

    Two softmaxes, one over the keys of frame 0 and one over all others, their logits multiplied by
    `pattern`, are joined with the mass that frame 0 has when the logits are multiplied by `share`. With
    share = pattern = f this is the factor f on all logits.

    Args:
        frames, tokens: S, and the tokens of one frame.
    """

    def __init__(self, frames: int, tokens: int, share: float, pattern: float) -> None:
        super().__init__(frames * tokens)
        self.tokens, self.share, self.pattern = tokens, share, pattern

    def attend(self, q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
        """Put together from its two parts."""
        sharp, cut, softmax = scale * self.pattern, self.tokens, scaled_dot_product_attention
        frame_0 = torch.zeros_like(v)
        frame_0[..., :cut, :] = 1.0
        mass = softmax(q, k, frame_0, scale=scale * self.share)[..., :1]
        first = softmax(q, k[..., :cut, :], v[..., :cut, :], scale=sharp)
        return mass * first + (1 - mass) * softmax(q, k[..., cut:, :], v[..., cut:, :], scale=sharp)


def bias_between(frames: int, first: float = 0.0, own: float = 0.0) -> Tensor:
    """(S, S) nats: `first` on the keys of frame 0, `own` on those of the query's own frame, if another."""
    bias = own * torch.eye(frames)
    bias[:, 0] = first
    return bias
