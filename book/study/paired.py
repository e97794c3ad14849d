"""Paired comparisons over scenes: what merging changes, how surely, and whether it follows the baseline."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from book.study.intervals import Interval, correlation_interval, sign_interval, sign_rank
from lib.records import Record

Array = NDArray[np.float64]
Side = Literal["better", "worse", "unclear"]
PLAIN = 0  # the first setting of every record


@dataclass(frozen=True)
class Comparison:
    """One error of one setting on one set of scenes, beside the unmerged network.

    change: median over scenes of (merged - plain), with its exact interval, in the unit of the error.
    plain: median of the unmerged error, same unit. kept: N'/N.
    """

    error: str
    scenes: str
    frames: int
    setting: str
    change: Interval
    plain: float
    kept: float

    @property
    def side(self) -> Side:
        """Better or worse where the whole interval lies on one side of zero."""
        if self.change.high < 0:
            return "better"
        return "worse" if self.change.low > 0 else "unclear"

    @property
    def relative(self) -> Interval:
        """The change as a share of the unmerged median."""
        c = self.change
        return Interval(c.median / self.plain, c.low / self.plain, c.high / self.plain)


def errors_of(record: Record, error: str, setting: str) -> tuple[Array, Array]:
    """(merged, plain), one value a scene each; scenes in which either is not defined are left out.

    Raises:
        ValueError: the record has no such setting; names those it has.
    """
    settings = record["settings"]
    if setting not in settings:
        raise ValueError(f"setting {setting!r} was not run here, only {', '.join(settings)}")
    merged, plain = record[error][settings.index(setting)], record[error][PLAIN]
    defined = np.isfinite(merged) & np.isfinite(plain)
    return merged[defined], plain[defined]


def compare(record: Record, error: str, setting: str) -> Comparison:
    """Compare one setting with the unmerged network on the scenes of one record.

    Raises:
        ValueError: as `errors_of`; or no scene in which the error is defined.
    """
    merged, plain = errors_of(record, error, setting)
    if merged.size == 0:
        raise ValueError(f"{error} is defined in no scene of {record.params['scene']}")
    return Comparison(
        error=error,
        scenes=record.params["scene"],
        frames=record.params["frames"],
        setting=setting,
        change=sign_interval(merged - plain),
        plain=float(np.median(plain)),
        kept=float(np.median(record["kept"][record["settings"].index(setting)])),
    )


def comparisons(records: Iterable[Record], errors: Iterable[str], rule: str) -> list[Comparison]:
    """All settings whose name begins with `rule` and has no option, on every record."""
    names = list(errors)
    return [
        compare(record, error, setting)
        for record in records
        for setting in record["settings"]
        if setting.split()[0] == rule and len(setting.split()) == 2
        for error in names
    ]


def share(found: list[Comparison], side: Side) -> float:
    """Share of comparisons that lie on one side."""
    return sum(c.side == side for c in found) / len(found)


def follows_baseline(merged: Array, plain: Array, seed: int) -> tuple[Interval, Interval]:
    """Rank correlations of the change merged - plain with plain, and with the mean of the two.

    The first is biased towards -1, since plain enters both sides with opposite signs: two noisy copies of one
    error would give about -0.7. The second (Oldham's) is 0 for them.
    Source: Oldham, "A note on the analysis of repeated measurements of the same subjects" (1962).
    """
    change = merged - plain
    return (
        correlation_interval(plain, change, seed, ranks=True),
        correlation_interval((plain + merged) / 2, change, seed, ranks=True),
    )


def difference_of_changes(far: Record, near: Record, error: str, setting: str) -> Interval:
    """Change by merging in `far` minus that in `near`, room by room (scenes in the same order).

    Raises:
        ValueError: the two have different numbers of scenes.
    """
    changes = [np.subtract(*errors_of(record, error, setting)) for record in (far, near)]
    if changes[0].shape != changes[1].shape:
        raise ValueError(f"{changes[0].size} scenes against {changes[1].size}: they are not pairs")
    return sign_interval(changes[0] - changes[1])


def worse_by_chance(
    records: Iterable[Record], errors: Iterable[str], rule: str, draws: int, seed: int
) -> Array:
    """Share of the comparisons of `comparisons` that come out clearly worse if merging does nothing.

    Then merged and plain may be exchanged in any room. The signs of all its differences, every error and
    setting, flip together, so that what depends on what stays as it is.

    Returns:
        (draws,) shares. Their mean is what chance gives, their quantiles how far it reaches.
    """
    rng, names = np.random.default_rng(seed), list(errors)
    worse, count = np.zeros(draws), 0
    for record in records:
        rows = [i for i, s in enumerate(record["settings"]) if s.split()[0] == rule and len(s.split()) == 2]
        change = np.stack([record[error][i] - record[error][PLAIN] for i in rows for error in names])
        signs = rng.choice([-1.0, 1.0], (draws, 1, change.shape[1]))
        not_worse = (signs * change <= 0).sum(2)  # NaN, where an error is not defined, is neither
        ranks = np.array([sign_rank(int(n)) for n in np.isfinite(change).sum(1)])
        worse += (not_worse < ranks).sum(1)
        count += len(change)
    return np.asarray(worse / count)
