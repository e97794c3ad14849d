"""A thousand frames in one pass, and whether tokens collapse with depth in 24 pairs of random blocks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from benchmarks.gpu import table2
from benchmarks.gpu.pieces import Measurements, Piece, Stage, pictures, vggt_1b
from lib.probe.features import token_statistics
from lib.vggt import AttentionEvent

FRAMES = 1000
DEPTHS = (2, 20, 100)  # frames of the passes that are followed through the depth


def pieces(stage: Stage) -> Iterator[Piece]:
    """Collapse against depth, which takes seconds; then the long passes, the merged ones first."""
    for frames in (2, 3) if stage.rehearse else DEPTHS:
        params = {"what": "depth", "frames": frames, "seed": stage.seed, "device": stage.device}
        yield Piece(params, lambda f=frames: depth(stage, f))
    frames, size = (4, [56, 70]) if stage.rehearse else (FRAMES, list(table2.SIZE))
    for way in (table2.Way("uniform", 0.9), table2.Way("fastvggt", 0.9), table2.Way()):
        params = {"what": "pass", "frames": frames, "variant": way.name, "size": size, "repeats": 1}
        params |= {"seed": stage.seed, "device": stage.device}
        expected = table2.expected(stage, frames, way)
        yield Piece(params, lambda p=params, w=way: table2.measure(stage, p, w), expected)


class Follower:
    """Statistics of the tokens as they enter each block."""

    def __init__(self, seed: int) -> None:
        self.seed, self.rows = seed, []

    def observe(self, event: AttentionEvent) -> None:
        """Of the whole scene for global attention, of the first frame for frame attention."""
        frames = event.layout.frames if event.kind == "global" and event.layout is not None else 1
        with torch.autocast(event.x.device.type, enabled=False):
            self.rows.append((event.kind, token_statistics(event.x[0], event.update[0], frames, self.seed)))


def depth(stage: Stage, frames: int) -> Measurements:
    """Mean cosine of the tokens, its parts and the step of the attention branch, block by block."""
    model, follower = vggt_1b(stage.seed, stage.device, stage.rehearse), Follower(stage.seed)
    size = (56, 70) if stage.rehearse else table2.SIZE
    images = pictures(stage, frames, size)
    with torch.inference_mode(), stage.precision():
        model(images, probe=follower, heads=())
    found: dict[str, Any] = {}
    for kind in ("global", "frame"):
        rows = [row for name, row in follower.rows if name == kind]
        for name in ("gamma", "common", "frame", "token", "norm", "step"):
            found[f"{kind}: {name}"] = ([float(getattr(row, name)) for row in rows], "1")
    return found
