"""The look that all figures share: fonts, colours with their roles, intervals, legends, a provenance line."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from cycler import cycler
from IPython.core.getipython import get_ipython
from IPython.core.pylabtools import select_figure_formats
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from book.study.intervals import Interval
from book.study.picture import picture

# Okabe and Ito's palette, darkest first so that one-line plots read well in print.
PALETTE = {
    "blue": "#0072B2",
    "vermilion": "#D55E00",
    "green": "#009E73",
    "purple": "#CC79A7",
    "orange": "#E69F00",
    "sky": "#56B4E9",
    "black": "#222222",
    "grey": "#8A8A8A",
}
SERIES = (
    "blue",
    "vermilion",
    "green",
    "purple",
    "orange",
    "sky",
)  # lines with no role of their own, in order
INKED = ("text.color", "axes.labelcolor", "axes.edgecolor", "axes.titlecolor", "xtick.color", "ytick.color")
RULES = {  # a merging rule has one colour and one marker, in every chapter
    "fastvggt": ("vermilion", "o"),
    "uniform": ("blue", "s"),
    "regions": ("sky", "^"),
    "grid": ("green", "D"),
    "adaptive": ("purple", "P"),
    "split": ("grey", "h"),
}


def style() -> None:
    """Set matplotlib's defaults for the book; call it in the first cell of a page.

    Lines of text and axes have one ink (`PALETTE`'s black) on clear ground: the pages swap it in their dark
    theme. Pure black is for what lies on a colour and stays.
    """
    ink: dict[Any, Any] = dict.fromkeys(INKED, PALETTE["black"])
    mpl.rcParams.update(
        ink
        | {
            "figure.facecolor": "none",
            "axes.facecolor": "none",
            "legend.facecolor": "none",
            "figure.figsize": (7.2, 3.6),
            "figure.dpi": 110,
            "savefig.dpi": 160,
            "figure.constrained_layout.use": True,
            "font.size": 10,
            "axes.titlesize": 10.5,
            "axes.labelsize": 10,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.prop_cycle": cycler(color=list(PALETTE.values())),
            "legend.frameon": False,
            "legend.fontsize": 9,
            "lines.linewidth": 1.8,
            "image.cmap": "viridis",
            "axes.grid": True,
            "grid.alpha": 0.25,
            "grid.linewidth": 0.6,
        }
    )
    if (shell := get_ipython()) is not None:
        import matplotlib_inline.backend_inline  # noqa: F401  # it sets its own formats when it is imported

        select_figure_formats(shell, [])
        assert shell.display_formatter is not None
        shell.display_formatter.formatters["image/svg+xml"].for_type(Figure, picture)


def intervals(
    ax: Axes, at: ArrayLike, found: Sequence[Interval], colour: str, label: str | None = None,
    *, across: bool = False, **look: Any,
) -> None:  # fmt: skip
    """Draw medians with their intervals as bars.

    Args:
        at: where each stands on the other axis.
        colour: a name of `PALETTE`.
        across: values along x instead of y.
        look: what differs from a joined line of dots, as matplotlib's ``errorbar`` takes it.
    """
    middle = np.array([i.median for i in found])
    ends = np.array([[i.median - i.low for i in found], [i.high - i.median for i in found]])
    usual: dict[str, Any] = {"fmt": "o-", "ms": 4, "lw": 1.3, "capsize": 2}
    usual |= {"color": PALETTE[colour], "label": label, "xerr" if across else "yerr": ends}
    ax.errorbar(*((middle, at) if across else (at, middle)), **(usual | look))


def own_pixels(picture: np.ndarray) -> str | None:
    """`interpolation` of `imshow`: a picture of few pixels keeps its own; a vector figure else holds more.

    picture: (height, width, ...). None, matplotlib's choice, for a picture larger than it is shown.
    """
    return "none" if max(picture.shape[:2]) <= 128 else None


def shared_legend(figure: Figure, ax: Axes, loc: str = "outside lower center", **look: Any) -> None:
    """One legend for all panels of a figure, that of `ax`; in one row unless ``ncols`` says otherwise."""
    handles, labels = ax.get_legend_handles_labels()
    usual: dict[str, Any] = {"loc": loc, "ncols": len(labels)}
    figure.legend(handles, labels, **(usual | look))


def provenance(figure: Figure, facts: Mapping[str, object]) -> None:
    """Write one grey line under a figure: where its numbers come from.

    Args:
        figure: the finished figure.
        facts: e.g. ``{"data": "room 7", "seed": 0, "device": "cpu"}``; shown in the order given.
    """
    line = " · ".join(f"{name}: {value}" for name, value in facts.items())
    figure.supxlabel(line, fontsize=7.5, color=PALETTE["grey"], x=0.99, ha="right")


def banner(figure: Figure, text: str | None) -> None:
    """Put a warning across the top of a figure (``None`` puts nothing), e.g. that weights are random."""
    if text:
        figure.suptitle(
            text,
            fontsize=9,
            color="white",
            backgroundcolor=PALETTE["vermilion"],
        )
