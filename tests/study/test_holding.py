"""The block that holds on: what is declared of it, from arrays whose answers are known, and its picture."""

from __future__ import annotations

import numpy as np
import pytest

from book.study import hypothesis
from book.study.family import statements
from book.study.hold import Hold
from book.study.holding import draw
from book.study.holding.readers import DECLARED, NETWORKS, READERS, quantities

LENGTHS = [8, 16, 32, 64, 128]
POWERS = np.array([1, 1, 1, 0.5, 0.25, 1, 0.75, 1, 0.125, 1, 1, 1])  # by block


def test_every_declared_quantity_is_measured() -> None:
    entropy = np.log(np.array(LENGTHS, float))[:, None, None] * POWERS * np.ones((3, 1))
    found: dict[str, float] = {}
    for shape in NETWORKS:
        found |= quantities(shape, {"entropy": entropy}, LENGTHS)
    of_errors = {f"{shape}_{name}" for shape in ("moved", "untracked") for name in ("growth", "anchor")}
    assert {one.quantity for one in hypothesis.read(DECLARED)} <= found.keys() | of_errors
    assert found["moved_reader"] == pytest.approx(0.25) and found["moved_former"] == pytest.approx(0.5)
    assert found["deep12_reader"] == pytest.approx(0.125) and found["deep12_former"] == pytest.approx(0.5)
    assert found["untracked_least"] == pytest.approx(0.125)
    assert found["untracked_dilution"] == pytest.approx(POWERS.mean())
    assert not {"untracked_reader", "untracked_hold"} & found.keys(), "no loss reads a block of it"


def test_the_blocks_that_were_declared_are_those_that_the_losses_read() -> None:
    configs = {shape: statements.report(name)["config"] for shape, name in NETWORKS.items()}
    assert {shape: configs[shape]["track_layer"] for shape in READERS} == {
        shape: block for shape, (block, _) in READERS.items()
    }
    assert configs["untracked"]["track_weight"] == 0


def test_a_law_that_blocks_follow_foretells_them_better_than_a_power() -> None:
    rooms = np.ones((3, 1))
    block, _ = READERS["moved"]
    laws = [Hold(50.0 if place == block else 1e-2, held=3.0, others=2.0) for place in range(6)]
    entropy = np.stack([law.entropy(LENGTHS) for law in laws], -1)[:, None] * rooms
    found = quantities("moved", {"entropy": entropy}, LENGTHS)
    assert found["moved_hold"] == pytest.approx(1, abs=0.01) and found["moved_better"] < 0.2


def test_the_picture_of_blocks_marks_the_one_that_a_loss_reads() -> None:
    lengths, powers = [8, 16, 32], np.array([1.0, 0.25, 0.75])
    arrays = {"entropy": np.log(lengths)[:, None, None] * powers * np.ones((3, 4, 3))}
    axes = draw.powers_by_block({"one": arrays, "none": arrays}, {"one": 1, "none": None}, lengths).axes
    for ax, wanted in zip(axes, ([([0, 2], [1.0, 0.75]), ([1], [0.25])], [([0, 1, 2], powers)]), strict=True):
        drawn = [one.lines[0].get_data() for one in ax.containers]
        assert [(list(blocks), list(found)) for blocks, found in drawn] == [
            (blocks, pytest.approx(found)) for blocks, found in wanted
        ]
        assert ax.get_ylim()[0] == 0
