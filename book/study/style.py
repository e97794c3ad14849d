"""The look that all figures share: fonts, a palette for colour-blind readers, a provenance line."""

from collections.abc import Mapping

import matplotlib as mpl
from cycler import cycler
from matplotlib.figure import Figure

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


def style() -> None:
    """Set matplotlib's defaults for the book; call it in the first cell of a page."""
    mpl.rcParams.update(
        {
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
