"""Reading a comparison of rules at equal query-key pairs, and following an advice once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from book.study.intervals import Interval, median_interval
from book.study.practice.adaptive import ERRORS, LastTokens
from book.study.practice.advice import recommend
from lib.merging import MergingRule
from lib.run import Setup, run

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Table:
    """A comparison: names and points (rules,), and arrays (scenes, rules); rule 0 is the unmerged run."""

    names: Sequence[str]
    points: Sequence[float]
    pairs: Array
    values: Array

    def column(self, name: str, point: float) -> int:
        """Place of a rule at an operating point. Raises ValueError where there is none."""
        for k, key in enumerate(zip(self.names, self.points, strict=True)):
            if key == (name, point):
                return k
        raise ValueError(f"no rule {name!r} at {point}; there are {sorted(set(self.names))}")

    @property
    def fixed(self) -> list[str]:
        """Rules whose ratio is asked for."""
        return [n for n in dict.fromkeys(self.names[1:]) if not n.startswith("adaptive")]

    def at_pairs(self, name: str, pairs: Array) -> Array:
        """(scenes,) values of a rule at given relative pairs, linear between its points and the unmerged run.

        Beyond its own points the nearest one counts.
        """
        columns = [0, *(k for k, n in enumerate(self.names) if n == name)]
        found = []
        for own, values, wanted in zip(self.pairs[:, columns], self.values[:, columns], pairs, strict=True):
            order = np.argsort(own)
            found.append(np.interp(wanted, own[order], values[order]))
        return np.array(found)


@dataclass(frozen=True)
class Contest:
    """An adaptive rule at one point against the best fixed one at the same pairs, scene by scene.

    difference: of the values, adaptive minus fixed, median with its interval. relative: its median over
    that of the fixed rule. pairs: mean relative pairs of the adaptive rule, wanted those of the point.
    """

    rival: str
    difference: Interval
    relative: float
    pairs: float
    wanted: float

    @property
    def result(self) -> str:
        """ "wins" where the interval lies below zero, "loses" above, "open" otherwise."""
        if self.difference.high < 0:
            return "wins"
        return "loses" if self.difference.low > 0 else "open"


def contest(table: Table, adaptive: str, point: float, seed: int) -> Contest:
    """The adaptive rule against the fixed rule with the lowest median at the point."""
    mine = table.column(adaptive, point)
    best = min(table.fixed, key=lambda name: np.median(table.values[:, table.column(name, point)]))
    theirs = table.at_pairs(best, table.pairs[:, mine])
    gap = table.values[:, mine] - theirs
    wanted = float(table.pairs[:, table.column(best, point)].mean())
    mean = float(table.pairs[:, mine].mean())
    return Contest(best, median_interval(gap, seed), float(np.median(gap) / np.median(theirs)), mean, wanted)


def gain_over(table: Table, rival: str, own: str, point: float, seed: int) -> Interval:
    """Rival minus `own` at one point, in per cent of the median of `own`; negative: the rival errs less."""
    base = table.values[:, table.column(own, point)]
    gap = table.values[:, table.column(rival, point)] - base
    return median_interval(100 * gap / np.median(base), seed)


@dataclass(frozen=True)
class Followed:
    """The advice on each scene: chosen column (0: no merging), forecast and measured deviation."""

    chosen: NDArray[np.int64]
    forecast: Array
    measured: Array


def advised(forecast: Array, measured: Array, saved: Array, tolerance: float, least_gain: float) -> Followed:
    """`recommend` on every scene, from arrays (scenes, rules) whose first column is the unmerged run."""
    rows = np.arange(len(forecast))
    advice = [recommend(f[1:], s[1:], tolerance, least_gain) for f, s in zip(forecast, saved, strict=True)]
    chosen = np.array([0 if a.chosen is None else a.chosen + 1 for a in advice])
    return Followed(chosen, forecast[rows, chosen], measured[rows, chosen])


def follow(setup: Setup, rule: MergingRule) -> tuple[float, dict[str, tuple[float, float, str]]]:
    """Run a scene unmerged and with `rule`.

    Returns:
        |difference of the last tokens| / |last tokens|, and error -> (unmerged, merged, unit) as far as the
        truth is known.
    """
    outcomes, tokens = [], []
    for merging in (None, rule):
        probe = LastTokens(setup.model.config.depth - 1)
        outcomes.append(run(replace(setup, rule=merging), probe).measurements)
        assert probe.tokens is not None
        tokens.append(probe.tokens)
    errors = {}
    for name in ERRORS:
        (before, unit), (after, _) = (o.get(name, (None, "")) for o in outcomes)
        if before is not None and after is not None:
            errors[name] = (float(before), float(after), unit)
    return float((tokens[1] - tokens[0]).norm() / tokens[0].norm()), errors
