"""One word for each network and statement, by the whole interval; and a dot for each in the figure."""

import json
from pathlib import Path

import numpy as np
import pytest

from book.study import verdicts
from book.study.family import rule, statements
from book.study.family.draw import looks, portraits, strips, table
from book.study.family.statements import Statement
from book.study.intervals import Interval
from lib.records.store import StaleResultError

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
    kinds = {"a": "to 4", "b": "to 12", "c": "to 4"}
    figure = strips([ABOVE, BELOW, ABOVE, BELOW], NETWORKS, kinds)
    above, below, *_, hidden = figure.axes
    dots = [line.get_xdata()[0] for line in above.lines if line.get_marker() in "oD"]
    assert dots == pytest.approx([2, 1, 0.5])
    assert len([line for line in below.lines if line.get_marker() in "oD"]) == 2
    assert not hidden.get_visible() and above.get_xscale() == "log"


def test_a_sentence_counts_the_largest_group_and_names_the_others() -> None:
    labels = {"a": "to 4 frames", "b": "to 12 frames", "c": "to 24 frames", "d": "to 24 frames (retrained)"}
    assert ABOVE.sentence(labels) == (
        "errors grow: true of 1 of 4 networks; not clear of that trained on up to 12 frames; "
        "not true of that trained on up to 24 frames; "
        "not measured for that trained on up to 24 frames (retrained)."
    )
    alike = Statement("diluted", "power", 0.0, dict.fromkeys("abc", HIGH))
    assert alike.sentence({"a": "to 4 frames", "b": "to 12 frames"}) == "diluted: true of all 2 networks."
    few = Statement("diluted", "power", 1.0, {"a": HIGH, "b": LOW, "c": LOW, "d": LOW})
    assert few.sentence(labels) == (
        "diluted: not true of 3 of 4 networks; true of that trained on up to 4 frames."
    )


def test_each_statement_reads_its_numbers_from_the_records(monkeypatch: pytest.MonkeyPatch) -> None:
    rooms = np.linspace(1.0, 2.0, 8)
    steady, growing = np.zeros(8), np.log(statements.LENGTHS)[:, None] + np.log(rooms)
    entropy = np.stack([growing, 0.25 * growing + steady], -1)  # (lengths, rooms, layers): S¹ and S^¼
    ones = np.ones((2, 8, 2, 3))
    after = np.array([3.0, 2.0]).reshape(2, 1, 1, 1)
    arrays = {
        "propagated.entropy": np.array([2.0, 3.0]).reshape(2, 1, 1, 1) * ones,
        "static.entropy": np.array([2.0, 2.5]).reshape(2, 1, 1, 1) * ones,
        # less one: 1 and 4 in the two blocks, merged two thirds of it
        "propagated.stable_rank": 1 + after / 3 * np.array([1.0, 4.0]).reshape(1, 1, 2, 1) * ones,
        "errors.rotation": np.stack([rooms, 1.5 * rooms]),
    }
    monkeypatch.setattr(statements, "in_effect", lambda name: {"entropy": entropy})
    monkeypatch.setattr(statements, "merged", lambda name: arrays)
    monkeypatch.setattr(statements, "biased", lambda name: (0.5 * rooms, rooms))
    times = {"denser": 3, "longer": 72}
    monkeypatch.setattr(statements, "by_length", lambda name, walk="denser": (times[walk] * rooms, rooms))
    found = [ask() for ask in statements.ALL]
    medians = [one.found["mini"].median for one in found]
    powers = np.log([3, 72 / 3]) / np.log(16)  # on denser walks, and on longer ones less that
    ranks = np.polyfit(np.log([1, 2]), np.log([1.0, 4.0]), 1)[0]
    share = np.log(1.25) / np.log(1.5)
    assert medians == pytest.approx([0.625, 0.25, 3.0, 0.5, 1.5, 2 / 3, 1.5, share, ranks, *powers])
    assert {one.word(name) for one in found for name in statements.NETWORKS} == {"yes"}
    assert all(one.found.keys() == statements.NETWORKS.keys() for one in found)


def test_a_kind_has_a_colour_and_its_first_training_a_filled_mark() -> None:
    found = looks({"a": "to 4", "b": "to 12", "c": "to 4", "d": "to 12"})
    colours = {name: colour for name, (colour, _) in found.items()}
    assert colours["a"] == colours["c"] != colours["b"] == colours["d"]
    assert [mark["fmt"] for _, mark in found.values()] == ["o", "o", "D", "D"]


def test_another_profile_asks_no_family(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statements.profile, "BOOK", statements.profile.read("smoke"))
    monkeypatch.setattr(statements.profile, "CONSULTED", [False])
    with pytest.raises(statements.profile.NotMeasured, match="networks of the family"):
        statements.frames_alone()
    assert statements.profile.CONSULTED == [False], "a page of theory does not follow the profile for it"


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
    # of these the record ships, and the weights do not
    absent = {"to4-seed1", "to24-seed1", "track4-seed1", "untracked-seed1", "deep12-seed0"}
    absent |= {f"to{most}-seed2" for most in (4, 12, 24)}
    assert statements.shipping() == [name for name in statements.NETWORKS if name not in absent]
    assert list(statements.labels(statements.shipping())) == statements.shipping()
    assert statements.labels()["mini"] == "to 12 frames (shipped)"
    assert statements.label("wider") == "to 12 frames (wider world)"  # ships, but is not of the family
    assert statements.label("theirs") == "theirs"


KINDS = {"a": "to 4", "b": "to 4", "c": "to 12", "d": "to 24", "e": "no reference"}


@pytest.mark.parametrize(
    ("found", "counts", "carries"),
    [
        ({name: HIGH for name in KINDS}, (5, 0, 5, 4), True),  # all agree
        ({"a": HIGH, "b": HIGH, "c": HIGH, "d": AROUND, "e": AROUND}, (3, 0, 5, 2), True),
        ({"a": HIGH, "b": HIGH, "c": HIGH, "d": HIGH, "e": LOW}, (4, 1, 5, 3), False),  # one disagrees
        ({"a": HIGH, "b": AROUND, "c": HIGH, "d": HIGH}, (3, 0, 4, 2), False),  # not every training of a kind
        ({"a": HIGH, "b": HIGH}, (2, 0, 2, 1), False),  # two trainings, one kind
        ({"c": HIGH, "d": HIGH}, (2, 0, 2, 2), False),  # two kinds, two networks
        ({"c": HIGH}, (1, 0, 1, 1), False),
        ({}, (0, 0, 0, 0), False),
        ({name: AROUND for name in KINDS}, (0, 0, 5, 0), False),
    ],
)
def test_a_family_carries_where_whole_kinds_agree_and_no_network_disagrees(
    found: dict[str, Interval], counts: tuple[int, ...], carries: bool
) -> None:
    reach = rule.reach(Statement("errors grow", "ratio", 1.0, found), KINDS)
    assert (reach.yes, reach.no, reach.measured, reach.kinds) == counts
    assert reach.carries is carries


def test_the_rule_says_its_numbers_and_a_reach_its_count() -> None:
    assert "At least 2 kinds with at least 3 networks" in str(rule.RULE)
    assert (
        rule.reach(Statement("s", "n", 1.0, {"a": HIGH, "c": LOW}), KINDS, rule.Rule(1, 1)).carries is False
    )
    assert str(rule.reach(ABOVE, KINDS)) == "holds for 1 of 3 networks, the opposite for 1"
    assert str(rule.reach(BELOW, KINDS)) == "holds for 1 of 2 networks, the opposite for 1"


def test_kinds_are_architecture_and_longest_training_sequence() -> None:
    assert rule.kind("mini") == "with reference frame, 6 blocks, patches of 8, to 12 frames"
    assert (
        rule.kind("equivariant-to4-seed0") == "without reference frame, 6 blocks, patches of 8, to 4 frames"
    )
    assert rule.kind("to24-seed0") == rule.kind("trained-to-24") != rule.kind("mini")
    assert rule.kind("causal-seed0") == f"{rule.kind('mini')}, earlier frames only"


def test_every_statement_that_a_check_names_exists() -> None:
    named = verdicts.register().families
    assert {"path_adds", "merging_costs"} <= named <= {ask.__name__ for ask in statements.ALL}
    with pytest.raises(ValueError, match=r"called .'merging_pays'.; there are diluted"):
        rule.reaches(["merging_pays"])


def test_photographs_are_those_of_the_weights_as_they_stand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statements.shipped, "SHIPPED", tmp_path / "mini.safetensors")
    monkeypatch.setattr(statements, "report", lambda name: {"weights": "as they stand"})
    statements.recording.cache_clear()
    with pytest.raises(StaleResultError, match="--photographs FOLDER --rooms 0"):
        statements.recording("a")
    row = {"walk": "redkitchen", "frames": 2, "who": "model", "rotation_deg": {"values": [3.0, 1.0]}}
    (tmp_path / "recordings").mkdir()
    for weights, fits in (("others", False), ("as they stand", True)):
        (tmp_path / "recordings" / "a.json").write_text(json.dumps({"weights": weights, "rows": [row]}))
        if fits:
            found = statements.shipped.errors(
                statements.recording("a"), "redkitchen", 2, "model", "rotation_deg"
            )
            assert found.tolist() == [3, 1]
        else:
            with pytest.raises(StaleResultError, match="as it stands"):
                statements.recording("a")
    statements.recording.cache_clear()


def test_the_table_of_networks_takes_columns_of_other_measurements() -> None:
    reports = {name: statements.report(name) for name in ("mini", "causal-seed0")}
    table = portraits(reports, {"far": {"mini": np.array([2.0, 2.0, 2.0])}})
    assert list(table["far"]) == ["2 (2 … 2)", "–"] and "far" not in portraits(reports)
