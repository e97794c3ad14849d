"""From a run's newest checkpoint to shipped weights with their training record."""

from __future__ import annotations

import datetime
import subprocess
from pathlib import Path
from typing import Any

import torch

from lib.records.fingerprints import ROOT, hash_path, versions
from lib.training.checkpoints import load_latest
from lib.training.config import TrainConfig
from lib.training.evaluation import device_name, update_record
from lib.training.loop import Trainer
from lib.vggt.checkpoint import save


def export_weights(folder: Path, weights: Path, device: torch.device | str = "cpu") -> Path:
    """Write the averaged weights of the run in `folder` to `weights`, and their record beside it.

    The record's evaluation, if it had one, is dropped: it was of other weights.

    Raises:
        FileNotFoundError: the folder holds no checkpoint.
    """
    state = load_latest(folder, device)
    if state is None:
        raise FileNotFoundError(
            f"no checkpoint in {folder}; train first: python -m lib.train --budget-minutes 30"
        )
    config = TrainConfig.from_dict(state["config"])
    trainer = Trainer(config, folder, device)
    trainer.resume()
    commit = current_commit()
    save(
        trainer.averaged_model(),
        weights,
        {"steps": trainer.progress.step, "seed": config.seed, "commit": commit},
    )
    record = weights.with_suffix(".json")
    record.unlink(missing_ok=True)
    update_record(record, training_record(trainer, weights, commit))
    return weights


def training_record(trainer: Trainer, weights: Path, commit: str) -> dict[str, Any]:
    """Everything about how the weights came to be, as plain values."""
    progress = trainer.progress
    return {
        "weights": hash_path(weights),
        "parameters": sum(parameter.numel() for parameter in trainer.model.parameters()),
        "config": trainer.config.to_dict(),
        "steps": progress.step,
        "sequences": progress.sequences,
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
