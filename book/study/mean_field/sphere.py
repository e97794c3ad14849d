"""Tokens on the sphere, to touch: their start, for `sphere.js`, and a picture for pages without scripts."""

from __future__ import annotations

import html
import json

from torch import Tensor

from lib import dynamics

TOKENS, LAYERS = 200, 80
STILLS = (0, 20, 40)  # layers of the picture
SIZE, RADIUS = 200, 90  # of one of its spheres, px


def start() -> Tensor:
    """(TOKENS, 3): a cloud with a mean length of about 0.3, to the digits that the page holds."""
    return dynamics.biased_cloud(TOKENS, 3, 0.3, seed=0).mul(1e6).round().div(1e6)


def sphere() -> str:
    """The figure as HTML; without a script it shows three layers of one run."""
    content = html.escape(json.dumps({"tokens": start().tolist(), "layers": LAYERS}, separators=(",", ":")))
    return (
        f'<div class="living sphere" data-sphere="{content}"><noscript>{still()}'
        "<p>With scripts on, this figure can be touched.</p></noscript></div>"
    )


def still(tokens: int = 40) -> str:
    """Vector graphic of the layers `STILLS` at β = 1, h = 0.1, nothing merged; in the colour of the text."""
    seen: dict[int, Tensor] = {}
    layer = dynamics.Layer(beta=1.0, step=0.1)
    dynamics.simulate(start()[:tokens], layer, STILLS[-1], observe=lambda at, z: seen.update({at: z}))
    parts = [_ball(seen[at], place * SIZE, f"layer {at}") for place, at in enumerate(STILLS)]
    label = "Tokens on the sphere at three layers: spread out, closer together, in one place."
    box = f"0 0 {SIZE * len(STILLS)} {SIZE + 24}"
    return f'<svg viewBox="{box}" role="img" aria-label="{label}">{"".join(parts)}</svg>'


def _ball(tokens: Tensor, left: float, title: str) -> str:
    """Tokens (N, 3) seen along the second axis, those at the back pale."""
    middle = left + SIZE / 2
    dots = "".join(
        f'<circle cx="{middle + RADIUS * x:.1f}" cy="{SIZE / 2 - RADIUS * z:.1f}" r="3" '
        f'class="{"front" if y < 0 else "back"}"/>'
        for x, y, z in tokens.tolist()
    )
    outline = f'<circle cx="{middle}" cy="{SIZE / 2}" r="{RADIUS}" class="outline"/>'
    return f'{outline}{dots}<text x="{middle}" y="{SIZE + 16}" text-anchor="middle">{title}</text>'
