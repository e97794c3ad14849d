"""Rank and entropy of merged runs from one unmerged pass that is thinned: the law for Table 1 and Fig. 3.

A merged row and column stand for a group of similar tokens. To zeroth order in the radius of the groups each
is that of the one token that stays, so the merged matrix is the unmerged attention with the rows and columns
of the merged tokens crossed out and the softmax taken again. No merged key or query is ever formed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from book.study import entries
from book.study.hypothesis import read
from book.study.predictions.measure import Quantity
from lib.merging import FastVGGTRule, MergingRule, Plan, TokenLayout, UniformRule
from lib.run import Params, forward, load_model, prepare
from lib.spectra import dense_measures
from lib.vggt import VGGT, AttentionEvent, LogitScale, parse_scale

Array = NDArray[np.float64]
Arrays = Mapping[str, Array]
FILE = Path(__file__).with_name("declared_thinning.yml")
DECLARED = read(FILE)
# run -> parameters of ``book/runs/thinning.ipynb``
RUNS: dict[str, dict[str, Any]] = entries.read(FILE, ("predictions", "runs"))["runs"]
STRENGTHS = {"released": (0.1, 0.3, 0.5, 0.7), "uniform": (0.1, 0.3, 0.5, 0.7, 0.9)}  # 0.7: saturation
NUMBERS = ("rank", "entropy", "row_entropy")  # e^H, H/ln N′, and the entropy of rows in nats
LAWS = ("tokens that stay", "their count")
RIVALS = ("constant", "paper", "neighbours")


def rules(seed: int) -> list[MergingRule]:
    """The rules of `STRENGTHS` without size bias; the uniform one protects nothing, and reaches every m."""
    released = [FastVGGTRule(m, seed=seed) for m in STRENGTHS["released"]]
    return [*released, *(UniformRule(m, seed=seed).unprotected() for m in STRENGTHS["uniform"])]


def spectra(
    q: Float[Tensor, "heads n width"], k: Float[Tensor, "heads n width"], scale: float
) -> list[list[float]]:
    """(heads, 2): spectral entropy and mean entropy of rows of softmax attention, nats."""
    a = torch.softmax(scale * q.float() @ k.float().mT, -1)
    rows = -torch.xlogy(a, a).sum(-1).mean(-1)
    return [[dense_measures(head).entropy, float(row)] for head, row in zip(a.cpu(), rows, strict=True)]


def staying(rule: MergingRule, plan: Plan, layout: TokenLayout) -> Int[Tensor, " rows"]:
    """A token for every row of the merged matrix: those that stay, and again those that have a second row."""
    assert plan.sources is not None
    stay = torch.ones(layout.tokens, dtype=torch.bool)
    stay[plan.sources[0].cpu()] = False
    tokens = stay.nonzero().flatten()
    if isinstance(rule, FastVGGTRule):
        twice = rule.protected(layout)
        tokens = torch.cat([tokens, twice[torch.isin(twice, rule.destinations(layout))]])
    return tokens


@dataclass
class Thinned:
    """Observer of an unmerged run: each global block's matrix whole, of random halves, and thinned.

    plain, half: per block (heads, 2); law: per block (rules, heads, 2); see `spectra`. counts: (rules, 2)
    rows of the merged matrix, and distinct tokens among them, the same in every block. tokens: N.
    """

    model: VGGT
    rules: Sequence[MergingRule]
    seed: int
    plain: list[Array] = field(default_factory=list)
    half: list[Array] = field(default_factory=list)
    law: list[Array] = field(default_factory=list)
    counts: list[tuple[int, int]] = field(default_factory=list)
    tokens: int = 0

    def observe(self, event: AttentionEvent) -> None:
        """Read a global block."""
        if event.kind != "global" or event.layout is None:
            return
        q, k = event.q[0], event.k[0]
        read = lambda rows: np.array(spectra(q[:, rows], k[:, rows], event.scale))  # noqa: E731
        order = torch.randperm(q.shape[1], generator=torch.Generator().manual_seed(self.seed))
        with torch.inference_mode():
            normed = self.model.aggregator.global_blocks[event.layer].norm1(event.x)  # type: ignore[operator]
            plans = [rule.plan(normed, event.layout) for rule in self.rules]
            tokens = [
                staying(r, p, event.layout) if p else order.sort()[0]
                for r, p in zip(self.rules, plans, strict=True)
            ]
            self.plain.append(read(slice(None)))
            halves = order.tensor_split(2)
            self.half.append(np.mean([read(rows) for rows in halves], axis=0))
            self.law.append(np.stack([read(rows) for rows in tokens]))
        self.tokens = len(order)
        self.counts = [(len(rows), len(rows.unique())) for rows in tokens]


@dataclass
class OwnMatrix:
    """Observer of a merged run: the matrix that each global block computes; rows: per block (heads, 2)."""

    rows: list[Array] = field(default_factory=list)

    def observe(self, event: AttentionEvent) -> None:
        """Read a global block."""
        if event.kind == "global":
            with torch.inference_mode():
                self.rows.append(np.array(spectra(event.q[0], event.k[0], event.scale)))


def measure_scene(
    model: VGGT, images: Tensor, seed: int, scale: LogitScale | None = None
) -> dict[str, Array]:
    """One scene: "plain", "half" (blocks, heads, 2), "law", "merged" (rules, blocks, heads, 2); counts."""
    every = rules(seed)
    seen = Thinned(model, every, seed)
    forward(model, images, probe=seen, logit_scale=scale, heads=())
    merged = []
    for rule in every:
        own = OwnMatrix()
        forward(model, images, rule, own, logit_scale=scale, heads=())
        merged.append(np.stack(own.rows))
    return {
        "plain": np.stack(seen.plain),
        "half": np.stack(seen.half),
        "law": np.stack(seen.law, axis=1),
        "merged": np.stack(merged),
        "counts": np.array(seen.counts, dtype=np.float64),
        "tokens": np.array(float(seen.tokens)),
    }


def measure(params: Params) -> dict[str, Array]:
    """Every scene of `params.scene`; arrays as `measure_scene` and `errors`, scenes first.

    Raises:
        ValueError: as `lib.run.prepare`.
    """
    model, _ = load_model(params)
    scale = parse_scale(params.logit_scale)
    scenes = [prepare(replace(one, m=0.0), model).sequence.images for one in params.each_scene()]
    found = [measure_scene(model, images, params.seed, scale) for images in scenes]
    arrays = {name: np.stack([scene[name] for scene in found]) for name in found[0]}
    return arrays | errors(arrays)


def numbers(nats: Array, rows: Array) -> Array:
    """(…, 3) `NUMBERS`, means over blocks and heads, of nats (…, blocks, heads, 2) of matrices of `rows`."""
    spectral = nats[..., 0]
    normalised = spectral.mean((-1, -2)) / np.log(rows)
    return np.stack([np.exp(spectral).mean((-1, -2)), normalised, nats[..., 1].mean((-1, -2))], axis=-1)


@dataclass(frozen=True)
class Curves:
    """One rule against its strength: share (scenes, 1 + m) of the tokens that are merged, 0 first; truth and
    each guess (scenes, 1 + m, 3), the unmerged run first."""

    share: Array
    truth: Array
    guesses: dict[str, Array]

    def errors(self) -> dict[str, Array]:
        """Guess -> (scenes, m, 3) relative errors at every m > 0."""
        return {k: np.abs(g[:, 1:] / self.truth[:, 1:] - 1) for k, g in self.guesses.items()}


def curves(arrays: Arrays, rule: str) -> Curves:
    """What both laws and the three rivals say of a rule; a rival never sees the m that it is asked for."""
    chosen = slice(0, 4) if rule == "released" else slice(4, None)
    plain, half = arrays["plain"], arrays["half"]
    whole = float(arrays["tokens"][0])
    rows, stay = arrays["counts"][:, chosen, 0], arrays["counts"][:, chosen, 1]
    step = np.log(stay / whole)[:, :, None, None, None]
    power = plain[:, None] + (plain - half)[:, None] / np.log(2) * step
    first = numbers(plain, np.full(len(plain), whole))[:, None]
    join = lambda nats: np.concatenate([first, numbers(nats, rows)], axis=1)  # noqa: E731
    truth = join(arrays["merged"][:, chosen])
    share = np.concatenate([np.zeros((len(stay), 1)), 1 - stay / whole], axis=1)
    guesses = dict(zip(LAWS, (join(arrays["law"][:, chosen]), join(power)), strict=True))
    return Curves(share, truth, guesses | {name: held_out(name, share, truth) for name in RIVALS})


def held_out(rival: str, share: Array, truth: Array) -> Array:
    """A rival's guess at every strength from all others, m = 0 among them; shapes as in `Curves`.

    "constant": the unmerged value. "paper": least squares of ln r, or of an entropy, on m: Eq. (13) and (14)
    with d = 1/(1 − m). "neighbours": straight between the two neighbours, at the end through the last two.
    """
    found = truth[:, [0]].repeat(truth.shape[1], axis=1)
    if rival == "constant":
        return found
    for scene, held, number in np.ndindex(*truth.shape):
        if held:
            others = np.arange(truth.shape[1]) != held
            x, y = share[scene, others], truth[scene, others, number]
            if rival == "neighbours":
                pair = np.clip(held, 1, len(x) - 1)
                x, y = x[pair - 1 : pair + 1], y[pair - 1 : pair + 1]
            logs = rival == "paper" and NUMBERS[number] == "rank"
            line = np.polyfit(x, np.log(y) if logs else y, 1)
            value = np.polyval(line, share[scene, held])
            found[scene, held, number] = np.exp(value) if logs else value
    return found


def errors(arrays: Arrays) -> dict[str, Array]:
    """ "errors.RULE" (scenes, m, guesses, 3): relative errors of `LAWS` and `RIVALS` in `NUMBERS`."""
    return {
        f"errors.{rule}": np.stack(list(curves(arrays, rule).errors().values()), axis=2) for rule in STRENGTHS
    }


def mean_error(arrays: Arrays, rule: str, guess: str, number: str) -> float:
    """Relative error of a guess, mean over scenes and all m > 0."""
    found = arrays[f"errors.{rule}"][:, :, (*LAWS, *RIVALS).index(guess), NUMBERS.index(number)]
    return float(found.mean())


def _error(rule: str, number: str) -> Quantity:
    return lambda arrays: mean_error(arrays, rule, LAWS[0], number)


def _against(rule: str, number: str, rival: str) -> Quantity:
    return lambda a: mean_error(a, rule, LAWS[0], number) / mean_error(a, rule, rival, number)


QUANTITIES: dict[str, Quantity] = {
    f"{rule}_{number}_error": _error(rule, number) for rule in STRENGTHS for number in NUMBERS
} | {
    f"{rule}_{number}_against_{rival}": _against(rule, number, rival)
    for rule in STRENGTHS
    for number in NUMBERS
    for rival in RIVALS
}
