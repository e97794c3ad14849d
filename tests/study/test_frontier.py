"""Rules meet at equal pairs; a winner is named only where nobody ties; every declared number is made."""

import numpy as np
import pytest
import torch

from book.study.frontier import best, measure
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


def frontier(
    rotation: dict[tuple[str, float], list[float]], seconds: dict[str, float] | None = None
) -> Frontier:
    """Rooms of given errors; pairs are the points, seconds their roots unless given for a rule."""
    columns = {(UNMERGED, 1.0): [10.0, 12.0, 14.0]} | rotation
    arrays = {
        "rotation": np.array(list(columns.values())).T,
        "pairs": np.array([[point for _, point in columns]] * 3),
        "seconds": np.array([[(seconds or {}).get(n, p**0.5) for n, p in columns]] * 3)
        * [[1.0], [2.0], [3.0]],
    }
    return Frontier([n for n, _ in columns], [p for _, p in columns], arrays)


def test_a_winner_is_named_only_where_nobody_ties() -> None:
    sure = frontier({("a", 0.5): [10.0, 12.0, 14.1], ("b", 0.5): [13.0, 15.0, 17.0]})
    assert str(sure.best("pairs", 0.5)) == "a"
    open_ = frontier(
        {("a", 0.5): [10.0, 12.0, 14.0], ("b", 0.5): [9.0, 14.0, 15.0], ("c", 0.5): [13.0, 15.0, 17.1]}
    )
    assert open_.best("pairs", 0.5) == best.Best("a", 12.0, ("b",))
    assert str(open_.best("pairs", 0.5)) == "tied: a · b"
    assert open_.best("pairs", 0.4) is None


def test_a_budget_takes_the_dearest_point_of_each_rule_whatever_it_errs() -> None:
    run = frontier({("a", 0.5): [9.0] * 3, ("a", 0.25): [5.0] * 3, ("b", 0.25): [7.0] * 3}, {"b": 0.1})
    assert {rule: run.points[k] for rule, k in run.within("pairs", 0.5).items()} == {"a": 0.5, "b": 0.25}
    assert run.best("pairs", 0.25).rule == "a" and run.best("pairs", 0.5).rule == "b"
    assert run.within("seconds", 0.2).keys() == {"b"}
    np.testing.assert_allclose(run.cost("seconds"), [1.0, 0.5**0.5, 0.5, 0.1])


def test_a_paired_difference_sees_pairs() -> None:
    a, b = np.array([1.0, 5.0, 9.0, 13.0]), np.array([1.5, 5.4, 9.6, 13.5])
    assert best.paired_difference(b, a).low > 0 > best.paired_difference(b[::-1], a).low
    assert best.paired_difference(a, a) == best.Interval(0.0, 0.0, 0.0)


def test_every_declared_number_is_made_from_the_runs_that_are_there() -> None:
    rules = ("uniform", "grid", "split")
    names = [*rules, *(rule + OPEN for rule in rules)]
    error = {name: 10.0 + place for place, name in enumerate(names)}
    rows = {(n, p): [error[n], error[n] + 2, error[n] + 4.1] for p in best.PAIRS for n in names}
    scaled = {key: [value / 2 for value in values] for key, values in rows.items()}
    runs = {("mini", False): frontier(rows), (FEW, False): frontier(rows), (FEW, True): frontier(scaled)}
    trained = {"mini": 12, FEW: 4}
    found = best.quantities(runs, trained)
    declared = {one.quantity for one in read(best.DECLARED)}
    assert declared - found.keys() == {"longer_factor"}
    assert best.quantities(runs | {("mini", True): frontier(scaled)}, trained).keys() == declared
    assert best.quantities({}, trained) == {}
    assert found["few_factor"] == pytest.approx(0.5)
    assert found["open_at_a_tenth"] == 0 and found["tied_at_half"] == 0
    assert found["split_over_grid"] == pytest.approx((15 + 6.1 / 3) / (14 + 6.1 / 3))
    table = best.budget_table(runs, trained)
    assert table.loc[("mini", 12, "no"), "pairs ≤ 0.5"] == "uniform" and len(table) == 3


def test_every_network_that_ships_is_asked_for() -> None:
    assert {"mini", FEW, "wider"} <= set(best.networks())
    assert best.networks()[0].endswith("to-4") or "to4" in best.networks()[0]
    with pytest.raises(ValueError, match="between 0 and 1"):
        measure.measure(None, [1.0])
