"""Rules meet at equal pairs; a winner is named only where nobody ties; every declared number is made."""

import numpy as np
import pytest
import torch

from book.study.frontier import best, draw, measure
from book.study.frontier.best import FEW, Frontier
from book.study.frontier.measure import OPEN, UNMERGED, contenders
from book.study.hypothesis import read
from lib.merging import TokenLayout

LAYOUT = TokenLayout(64, 6, 6)


def test_contenders_leave_the_pairs_that_are_asked_for() -> None:
    x = torch.randn(1, LAYOUT.tokens, 8, generator=torch.Generator().manual_seed(0))
    found = contenders(LAYOUT, best.PAIRS, 33)
    for rule in found:
        plan = rule.merging.plan(x, LAYOUT)
        assert plan.pairs / LAYOUT.tokens**2 == pytest.approx(rule.point, rel=best.SLACK - 1), rule.name
    at_tenth = {rule.name for rule in found if rule.point == 0.1}
    assert {rule.name for rule in found} - at_tenth == {"fastvggt", "grid"}  # their protections forbid it
    assert {name for name in at_tenth if not name.endswith(OPEN)} == {
        "uniform",
        "split",
        "uniform, regions of 8",
    }


ROOMS = np.array([9.0, 9.5, 10.0, 11.0, 12.0, 13.0])
UNLIKE = np.array([-4.0, 3.0, -3.0, 4.0, -2.0, 2.5])  # mean just above zero
SLIGHT = np.array([0.0, 0.02, 0.01, 0.0, 0.03, 0.01])


def frontier(
    rotation: dict[tuple[str, float], np.ndarray], seconds: dict[str, float] | None = None
) -> Frontier:
    """Rooms of given errors; pairs are the points, seconds their roots unless given for a rule."""
    columns = {(UNMERGED, 1.0): ROOMS + 1} | rotation
    count, spent = len(ROOMS), [(seconds or {}).get(n, p**0.5) for n, p in columns]
    arrays = {
        "rotation": np.array(list(columns.values())).T,
        "pairs": np.array([[point for _, point in columns]] * count),
        "seconds": np.outer(np.arange(1.0, count + 1), spent),
    }
    return Frontier([n for n, _ in columns], [p for _, p in columns], arrays)


def test_a_winner_is_named_only_where_nobody_ties() -> None:
    sure = frontier({("a", 0.5): ROOMS, ("b", 0.5): ROOMS + 0.2 + SLIGHT})
    alone = frontier({("a", 0.5): ROOMS}).best("pairs", 0.5)
    assert str(alone) == "a (alone)" and not alone.won and sure.best("pairs", 0.5).won
    assert str(sure.best("pairs", 0.5)) == "a", "rooms differ more than rules, but rooms are paired"
    rules = {"a": ROOMS, "b": ROOMS + UNLIKE, "c": ROOMS + 2 + SLIGHT}
    tied = frontier({(name, 0.5): errors for name, errors in rules.items()})
    assert tied.best("pairs", 0.5) == best.Best("a", pytest.approx(10.75), ("b",), 3)
    assert str(tied.best("pairs", 0.5)) == "a +\u00a01", "one more is not surely worse"
    assert tied.best("pairs", 0.4) is None


def test_a_budget_takes_the_dearest_point_of_each_rule_whatever_it_errs() -> None:
    run = frontier({("a", 0.5): ROOMS, ("a", 0.25): ROOMS - 5, ("b", 0.25): ROOMS - 3}, {"b": 0.1})
    assert {rule: run.points[k] for rule, k in run.within("pairs", 0.5).items()} == {"a": 0.5, "b": 0.25}
    assert run.best("pairs", 0.25).rule == "a" and run.best("pairs", 0.5).rule == "b"
    assert run.within("seconds", 0.2).keys() == {"b"}
    np.testing.assert_allclose(run.cost("seconds"), [1.0, 0.5**0.5, 0.5, 0.1])


def test_every_declared_number_is_made_from_the_runs_that_are_there() -> None:
    rules = ("uniform", "grid", "split")
    names = [*rules, *(rule + OPEN for rule in rules)]
    rows = {(n, p): ROOMS + place + SLIGHT for p in best.PAIRS for place, n in enumerate(names)}
    scaled = {key: value / 2 for key, value in rows.items()}
    runs = {("mini", False): frontier(rows), (FEW, False): frontier(rows), (FEW, True): frontier(scaled)}
    trained = {"mini": 12, FEW: 4}
    found = best.quantities(runs, trained)
    declared = {one.quantity for one in read(best.DECLARED)}
    assert declared - found.keys() == {"longer_factor"}
    assert best.quantities(runs | {("mini", True): frontier(scaled)}, trained).keys() == declared
    assert best.quantities({}, trained) == {}
    assert found["few_repaired"] == pytest.approx((10.75 + 0.07 / 6) / 11.75)
    assert found["few_factor"] == pytest.approx(0.5)
    assert found["open_at_a_tenth"] == 0 and found["tied_at_half"] == 0
    assert found["split_over_grid"] == pytest.approx(15.76 / 14.76, abs=1e-3)
    default = best.default([runs["mini", False], runs[FEW, False]], "pairs", 0.1)
    assert (default.rule, default.holds, default.of, default.also) == ("uniform", 2, 2, ())
    assert default.ratio == pytest.approx((10.75 + 0.07 / 6) / 11.75)
    assert best.default_table(runs).loc["seconds ≤ 0.6", "as they are"] == "uniform (2 of 2)"
    titles = {"mini": "to 12 frames", FEW: "to 4 frames"}
    assert best.price_table(runs, titles).loc[("to 12 frames", "no"), "unmerged"] == pytest.approx(11.75)
    table = best.budget_table(runs, titles)
    assert table.loc[("to 12 frames", "no"), "pairs ≤ 0.5"] == "uniform" and len(table) == 3
    hollow = best.Best("grid" + OPEN, 1.0, ("uniform", "split"), 3)
    assert str(hollow) == "○\u00a0grid +\u00a02", "as the figures mark rules that protect nothing"


def test_every_network_that_ships_is_asked_for() -> None:
    assert {"mini", FEW, "wider"} <= set(best.networks())
    assert best.networks()[0].endswith("to-4") or "to4" in best.networks()[0]
    with pytest.raises(ValueError, match="between 0 and 1"):
        measure.measure(None, [1.0])


def test_each_rule_is_a_line_over_the_unmerged_error() -> None:
    run = frontier(
        {("uniform", 0.5): ROOMS + 1, ("uniform", 0.1): 2 * ROOMS + 2, ("grid" + OPEN, 0.5): ROOMS}
    )
    worse = frontier({("uniform", 0.5): 4 * ROOMS})
    figure = draw.curves({"one": run, "two": worse}, "pairs")
    one, two, hidden = figure.axes
    assert two.get_ylim()[1] > max(two.lines[0].get_ydata()), "no line leaves its panel"
    uniform, grid, unmerged = one.lines
    np.testing.assert_allclose(uniform.get_xydata(), [[0.5, 1.0], [0.1, 2.0]])
    assert grid.get_markerfacecolor() == "none" and grid.get_linestyle() == "--"
    assert set(unmerged.get_ydata()) == {1} and not hidden.get_visible()
