"""One word for each network and statement, by the whole interval; and a dot for each in the figure."""

import numpy as np
import pytest

from book.study.intervals import Interval
from book.study.networks.general import Statement, strips, table

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
    figure = strips([ABOVE, BELOW], NETWORKS)
    above, below, hidden = figure.axes
    assert [line.get_xdata()[0] for line in above.lines if line.get_marker() == "o"] == pytest.approx(
        [2, 1, 0.5]
    )
    assert len([line for line in below.lines if line.get_marker() == "o"]) == 2
    assert not hidden.get_visible() and above.get_xscale() == "log"
