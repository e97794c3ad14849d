"""Errors in other domains: wider rooms, with all ingredients and with each one alone, and photographs."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from lib.records.contents import hash_path
from lib.records.fingerprints import versions
from lib.scenes.rooms import room_seed
from lib.scenes.sequence import Sequence
from lib.scenes.wider import INGREDIENTS, render_wider_walks
from lib.training.evaluation import (
    Estimator,
    _summary,
    evaluate_photographs,
    identity_baseline,
    predict,
    sequence_errors,
    update_record,
)
from lib.training.validation import STRIDE
from lib.vggt.checkpoint import load, read_metadata

DOMAINS: dict[str, tuple[str, ...]] = {
    "rooms": (),
    "all": tuple(INGREDIENTS),
    **{name: (name,) for name in INGREDIENTS},
}
FRAMES = 8


def wider_walks(ingredients: Collection[str], frames: int, rooms: int, size: int) -> Iterable[Sequence]:
    """Walks of `frames` frames like those of validation, through test rooms 0 .. `rooms` - 1."""
    times = STRIDE * torch.arange(frames, dtype=torch.float64)[None]
    for number in range(rooms):
        walk = render_wider_walks([room_seed("test", number)], times, size, size, ingredients)
        name = "-".join(["room-test", str(number), *ingredients])
        yield Sequence(name, walk.images[0], walk.extrinsics[0], walk.intrinsics[0], walk.depth[0])


def evaluate_domains(estimators: Mapping[str, Estimator], size: int, rooms: int) -> list[dict[str, Any]]:
    """Rows as `lib.training.evaluation.evaluate` gives them, of `DOMAINS` at `FRAMES` frames."""
    rows = []
    for domain, ingredients in DOMAINS.items():
        found: dict[str, list[dict[str, float]]] = {who: [] for who in estimators}
        for sequence in wider_walks(ingredients, FRAMES, rooms, size):
            for who, estimator in estimators.items():
                found[who].append(sequence_errors(estimator, sequence))
        rows += [
            {"walk": domain, "frames": FRAMES, "who": who, "walks": rooms, **_summary(errors)}
            for who, errors in found.items()
        ]
    return rows


def evaluate_domains_file(weights: Path, others: Iterable[Path], rooms: int) -> dict[str, Any]:
    """Put the errors of a weights file, of `others` and of standing still into the record beside it.

    Others are called by the names of their files.

    Raises:
        ValueError: two networks see pictures of different sizes.
    """
    start, model = time.time(), load(weights)
    estimators = {"model": predict(model), "still": identity_baseline}
    known: dict[str, Any] = {}
    for path in others:
        other = load(path)
        if other.config.image_size != model.config.image_size:
            raise ValueError(f"{weights} and {path} see pictures of different sizes")
        estimators[path.stem] = predict(other)
        known[path.stem] = {"weights": hash_path(path), "steps": int(read_metadata(path)["steps"])}
    rows = evaluate_domains(estimators, model.config.image_size, rooms)
    seconds = round(time.time() - start, 1)
    record = {"weights": hash_path(weights), "others": known, "rows": rows, "seconds": seconds}
    update_record(weights.with_suffix(".json"), {"domains": record})
    return record


def evaluate_recording_file(weights: Path, folder: Path, frames: Iterable[int]) -> dict[str, Any]:
    """Errors on one recording of photographs, into a record of its own: recordings/ beside the weights file.

    The record of the weights stays as it is: what was measured with it rests on it.
    """
    start, model = time.time(), load(weights)
    rows = evaluate_photographs(model, folder, frames)
    seconds = round(time.time() - start, 1)
    record = {"weights": hash_path(weights), "rows": rows, "seconds": seconds, "versions": versions()}
    kept = weights.parent / "recordings" / f"{weights.stem}.json"
    kept.parent.mkdir(exist_ok=True)
    update_record(kept, record)
    return record
