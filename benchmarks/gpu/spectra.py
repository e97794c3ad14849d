"""Spectra of attention that no memory holds: scalars, pooled spectrum, bracket; their error where one does.

Heads of a trained network at 8,200 tokens (against the dense spectrum) and at 102,500; heads of VGGT-1B's
shape with random weights at 104,100 and 520,500, which tell what it costs.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import torch

from benchmarks.gpu.lengths import FIRST_ROOM, KIND, network
from benchmarks.gpu.pieces import Measurements, Piece, Stage, pictures, vggt_1b
from lib.probe.operators import attention_operators
from lib.scenes.walks import walk
from lib.spectra import (
    AttentionOperator,
    Budget,
    exact_scalars,
    frame_pooled,
    pooled_measures,
    spectrum_bracket,
)
from lib.vggt import VGGT, AttentionEvent

NAME = "trained-to-24"
BASES = 16 * 2**30  # bytes of the two Krylov bases
PASSES = 40  # over all queries and keys, for a bracket


class Read(Exception):
    """The last block that was asked for has been read; the rest of the pass is of no use."""


class Reader:
    """Reads one head of some global blocks, then ends the pass."""

    def __init__(self, stage: Stage, params: dict[str, Any]) -> None:
        self.stage, self.params, self.found = stage, params, {}

    def observe(self, event: AttentionEvent) -> None:
        """Numbers of the head, in the dtypes that were asked for."""
        layers = self.params["layers"]
        if event.kind != "global" or event.layer not in layers or event.layout is None:
            return
        with torch.autocast(event.x.device.type, enabled=False):
            for dtype in self.params["dtypes"]:
                operator = attention_operators(event, 0, precision=getattr(torch, dtype))[0]
                where = f"block {event.layer}, {dtype}"
                numbers = self.numbers(operator, event.layout.frames)
                self.found |= {f"{where}: {key}": value for key, value in numbers.items()}
        if event.layer == max(layers):
            raise Read

    def numbers(self, operator: AttentionOperator, frames: int) -> Measurements:
        """Scalars, pooled measures, and bracket or dense spectrum with their seconds."""
        seed, small = self.stage.seed, self.stage.rehearse
        start = time.perf_counter()
        found: Measurements = {k: (v, "1") for k, v in asdict(exact_scalars(operator, seed)).items()}
        pooled = asdict(pooled_measures(frame_pooled(operator, frames)))
        found |= {f"pooled {key}": (value, "1") for key, value in pooled.items()}
        found["seconds"] = (time.perf_counter() - start, "s")
        if self.params["bracket"]:
            budget = Budget(block=16 if small else 64, bytes=BASES, passes=PASSES)
            bracket = spectrum_bracket(operator, seed, budget, dense_below=0, steps=2 if small else None)
            found |= {
                f"bracket {k}": (v, "text" if k == "method" else "1") for k, v in asdict(bracket).items()
            }
        if self.params["dense"]:
            dense = spectrum_bracket(operator, seed, dense_below=operator.rows + 1)
            found |= {"dense entropy": (dense.entropy, "nat"), "dense seconds": (dense.seconds, "s")}
        return found


def pieces(stage: Stage) -> Iterator[Piece]:
    """The cheap ones that say most first."""
    both, one, known = ["float32", "bfloat16"], ["bfloat16"], {"network": NAME}
    random = {"network": "vggt-1b", "dtypes": one, "dense": False}
    plans: list[dict[str, Any]] = [
        {**known, "frames": 200, "layers": [3], "dtypes": ["float32"], "dense": True, "bracket": True},
        {**random, "frames": 100, "layers": [0, 11], "bracket": True},
        {**known, "frames": 2500, "layers": [3], "dtypes": both, "dense": False, "bracket": True},
        {**random, "frames": 500, "layers": [0], "bracket": False},
    ]
    for plan in plans:
        if stage.rehearse:
            plan |= {"frames": 3, "layers": [0, 1]}
        params = {**plan, "seed": stage.seed, "device": stage.device}
        yield Piece(params, lambda p=params: measure(stage, p))


def measure(stage: Stage, params: dict[str, Any]) -> Measurements:
    """One pass as far as the last block that is read."""
    if params["network"] == NAME:
        model = network(NAME, stage.device)[0]
        images = walk(KIND, FIRST_ROOM, params["frames"], model.config.image_size, stage.device).images
    else:
        model = vggt_1b(stage.seed, stage.device, stage.rehearse)
        images = pictures(stage, params["frames"], (56, 70) if stage.rehearse else (392, 518))
    reader = Reader(stage, params)
    stage.reset_peak()
    run_until_read(stage, model, images, reader)
    tokens = model.config.layout(params["frames"], *images.shape[-2:]).tokens
    return reader.found | {"tokens": (tokens, "tokens"), "peak": (stage.peak(), "GiB")}


def run_until_read(stage: Stage, model: VGGT, images: torch.Tensor, reader: Any) -> None:
    """A pass whose observer may end it."""
    try:
        with torch.inference_mode(), stage.precision():
            model(images, probe=reader, heads=())
    except Read:
        pass
