"""The figure to touch computes, in a browser, what the law of long sequences says in Python."""

from types import SimpleNamespace

import browser
import numpy as np
import pytest

from book.study.long_sequences import law, living
from book.study.long_sequences.outcome import Run


class Fields(dict):
    """The entries of a record, and its parameters."""

    params: dict[str, int]


def small_run(frames: int, rooms: int = 2) -> Run:
    """A run with random logits: rooms, 6 layers, 1 factor, 3 heads, 64 queries, 4 groups."""
    sums = np.random.default_rng(0).normal(scale=2.0, size=(rooms, 6, 1, 3, 64, 4)).astype(np.float32)
    mass = law.shares(sums[None, :, :, 0].mean((3, 4)))[:, :, :, None]
    record = Fields(arms=["plain"], log_sums=sums, mass=mass)
    record.params = {"frames": frames}
    return Run("small", (SimpleNamespace(record=record),))  # type: ignore[arg-type]


def test_sampled_rows_are_patches_of_blocks_without_the_sink() -> None:
    run = small_run(8)
    every = run.found[0].record["log_sums"]
    wanted = np.delete(every[:, :, 0], 3, axis=1)[:, :, :, :32].reshape(-1, 4)
    found = living.sampled(run, 100)
    assert found.shape == (100, 4) and {tuple(r) for r in found} <= {tuple(r) for r in wanted.astype(float)}
    assert np.array_equal(living.sampled(run, len(wanted)), wanted)


@pytest.fixture(scope="module")
def page():
    """A page with the script and one figure."""
    if browser.chromium() is None:
        pytest.skip("no chromium on the path, so the figure was not touched; apt-get install chromium")
    text = living.dilution(small_run(8), small_run(128), 4, "<p>still</p>")
    with browser.figure(text, "dilution") as page:
        page.wait_for_selector(".living svg")
        yield page


@pytest.mark.parametrize("kept", [1.0, 0.3])
@pytest.mark.parametrize("first", [0.0, 1.7])
@pytest.mark.parametrize("frames", [4, 128, 1024])
@pytest.mark.slow
def test_browser_and_python_agree(page, frames: int, kept: float, first: float) -> None:
    rows = living.sampled(small_run(8), 50)
    found = page.evaluate(
        "([rows, ...rest]) => dilution.diluted(rows, ...rest)", [rows.tolist(), frames, 8, kept, first]
    )
    np.testing.assert_allclose(found, law.diluted(rows, frames, 8, kept, first).mean(0), atol=1e-6, rtol=0)
    bias = page.evaluate("s => dilution.keepingBias(s, 4)", frames)
    assert bias == pytest.approx(law.keeping_bias(frames, 4), abs=1e-12)


@pytest.mark.slow
def test_touching_it(page) -> None:
    rows = living.sampled(small_run(8)).round(3)

    def shown() -> float:
        return float(page.locator(".living").get_attribute("data-share"))

    def share(frames: int, **change: float) -> float:
        return float(law.diluted(rows, frames, 8, **change).mean(0)[0])

    length, strength = page.locator("input[type=range]").all()
    size_bias, anchor = page.locator("input[type=checkbox]").all()
    assert shown() == pytest.approx(share(128), abs=1e-6)
    length.focus()
    page.keyboard.press("End")
    assert shown() == pytest.approx(share(1024), abs=1e-6)
    strength.fill("0.9")
    assert shown() == pytest.approx(share(1024, kept=0.1), abs=1e-6)
    size_bias.check()
    assert shown() == pytest.approx(share(1024), abs=1e-6)
    anchor.check()
    assert shown() == pytest.approx(share(1024, first=law.keeping_bias(1024, 4)), abs=1e-6)
    assert "in training, with 4 frames" in page.locator(".says").inner_text()


@pytest.mark.slow
def test_what_stands_at_the_axes(page) -> None:
    labels = page.eval_on_selector_all(".living svg text", "found => found.map(e => e.textContent)")
    frames, shares = ["4", "16", "64", "256", "1024"], ["100 %", "10 %", "1 %"]
    assert labels == [*frames, *shares, "number of frames", "attention on frame 0"]
