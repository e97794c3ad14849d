"""The network of the wider world: what was declared is judged by the records, and by nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("matplotlib")
from book.study.hypothesis import outcomes
from book.study.models import wider
from lib.records.store import StaleResultError
from lib.scenes.wider import INGREDIENTS


def row(walk: str, frames: int, who: str, level: float) -> dict[str, Any]:
    return {
        "walk": walk,
        "frames": frames,
        "who": who,
        "rotation_deg": {"values": [level - 0.2, level - 0.1, level, level + 0.1, level + 0.2]},
    }


def report(model: float, **arms: float) -> dict[str, Any]:
    levels = {"model": model, "still": 10.0}
    rows = [
        row(walk, n, who, v) for walk in ("redkitchen", "longer") for n in (4, 8) for who, v in levels.items()
    ]
    others = levels | {"mini": 8.0} | {name.replace("_", "-"): value for name, value in arms.items()}
    domains = [row(walk, 8, who, v) for walk in ("rooms", "all", *INGREDIENTS) for who, v in others.items()]
    return {"weights": "a", "evaluation": {"rows": rows}, "domains": {"weights": "a", "rows": domains}}


ARMS = {
    "everything": 6.0,
    "without_hand": 7.5,
    "without_camera": 7.0,
    "without_views": 6.5,
    "without_world": 6.1,
}


def test_every_declared_quantity_is_measured_and_judged() -> None:
    found = wider.measured(report(5.0, **ARMS), report(4.0))
    assert {one.quantity for one in wider.DECLARED} == found.keys()
    assert found["photographs_ratio"] == found["photographs_ratio_eight"] == found["wider_ratio"] == 0.5
    assert found["photographs_gap"] == pytest.approx(-5.0) and found["rooms_cost"] == pytest.approx(1.25)
    assert found["left_out_order"] == pytest.approx(6.5 - 7.0) and found["left_out_world"] == pytest.approx(
        6.1 / 6
    )
    table = outcomes(found | {"wider_ratio": 0.47}, wider.DECLARED)
    assert table.loc["W4", "outcome"] == "refuted" and (table.drop("W4")["outcome"] == "as predicted").all()
    assert table.loc["W2", "declared"] == "0.3 to 0.6" and table.loc["W2", "measured"] == "0.5"
    worse = outcomes(wider.measured(report(11.0, **ARMS), report(4.0)), wider.DECLARED)
    assert (worse.loc[["W1", "W2", "W3", "W4", "W5"], "outcome"] == "refuted").all()


def test_what_was_not_measured_stays_open_and_old_errors_are_refused() -> None:
    table = outcomes(wider.measured(report(5.0), report(4.0)), wider.DECLARED)
    assert (table.loc[["W6", "W7"], "outcome"] == "open").all()
    assert wider.left_out_table(report(5.0)).empty
    stale = report(5.0)
    stale["domains"]["weights"] = "b"
    with pytest.raises(StaleResultError, match="evaluate --wider"):
        wider.read_domains(stale)


def test_tables_and_figure_show_the_records() -> None:
    import matplotlib.pyplot as plt

    now = report(5.0, **ARMS)
    photographs = wider.photographs_table(now, report(9.0))
    assert photographs.loc[4, ["shipped", "wider"]].tolist() == ["9", "5"]
    assert photographs.loc[4, "wider − still"] == "−5 (−5 … −5)"
    few = report(5.0)
    for line in few["evaluation"]["rows"]:
        line["rotation_deg"]["values"] = line["rotation_deg"]["values"][:4]
    assert (wider.photographs_table(few, few)[["wider − still", "wider − shipped"]] == "").all(axis=None)
    assert wider.left_out_table(now).loc["without hand", "median paired change (°)"] == "1.5 (1.5 … 1.5)"
    boxes = wider.by_ingredient(now).axes[0].containers
    assert [np.unique(np.asarray(box[0].get_ydata())).tolist() for box in boxes] == [[10.0], [8.0], [5.0]]
    plt.close("all")
