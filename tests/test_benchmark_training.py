"""Two sides of a comparison of training steps: what each does with freed memory, and their ratio."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import training


def test_a_checkout_keeps_freed_memory_where_its_own_command_does(tmp_path: Path) -> None:
    here, handed_back = training.sides(None)
    assert here.checkout == handed_back.checkout and (here.keeps, handed_back.keeps) == (True, False)
    assert [side.keeps for side in training.sides(tmp_path)] == [True, False], "an older one has no allocator"
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "allocator.py").touch()
    assert [side.keeps for side in training.sides(tmp_path)] == [True, True]


def test_the_variables_reach_the_side_that_keeps(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in training.KEEPING:
        monkeypatch.delenv(name, raising=False)
    started: list[dict[str, str]] = []
    monkeypatch.setattr(training.subprocess, "Popen", lambda words, env, **_: started.append(env))
    for keeps in (True, False):
        training.Side(tmp_path, keeps).start(["python"])
    assert training.KEEPING.items() <= started[0].items() and not training.KEEPING.keys() & started[1].keys()
    assert {env["PYTHONPATH"] for env in started} == {str(tmp_path)}


def test_the_ratio_is_of_images_per_second_after_the_warm_up() -> None:
    asked = [training.Side(Path("new"), True), training.Side(Path("old"), False)]
    slow, losses = {"seconds": 99.0}, {"losses": {"camera": 1.0}}
    answers = [[slow | losses] * training.WARM_UP + [{"seconds": s} | losses] * 2 for s in (2.0, 3.0)]
    text = training.report(asked, answers)
    assert (
        "ratio 1.50" in text
        and "new, freed memory kept: 2.000" in text
        and "old, freed memory handed back: 3.000" in text
    )
