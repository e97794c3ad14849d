"""The figure to touch: the law of dilution on sampled queries, for `dilution.js`."""

from __future__ import annotations

import html
import json

import numpy as np
from numpy.typing import NDArray

from book.study.long_sequences.outcome import SINK, Run

ROWS = 600  # queries that the page holds


def sampled(run: Run, count: int = ROWS) -> NDArray[np.float64]:
    """(count, 4): ln Σ e^ℓ of the groups, of patches in blocks without a sink, evenly over the run."""
    sums = np.concatenate([m.record["log_sums"][:, :, 0] for m in run.found])
    patches = np.delete(sums, SINK, axis=1)[:, :, :, : sums.shape[3] // 2].reshape(-1, 4)
    return np.asarray(patches[np.linspace(0, len(patches) - 1, count).round().astype(int)], float)


def share(run: Run) -> float:
    """Measured mass of patches on frame 0, mean over the blocks without a sink."""
    return float(np.delete(run.mass()[:, 0, 0], SINK).mean())


def dilution(short: Run, long: Run, trained: int, still: str) -> str:
    """The figure as HTML.

    Args:
        short, long: unmerged runs, the first for the logits, both for the circles.
        trained: frames of the longest training sequence.
        still: what stands there without a script, as HTML.
    """
    content = {
        "rows": sampled(short).round(3).tolist(),
        "reference": short.frames,
        "trained": trained,
        "measured": [[run.frames, round(share(run), 5)] for run in (short, long)],
    }
    data = html.escape(json.dumps(content, separators=(",", ":")))
    return f'<div class="living" data-dilution="{data}"><noscript>{still}</noscript></div>'
