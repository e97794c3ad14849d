"""Which rule errs least within a budget, and how surely; what was declared about it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from scipy.stats import gmean

from book.study import profile, shipped
from book.study.frontier.measure import OPEN, UNMERGED, Array
from book.study.intervals import mean_ratio
from lib import records, used

EXPERIMENT = "book/runs/frontier.ipynb"
DECLARED = Path(__file__).with_name("declared.yml")
SCENE, FRAMES = "denser:208-215", 64
PAIRS, SECONDS = (0.5, 0.25, 0.1), (0.8, 0.7, 0.6)  # budgets, relative to the unmerged run
FEW = "trained-to-4"  # the network in which the law of dilution expects a repair
SLACK = 1.01  # of a budget, since whole tokens merge
Cost = Literal["pairs", "seconds"]
Key = tuple[str, bool]  # network, whether with the factor


@dataclass(frozen=True)
class Best:
    """The rule with the lowest mean error, and those that are not surely worse: `tied`, by their means.

    of: rules that fit the budget. One that is alone has beaten nobody.
    """

    rule: str
    error: float
    tied: tuple[str, ...]
    of: int

    @property
    def won(self) -> bool:
        """Whether it is surely better than every other, and there is another."""
        return self.of > 1 and not self.tied

    def __str__(self) -> str:
        """The rule, hollow (○) where it protects nothing, and how many are not surely worse."""
        name = f"○\u00a0{self.rule.removesuffix(OPEN)}" if self.rule.endswith(OPEN) else self.rule
        if self.of == 1:
            return f"{name} (alone)"
        return f"{name} +\u00a0{len(self.tied)}" if self.tied else name


@dataclass(frozen=True)
class Frontier:
    """One network with or without the factor: names and points (columns,), arrays (rooms, columns)."""

    names: list[str]
    points: list[float]
    arrays: Mapping[str, Array]

    @classmethod
    def of(cls, record: records.Record) -> Frontier:
        """From the record of a run."""
        return cls(list(record["rules"]), list(record["points"]), record.arrays)

    @property
    def rules(self) -> list[str]:
        """Names of the rules, in the order of the run."""
        return [name for name in dict.fromkeys(self.names) if name != UNMERGED]

    def cost(self, kind: Cost) -> Array:
        """(columns,) median over rooms, relative to the unmerged run of the room."""
        values = self.arrays[kind]
        return np.asarray(np.median(values / values[:, :1], axis=0))

    def columns(self, rule: str) -> list[int]:
        """Where a rule stands, by falling pairs."""
        return sorted((k for k, name in enumerate(self.names) if name == rule), key=lambda k: -self.points[k])

    def at(self, rule: str, point: float, what: str = "rotation") -> Array:
        """(rooms,) of a rule at a point. Raises KeyError where its protections do not let it go so far."""
        for column in self.columns(rule):
            if self.points[column] == point:
                return self.arrays[what][:, column]
        raise KeyError(f"{rule} does not reach {point} of the pairs")

    def within(self, kind: Cost, budget: float) -> dict[str, int]:
        """Rule -> its dearest column within a budget; the errors have no say in that."""
        cost = self.cost(kind)
        found = {}
        for rule in self.rules:
            if affordable := [k for k in self.columns(rule) if cost[k] <= budget * SLACK]:
                found[rule] = max(affordable, key=lambda k: cost[k])
        return found

    def best(self, kind: Cost, budget: float) -> Best | None:
        """Of the rules within a budget; None where there is none."""
        errors = {r: self.arrays["rotation"][:, k] for r, k in self.within(kind, budget).items()}
        if not errors:
            return None
        first, *others = sorted(errors, key=lambda rule: errors[rule].mean())
        tied = [rule for rule in others if mean_ratio(errors[rule], errors[first]).low <= 1]
        return Best(first, float(errors[first].mean()), tuple(tied), len(errors))


def networks() -> list[str]:
    """Every network in data/weights that takes a merging rule, by the frames of its training."""
    paths = used.listed(shipped.SHIPPED.parent, "*.safetensors")
    names = [p.stem for p in paths if not shipped.read_report(p)["config"]["model"].get("causal")]
    return sorted(names, key=lambda name: (shipped.trained_frames(name), name != shipped.SHIPPED.stem, name))


def load_runs() -> dict[Key, records.Measured]:
    """(network, with the factor) -> its record; those that have been measured."""
    asked = {
        (name, factor): {
            "model": name, "scene": SCENE, "frames": FRAMES, "points": list(PAIRS),
            "logit_scale": f"length {shipped.trained_frames(name)}" if factor else "none",
        }
        for name in networks()
        for factor in (False, True)
    }  # fmt: skip
    return dict(profile.measured_runs(EXPERIMENT, asked))  # type: ignore[arg-type, return-value]


def lowest(run: Frontier, point: float) -> float:
    """Lowest error of all rules within `point` of the pairs, over that of the unmerged run."""
    best = run.best("pairs", point)
    return math.nan if best is None else best.error / float(run.arrays["rotation"][:, 0].mean())


def over(run: Frontier, one: str, other: str, point: float, what: str = "rotation") -> float:
    """Mean over rooms of one rule over that of another, both at a point."""
    return float(run.at(one, point, what).mean() / run.at(other, point, what).mean())


def factor_ratio(without: Frontier, scaled: Frontier, point: float = PAIRS[1]) -> float:
    """Error with over without the factor, mean over rooms and over all rules at a point."""
    columns = [k for k, p in enumerate(without.points) if p == point]
    means = [float(run.arrays["rotation"][:, columns].mean()) for run in (scaled, without)]
    return means[0] / means[1]


def quantities(runs: Mapping[Key, Frontier], trained: Mapping[str, int]) -> dict[str, float]:
    """What `declared.yml` names, without what needs a run that is not there. trained: network -> frames."""
    found = _of_all(runs)
    longer = [name for name, factor in runs if not factor and trained[name] > trained[FEW]]
    if longer:
        half, _, tenth = PAIRS
        winners = [runs[name, False].best("pairs", tenth) for name in longer]
        found["open_at_a_tenth"] = float(np.mean([best.rule.endswith(OPEN) for best in winners if best]))
        found["half_price"] = float(gmean([lowest(runs[name, False], half) for name in longer]))
    if both := [(runs[name, False], runs[name, True]) for name in longer if (name, True) in runs]:
        found["longer_factor"] = float(gmean([factor_ratio(*pair) for pair in both]))
    if few := runs.get((FEW, False)):
        found["few_protecting"] = over(few, "uniform", "uniform" + OPEN, PAIRS[2])
        found["few_repaired"] = lowest(few, PAIRS[2])
        if scaled := runs.get((FEW, True)):
            found["few_factor"] = factor_ratio(few, scaled)
    return found


def _of_all(runs: Mapping[Key, Frontier]) -> dict[str, float]:
    """What is declared of all networks without the factor."""
    plain, (half, quarter, _) = [run for (_, factor), run in runs.items() if not factor], PAIRS
    if not plain:
        return {}
    open_grid, open_split, open_uniform = (rule + OPEN for rule in ("grid", "split", "uniform"))
    split = [over(run, open_split, open_grid, quarter) for run in plain]
    seconds = [over(run, open_grid, open_uniform, quarter, "seconds") for run in plain]
    tied = [best is not None and bool(best.tied) for best in (run.best("pairs", half) for run in plain)]
    winners = [(run.best("pairs", quarter), run.best("seconds", SECONDS[1])) for run in plain]
    return {
        "split_over_grid": float(gmean(split)),
        "grid_seconds": float(gmean(seconds)),
        "tied_at_half": float(np.mean(tied)),
        "seconds_differ": float(np.mean([a and b and a.rule != b.rule for a, b in winners])),
    }


@dataclass(frozen=True)
class Default:
    """The rule that is nowhere, or in the fewest networks, surely worse than another within a budget.

    holds: networks in which it is best or tied. of: those with any rule within the budget. ratio: its error
    over the unmerged one, geometric mean over the networks in which it fits the budget. also: rules that
    hold in as many, by their ratios.
    """

    rule: str
    holds: int
    of: int
    ratio: float
    also: tuple[str, ...]


def default(runs: Collection[Frontier], kind: Cost, budget: float) -> Default | None:
    """Over networks; of rules that hold in as many the one with the lowest ratio. None: no rule fits."""
    bests = [best for run in runs if (best := run.best(kind, budget))]
    held = Counter(rule for best in bests for rule in (best.rule, *best.tied))
    if not held:
        return None

    def ratio(rule: str) -> float:
        fits = [(run, run.within(kind, budget).get(rule)) for run in runs]
        means = [
            (run.arrays["rotation"][:, k], run.arrays["rotation"][:, 0]) for run, k in fits if k is not None
        ]
        return float(gmean([new.mean() / old.mean() for new, old in means]))

    first, *also = sorted((rule for rule in held if held[rule] == max(held.values())), key=ratio)
    return Default(first, held[first], len(bests), ratio(first), tuple(also))


BUDGETS: tuple[tuple[Cost, float], ...] = (
    *(("pairs", budget) for budget in PAIRS),
    *(("seconds", budget) for budget in SECONDS),
)


def default_table(runs: Mapping[Key, Frontier]) -> pd.DataFrame:
    """One row a budget: what to take over all networks, as they are and with the factor."""
    rows = []
    for kind, budget in BUDGETS:
        row = {"budget": f"{kind} ≤ {budget:g}"}
        for factor, title in ((False, "as they are"), (True, "with the factor")):
            found = default([run for (_, f), run in runs.items() if f == factor], kind, budget)
            said = "none" if found is None else f"{found.rule} ({found.holds} of {found.of})"
            row[title] = said
            row[f"error over unmerged, {title}"] = "" if found is None else f"{found.ratio:.2f}"
            row[f"holds in as many, {title}"] = "" if found is None else str(len(found.also))
        rows.append(row)
    return pd.DataFrame(rows).set_index("budget")


def budget_table(runs: Mapping[Key, Frontier], titles: Mapping[str, str]) -> pd.DataFrame:
    """The best rule of each network, with and without the factor, for each budget; titles: of networks."""
    rows = []
    for (name, factor), run in runs.items():
        row: dict[str, object] = {"trained": titles[name], "factor": "yes" if factor else "no"}
        for kind, budget in BUDGETS:
            best = run.best(kind, budget)
            said = "none" if best is None else str(best)
            row[f"{kind} ≤ {budget:g}"] = said.replace("uniform, regions", "regions")  # a line, not three
        rows.append(row)
    return pd.DataFrame(rows).set_index(["trained", "factor"])


def price_table(runs: Mapping[Key, Frontier], titles: Mapping[str, str]) -> pd.DataFrame:
    """Errors in degrees: unmerged and the lowest at each share of the pairs, and seconds of unmerged runs."""
    rows = []
    for (name, factor), run in runs.items():
        row: dict[str, object] = {"trained": titles[name], "factor": "yes" if factor else "no"}
        row[UNMERGED] = run.arrays["rotation"][:, 0].mean()
        for point in PAIRS:
            best = run.best("pairs", point)
            row[f"lowest, pairs ≤ {point:g}"] = math.nan if best is None else best.error
        row["seconds unmerged"] = float(np.median(run.arrays["seconds"][:, 0]))
        rows.append(row)
    return pd.DataFrame(rows).set_index(["trained", "factor"])
