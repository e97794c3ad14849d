"""Figures say what the data say: token counts, roles and kept fractions are read back from the drawing."""

import base64
import io
import re

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from book.study.architecture.draw import Dimensions, architecture
from book.study.intervals import Interval
from book.study.merging_pictures import fastvggt_roles, kept_curves
from book.study.scenes import attention_maps, cameras, photographs
from book.study.style import PALETTE, banner, intervals, own_pixels, provenance, shared_legend
from lib.merging import FastVGGTRule, TokenLayout

DIMENSIONS = Dimensions(3, 32, 2, "conv", 8, (48, 64), 10, 53, 5, (0, 1, 1, 2), 4)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def words(figure) -> str:
    return "\n".join(text.get_text() for ax in figure.axes for text in ax.texts)


def test_architecture_states_the_dimensions_it_was_given():
    text = words(architecture(DIMENSIONS))
    for fact in ("10 photographs", "48×64 px", "P = 53", "N = 530", "× 3 pairs", "layers 0, 1, 1, 2"):
        assert fact in text
    assert "merge" not in text


def test_architecture_draws_merging_to_scale():
    merged = Dimensions(**{**vars(DIMENSIONS), "kept": 0.5, "rule": "a rule"})
    figure = architecture(merged)
    assert "N′ = 265" in words(figure) and "a rule" in words(figure)
    heights = [bar.get_height() for bar in figure.axes[1].patches if isinstance(bar, plt.Rectangle)]
    assert min(heights) == pytest.approx(0.5 * max(heights))


def test_roles_are_those_of_the_rule():
    rule, layout = FastVGGTRule(0.5), TokenLayout(frames=3, patches_high=4, patches_wide=6)
    roles = fastvggt_roles(rule, layout, frame=1)
    assert (roles >= 2).sum() == 6  # one destination in each of 2 x 3 cells
    assert fastvggt_roles(rule, layout, frame=0).min() >= 2  # frame 0 is all destinations


def test_kept_curve_marks_saturation():
    figure = kept_curves([0, 0.5, 0.9], {"rule": [1, 0.5, 0.35]}, {"rule": 0.65})
    assert "0.650" in words(figure)


def test_scene_figures_show_every_chosen_frame():
    images = np.random.default_rng(0).random((4, 3, 16, 24))
    depth = np.ones((4, 16, 24))
    figure = photographs(images, [0, 2, 3], {"truth": depth, "predicted": depth})
    assert [ax.get_title() for ax in figure.axes[:3]] == ["frame 0", "frame 2", "frame 3"]
    maps = np.full((2, 4, 2, 3), 1 / 24)
    figure = attention_maps(images, maps, (0, 1, 1), [0, 5], [0, 1])
    assert figure.axes[2].get_ylabel() == "layer 5"


def test_camera_paths_share_one_scale():
    poses = np.tile(np.eye(3, 4), (5, 1, 1))
    poses[:, 0, 3] = np.arange(5)
    figure = cameras({"truth": poses, "predicted": poses * 0.5})
    ax = figure.axes[0]
    assert np.ptp(ax.get_xlim()) == pytest.approx(np.ptp(ax.get_zlim()))
    assert ax.xaxis.pane.get_facecolor()[3] == 0, "no grey walls on a dark page"


def test_banner_and_provenance_are_written_on_the_figure():
    figure = plt.figure()
    banner(figure, None)
    assert figure.get_suptitle() == ""
    banner(figure, "random weights")
    provenance(figure, {"seed": 3, "device": "cpu"})
    assert figure.get_suptitle() == "random weights"
    assert figure.get_supxlabel() == "seed: 3 · device: cpu"


@pytest.mark.parametrize("across", [False, True])
def test_an_interval_is_a_dot_with_a_bar_from_its_low_to_its_high_end(across):
    figure, ax = plt.subplots()
    intervals(ax, [1, 2], [Interval(5, 4, 8), Interval(6, 6, 7)], "green", "two", across=across)
    shared_legend(figure, ax, fontsize=8)
    (drawn,) = ax.containers
    dots, _, (bars,) = drawn.lines
    values, places = (dots.get_xdata(), dots.get_ydata()) if across else (dots.get_ydata(), dots.get_xdata())
    assert list(values) == [5, 6] and list(places) == [1, 2]
    assert [sorted(bar[:, 0 if across else 1]) for bar in bars.get_segments()] == [[4, 8], [6, 7]]
    assert dots.get_color() == PALETTE["green"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["two"]
    plt.close(figure)


def test_a_small_picture_keeps_its_own_pixels_in_a_vector_figure() -> None:
    held = []
    for interpolation in (None, own_pixels(np.empty((48, 48, 3)))):
        figure, ax = plt.subplots(figsize=(3, 3))
        ax.imshow(np.random.default_rng(0).random((48, 48, 3)), interpolation=interpolation)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg")
        (encoded,) = re.findall(r'data:image/png;base64,([^"]*)"', buffer.getvalue())
        held.append(Image.open(io.BytesIO(base64.b64decode(encoded))).size)
    assert held[1] == (48, 48) and held[0] > (96, 96)
    assert own_pixels(np.empty((518, 48))) is None
