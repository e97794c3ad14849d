"""Keys that hold on while others multiply: how the entropy of attention grows with the number of frames.

Some keys have the share p of a query's attention, and every further frame adds others. Entropy has parts,

    H(S) = h(p) + p ln(held) + (1 - p) ln(others S),    p = half / (half + S),

with h the entropy of the two shares, `held` the effective number of the keys that hold on, `others` that of
the rest in a frame, and `half` the number of frames at which both have one half. See "The corrected theory,
for real heads".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
HALVES = np.geomspace(1e-2, 1e5, 1401)  # frames, among which a fit looks


@dataclass(frozen=True)
class Hold:
    """One block: half in frames, held in keys, others in keys a frame."""

    half: float
    held: float
    others: float

    def entropy(self, frames: ArrayLike) -> Array:
        """Nats at numbers of frames."""
        count = np.asarray(frames, dtype=np.float64)
        own = self.half / (self.half + count)
        return _shares(own) + own * np.log(self.held) + (1 - own) * np.log(self.others * count)

    def power(self, frames: ArrayLike) -> Array:
        """Slope of the entropy against ln S: (1 - p) (1 + p ln(others half / held))."""
        count = np.asarray(frames, dtype=np.float64)
        own = self.half / (self.half + count)
        return (1 - own) * (1 + own * np.log(self.others * self.half / self.held))


def fit(frames: Sequence[int], entropy: Array) -> Hold:
    """The `Hold` that misses entropies (lengths,), nats, least in squares; `half` is one of `HALVES`.

    Raises:
        ValueError: fewer than three lengths.
    """
    count = np.asarray(frames, dtype=np.float64)
    if count.size < 3 or entropy.shape != count.shape:
        raise ValueError(f"three unknowns need as many lengths or more, got {count.size} and {entropy.shape}")
    own = HALVES[:, None] / (HALVES[:, None] + count)
    design = np.stack([own, 1 - own], -1)  # (halves, lengths, 2): of ln held and ln others
    known = _shares(own) + (1 - own) * np.log(count)
    wanted = entropy - known
    logs = np.einsum("hkl,hl->hk", np.linalg.pinv(design), wanted)
    missed = np.square(np.einsum("hlk,hk->hl", design, logs) - wanted).sum(1)
    best = int(missed.argmin())
    held, others = np.exp(logs[best])
    return Hold(float(HALVES[best]), float(held), float(others))


def carried_on(frames: Sequence[int], entropy: Array, to: int) -> float:
    """Nats at `to` frames if the power between the last two lengths went on: a rival of `fit`."""
    (last, end), (low, high) = np.log(frames[-2:]), entropy[-2:]
    return float(high + (high - low) / (end - last) * (np.log(to) - end))


def foretold(frames: Sequence[int], entropy: Array) -> tuple[Array, Array]:
    """(blocks,) ln of keys in effect at the last of `frames`, foretold less measured, means over rooms.

    By `fit` to the three first, and by the power between the last two of these `carried_on`.
    entropy: (lengths, rooms, blocks), nats.
    """
    few, mean = frames[:3], entropy.mean(1)
    by_law = [fit(few, block[:3]).entropy(frames[-1]) for block in mean.T]
    by_power = [carried_on(few, block[:3], frames[-1]) for block in mean.T]
    return np.array(by_law) - mean[-1], np.array(by_power) - mean[-1]


def _shares(own: Array) -> Array:
    """Entropy of two shares, nats."""
    return -own * np.log(own) - (1 - own) * np.log1p(-own)
