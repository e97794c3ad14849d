"""Does the draw of a merging rule matter? One quantity under several seeds, beside its spread over scenes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from book.study.intervals import Interval


@dataclass(frozen=True)
class Draws:
    """One quantity, measured with several seeds of a rule that draws.

    Attributes:
        by_seed: seed -> median over scenes with its interval over scenes; at least two seeds.

    Raises:
        ValueError: fewer than two seeds.
    """

    by_seed: Mapping[int, Interval]

    def __post_init__(self) -> None:
        if len(self.by_seed) < 2:
            raise ValueError(f"draws are compared from two seeds on, got {sorted(self.by_seed)}")

    @property
    def range(self) -> float:
        """Largest minus smallest median, in the unit of the quantity."""
        medians = [i.median for i in self.by_seed.values()]
        return max(medians) - min(medians)

    @property
    def against_scenes(self) -> float:
        """The range over the mean width of the intervals: below 1, scenes matter more than the draw.

        Infinite where the medians differ and no interval has a width; 0 where nothing differs.
        """
        width = sum(i.high - i.low for i in self.by_seed.values()) / len(self.by_seed)
        if width == 0:
            return 0.0 if self.range == 0 else float("inf")
        return self.range / width

    def one_sided(self, reference: float) -> bool:
        """Whether every draw puts its whole interval on one and the same side of `reference`."""
        intervals = self.by_seed.values()
        return all(i.low > reference for i in intervals) or all(i.high < reference for i in intervals)
