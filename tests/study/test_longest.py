"""Walks of 512 frames: ratios of errors, and the loss of a hold that says which networks fail."""

from __future__ import annotations

from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest

from book.study import hypothesis
from book.study.intervals import Interval
from book.study.networks import longest
from book.study.networks.draw import lost_and_failed
from book.study.networks.seeds import SEEDS

NINE = [name for names in SEEDS.values() for name in names]


def rooms(at_many: float, at_most: float) -> dict[int, np.ndarray]:
    few = np.array([1.0, 3.0, 2.0])
    return {8: few, 128: at_many * few, 512: at_most * few}


def test_a_ratio_is_of_means_over_all_rooms_of_all_networks() -> None:
    one = {8: np.array([1.0, 3.0]), 128: np.array([2.0, 2.0]), 512: np.array([2.0, 10.0])}
    other = {8: np.array([2.0, 2.0]), 128: np.array([1.0, 1.0]), 512: np.array([2.0, 2.0])}
    assert longest.ratio([one]).median == pytest.approx(3)
    assert longest.ratio([one, other]).median == pytest.approx(2)
    assert longest.ratio([one, other], 128).median == pytest.approx(6 / 8)


def test_keys_grow_with_their_power() -> None:
    assert longest.loss(0.5, 512) == pytest.approx(8) and longest.loss(1.0, 128) == pytest.approx(16)
    assert longest.loss(0.0, 512) == 1


def test_every_declared_quantity_comes_from_the_nine_and_the_two() -> None:
    powers = dict(zip(NINE, (0.9, 0.85, 0.8, 0.65, 0.6, 0.55, 0.4, 0.35, 0.3), strict=True))
    found = {n: rooms(2 * p, 4 * p) for n, p in powers.items()} | dict.fromkeys(longest.ALIKE, rooms(1, 1.1))
    said = longest.quantities(found, powers)
    assert [*said] and {*said} == {one.quantity for one in hypothesis.read(longest.DECLARED_LONGEST)}
    assert said["longest_to12"] == pytest.approx(4 * 0.6) and said["longest_to24"] == pytest.approx(4 * 0.35)
    assert said["longest_alike"] == pytest.approx(1.1)
    assert said["longest_order"] == 1 and said["longest_hold"] > 0.6
    turned = longest.quantities(found, {name: 1 - power for name, power in powers.items()})
    assert turned["longest_hold"] < said["longest_hold"], "the power decides, not the length alone"
    worse = found | {name: rooms(1, 9) for name in SEEDS[24]}
    assert longest.quantities(worse, powers)["longest_order"] == pytest.approx(9 / 27)


def test_what_is_not_measured_decides_nothing() -> None:
    found = dict.fromkeys([*SEEDS[12], *SEEDS[24][:2]], rooms(1, 2))
    assert longest.quantities(found, {}) == {"longest_to12": pytest.approx(2)}
    assert longest.quantities({}, {}) == {}


def test_errors_are_those_of_the_same_rooms(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, object]] = []

    found = SimpleNamespace(record={"errors.rotation": np.array([[5.0, 7.0]])})
    monkeypatch.setattr(longest.profile, "load_measured", lambda _, **one: asked.append(one) or found)
    assert [(frames, list(one)) for frames, one in longest.errors("a").items()] == [
        (frames, [5.0, 7.0]) for frames in (8, 128, 512)
    ]
    assert [one["frames"] for one in asked] == [8, 128, 512]
    assert {(one["model"], one["scene"]) for one in asked} == {("a", longest.ROOMS)}


def test_a_dot_a_network_and_a_colour_a_kind() -> None:
    lost, kinds = {"a": 2.0, "b": 30.0, "c": 64.0}, {"a": "more", "b": "few", "c": "few"}
    failed = {
        name: Interval(ratio, 0.5 * ratio, 2 * ratio) for name, ratio in (("a", 1.0), ("b", 4.0), ("c", 5.0))
    }
    ax = lost_and_failed(lost, failed, kinds).axes[0]
    drawn = {box.get_label(): box[0].get_xydata().tolist() for box in ax.containers}
    assert drawn == {"more": [[2, 1]], "few": [[30, 4], [64, 5]]}
    assert ax.get_xscale() == ax.get_yscale() == "log"
    plt.close("all")
