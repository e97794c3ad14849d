"""Tokens on the sphere, in a browser: the laws of `lib.dynamics`, whatever is touched."""

import json
import math
from collections.abc import Callable

import browser
import pytest
import torch
from playwright.sync_api import Page
from torch import Tensor

from book.study.mean_field import sphere
from lib import dynamics

USUAL = {
    "beta": 1.0, "scale": 1.0, "step": 0.1, "norm": "post", "rule": "none", "m": 0.75, "sizeBias": False,
}  # fmt: skip
CHANGES = (
    {},
    {"beta": 0.0, "m": 0.5},
    {"beta": 20.0, "scale": 4.0, "step": 0.5},
    {"norm": "pre"},
    {"norm": "pre", "beta": 9.0, "scale": 0.5, "rule": "similar", "m": 0.3},
    {"rule": "similar"},
    {"rule": "similar", "m": 0.75, "sizeBias": True},
    {"rule": "position", "m": 0.4},
    {"rule": "position", "m": 0.75, "sizeBias": True, "scale": 1.7},
)


def merging(rule: str, m: float, size_bias: bool) -> Callable[[Tensor, int], dynamics.Groups] | None:
    """The rules of the figure, in Python: one token in four is a destination."""
    if rule == "none":
        return None

    def groups(u: Tensor, layer: int) -> dynamics.Groups:
        place = torch.arange(len(u))
        targets, sources = place[place % 4 == 0], place[place % 4 != 0]
        cosine, partner = (u[sources] @ u[targets].T).max(1)
        order = torch.arange(len(sources))
        if rule == "similar":
            order = torch.argsort(cosine, descending=True, stable=True)
        else:
            partner = order % len(targets)
        merged, rest = order.split([n := round(m * len(u)), len(sources) - n])
        labels = torch.empty(len(u), dtype=torch.long)
        labels[targets] = torch.arange(len(targets))
        labels[sources[merged]] = partner[merged]
        labels[sources[rest]] = len(targets) + torch.arange(len(rest))
        return dynamics.groups_of(labels, size_bias)

    return groups


def expected(count: int, **change: object) -> dynamics.Trajectory:
    """What `lib.dynamics` makes of the same start."""
    s = USUAL | change
    layer = dynamics.Layer(s["beta"] * s["scale"], s["step"], s["norm"])
    merge = merging(s["rule"], s["m"], s["sizeBias"])
    return dynamics.simulate(sphere.start()[:count], layer, sphere.LAYERS, merge=merge)


@pytest.fixture(scope="module")
def page():
    if browser.chromium() is None:
        pytest.skip("no chromium on the path, so the figure was not touched; apt-get install chromium")
    with browser.figure(sphere.sphere(), "sphere") as page:
        page.wait_for_selector(".sphere .ball circle")
        yield page


@pytest.mark.slow
@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_browser_and_python_agree(page: Page, change: dict) -> None:
    found = page.evaluate(
        "([tokens, setting, layers]) => {"
        " const run = sphere.simulate(tokens, setting, layers);"
        " return [run.spreads, run.streams.at(-1), sphere.layersTo(run.spreads, 0.05)] }",
        [sphere.start()[:60].tolist(), USUAL | change, sphere.LAYERS],
    )
    right = expected(60, **change)
    torch.testing.assert_close(torch.tensor(found[0]).double(), right.spread, atol=1e-6, rtol=0)
    torch.testing.assert_close(torch.tensor(found[1], dtype=torch.float64), right.tokens, atol=1e-6, rtol=0)
    assert (found[2] or math.inf) == pytest.approx(right.layers_to(0.05), abs=1e-4)


def shown(page: Page) -> list[float]:
    """Spreads of all layers as the page holds them."""
    return json.loads(page.locator(".sphere").get_attribute("data-spreads") or "[]")


@pytest.mark.slow
def test_touching_it_by_keyboard(page: Page) -> None:
    layer, beta, scale, step, count, m = page.locator(".sphere input[type=range]").all()
    norm, rule = page.locator(".sphere select").all()
    assert shown(page) == pytest.approx(expected(40).spread.tolist(), abs=1e-6)
    beta.focus()
    page.keyboard.press("Home")
    assert shown(page) == pytest.approx(expected(40, beta=0.0).spread.tolist(), abs=1e-6)
    for control, value in ((beta, "7"), (scale, "1.5"), (step, "0.4"), (count, "40")):
        control.fill(value)
    norm.select_option("pre")
    rule.select_option("similar")
    m.fill("0.6")
    page.locator(".sphere input[type=checkbox]").check()
    change = {"beta": 7.0, "scale": 1.5, "step": 0.4, "norm": "pre", "rule": "similar", "m": 0.6}
    right = expected(40, **change, sizeBias=True)
    assert shown(page) == pytest.approx(right.spread.tolist(), abs=1e-6)
    layer.focus()
    page.keyboard.press("End")
    now = float(page.locator(".sphere").get_attribute("data-spread") or "nan")
    assert now == pytest.approx(float(right.spread[-1]), abs=1e-6)
    says = page.locator(".sphere .says").inner_text()
    assert says.startswith(f"Layer {sphere.LAYERS}: ") and "with nothing merged" in says
    assert "It stays above 0.05; with" in says
    norm.select_option("post")
    beta.fill("1")
    right = expected(40, **change | {"norm": "post", "beta": 1.0}, sizeBias=True)
    says = page.locator(".sphere .says").inner_text()
    assert f"It falls below 0.05 after {right.layers_to(0.05):.1f} layers;" in says


@pytest.mark.slow
def test_play_and_turn(page: Page) -> None:
    layer, ball = page.locator(".sphere input[type=range]").first, page.locator(".sphere .ball")
    layer.fill("3")
    before = ball.inner_html()
    ball.focus()
    page.keyboard.press("ArrowRight")
    assert ball.inner_html() != before
    page.get_by_role("button", name="Play").press("Enter")
    page.wait_for_function("document.querySelector('.sphere input').valueAsNumber > 4")
    page.get_by_role("button", name="Stop").click()
    assert page.get_by_role("button", name="Play").is_visible()


@pytest.mark.slow
def test_what_the_page_says_of_it() -> None:
    """The sentences under the figure, at the settings that it opens with."""
    plain = expected(40).layers_to(0.05)
    assert expected(40, norm="pre").layers_to(0.05) > 1.5 * plain
    assert (
        expected(40, beta=8.0).layers_to(0.05)
        == expected(40, beta=2.0, scale=4.0).layers_to(0.05)
        == math.inf
    )
    assert expected(40, rule="similar").layers_to(0.05) > 1.5 * plain
    assert abs(expected(40, rule="similar", sizeBias=True).layers_to(0.05) - plain) < 2
    assert abs(expected(40, rule="position").layers_to(0.05) - plain) < 5


def test_the_picture_without_scripts() -> None:
    picture = sphere.still(8)
    assert picture.count('class="outline"') == len(sphere.STILLS)
    assert picture.count('r="3"') == 8 * len(sphere.STILLS)
    assert f"<noscript>{sphere.still()}" in sphere.sphere()
