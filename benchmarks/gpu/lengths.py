"""Long sequences: every shipped network from 8 to 2,048 frames, plain, merged, with scaled logits, and both.

Rooms are fresh, of the test split, walked as in the chapter on long sequences ("denser": the same stretch in
more frames), and drawn on the card.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu.pieces import Measurements, Piece, Stage
from lib.gpu import stopwatch
from lib.merging import FastVGGTRule, MergingRule
from lib.run import errors, forward
from lib.scenes.sequence import Sequence
from lib.scenes.walks import walk
from lib.vggt import VGGT, LengthScale, LogitScale
from lib.vggt.checkpoint import load

WEIGHTS = Path(__file__).resolve().parents[2] / "data" / "weights"
FRAMES = (8, 128, 2048, 512, 1024, 32)  # in order of worth
FIRST_ROOM, ROOMS, AT_ONCE = 1000, 24, 4
KIND, M = "denser", 0.7


def pieces(stage: Stage) -> Iterator[Piece]:
    """Every length in the first rooms, the ends first, then in the next ones."""
    # a causal network takes no merging rule
    known = [path.stem for path in sorted(WEIGHTS.glob("*.safetensors"))]
    names = [name for name in known if not config_of(name)["model"].get("causal")]
    lengths, rooms, step = ((2, 3), 2, 1) if stage.rehearse else (FRAMES, ROOMS, AT_ONCE)
    for first in range(0, rooms, step):
        for frames in lengths:
            params = {
                "networks": names[:1] if stage.rehearse else names,
                "frames": frames,
                "walk": KIND,
                "rooms": [FIRST_ROOM + first, FIRST_ROOM + first + step],
                "m": M,
                "device": stage.device,
            }
            yield Piece(params, lambda p=params: measure(stage, p))


def config_of(name: str) -> dict[str, Any]:
    """What the record beside the weights says of the network and its training."""
    record = json.loads((WEIGHTS / f"{name}.json").read_text(encoding="utf-8"))
    return dict(record["config"])


@lru_cache(maxsize=4)
def network(name: str, device: str) -> tuple[VGGT, int]:
    """A shipped network and the most frames that it saw at once in training."""
    weights = WEIGHTS / f"{name}.safetensors"
    return load(weights, device=device).eval(), int(config_of(name)["most_frames"])


def arms(trained: int) -> dict[str, tuple[MergingRule | None, LogitScale | None]]:
    """What is done with the sequence, by name."""
    rule, scale = FastVGGTRule(M), LengthScale(trained)
    return {"plain": (None, None), "merged": (rule, None), "scaled": (None, scale), "both": (rule, scale)}


def measure(stage: Stage, params: dict[str, Any]) -> Measurements:
    """Errors of every network and arm, a list over the rooms each."""
    found: dict[str, list[float | None]] = {}
    units: dict[str, str] = {}
    for room in range(*params["rooms"]):
        for name in params["networks"]:
            model, trained = network(name, stage.device)
            seen = walk(KIND, room, params["frames"], model.config.image_size, stage.device)
            truth = at_home(seen)
            for arm, (rule, scale) in arms(trained).items():
                for key, (value, unit) in one(stage, model, seen, truth, rule, scale).items():
                    found.setdefault(f"{name}, {arm}: {key}", []).append(value)
                    units[f"{name}, {arm}: {key}"] = unit
    return {key: (values, units[key]) for key, values in found.items()}


def one(
    stage: Stage,
    model: VGGT,
    seen: Sequence,
    truth: Sequence,
    rule: MergingRule | None,
    scale: LogitScale | None,
) -> Measurements:
    """Errors and cost of one pass."""
    elapsed = stopwatch(seen.images)
    found = forward(model, seen.images, rule, logit_scale=scale, heads=("camera", "depth"))
    lapse = elapsed()
    named = {name: getattr(found, name).float().cpu() for name in ("pose_enc", "extrinsics", "depth")}
    cost = {"pairs": (found.report.pairs / found.report.pairs_plain, "1"), "seconds": (float(lapse), "s")}
    return errors(truth, replace(found, **named)) | cost


def at_home(sequence: Sequence) -> Sequence:
    """The sequence on the CPU, where errors are computed."""
    named = {k: v.cpu() for k, v in vars(sequence).items() if isinstance(v, torch.Tensor)}
    return replace(sequence, **named)
