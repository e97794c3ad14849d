"""Networks whose tracking loss reads another block than that of the others, and what is declared of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from book.study.fits import growth

Array = NDArray[np.float64]
READERS = {
    "moved": (4, (3,)),
    "deep12": (8, (3, 6)),
}  # the block that it reads; those where another rule has it


def readers(name: str, arrays: Mapping[str, Array], lengths: Sequence[int]) -> dict[str, float]:
    """Powers of S with which keys in effect grow, medians over rooms.

    ``{name}_reader``: of the block whose patch tokens the loss reads. ``{name}_former``: of the others of
    `READERS` the least. arrays: "entropy" (lengths, rooms, blocks), nats, as `designs.measure` gives it.
    """
    powers = np.median(growth(arrays["entropy"], lengths), 0)
    block, others = READERS[name]
    return {f"{name}_reader": float(powers[block]), f"{name}_former": float(powers[list(others)].min())}
