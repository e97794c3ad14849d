"""One word for each network and statement, by the whole interval; and a dot for each in the figure."""

import numpy as np
import pytest

from book.study.family import statements
from book.study.family.draw import strips, table
from book.study.family.statements import Statement
from book.study.intervals import Interval

HIGH, AROUND, LOW = Interval(2, 1.9, 2.1), Interval(1, 0.9, 1.1), Interval(0.5, 0.4, 0.6)
ABOVE = Statement("errors grow", "ratio", 1.0, {"a": HIGH, "b": AROUND, "c": LOW})
BELOW = Statement("the bias helps", "ratio", 1.0, {"a": HIGH, "c": LOW}, sign=-1, log=False)
NETWORKS = {"a": "first", "b": "second", "c": "third"}


def test_a_word_needs_the_whole_interval() -> None:
    assert [ABOVE.word(name) for name in "abc"] == ["yes", "not clear", "no"]
    assert [BELOW.word(name) for name in "abc"] == ["no", "not measured", "yes"]
    few = Statement("few rooms", "ratio", 1.0, {"a": Interval(2, -np.inf, np.inf)})
    assert few.word("a") == "not clear"


def test_the_table_has_a_row_for_each_statement() -> None:
    found = table([ABOVE, BELOW], NETWORKS)
    assert found.loc["errors grow"].tolist() == ["yes", "not clear", "no"]
    assert list(found.columns) == ["first", "second", "third"]


def test_every_measured_network_is_a_dot_with_its_interval() -> None:
    figure = strips([ABOVE, BELOW, ABOVE, BELOW], NETWORKS)
    above, below, *_, hidden = figure.axes
    assert [line.get_xdata()[0] for line in above.lines if line.get_marker() == "o"] == pytest.approx(
        [2, 1, 0.5]
    )
    assert len([line for line in below.lines if line.get_marker() == "o"]) == 2
    assert not hidden.get_visible() and above.get_xscale() == "log"


def test_a_sentence_names_the_networks_of_each_word() -> None:
    labels = {"a": "to 4 frames", "b": "to 12 frames", "c": "to 24 frames", "d": "to 24 frames (anew)"}
    assert ABOVE.sentence(labels) == (
        "errors grow: true if trained to 4 frames; not true if trained to 24 frames; "
        "not clear if trained to 12 frames; not measured if trained to 24 frames (anew)."
    )
    alike = Statement("diluted", "power", 0.0, dict.fromkeys("abc", HIGH))
    assert alike.sentence({"a": "to 4 frames", "b": "to 12 frames"}) == "diluted: true of all 2 networks."
    both = alike.sentence(labels | {"c": "to 8 frames"})
    assert "true if trained to 4 frames, to 12 frames and to 8 frames; not measured if" in both


def test_each_statement_reads_its_numbers_from_the_records(monkeypatch: pytest.MonkeyPatch) -> None:
    rooms = np.linspace(1.0, 2.0, 8)
    steady, growing = np.zeros(8), np.log(statements.LENGTHS)[:, None] + np.log(rooms)
    entropy = np.stack([growing, 0.25 * growing + steady], -1)  # (lengths, rooms, layers): S¹ and S^¼
    ones = np.ones((2, 8, 1, 1))
    arrays = {
        "propagated.entropy": np.array([2.0, 3.0]).reshape(2, 1, 1, 1) * ones,
        "propagated.stable_rank": np.array([4.0, 3.0]).reshape(2, 1, 1, 1) * ones,
        "errors.rotation": np.stack([rooms, 1.5 * rooms]),
    }
    monkeypatch.setattr(statements, "in_effect", lambda name: {"entropy": entropy})
    monkeypatch.setattr(statements, "merged", lambda name: arrays)
    monkeypatch.setattr(statements, "biased", lambda name: (0.5 * rooms, rooms))
    monkeypatch.setattr(statements, "by_length", lambda name: (3 * rooms, rooms))
    found = [ask() for ask in statements.ALL]
    medians = [one.found["mini"].median for one in found]
    assert medians == pytest.approx([0.625, 0.25, 3.0, 0.5, 1.5, 2 / 3, 1.5])
    assert {one.word(name) for one in found for name in statements.NETWORKS} == {"yes"}
    assert all(one.found.keys() == statements.NETWORKS.keys() for one in found)


def test_rooms_of_several_records_follow_one_another(monkeypatch: pytest.MonkeyPatch) -> None:
    class Record(dict):
        record = property(lambda self: self)

    def load(experiment: str, scene: str, arms: list[str], **_: object) -> Record:
        first = float(scene.split(":")[1].split("-")[0])
        rows = np.array([[first] * 2] + [[k + first / 100] * 2 for k in range(len(arms))])
        return Record({"arms": ["plain", *arms], "errors.rotation": rows})

    monkeypatch.setattr(statements.profile, "load_measured", load)
    new, old = statements.biased("trained-to-4")
    assert old.tolist() == [50, 50, 62, 62]
    assert new == pytest.approx([5.5, 5.5, 5.62, 5.62]), "the bias is the sixth arm of that run"
    new, old = statements.biased("mini")
    assert new == pytest.approx([2.5, 2.5]) and old.tolist() == [50, 50]


def test_every_network_of_the_family_is_shipped() -> None:
    assert list(statements.labels()) == list(statements.NETWORKS)
    assert statements.labels()["mini"] == "to 12 frames (shipped)"
