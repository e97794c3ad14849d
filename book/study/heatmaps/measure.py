"""What chosen tokens look at: rows of attention as pictures over the frames, and how alike they are.

A *map* is one row of softmax attention, over all N tokens. The distance of two maps is their total variation
½Σ|a − b|: the share of attention that would have to move to turn one into the other, 0 for the same map and
1 for maps without overlap.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from book.study.intervals import Interval, median_interval
from book.study.static_merging import StaticMerging
from lib.merging import TokenLayout
from lib.probe import HeadReading, LayerReading, Probe
from lib.run import Setup, run
from lib.scenes.sequence import Sequence
from lib.spectra import Budget

Arrays = dict[str, NDArray[np.float64]]


@dataclass(frozen=True)
class Token:
    """A token whose map is drawn. row and column: of its patch, None for a special token."""

    name: str
    index: int
    frame: int
    row: int | None = None
    column: int | None = None


def patch_gradients(image: Tensor, layout: TokenLayout) -> Tensor:
    """Mean length of the brightness gradient in each patch of an image (3, H, W); (h, w), per pixel."""
    down, right = torch.gradient(image.double().mean(0))
    cells = torch.hypot(down, right).unflatten(0, (layout.patches_high, -1))
    return cells.unflatten(2, (layout.patches_wide, -1)).mean((1, 3))


def chosen_tokens(sequence: Sequence, layout: TokenLayout) -> list[Token]:
    """Tokens chosen by rule, not by eye.

    Frame 0: the camera token, the first register (where there are special tokens), the patches with the
    strongest and with the weakest brightness gradient, the patch in the middle. Half-way through the
    sequence: the patch in the middle. Ties go to the first patch in reading order.
    """
    wide = layout.patches_wide
    gradients = patch_gradients(sequence.images[0], layout).flatten()
    middle = layout.patches_high // 2 * wide + wide // 2
    patches = [
        ("strongest edges, frame 0", 0, int(gradients.argmax())),
        ("plainest patch, frame 0", 0, int(gradients.argmin())),
        ("middle, frame 0", 0, middle),
    ]
    half = layout.frames // 2
    if half:
        patches.append((f"middle, frame {half}", half, middle))
    special = [Token("camera token, frame 0", 0, 0), Token("first register, frame 0", 1, 0)]
    return special[: layout.special] + [
        Token(name, frame * layout.tokens_per_frame + layout.special + place, frame, *divmod(place, wide))
        for name, frame, place in patches
    ]


def sample_tokens(layout: TokenLayout, count: int, seed: int) -> list[int]:
    """`count` tokens of any kind without replacement (all, if there are no more), in sequence order."""
    generator = torch.Generator().manual_seed(seed)
    return sorted(torch.randperm(layout.tokens, generator=generator)[:count].tolist())


def distances(maps: Tensor) -> Tensor:
    """Mean distance over pairs of different maps, for maps (..., r, N): (...); NaN for r = 1."""
    pairs = torch.cdist(maps.double(), maps.double(), p=1) / 2
    count = maps.shape[-2]
    return pairs.sum((-1, -2)) / (count * (count - 1)) if count > 1 else torch.full(maps.shape[:-2], math.nan)


def from_uniform(maps: Tensor) -> Tensor:
    """Mean distance of maps (..., r, N) from uniform attention: (...)."""
    return (maps.double() - 1 / maps.shape[-1]).abs().sum(-1).mean(-1) / 2


def energy_shares(squares: float, column_participation: float, tokens: int) -> tuple[float, float, float]:
    """What an average map consists of: shares, in total 1, of the mean of Σ_j A_ij² over the rows.

    Every map is uniform + (mean map − uniform) + (map − mean map), and the three are orthogonal on average.

    Args:
        squares: mean over rows of Σ_j A_ij², ‖A‖_F²/N.
        column_participation: (Σc)²/Σc² of the column masses: 1/‖mean map‖².
        tokens: N, so that uniform attention has the square 1/N.

    Returns:
        uniform, common to all tokens beyond it, and the tokens' own. A matrix of equal rows has own = 0.
    """
    common = 1 / column_participation
    return 1 / tokens / squares, (common - 1 / tokens) / squares, 1 - common / squares


def _head_numbers(head: HeadReading) -> dict[str, float]:
    scalars, merged = head.scalars, head.merged or head.scalars
    squares = scalars.frobenius**2 / scalars.rows
    uniform, common, own = energy_shares(squares, scalars.column_participation, scalars.columns)
    numbers = {
        "stable_rank": scalars.stable_rank,
        "stable_rank_merged": merged.stable_rank,
        "share_uniform": uniform,
        "share_common": common,
        "share_own": own,
        "explained": head.alignment.correlation**2,
    }
    if head.pooled is not None:
        numbers["pooled_stable_rank"] = head.pooled.stable_rank
        numbers["pooled_entropy"] = head.pooled.normalised_entropy
    if head.bracket is not None:
        inner = head.merged_bracket or head.bracket
        numbers["token_entropy"] = head.bracket.entropy / math.log(head.bracket.size)
        numbers["token_entropy_merged"] = inner.entropy / math.log(inner.size)
    return numbers


def layer_numbers(reading: LayerReading, first: int) -> Arrays:
    """All numbers of one layer: (heads,) or (), dimensionless.

    Args:
        reading: with heatmaps.
        first: how many of its heatmaps belong to chosen tokens; the others are the sample that distances
            are taken over.
    """
    rows = torch.stack([head.heatmaps for head in reading.heads if head.heatmaps is not None])[:, first:]
    table = [_head_numbers(head) for head in reading.heads]
    found = {name: np.array([row[name] for row in table]) for name in table[0]}
    entropy = torch.special.entr(rows.double()).sum(-1).mean(-1) / math.log(reading.tokens)
    measured = {
        "between_tokens": distances(rows),
        "from_uniform": from_uniform(rows),
        "row_entropy": entropy,
        "between_heads": distances(rows.transpose(0, 1)).mean(),
        "between_tokens_mean": distances(rows.mean(0)),
    }
    found |= {name: value.numpy() for name, value in measured.items()}
    return found | {"spread": np.array(1 - reading.features.resultant**2), "kept": np.array(reading.kept)}


@dataclass(frozen=True)
class SceneReading:
    """One scene. numbers: (layers, heads) or (layers,) by name; maps: (tokens, layers, heads, N) float32 of
    the chosen tokens; rehearsed: numbers of merging rehearsed on the unmerged run, None without merging.
    """

    numbers: Arrays
    maps: NDArray[np.float32]
    rehearsed: Arrays | None


def read_scene(setup: Setup, tokens: Iterable[Token], sample: int, spectra: bool) -> SceneReading:
    """Run one scene, and with merging once more unmerged to rehearse it.

    Args:
        setup: of `lib.run.prepare`.
        tokens: whose maps are kept.
        sample: how many tokens distances are taken over.
        spectra: also token-level entropies; exact up to 1,500 tokens, slow beyond.
    """
    chosen = [token.index for token in tokens]
    queries = [*chosen, *sample_tokens(setup.layout, sample, setup.params.seed)]
    tables: list[list[Arrays]] = [[], []]
    maps: list[Tensor] = []

    def take(reading: LayerReading, table: list[Arrays]) -> None:
        table.append(layer_numbers(reading, len(chosen)))
        if table is tables[0]:
            maps.append(
                torch.stack([h.heatmaps[: len(chosen)] for h in reading.heads if h.heatmaps is not None])
            )

    def probe(table: list[Arrays]) -> Probe:
        bracket = Budget() if spectra else None
        return Probe(queries=queries, merged=True, bracket=bracket, sink=lambda reading: take(reading, table))

    run(setup, probe(tables[0]))
    if setup.rule is not None:
        run(replace(setup, rule=None), StaticMerging(setup.model, setup.rule, probe(tables[1])))
    stacked = [{name: np.stack([row[name] for row in t]) for name in t[0]} if t else None for t in tables]
    assert stacked[0] is not None  # a model has a global layer
    return SceneReading(stacked[0], torch.stack(maps).permute(2, 0, 1, 3).numpy(), stacked[1])


def scenes_as_arrays(readings: list[SceneReading]) -> Arrays:
    """Numbers of all scenes, (scenes, layers[, heads]): "run.<name>", and with merging "rehearsed.<name>"."""
    parts = {"run": [r.numbers for r in readings]}
    if readings[0].rehearsed is not None:
        parts["rehearsed"] = [r.rehearsed for r in readings if r.rehearsed is not None]
    return {
        f"{part}.{name}": np.stack([row[name] for row in rows])
        for part, rows in parts.items()
        for name in rows[0]
    }


def over_frames(
    maps: NDArray[np.float32], layout: TokenLayout
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Maps (..., N) as pictures.

    Returns:
        (..., S, h, w) probabilities of the patches, and (..., S) the share that special tokens of each
        frame get.
    """
    frames = maps.reshape(*maps.shape[:-1], layout.frames, layout.tokens_per_frame)
    grid = (layout.patches_high, layout.patches_wide)
    pictures = frames[..., layout.special :].reshape(*frames.shape[:-1], *grid)
    return pictures, frames[..., : layout.special].sum(-1)


def by_block(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """(scenes, layers[, heads]) -> (scenes, layers), mean over heads."""
    return values.mean(-1) if values.ndim == 3 else values


def profile(values: NDArray[np.float64], seed: int) -> list[Interval]:
    """Median over scenes with its bootstrap interval, block by block; heads are averaged."""
    return [median_interval(column, seed) for column in by_block(values).T]


def deeper(layers: int) -> slice:
    """The second half of the global blocks; the middle one of an odd number is among them."""
    return slice(layers // 2, layers)


def smallest_deeper(values: NDArray[np.float64]) -> tuple[int, float]:
    """Block of the second half with the smallest median over scenes, and that median; heads are averaged."""
    medians = np.median(by_block(values), axis=0)
    block = deeper(len(medians)).start + int(medians[deeper(len(medians))].argmin())
    return block, float(medians[block])


def deeper_ratio(values: NDArray[np.float64], baseline: NDArray[np.float64], seed: int) -> Interval:
    """`values` over `baseline` of the same scenes: geometric mean over heads and deeper blocks, then median.

    Raises:
        ValueError: arrays of different shape, which cannot be paired.
    """
    if values.shape != baseline.shape:
        raise ValueError(f"cannot pair arrays of shapes {values.shape} and {baseline.shape}")
    logs = np.log(values / baseline)[:, deeper(values.shape[1])]
    return median_interval(np.exp(logs.reshape(len(logs), -1).mean(1)), seed)
