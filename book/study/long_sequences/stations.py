"""The four pictures of the map on the first page: claims, theory, measurements, answer.

Drawn for both themes, on clear ground; `book.study.long_sequences.cover` writes them.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from book.study.long_sequences import law
from book.study.style import PALETTE
from lib import dynamics

WIDTH, HEIGHT = 120, 72
LAYERS = (0, 16, 64)  # of the tokens that draw together
GREY, RED, BLUE, GREEN = (PALETTE[name] for name in ("grey", "vermilion", "blue", "green"))
Points = NDArray[np.float64]


def stations() -> dict[str, str]:
    """Name of a station -> its picture as SVG."""
    drawn = {"claims": claims(), "theory": theory(), "measurements": measurements(), "answer": answer()}
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}">'
    return {name: f"{head}{''.join(parts)}</svg>\n" for name, parts in drawn.items()}


def claims() -> Iterable[str]:
    """A printed page, and a mark beside each of its lines: right, wrong, open."""
    yield f'<rect x="34" y="3" width="52" height="66" rx="3" fill="none" stroke="{GREY}" stroke-width="2"/>'
    marks = (("m0 4 4 4 7-9", GREEN), ("m1 0 8 8m0-8-8 8", RED), ("m1 0 8 8m0-8-8 8", RED), ("m1 4h8", GREY))
    for row, (mark, colour) in enumerate(marks):
        y = 13 + 14 * row
        yield _line(f"M42 {y}h{(22, 25, 19, 23)[row]}", GREY, 2)
        yield _line(f"M70 {y - 4}{mark}", colour, 2.4)


def theory() -> Iterable[str]:
    """Tokens on a circle at three layers of attention: spread out, closer, together."""
    seen: dict[int, Tensor] = {}
    start = dynamics.biased_cloud(13, 2, 0.35, seed=3)
    layer = dynamics.Layer(beta=1.0, step=0.1)
    dynamics.simulate(start, layer, LAYERS[-1], observe=lambda at, z: seen.update({at: z}))
    for place, at in enumerate(LAYERS):
        x, radius = 20 + 40 * place, 15
        yield f'<circle cx="{x}" cy="36" r="{radius}" fill="none" stroke="{GREY}" stroke-width="1.5"/>'
        for a, b in seen[at].tolist():
            yield _dot(x + radius * a, 36 - radius * b, 2.6, BLUE)


def measurements() -> Iterable[str]:
    """A walk with the cameras on it, and the walk that a network makes of it."""
    angle = np.linspace(np.pi, 0.12 * np.pi, 7)
    true = np.stack([60 + 48 * np.cos(angle), 62 - 50 * np.sin(angle)], -1)
    made = true + np.linspace(0, 1, 7)[:, None] ** 2 * np.array([-4.0, 22.0])
    yield from _path(true, GREY, 1.5)
    yield from _path(made, RED, 1.5)
    for colour, path in ((GREY, true), (RED, made)):
        for x, y in path:
            yield f'<path d="M{x - 4:.1f} {y - 3:.1f}h8v6h-8z" fill="{colour}" stroke="none"/>'


def answer() -> Iterable[str]:
    """The share of attention that frame 0 keeps as frames are added: left alone, and with the bias."""
    frames = np.geomspace(4, 256, 25)
    odds = np.log(0.6)
    alone = law.reference_share(odds, frames)
    kept = law.reference_share([odds + law.keeping_bias(s, frames[0]) for s in frames], frames)
    yield _line(f"M12 6V64H{WIDTH - 8}", GREY, 1.5)
    x = np.linspace(16, WIDTH - 12, len(frames))
    yield from _path(np.stack([x, 60 - 52 * alone / kept[0]], -1), RED, 2.6)
    yield from _path(np.stack([x, 60 - 52 * kept / kept[0]], -1), BLUE, 2.6)


def _dot(x: float, y: float, radius: float, colour: str) -> str:
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" fill="{colour}"/>'


def _line(path: str, colour: str, width: float) -> str:
    return f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="{width}" stroke-linecap="round"/>'


def _path(points: Points, colour: str, width: float) -> Iterable[str]:
    yield _line("M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points), colour, width)
