"""Networks whose tracking loss reads another block than that of the others, and what is declared of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from book.study.fits import growth
from book.study.hold import foretold

Array = NDArray[np.float64]
READERS = {
    "moved": (4, (3,)),
    "deep12": (8, (3, 6)),
}  # the block that it reads; those where another rule has it


def readers(name: str, arrays: Mapping[str, Array], lengths: Sequence[int]) -> dict[str, float]:
    """What is declared of them, from arrays of `designs.measure`.

    ``{name}_reader``: power of S with which keys in effect grow in the block whose patch tokens the loss
    reads, median over rooms; ``{name}_former``: the least of those of the others in `READERS`. Of `foretold`:
    ``{name}_hold``, keys by the law over measured, in the block that is read; ``{name}_better``, the mean
    distance by the law over that by the power.
    """
    powers = np.median(growth(arrays["entropy"], lengths), 0)
    block, others = READERS[name]
    found = {"reader": float(powers[block]), "former": float(powers[list(others)].min())}
    by_law, by_power = foretold(lengths, arrays["entropy"])
    found["hold"] = float(np.exp(by_law[block]))
    found["better"] = float(np.abs(by_law).mean() / np.abs(by_power).mean())
    return {f"{name}_{number}": value for number, value in found.items()}
