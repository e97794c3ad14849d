"""Walks of 512 frames: who fails there, and what the power of keys up to 128 frames says of it beforehand.

What is declared about them stands in `declared_longest.yml`; this file decides it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from book.study import profile
from book.study.intervals import Interval, mean_ratio, rank_correlation
from book.study.networks.seeds import SEEDS, order

Array = NDArray[np.float64]
Errors = Mapping[int, Array]  # frames -> (rooms,), the same rooms at each number of frames
DECLARED_LONGEST = Path(__file__).with_name("declared_longest.yml")
ROOMS, LENGTHS = "denser:216-223", (8, 128, 512)
FEW, MANY, MOST = LENGTHS
ALIKE = ("equivariant-seed0", "equivariant-to4-seed0")  # without a reference frame


def errors(name: str) -> Errors:
    """(rooms,) rotation errors of a network at each of `LENGTHS`, degrees, as measured beforehand.

    Raises:
        StaleResultError: there is no such measurement.
    """
    experiment = "book/runs/long_sequences.ipynb"
    asked = ({"model": name, "scene": ROOMS, "frames": frames, "arms": []} for frames in LENGTHS)
    found = [profile.load_measured(experiment, **one).record["errors.rotation"][0] for one in asked]
    return dict(zip(LENGTHS, found, strict=True))


def ratio(found: Iterable[Errors], frames: int = MOST) -> Interval:
    """Mean error at so many frames over that at the fewest, of all rooms of these networks."""
    those = [*found]
    new, old = (np.concatenate([one[count] for one in those]) for count in (frames, FEW))
    return mean_ratio(new, old)


def loss(power: float, frames: int) -> float:
    """By which factor keys in effect have grown since the fewest frames, if they grow with that power."""
    return float((frames / FEW) ** power)


def quantities(found: Mapping[str, Errors], powers: Mapping[str, float]) -> dict[str, float]:
    """What `declared_longest.yml` names; without what needs a network that has not been measured.

    Args:
        found: network -> its `errors`.
        powers: network -> the power of S with which keys in effect grow in the block that resists most.
    """
    groups = {"alike": ALIKE} | {f"to{most}": names for most, names in SEEDS.items() if most != min(SEEDS)}
    said = {
        f"longest_{key}": ratio(found[name] for name in names).median
        for key, names in groups.items()
        if {*names} <= found.keys()
    }
    if {*sum(SEEDS.values(), ())} <= found.keys():
        by_training = {most: [ratio([found[n]]).median for n in names] for most, names in SEEDS.items()}
        at = [(name, frames) for names in SEEDS.values() for name in names for frames in (MANY, MOST)]
        lost = [loss(powers[name], frames) for name, frames in at]
        failed = [ratio([found[name]], frames).median for name, frames in at]
        said |= {
            "longest_order": order(by_training),
            "longest_hold": float(rank_correlation(lost, failed)),
        }
    return said
