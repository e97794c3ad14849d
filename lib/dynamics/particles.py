"""Particle simulation: tokens under softmax attention layers, without an N×N matrix held at once."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from lib.dynamics.clouds import Tokens, Weights, gaussian, unit
from lib.dynamics.grouping import Groups, copy_back, group_means
from lib.dynamics.statistics import spread

Norm = Literal["post", "pre", "none"]
Merge = Callable[[Tokens, int], Groups]  # of the normalised tokens, in layer ℓ


@dataclass(frozen=True)
class Layer:
    """One attention layer, the same at every depth: x ← N(x + h·Attn(u)·V).

    ``beta``: inverse temperature on cosines (≥ 0). ``step``: h. ``norm``: "post" renormalises the stream to
    the sphere; "pre" attends with normalised tokens and lets the stream grow; "none" attends with the raw
    stream. ``residual=False`` drops x (Eq. 2). ``values``: "identity", "random" (a fresh Gaussian n×n matrix
    per layer, entries of variance 1/n, from ``seed``) or a fixed matrix.
    """

    beta: float
    step: float
    norm: Norm = "post"
    residual: bool = True
    values: Literal["identity", "random"] | Float[Tensor, "width width"] = "identity"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.beta < 0 or not math.isfinite(self.beta):
            raise ValueError(f"beta {self.beta} must be finite and at least 0")
        if self.norm not in ("post", "pre", "none"):
            raise ValueError(f"norm {self.norm!r} must be 'post', 'pre' or 'none'")


@dataclass(frozen=True)
class Trajectory:
    """Statistics before every layer and after the last, on the CPU, and the last stream."""

    spread: Float64[Tensor, " layers"]  # 1 − R², mass-weighted
    tokens: Tokens

    @property
    def R(self) -> Float64[Tensor, " layers"]:
        """Mean length."""
        return (1 - self.spread).clamp_min(0).sqrt()

    @property
    def odds(self) -> Float64[Tensor, " layers"]:
        """R²/(1 − R²)."""
        return (1 - self.spread) / self.spread

    def layers_to(self, spread: float = 0.05) -> float:
        """Fractional layer where 1 − R² falls below ``spread`` (log-linear in between); inf if never."""
        below = torch.nonzero(self.spread < spread)
        if len(below) == 0:
            return math.inf
        k = int(below[0])
        if k == 0:
            return 0.0
        before, after = math.log(self.spread[k - 1]), math.log(self.spread[k])
        return k - 1 + (before - math.log(spread)) / (before - after)


def attend(
    queries: Float[Tensor, "queries width"],
    keys: Float[Tensor, "keys width"],
    values: Float[Tensor, "keys channels"],
    beta: float,
    weights: Float[Tensor, " keys"] | None = None,
    chunk: int = 1 << 17,
) -> Float[Tensor, "queries channels"]:
    """Σ_j w_j e^{β⟨q,k_j⟩} v_j / Σ_j w_j e^{β⟨q,k_j⟩} for every query.

    ``weights`` w are non-negative, None for uniform. Holds at most ``chunk`` logits at a time. β = 0 gives
    the weighted mean.
    """
    w = torch.ones_like(keys[:, 0]) if weights is None else weights / weights.max()
    weighted = torch.cat([values, torch.ones_like(values[:, :1])], -1) * w[:, None]  # (K, m+1): sums, total
    if beta == 0:
        total = weighted.sum(0, keepdim=True).expand(len(queries), -1)
        return total[:, :-1] / total[:, -1:]
    rows = max(8, chunk // len(keys))
    scaled = (beta * keys).T.contiguous()
    largest = float(queries.norm(dim=-1).max() * scaled.norm(dim=0).max())
    safe = largest < 0.4 * math.log(torch.finfo(keys.dtype).max)  # no exponential can overflow or vanish
    total = torch.empty(len(queries), weighted.shape[-1], dtype=values.dtype, device=values.device)
    for start in range(0, len(queries), rows):
        logits = queries[start : start + rows] @ scaled  # (rows, K)
        if not safe:
            logits -= logits.amax(-1, keepdim=True)
        torch.mm(logits.exp_(), weighted, out=total[start : start + rows])
    return total[:, :-1] / total[:, -1:]


def simulate(
    tokens: Tokens,
    layer: Layer,
    layers: int,
    *,
    driving: Weights | None = None,
    mass: Weights | None = None,
    merge: Merge | None = None,
    stop: float = 0.0,
    observe: Callable[[int, Tokens], None] | None = None,
) -> Trajectory:
    """Run ``layers`` layers on ``tokens``, in their dtype and on their device.

    ``driving``: weights of the tokens as keys (merged measure: group masses with size bias, uniform
    without; default uniform). ``mass``: weights of the statistics (default ``driving``). ``merge(u, ℓ)``
    groups the normalised tokens anew in every layer: queries, keys and values are averaged within a group
    and the output is copied back. Stops early once 1 − R² < ``stop``. ``observe(ℓ, stream)`` sees the
    stream before every layer.

    Raises:
        ValueError: weights of the wrong length, or ``merge`` together with ``driving``.
    """
    _validate(tokens, driving, mass, merge)
    observed = _normalised(driving if mass is None else mass)
    z, history = unit(tokens) if layer.norm != "none" else tokens.clone(), []
    for index in range(layers + 1):
        history.append(spread(z, observed).cpu())
        if observe is not None:
            observe(index, z)
        if index == layers or history[-1] < stop:
            break
        z = advance(z, layer, index, driving, merge)
    return Trajectory(torch.stack(history).double(), z)


def advance(
    z: Tokens, layer: Layer, index: int, driving: Weights | None = None, merge: Merge | None = None
) -> Tokens:
    """One layer (number ``index``, which only seeds random values) applied to the stream ``z``."""
    u = unit(z) if layer.norm != "none" else z
    update = attraction(u, layer.beta, driving, merge(u, index) if merge else None)
    value = layer.values
    if isinstance(value, str) and value == "random":
        width = z.shape[-1]
        value = gaussian(width, width, layer.seed + index, z.dtype).to(z.device) / math.sqrt(width)
    if isinstance(value, Tensor):
        update = update @ value
    if layer.residual:
        update = (u if layer.norm == "post" else z) + layer.step * update
    return unit(update) if layer.norm == "post" else update


def attraction(
    u: Tokens, beta: float, driving: Weights | None = None, groups: Groups | None = None
) -> Tokens:
    """What attention adds to every token of ``u``, before step and value matrix."""
    if groups is None:
        return attend(u, u, u, beta, driving)
    y = group_means(u, groups)
    return copy_back(attend(y, y, y, beta, groups.weights), groups)


def _normalised(weights: Weights | None) -> Weights | None:
    return None if weights is None else weights / weights.sum()


def _validate(tokens: Tensor, driving: Tensor | None, mass: Tensor | None, merge: object) -> None:
    for name, weights in (("driving", driving), ("mass", mass)):
        if weights is not None and weights.shape != tokens.shape[:1]:
            raise ValueError(
                f"{name} has shape {tuple(weights.shape)}; give one weight per token, ({len(tokens)},)"
            )
    if merge is not None and driving is not None:
        raise ValueError("merge forms its own key weights; leave driving out")
