"""Depth profiles of a run, and the predictions that they decide: P1, P8, P9, P10, P11, P12.

A *profile* has one number per global block, of the tokens that enter it: R² (common part), the frame and the
token part of the spread 1 − R², and per head the share that a token attends to itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr
from torch import Tensor

from book.study.static_merging import Observers
from lib.probe import Sample, alignment, attention_operators, token_statistics
from lib.run import forward
from lib.scenes.sequence import Sequence
from lib.vggt import VGGT, AttentionEvent, LogitScale, Observer, VGGTConfig
from lib.vggt.memory import estimate_memory, require_memory

Arrays = dict[str, NDArray[np.float64]]
STEP = 4  # "every fourth" frame of P1, P9; also the number of copies of P9
WEAK = 0.1  # mean self-attention below which a block counts as diluted (P1, P4)
INITIAL_DEPTH, INITIAL_LAYER_SCALE = 24, 0.01  # of P11
SAMPLES = 32  # query tokens for β of a head, as in `lib.probe.Probe`


class Undefined(ValueError):
    """A quantity that this run cannot define; the message says why."""


def every_fourth(sequence: Sequence) -> Sequence:
    """Frames 0, 4, 8, … . Raises ValueError where fewer than two would be left."""
    if len(sequence) <= STEP:
        raise ValueError(
            f"frames must be at least {STEP + 1}, so that every fourth are two; got {len(sequence)}"
        )
    return sequence.take(range(0, len(sequence), STEP))


def copies(sequence: Sequence, count: int) -> Sequence:
    """Every frame `count` times in a row: 0, 0, 1, 1, … ."""
    return sequence.take(i for i in range(len(sequence)) for _ in range(count))


@dataclass
class Profile:
    """Observer that keeps a profile of the global blocks of one scene; memory O(N) per head.

    rows: per block common, frame, token (see `TokenStatistics`) and per head self_mass = mean A_ii and
    diluted = N/(N + N* − 1) with N* = e^{β(1−γ)}, β the head's slope of logits on cosines. Merged blocks have
    no self_mass: NaN.
    """

    seed: int
    rows: list[dict[str, NDArray[np.float64]]] = field(default_factory=list)

    def observe(self, event: AttentionEvent) -> None:
        """Read a global block."""
        if event.kind != "global" or event.layout is None:
            return
        with torch.inference_mode(), torch.autocast(event.x.device.type, enabled=False):
            x = event.x[0]
            tokens = token_statistics(x, event.update[0], event.layout.frames, self.seed)
            row = {name: np.array(getattr(tokens, name)) for name in ("common", "frame", "token")}
            if event.plan is None:
                sample = Sample.draw(x, min(SAMPLES, len(x)), self.seed)
                heads = [self._head(event, h, sample, tokens.gamma) for h in range(event.q.shape[1])]
                row["self_mass"], row["diluted"] = np.array(heads).T
            self.rows.append(row)

    def _head(self, event: AttentionEvent, head: int, sample: Sample, gamma: float) -> tuple[float, float]:
        operator, _ = attention_operators(event, head)
        q, k = operator.query, operator.key
        own = operator.diagonal()
        assert own is not None  # unmerged: queries and keys are the same tokens
        logits = event.scale * (q[sample.queries] @ k.T)
        law = alignment(logits, operator.attention_rows(sample.queries), sample, gamma, float(own.mean()))
        return law.self_mass, len(q) / (len(q) + law.critical_tokens - 1)

    def arrays(self) -> Arrays:
        """Name -> (blocks,) or (blocks, heads)."""
        return {name: np.stack([row[name] for row in self.rows]) for name in self.rows[0]}


def profile(
    model: VGGT, images: Tensor, seed: int, *others: Observer, logit_scale: LogitScale | None = None
) -> Arrays:
    """Profile of an unmerged run, shown to `others` as well."""
    probe = Profile(seed)
    forward(model, images, probe=Observers([probe, *others]), logit_scale=logit_scale, heads=())
    return probe.arrays()


def initial_odds(config: VGGTConfig, scenes: Iterable[Tensor], seed: int, device: str) -> NDArray[np.float64]:
    """Odds R²/(1−R²) through a VGGT at initialisation, as wide as `config`: 24 pairs, LayerScale 0.01 (P11).

    Args:
        scenes: images (S, 3, H, W) of each.

    Returns:
        (scenes, 25): of all tokens entering each of the 24 pairs (their frame blocks), then leaving the last.
        NaN where it does not fit into memory: no narrower model is put in its place.
    """
    heads = dict.fromkeys(("camera_head", "depth_head", "point_head", "track_head"))
    config = replace(config, depth=INITIAL_DEPTH, layer_scale=INITIAL_LAYER_SCALE, **heads)  # type: ignore[arg-type]
    scenes = list(scenes)
    frames, _, height, width = scenes[0].shape
    estimate = estimate_memory(config, frames, height, width, heads=())
    try:
        require_memory(estimate, device, weights_loaded=False)
    except MemoryError:
        return np.full((len(scenes), INITIAL_DEPTH + 1), np.nan)
    model = VGGT.from_seed(config, seed).to(device).eval()
    return np.array([_odds_by_pair(model, images.to(device)) for images in scenes])


def _odds_by_pair(model: VGGT, images: Tensor) -> list[float]:
    found: list[float] = []

    class Odds:
        def observe(self, event: AttentionEvent) -> None:
            if event.kind == "frame":
                found.append(odds(event.x))

    final = model.config.depth - 1
    with torch.inference_mode():
        features, _ = model.aggregator(images[None], keep={final}, probe=Odds())
    return [*found, odds(features[final][..., model.config.width :])]


def odds(x: Tensor) -> float:
    """R²/(1−R²) of the directions of tokens (..., C)."""
    mean = torch.nn.functional.normalize(x.flatten(0, -2).double(), dim=-1).mean(0)
    square = float(mean.square().sum())
    return square / (1 - square)


def spread(arrays: Arrays, which: str) -> NDArray[np.float64]:
    """Mean over scenes of 1 − R² entering each block, (blocks,)."""
    return 1 - arrays[f"{which}.common"].mean(0)


def profile_shift(arrays: Arrays) -> float:
    """P1. Mean self-attention of a block: over tokens, heads and scenes, the larger of the two runs'.

    Raises Undefined where no block has less than 0.1.
    """
    masses = [arrays[f"{which}.self_mass"].mean((0, 2)) for which in ("all", "few")]
    weak = np.maximum(*masses) < WEAK
    if not weak.any():
        raise Undefined(f"no global block has mean self-attention below {WEAK}")
    shift = np.abs(np.log(spread(arrays, "all") / spread(arrays, "few")))
    return float(shift[weak].max())


def token_against_frame(arrays: Arrays) -> float:
    """P8. On all S frames, shares of the tokens entering the last and the first global block; mean over
    scenes of the difference of logarithms."""
    ratio = np.log(arrays["all.token"] / arrays["all.frame"]).mean(0)
    if len(ratio) < 2:
        raise Undefined("one global block has no first and last")
    return float(ratio[-1] - ratio[0])


def _frame_part(arrays: Arrays, which: str, block: int = -1) -> float:
    """Mean over scenes of ln (frame part) entering a block, against every fourth frame."""
    change = np.log(arrays[f"{which}.frame"]) - np.log(arrays["few.frame"])
    return float(change.mean(0)[block])


def repeats_over_new(arrays: Arrays) -> float:
    """P9a. Start from every fourth frame; either each of them four times in a row, or all S frames."""
    new = _frame_part(arrays, "all")
    if new == 0:
        raise Undefined("new frames change nothing")
    return abs(_frame_part(arrays, "copies")) / abs(new)


def new_frames_effect(arrays: Arrays) -> float:
    """P9b. Every fourth frame against all S, tokens entering the last global block."""
    return _frame_part(arrays, "all")


def new_frames_at_entry(arrays: Arrays) -> float:
    """The control for P9b: the same for the first global block, before any global attention."""
    return _frame_part(arrays, "all", 0)


def moved_rank_correlation(arrays: Arrays) -> float:
    """P10. On all S frames; both sides averaged over scenes first; ranks over all heads of all blocks."""
    moved, law = (arrays[f"all.{name}"].mean(0).ravel() for name in ("self_mass", "diluted"))
    if np.ptp(moved) == 0 or np.ptp(law) == 0:
        raise Undefined("all heads are alike: ranks do not exist")
    return float(spearmanr(1 - moved, law).statistic)


def random_odds_factor(arrays: Arrays) -> float:
    """P11. Entering the first pair to leaving the last; geometric mean over scenes."""
    values = arrays["initial.odds"]
    if np.isnan(values).any():
        raise Undefined("a model of this width at initialisation does not fit into memory")
    return float(np.exp(np.log(values[:, -1] / values[:, 0]).mean()))


def late_slope(arrays: Arrays) -> float:
    """P12. On all S frames; blocks are numbered from 1; second half: number above depth/2.

    Raises Undefined where that leaves fewer than three blocks.
    """
    values = spread(arrays, "all")
    number = np.arange(1, len(values) + 1)
    late = number > len(values) / 2
    if late.sum() < 3:
        raise Undefined(f"a slope over {late.sum()} blocks says nothing; three are needed")
    return float(np.polyfit(np.log(number[late]), np.log(values[late]), 1)[0])
