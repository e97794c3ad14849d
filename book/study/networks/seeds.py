"""Three seeds each of networks trained on at most 4, 12 and 24 frames, and as many images: what seeds share.

What is declared about them stands in `declared_seeds.yml`; `designs.ratios` and this file decide it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path

from book.study import hypothesis
from book.study.networks.designs import DECLARED_SHAPES

DECLARED_SEEDS = Path(__file__).with_name("declared_seeds.yml")
NAMES = {  # names of the quantities, as for `designs.ratios`, and whose they are
    "seed1_few": "to4-seed1",
    "to4_third": "to4-seed2",
    "seed1": "to12-seed1",
    "to12_third": "to12-seed2",
    "to24_again": "to24-seed1",
    "seeds": "all nine",
}
SEEDS: dict[int, tuple[str, ...]] = {
    4: ("to4-seed0", "to4-seed1", "to4-seed2"),
    12: ("mini", "to12-seed1", "to12-seed2"),
    24: ("to24-seed0", "to24-seed1", "to24-seed2"),
}


def declared(*names: str) -> list[hypothesis.Hypothesis]:
    """What was declared of the networks that `NAMES` lists under these names, in its order."""
    written = [*hypothesis.read(DECLARED_SHAPES), *hypothesis.read(DECLARED_SEEDS)]
    return [one for name in names for one in written if one.quantity.rpartition("_")[0] == name]


def order(least: Mapping[int, Sequence[float]]) -> float:
    """Of all pairs trained on fewer and on more frames, the share in which the latter's power is less.

    least: for each number of frames in training, the power of S with which keys in effect grow in the block
    that resists most, one a seed.

    Raises:
        ValueError: fewer than two numbers of frames, or one without a network.
    """
    if len(least) < 2 or not all(least.values()):
        raise ValueError(f"least = {dict(least)} must have networks for two numbers of frames or more")
    pairs = [
        (few, many)
        for fewer, more in combinations(sorted(least), 2)
        for few in least[fewer]
        for many in least[more]
    ]
    return sum(many < few for few, many in pairs) / len(pairs)
