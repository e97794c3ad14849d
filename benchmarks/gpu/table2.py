"""Table 2 for VGGT-1B's shape: seconds by part, memory and operations against m, for each merging rule.

Weights and images are random, on which neither times nor memory depend; bf16 autocast, as VGGT is used. The
plain network is measured once for each length, and every variant is a record. From `ONCE` frames on there is
one pass, warmed up on fewer frames.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from benchmarks.gpu.pieces import Measurements, Piece, Stage, pictures, vggt_1b
from lib.costs.measure import PLAIN, VARIANTS, Variant, as_measurements, rules, timed_pass, warm_up
from lib.merging import RegisteredRule
from lib.vggt import FixedScale
from lib.vggt.memory import estimate_memory, require_memory

SIZE = (392, 518)
ONCE, WARM_FRAMES, REPEATS = 100, 8, 2
FIRST, THEN = (0.5, 0.9), (0.3, 0.7)  # strengths, in order of worth
SCALE = 1.2  # of the logits: what a scale costs does not depend on its value


@dataclass(frozen=True)
class Way:
    """One way of running the network. rule: "" for none; m: asked for; bias: of sizes; scaled: logits."""

    rule: str = ""
    m: float = 0.0
    bias: bool = False
    scaled: bool = False

    @property
    def name(self) -> str:
        """Such as "uniform m=0.5, size bias"."""
        words = [f"{self.rule} m={self.m}" if self.rule else PLAIN]
        return ", ".join(words + ["size bias"] * self.bias + ["scaled"] * self.scaled)

    def merging(self, seed: int) -> RegisteredRule | None:
        """The rule, if any."""
        return rules(self.rule, self.m, seed, self.bias)[self.rule] if self.rule else None


def ways(strengths: tuple[float, ...]) -> list[Way]:
    """All rules at some strengths."""
    return [Way(rule, m) for m in strengths for rule in VARIANTS]


def plan(rehearse: bool) -> list[tuple[int, Way]]:
    """(frames, way) in order of worth."""
    if rehearse:
        return [
            (frames, way) for frames in (2, 3) for way in (Way(), Way("uniform", 0.5), Way("fastvggt", 0.5))
        ]
    extras = [Way(scaled=True), Way("uniform", 0.5, bias=True), Way("uniform", 0.5, scaled=True)]
    halves = ways(FIRST[:1])
    order = [(frames, way) for frames in (50, 100) for way in [Way(), *ways(FIRST)]]
    order += [(200, way) for way in [Way(), *ways(FIRST[1:]), *halves[:2], *extras]]
    order += [(500, way) for way in [Way(), *ways(FIRST[1:]), *halves[:2]]]
    order += [(200, way) for way in halves[2:]]
    order += [(frames, way) for frames in (50, 100, 200) for way in ways(THEN)]
    late = [*halves[2:], *ways(THEN[1:])]
    return order + [(500, way) for way in late]


def pieces(stage: Stage) -> Iterator[Piece]:
    """One for each length and way."""
    for frames, way in plan(stage.rehearse):
        params = {
            "config": "random" if stage.rehearse else "vggt-1b",
            "frames": frames,
            "variant": way.name,
            "rule": way.rule,
            "m": way.m,
            "size": [56, 70] if stage.rehearse else list(SIZE),
            "repeats": 1 if frames >= ONCE or stage.rehearse else REPEATS,
            "seed": stage.seed,
            "device": stage.device,
        }
        yield Piece(params, lambda p=params, w=way: measure(stage, p, w), expected(stage, frames, way))


def measure(stage: Stage, params: dict[str, Any], way: Way) -> Measurements:
    """Warm up, which names the kernel, and time."""
    model, (height, width), frames = (
        vggt_1b(stage.seed, stage.device, stage.rehearse),
        params["size"],
        params["frames"],
    )
    half = torch.bfloat16 if stage.device.startswith("cuda") else None
    require_memory(estimate_memory(model.config, frames, height, width, autocast=half), stage.device)
    images = pictures(stage, frames, (height, width))
    variant = Variant(way.merging(stage.seed), FixedScale(SCALE) if way.scaled else None)
    warm_up(model, images if stage.device == "cpu" else images[:WARM_FRAMES], variant)
    for _ in range(params["repeats"]):
        timed_pass(model, images, variant)
    layout = model.config.layout(frames, height, width)
    return as_measurements({way.name: variant}, model.config, layout)


def expected(stage: Stage, frames: int, way: Way) -> float:
    """Seconds that a way will take, by the plain passes measured so far; 0 where there is none."""
    plain = {
        raw["params"]["frames"]: min(raw["measurements"][f"{PLAIN}: whole, wall"]["value"])
        for raw in stage.found("benchmarks.gpu.table2")
        if raw["params"]["variant"] == PLAIN and "refused" not in raw["measurements"]
    }
    if not plain:
        return 0.0
    nearest = max(plain)
    share = (1 - way.m) ** (2 if way.rule not in ("", "grid") else 1)
    return plain[nearest] * (frames / nearest) ** 2 * (0.15 + 0.85 * share)
