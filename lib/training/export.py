"""From a run's newest checkpoint to shipped weights with their training record."""

from __future__ import annotations

import datetime
import subprocess
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lib.records.contents import hash_path
from lib.records.fingerprints import ROOT, versions
from lib.scenes.rooms import render_sequence
from lib.training.checkpoints import load_latest
from lib.training.evaluation import device_name, update_record
from lib.training.loop import Trainer
from lib.training.wider import read_config
from lib.vggt.checkpoint import load, save
from lib.vggt.model import VGGT

HALF_TOLERANCE = 1e-3  # weights are stored in half precision if no output moves by more, relative RMS
WITNESS_FRAMES = 8


def export_weights(folder: Path, weights: Path, device: torch.device | str = "cpu") -> Path:
    """Write the averaged weights of the run in `folder` to `weights`, and their record beside it.

    They are stored in half precision where that changes no output noticeably (`HALF_TOLERANCE`).
    The record's evaluation, if it had one, is dropped: it was of other weights.

    Raises:
        FileNotFoundError: the folder holds no checkpoint.
    """
    state = load_latest(folder)
    if state is None:
        raise FileNotFoundError(
            f"no checkpoint in {folder}; train first: python -m lib.train --budget-minutes 30"
        )
    config = read_config(state["config"])
    trainer = Trainer(config, folder, device)
    trainer.resume()
    commit, model, progress = current_commit(), trainer.averaged_model(), trainer.progress
    seen = progress.parent_sequences + progress.sequences
    facts = {"steps": progress.step, "seed": config.seed, "commit": commit, "sequences": seen}
    save(model, weights, facts, torch.float16)
    change = storage_change(model, load(weights, device=device))
    if change > HALF_TOLERANCE:
        save(model, weights, facts)
    stored = (
        {"dtype": "float32", "change": 0.0}
        if change > HALF_TOLERANCE
        else {"dtype": "float16", "change": change}
    )
    record = weights.with_suffix(".json")
    record.unlink(missing_ok=True)
    update_record(record, training_record(trainer, weights, commit) | {"stored": stored})
    return weights


@torch.inference_mode()
def storage_change(model: VGGT, stored: VGGT) -> float:
    """The largest relative RMS change of an output (poses, depth, points) on one validation walk."""
    size = model.config.image_size
    device = next(model.parameters()).device
    images = render_sequence(0, WITNESS_FRAMES, size, size, split="val", stride=3.0, device=device).images
    before, after = (_outputs(network, images) for network in (model, stored))
    return max(float((b - a).norm() / a.norm()) for a, b in zip(before, after, strict=True))


def _outputs(model: VGGT, images: Tensor) -> list[Tensor]:
    prediction = model(images)
    maps = (prediction.pose_enc, prediction.depth, prediction.world_points)
    return [values for values in maps if values is not None]


def training_record(trainer: Trainer, weights: Path, commit: str) -> dict[str, Any]:
    """Everything about how the weights came to be, as plain values."""
    progress = trainer.progress
    return {
        "weights": hash_path(weights),
        "parameters": sum(parameter.numel() for parameter in trainer.model.parameters()),
        "config": trainer.config.to_dict(),
        "steps": progress.step,
        "sequences": progress.sequences,
        "parent": progress.parent,
        "sequences_with_parents": progress.parent_sequences + progress.sequences,
        "frames": progress.frames,
        "seconds": round(progress.seconds, 1),
        "device": device_name(trainer.device),
        "commit": commit,
        "exported": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "versions": versions(),
        "learning_rate_fell": progress.decay_start is not None,
        "losses": _thinned(progress.losses, 400),
        "validations": progress.validations,
    }


def _thinned(curve: list[dict[str, float]], most: int) -> list[dict[str, float]]:
    """At most about `most` points of a curve, evenly chosen, rounded to what a figure can show."""
    kept = curve[:: max(1, len(curve) // most)]
    return [{name: float(f"{value:.4g}") for name, value in point.items()} for point in kept]


def current_commit() -> str:
    """Commit of the working tree, with "+" if `lib` has changed since; "unknown" outside a repository."""
    try:
        commit = _git("rev-parse", "--short=12", "HEAD")
        return commit + ("+" if _git("status", "--porcelain", "--", "lib") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*words: str) -> str:
    return subprocess.run(
        ["git", *words], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.strip()
