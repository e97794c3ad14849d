"""The laws of real heads: values, output maps, LayerScale and the reference frame included.

Streams z (N, C) are what a branch adds its updates o (N, C) to; directions u = z/|z|, M their mean,
spread 1 − |M|². Source: chapter "The corrected theory", T2′, T3′, T5′ and T8.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch.nn.functional import normalize

Rows = Float[Tensor, "tokens width"]


def log_odds(z: Rows) -> float:
    """ln R²/(1−R²) of the directions of z."""
    mean = normalize(z.double(), dim=-1).mean(0)
    square = float(mean @ mean)
    return float(np.log(square / (1 - square)))


@dataclass(frozen=True)
class Update:
    """What updates o do to streams z = B + d, Σd = 0, in three numbers (T2′).

    Attributes:
        growth: |B + ō|/|B|, ō the mean update.
        gain: κ = Σ⟨d, o − ō⟩/Σ|d|², the linear gain on deviations.
        variance: ν = Σ|o − ō|²/Σ|d|².
    """

    growth: float
    gain: float
    variance: float

    @classmethod
    def of(cls, z: Rows, o: Rows) -> Update:
        """Measured on streams z and their updates o."""
        z, o = z.double(), o.double()
        mean, pull = z.mean(0), o.mean(0)
        d, rest = z - mean, o - pull
        size = float(d.square().sum())
        growth = float((mean + pull).norm() / mean.norm())
        return cls(growth, float((d * rest).sum()) / size, float(rest.square().sum()) / size)

    @property
    def log_odds_change(self) -> float:
        """ln of |B+ō|²/(|B|²(1+2κ+ν)): exact for |B|²/mean|d|², and for R²/(1−R²) where all |z| are alike."""
        return float(2 * np.log(self.growth) - np.log(1 + 2 * self.gain + self.variance))


def first_change(z: Rows, change: Rows) -> float:
    """First-order change of the spread when streams z move by `change`: −2⟨M, mean P_u change/|z|⟩ (T5′)."""
    z, change = z.double(), change.double()
    length = z.norm(dim=-1, keepdim=True)
    u = z / length
    step = change / length
    moved = step - (step * u).sum(-1, keepdim=True) * u
    return float(-2 * u.mean(0) @ moved.mean(0))


def pull_change(x: Rows, weights: Tensor) -> float:
    """The same per step for V = I and β = 0: −2⟨(I−C)M, M_w − M⟩ with C = mean of uuᵀ (T5′).

    weights: (N,) of the merged keys, sum one; see `book.study.predictions.blocks.key_weights`.
    """
    u = normalize(x.double(), dim=-1)
    mean = u.mean(0)
    moved = weights.double() @ u - mean
    return float(-2 * (mean - u.T @ (u @ mean) / len(u)) @ moved)


def reference_odds(share: ArrayLike, weight: float) -> NDArray[np.float64]:
    """e^b: odds of attending to the reference frame over those of its weight (T3′).

    share: attention to it, any shape. weight: f, its share of the key rows; 1/S in S frames.
    """
    w = np.minimum(np.asarray(share, dtype=np.float64), 1 - 2.0**-24)  # a float32 share can round to one
    return w / (1 - w) * (1 - weight) / weight


def reference_share(odds: ArrayLike, weight: float) -> NDArray[np.float64]:
    """w₀ = e^b f/(e^b f + 1 − f); with f = 1/S, e^b/(e^b + S − 1), one half at S = 1 + e^b (T3′)."""
    pull = np.asarray(odds, dtype=np.float64) * weight
    return pull / (pull + 1 - weight)


def restoring_factor(frames: float, short: float) -> float:
    """λ = (S−1)/(S₀−1): weight on the reference's keys that gives S frames the share of S₀ (T3′)."""
    return (frames - 1) / (short - 1)


@dataclass(frozen=True)
class Split:
    """A change of a statistic r split in static and dynamic part, in both orders (T8).

    static_first, dynamic_last: r(m;X₀) − r(0;X₀), r(m;X_m) − r(m;X₀). dynamic_first, static_last: the other
    way round, r(0;X_m) − r(0;X₀), r(m;X_m) − r(0;X_m).
    """

    static_first: float
    dynamic_last: float
    dynamic_first: float
    static_last: float

    @classmethod
    def of(cls, plain: float, merged_plain: float, plain_merged: float, merged: float) -> Split:
        """From r(0;X₀), r(m;X₀), r(0;X_m), r(m;X_m)."""
        return cls(merged_plain - plain, merged - merged_plain, plain_merged - plain, merged - plain_merged)

    @property
    def static(self) -> float:
        """Shapley value: mean over the two orders."""
        return (self.static_first + self.static_last) / 2

    @property
    def dynamic(self) -> float:
        """Shapley value; static + dynamic is the whole change."""
        return (self.dynamic_first + self.dynamic_last) / 2
