"""Networks of other shapes, and a control: what `declared_shapes.yml` says of them, decided."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence as Many
from pathlib import Path

from book.study.fits import growth
from book.study.networks.designs import Array

DECLARED = Path(__file__).with_name("declared_shapes.yml")
SHAPES = ("patch4", "deep12", "large", "control")


def quantities(
    shape: str,
    arrays: Mapping[str, Array],
    lengths: Many[int],
    errors: Mapping[str, Array] | None = None,
    walks: tuple[Array, Array] | None = None,
) -> dict[str, float]:
    """What is declared of one shape.

    Args:
        shape: one of `SHAPES`.
        arrays: of `designs.measure` at `lengths`.
        errors: rotation errors of the same rooms at 128 frames, "plain" and "anchored"; None: not measured.
        walks: those of the same test rooms at 128 and at 8 frames; None: not measured.
    """
    found = {f"{shape}_dilution": float(growth(arrays["entropy"], lengths).mean())}
    if errors is not None:
        found[f"{shape}_anchor"] = float(errors["anchored"].mean() / errors["plain"].mean())
    if walks is not None:
        found[f"{shape}_growth"] = float(walks[0].mean() / walks[1].mean())
    return found
