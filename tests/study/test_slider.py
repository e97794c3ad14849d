"""A slider over what was computed beforehand: values, text and picture follow it, by mouse and keyboard."""

import json
import math

import browser
import numpy as np
import pytest
from playwright.sync_api import Page

from book.study.slider import Panel, Profile, slider

AT = [0.0, 0.3, 0.9]
RANK = Panel("rank", [[123.456, 99.0, 7.25], [123.456, 140.75, math.nan]])
ERROR = Panel("error", [[3.6, -1.5, 4.0], [3.6, math.nan, 5.0]], "°")
SHAPE = Profile("spectrum", np.geomspace(1, [[0.1], [0.01], [0.001]], 300, axis=-1)[:, 0])


@pytest.fixture(scope="module")
def page():
    if browser.chromium() is None:
        pytest.skip("no chromium on the path, so the figure was not touched; apt-get install chromium")
    with browser.figure(slider("m", AT, [RANK, ERROR], ("released", "uniform"), SHAPE), "slider") as page:
        page.wait_for_selector(".slider svg")
        yield page


def shown(page: Page) -> tuple[list[float | None], list[str], str]:
    """Values that the page holds; readings of its panels; its sentence."""
    values = json.loads(page.locator(".slider").get_attribute("data-values") or "[]")
    readings = page.locator(".slider .value").all_inner_texts()
    return values, [text for text in readings if text], page.locator(".says").inner_text()


@pytest.mark.slow
def test_values_text_and_picture_follow(page: Page) -> None:
    place, rule = page.locator("input[type=range]"), page.locator("select")
    line, dot = page.locator("svg").last.locator("path"), page.locator("svg").first.locator("circle")
    place.focus()
    page.keyboard.press("Home")
    assert shown(page) == ([123.456, 3.6], ["123", "3.6°"], "released, m = 0: rank 123; error 3.6°.")
    before = line.get_attribute("d"), dot.get_attribute("cx"), dot.get_attribute("cy")
    page.keyboard.press("ArrowRight")
    assert shown(page) == ([99.0, -1.5], ["99", "−1.5°"], "released, m = 0.3: rank 99; error −1.5°.")
    after = line.get_attribute("d"), dot.get_attribute("cx"), dot.get_attribute("cy")
    assert all(a != b for a, b in zip(before, after, strict=True))
    rule.select_option("uniform")
    assert shown(page) == ([140.75, None], ["141", "not run"], "uniform, m = 0.3: rank 141.")
    page.keyboard.press("Tab")
    place.fill("2")
    assert shown(page) == ([None, 5.0], ["not run", "5°"], "uniform, m = 0.9: error 5°.")
    assert dot.get_attribute("visibility") == "hidden"


def test_every_value_is_on_the_page_as_it_was_measured() -> None:
    text = slider("m", AT, [RANK], ("released", "uniform"))
    assert "[[123.456,99.0,7.25],[123.456,140.75,null]]" in text
    assert "<td>123</td><td>99</td><td>7.25</td>" in text  # without a script


def test_panels_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"rank: values \(2, 3\), not"):
        slider("m", AT, [RANK])
