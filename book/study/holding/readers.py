"""Networks whose tracking loss reads another block than usual, or none, and what is declared of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from book.study.fits import growth
from book.study.hold import foretold

Array = NDArray[np.float64]
DECLARED = Path(__file__).with_name("declared.yml")
NETWORKS = {"moved": "track4-seed1", "untracked": "untracked-seed1", "deep12": "deep12-seed0"}
# the block whose patch tokens the loss reads; those where another rule has the block that resists
READERS = {"moved": (4, (3,)), "deep12": (8, (3, 6))}
# networks that are read head by head, the block that the loss reads, and one whose mean looked like a mixture
BY_HEAD = {"moved": ("track4-seed1", 4), "deep12": ("deep12-seed0", 8), "to24": ("to24-seed1", 3)}
MIXED = {"deep12": 7}
WEAK = {"few": "to4-seed0", "few_again": "to4-seed1", "untracked": "untracked-seed1"}  # read after those
HEADS = {"scene": "denser:208-215", "lengths": [8, 16, 32, 64, 128]}  # no attention read there yet


def quantities(shape: str, arrays: Mapping[str, Array], lengths: Sequence[int]) -> dict[str, float]:
    """What is declared of a network's keys, from arrays of `book.study.networks.designs.measure`.

    Powers of S with which keys in effect grow, medians over rooms. ``{shape}_dilution``: mean over blocks;
    ``_least``: of the block where it is least; ``_reader``: of the block whose patch tokens the loss reads;
    ``_former``: the least of those of the others in `READERS`. Of `foretold`: ``_hold``, keys by the law over
    measured, in the block that is read; ``_better``, the mean distance by the law over that by the power.
    """
    by_block = growth(arrays["entropy"], lengths)
    powers = np.median(by_block, 0)
    found = {"dilution": float(by_block.mean()), "least": float(powers[by_block.mean(0).argmin()])}
    if shape in READERS:
        block, others = READERS[shape]
        by_law, by_power = foretold(lengths, arrays["entropy"])
        found |= {
            "reader": float(powers[block]),
            "former": float(powers[list(others)].min()),
            "hold": float(np.exp(by_law[block])),
            "better": float(np.abs(by_law).mean() / np.abs(by_power).mean()),
        }
    return {f"{shape}_{number}": value for number, value in found.items()}


def by_head(shape: str, entropy: Array, lengths: Sequence[int]) -> dict[str, float]:
    """What is declared of a network head by head, from "entropy" of `book.study.holding.measure.measure`.

    ``{shape}_heads_hold``: keys at the last length, foretold by the law over measured, in the block that
    is read, mean of ln over heads. ``_heads_better``: mean distance over heads by the law over that by the
    power. ``_heads_nearer``: mean distance over blocks where every head is foretold by itself over that
    where their mean is. Of a block in `MIXED`, powers of S: ``_mixed_least``, ``_mixed_second``, of heads.
    """
    blocks, heads = entropy.shape[2:]
    alone, power = (
        one.reshape(blocks, heads) for one in foretold(lengths, entropy.reshape(*entropy.shape[:2], -1))
    )
    together, _ = foretold(lengths, entropy.mean(-1))
    found = {
        "heads_hold": float(np.exp(alone[BY_HEAD[shape][1]].mean())),
        "heads_better": float(np.abs(alone).mean() / np.abs(power).mean()),
        "heads_nearer": float(np.abs(alone.mean(1)).mean() / np.abs(together).mean()),
    }
    if shape in MIXED:
        powers = np.sort(np.median(growth(entropy, lengths), 0)[MIXED[shape]])
        found |= {"mixed_least": float(powers[0]), "mixed_second": float(powers[1])}
    return {f"{shape}_{number}": value for number, value in found.items()}


def weak(shape: str, entropy: Array, lengths: Sequence[int]) -> dict[str, float]:
    """What is declared of a network in `WEAK`: ``{shape}_weak_least`` and ``_weak_second``.

    Powers of S of the heads in the block where their mean is least, medians over rooms; entropy as in
    `by_head`.
    """
    powers = np.median(growth(entropy, lengths), 0)  # (blocks, heads)
    first, second, *_ = np.sort(powers[powers.mean(1).argmin()])
    return {f"{shape}_weak_least": float(first), f"{shape}_weak_second": float(second)}
