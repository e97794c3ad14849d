"""Figures as pages show them: the same bytes each time, no type too small, dense marks as pixels."""

import base64
import re
from io import BytesIO

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.text import Text
from PIL import Image

from book.study import picture as pictures
from book.study.picture import COLUMN, SMALLEST, picture


@pytest.fixture
def drawn():
    """A figure twice as wide as the column, with small type in every place that has some."""
    figure, ax = plt.subplots(figsize=(2 * COLUMN, 3))
    ax.plot([1, 2, 3], label="a line")
    ax.set(title="title", xlabel="across", yscale="log")
    ax.tick_params(labelsize=5)
    ax.legend(fontsize=4, title="lines", title_fontsize=3)
    figure.text(0.1, 0.1, "large", fontsize=40)
    yield figure
    plt.close(figure)


def test_no_type_is_smaller_than_the_eye_reads(drawn) -> None:
    picture(drawn)
    drawn.canvas.draw()
    shown = [t for t in drawn.findobj(Text) if t.get_text() and t.get_visible()]
    assert len(shown) > 8
    assert min(t.get_fontsize() for t in shown) >= 2 * SMALLEST - 1e-9
    assert max(t.get_fontsize() for t in shown) == 40


def test_type_of_a_narrow_figure_is_left_alone() -> None:
    figure, ax = plt.subplots(figsize=(4, 3))
    ax.set_title("title", fontsize=10)
    picture(figure)
    assert ax.title.get_fontsize() == 10
    plt.close(figure)


def test_same_bytes_and_clear_ground(drawn) -> None:
    with mpl.rc_context({"figure.facecolor": "none"}):
        first = picture(drawn)
    assert first == picture(drawn) and first.startswith("<svg") and "dc:date" not in first


@pytest.mark.slow
def test_dense_marks_are_pixels_and_few_ones_curves() -> None:
    for count, pixels in ((50, False), (pictures.MANY + 1, True)):
        figure, axes = plt.subplots(1, 3)
        values = np.linspace(0, 1, count)
        axes[0].plot(values, values**2)
        axes[1].scatter(values, values)
        axes[2].pcolormesh(np.tile(values, (2, 1)))
        found = picture(figure)
        assert found.count("<image") == (3 if pixels else 0), (count, found.count("<image"))
        plt.close(figure)


def test_a_figure_too_large_for_a_page_says_what_to_do(monkeypatch, drawn) -> None:
    monkeypatch.setattr(pictures, "BYTES", 1000)
    with pytest.raises(ValueError, match="draw fewer marks"):
        picture(drawn)


def embedded(pixels: np.ndarray) -> tuple[str, np.ndarray]:
    """The format in which a figure holds a picture, and its pixels there, (height, width, 4), 0 to 255."""
    figure, ax = plt.subplots(figsize=(3, 3))
    ax.imshow(pixels, interpolation="none")
    found = picture(figure)
    plt.close(figure)
    (kind, content), *more = re.findall(r'data:image/(\w+);base64,([^"]*)"', found)
    assert not more
    return kind, np.asarray(Image.open(BytesIO(base64.b64decode(content))).convert("RGBA")).astype(int)


def test_a_photograph_is_held_as_one_and_a_drawing_pixel_by_pixel() -> None:
    rng = np.random.default_rng(0)
    across = np.linspace(0, 2, 120)
    smooth = 0.5 + 0.4 * np.stack([np.sin(across[:, None] * k + across) for k in (1, 2, 3)], -1)
    photograph = (255 * np.clip(smooth + 0.01 * rng.standard_normal(smooth.shape), 0, 1)).astype(np.uint8)
    kind, held = embedded(photograph)
    assert kind == "jpeg" and held.shape == (120, 120, 4)
    assert np.abs(held[..., :3] - photograph).mean() < 3  # of 255, beside noise of 2.5
    few = photograph // 64 * 64  # at most 64 colours
    kind, held = embedded(few)
    assert kind == "png" and (held[..., :3] == few).all()
    see_through = np.concatenate([photograph, np.full_like(photograph[..., :1], 255)], -1)
    see_through[:2] = 0
    assert embedded(see_through)[0] == "png"
    assert embedded(photograph[:20, :20])[0] == "png"  # small: nothing is won
