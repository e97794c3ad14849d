"""How attention moves between groups of keys when frames are added at fixed weights: closed forms.

The mass of a group of keys is the softmax of λ_g = ln Σ e^ℓ over its keys. Frame 0 and the query's own frame
have a fixed number of keys; those that match and the rest grow with the number of frames. So from S_ref to S
frames only λ of the growing groups changes, by ln r with r = (S−2)/(S_ref−2).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
GROWS = np.array([False, False, True, True])  # in the order of `shares.GROUPS`


def shares(log_sums: ArrayLike) -> Array:
    """Mass of each group, softmax over the last axis of its ln Σ e^ℓ."""
    logits = np.asarray(log_sums, float)
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    return np.asarray(weights / weights.sum(-1, keepdims=True), float)


def diluted(
    log_sums: ArrayLike, frames: float, reference: float, kept: float = 1.0, first: float = 0.0
) -> Array:
    """Mass of each group at S = `frames` from ln Σ e^ℓ (…, 4) measured at `reference` frames > 2.

    kept: share of the keys of other frames that are left, by merging without size bias or by dropping frames;
    with size bias 1. first: bias on the keys of frame 0, nats.
    """
    growth = math.log((frames - 2) / (reference - 2) * kept)
    return shares(np.asarray(log_sums, float) + np.where(GROWS, growth, 0.0) + first * np.eye(4)[0])


def reference_share(b: ArrayLike, frames: ArrayLike) -> Array:
    """w₀(S) = e^b/(e^b + S − 1): mass on frame 0, b nats the log-odds against an average frame."""
    return 1 / (1 + (np.asarray(frames, float) - 1) * np.exp(-np.asarray(b, float)))


def keeping_factor(frames: float, trained: float, gap: float) -> float:
    """f = 1 + ln((S−1)/(S_train−1))/b: factor on the logits that keeps w₀ where all other logits are equal.

    gap: b, nats. With spread-out logits ``gap`` is the mean logit of frame 0 minus that of the others, both
    under attention, and f is right to first order in f − 1. ln N/ln N_train is this f where b = ln N_train.
    """
    return 1 + math.log((frames - 1) / (trained - 1)) / gap


def keeping_bias(frames: float, trained: float) -> float:
    """ln((S−1)/(S_train−1)) nats: the bias on frame 0's keys that keeps w₀ for every query, whatever b is."""
    return math.log((frames - 1) / (trained - 1))
