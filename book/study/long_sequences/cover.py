"""The README's picture, the book's mark and the pictures of its map: drawn, committed, kept fresh by a test.

python -m book.study.long_sequences.cover
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from book.study.long_sequences.outcome import FAILURE, Run, load_runs
from book.study.long_sequences.stations import stations
from book.study.numbers import number
from book.study.picture import picture
from book.study.shipped import trained_frames
from book.study.style import PALETTE, style
from lib.pipes import reader_may_leave
from lib.records.fingerprints import ROOT

STATIC = ROOT / "book" / "_static"
ROWS = (  # what the picture calls it, run, arm, colour
    ("{short} frames", "short", "plain", "grey"),
    (
        "{short} frames, frame 0 held to the\nshare that it has among {long}",
        "short",
        "starved 128",
        "vermilion",
    ),
    ("{long} frames", "long", "plain", "vermilion"),
    ("{long} frames, merged, with size bias", "long", "merged, size bias", "vermilion"),
    ("{long} frames, merged", "long", "merged", "orange"),
    ("{long} frames, one bias on\nthe keys of frame 0", "long", "anchored", "blue"),
)
TURN = 2.399963  # radians: the golden angle
MARK = 64  # pixels of the mark


def answer(runs: Mapping[str, Run]) -> Figure:
    """One row a treatment: rotation errors of all rooms, their mean as a diamond with its number."""
    frames = {name: runs[name].frames for name in ("short", "long")}
    figure, ax = plt.subplots(figsize=(8.2, 4.2))
    for row, (_, run, arm, colour) in enumerate(ROWS):
        errors = runs[run].errors(arm)
        spread = 0.24 * np.sin(TURN * np.arange(len(errors)))
        ax.plot(errors, row + spread, "o", color=PALETTE[colour], ms=4.5, alpha=0.45, mew=0)
        ax.plot(errors.mean(), row, "D", color=PALETTE[colour], ms=9, mec="white")
        ax.text(1.02, row, f"{number(errors.mean(), 2)}°", transform=ax.get_yaxis_transform(), va="center")
    ax.axvline(FAILURE, color=PALETTE["black"], lw=0.8, ls=":")
    ax.set_yticks(range(len(ROWS)), [label.format(**frames) for label, *_ in ROWS])
    ax.invert_yaxis()
    ticks = [1, 3, 10, 30, 100]
    ax.set_xscale("log")
    ax.set_xticks(ticks, [f"{tick}°" for tick in ticks])
    ax.minorticks_off()
    ax.set_xlabel("rotation error of the cameras: dots rooms, diamonds means; dotted: failure")
    trained = trained_frames(runs["long"].found[0].record.params["model"], 0)
    ax.set_title(
        f"A small VGGT, trained on {trained} frames: it fails as frame 0 loses its share of attention",
        loc="right",
    )
    return figure


def still(runs: Mapping[str, Run]) -> str:
    """The same as a vector graphic."""
    figure = answer(runs)
    found = picture(figure)
    plt.close(figure)
    return found


def on_white(svg: str) -> str:
    """A vector graphic on a card of its own: pages that show it may be dark."""
    head, rest = svg.split(">", 1)
    return f'{head}><rect width="100%" height="100%" fill="#ffffff" rx="6"/>{rest}'


def mark() -> str:
    """Tokens that have drawn together on a circle, and the one that keeps its distance: frame 0."""
    centre, radius = MARK / 2, MARK * 0.36
    crowd = np.radians(np.concatenate([-30 + 70 * np.sinh(np.linspace(-1.6, 1.6, 9)) / np.sinh(1.6)]))
    points = [(centre + radius * np.cos(a), centre - radius * np.sin(a)) for a in crowd]
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.2" fill="{PALETTE["sky"]}"/>' for x, y in points)
    first = centre + radius * np.cos(np.radians(150)), centre - radius * np.sin(np.radians(150))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {MARK} {MARK}" width="{MARK}" height="{MARK}">'
        f'<circle cx="{centre}" cy="{centre}" r="{radius:.1f}" fill="none" stroke="{PALETTE["grey"]}" '
        f'stroke-width="2.5"/>{dots}'
        f'<circle cx="{first[0]:.1f}" cy="{first[1]:.1f}" r="7.5" fill="{PALETTE["vermilion"]}"/></svg>\n'
    )


def drawn() -> dict[Path, str]:
    """Every file that this module writes, with its content."""
    with plt.rc_context():
        style()
        cover = on_white(still(load_runs()))
    pictures = {"answer": cover, "mark": mark()} | {f"map-{k}": v for k, v in stations().items()}
    return {STATIC / f"{name}.svg": svg for name, svg in pictures.items()}


if __name__ == "__main__":
    with reader_may_leave():
        for path, content in drawn().items():
            path.write_text(content, encoding="utf-8")
            print(path.relative_to(ROOT))
