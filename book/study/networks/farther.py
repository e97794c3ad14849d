"""Walks of 1,024 frames in the rooms of `longest`: whether what is lost at 512 frames stays lost.

What is declared about them stands in `declared_farther.yml`; this file decides it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from book.study import profile
from book.study.networks import longest
from book.study.networks.longest import ALIKE, MOST, ROOMS, Errors, ratio
from book.study.networks.seeds import SEEDS

DECLARED_FARTHER = Path(__file__).with_name("declared_farther.yml")
FARTHEST = 1024


def errors(name: str) -> Errors:
    """`longest.errors`, and those at `FARTHEST` frames of the same rooms.

    Raises:
        StaleResultError: there is no such measurement.
    """
    asked = {"model": name, "scene": ROOMS, "frames": FARTHEST, "arms": []}
    record = profile.load_measured("book/runs/long_sequences.ipynb", **asked).record
    return {**longest.errors(name), FARTHEST: record["errors.rotation"][0]}


def quantities(found: Mapping[str, Errors]) -> dict[str, float]:
    """What `declared_farther.yml` names, of the nine trainings and the two networks of `longest.ALIKE`.

    Args:
        found: network -> its `errors`.
    """
    pooled = {
        most: {frames: ratio([found[name] for name in names], frames).median for frames in (MOST, FARTHEST)}
        for most, names in SEEDS.items()
    }
    nine = [found[name] for names in SEEDS.values() for name in names]
    failing = [one for one in nine if ratio([one], MOST).low > 1]
    *fewer, most_shown = (pooled[most][FARTHEST] for most in sorted(pooled))
    return {
        "farther_alike": ratio([found[name] for name in ALIKE], FARTHEST).median,
        "farther_stay": sum(ratio([one], FARTHEST).low > 1 for one in failing) / len(failing),
        "farther_growth": min(at[FARTHEST] / at[MOST] for at in pooled.values()),
        "farther_least": most_shown / min(fewer),
    }
