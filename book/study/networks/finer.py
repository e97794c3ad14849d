"""What further training does to the network with finer patches: accuracy, failing, and the hold of one block.

What is declared about it stands in `declared_finer.yml`; this file decides it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from book.study.fits import growth

Array = NDArray[np.float64]
DECLARED_FINER = Path(__file__).with_name("declared_finer.yml")
BEFORE, AFTER = "patch4-seed0", "patch4-longer"


def quantities(
    walks: tuple[Array, Array], shipped: Array, keys: Array, lengths: tuple[int, ...]
) -> dict[str, float]:
    """What `declared_finer.yml` names.

    Args:
        walks: (rooms,) rotation errors on many frames and on few, of the same rooms, degrees.
        shipped: (rooms or more,) those of the shipped network on few frames, the same rooms first.
        keys: (lengths, rooms, blocks) logarithm of the keys that queries have in effect.
        lengths: numbers of frames, the first axis of `keys`.
    """
    many, few = walks
    powers = growth(keys, lengths)
    return {
        "finer_few": float(few.mean() / shipped[: len(few)].mean()),
        "finer_growth": float(many.mean() / few.mean()),
        "finer_least": float(np.median(powers[:, powers.mean(0).argmin()])),
    }
