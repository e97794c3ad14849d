"""Training of networks of other shapes: rooms drawn on the card, bf16, until the steps or the time are spent.

Each network comes home as one archive, ``NAME.tar``, with its weights and their record as they are shipped.
It is written anew whenever the trainer saves, since the card may be gone at any time; a later call goes on.
Several networks share a card if each has a process of its own: ``--only training --networks patch4``.
"""

from __future__ import annotations

import os
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.gpu.pieces import Measurements, Piece, Stage
from lib.training.config import TrainConfig, mini_model
from lib.training.evaluation import evaluate, update_record
from lib.training.export import storage_change, training_record
from lib.training.loop import Trainer
from lib.vggt.checkpoint import load, save

LEAST, EVALUATION = 90.0, 30.0  # seconds below which training is not begun, and of the evaluation at its end
STEPS = 5200  # of the networks that differ from the shipped ones in one respect

_TO_24 = TrainConfig(most_frames=24, shard_frames=24, steps=STEPS, validate_every=1300)
NETWORKS = {
    # both at once, with four times the images a step: 12 x 12 patches, 12 pairs of blocks
    "large": TrainConfig(
        mini_model(depth=12, width=128, image_size=96),
        frames_per_step=256,
        most_frames=24,
        shard_frames=24,
        shard_rooms=64,
        shard_every=75,
        growth_steps=1000,
        match_layer=4,
        track_layer=6,
        validate_every=1000,
        validation_rooms=16,
    ),
    # the same pictures in 144 patches in place of 36
    "patch4": replace(_TO_24, model=mini_model(patch_size=4)),
    # twice the blocks; the tracking loss reads a block of neither the same place in depth nor the same number
    "deep12": replace(_TO_24, model=mini_model(depth=12), match_layer=4, track_layer=8),
}


def config(name: str, rehearse: bool, seed: int) -> TrainConfig:
    """The run that makes a network; in a rehearsal a tiny one of its own."""
    if not rehearse:
        return replace(NETWORKS[name], seed=seed)
    return TrainConfig(
        mini_model(depth=4, width=32),
        seed,
        frames_per_step=4,
        most_frames=3,
        shard_rooms=2,
        shard_frames=3,
        first_shards=1,
        steps=2,
        validation_rooms=1,
    )


class Lent(Trainer):
    """A trainer that hands out its averaged weights whenever it saves."""

    archive: Path
    commit: str

    def save(self) -> Path:
        """The checkpoint beside the rooms, and the weights with their record in the archive."""
        path, weights = super().save(), self.folder / f"{self.archive.stem}.safetensors"
        progress, model = self.progress, self.averaged_model().to("cpu")
        facts = {"steps": progress.step, "seed": self.config.seed, "commit": self.commit}
        facts["sequences"] = progress.parent_sequences + progress.sequences
        save(model, weights, facts, torch.float16)
        entries = training_record(self, weights, self.commit)
        if self.finished:
            entries["stored"] = {"dtype": "float16", "change": storage_change(model, load(weights))}
        update_record(weights.with_suffix(".json"), entries)
        pack(weights, self.archive)
        return path


def pack(weights: Path, archive: Path) -> None:
    """Weights and the record beside them as one file, whole at every moment."""
    partial = archive.with_suffix(".partial")
    with tarfile.open(partial, "w") as tar:
        for path in (weights, weights.with_suffix(".json")):
            tar.add(path, path.name)
    os.replace(partial, archive)


def unpacked(archive: Path, folder: Path) -> Path | None:
    """The weights of an archive, in `folder`; None where there is no archive."""
    if not archive.is_file():
        return None
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    return folder / f"{archive.stem}.safetensors"


def pieces(stage: Stage) -> Iterator[Piece]:
    """The next stretch of each network, if enough time is left for one."""
    for name in stage.networks:
        before = [r for r in stage.found("benchmarks.gpu.training") if r["params"]["network"] == name]
        if (stage.rehearse and before) or (stage.left < LEAST and not stage.rehearse):
            continue
        part = 1 + len(before)
        params = {"network": name, "part": part, "seed": stage.seed + part - 1, "device": stage.device}
        yield Piece(params, lambda n=name, s=params["seed"]: measure(stage, n, s))


def measure(stage: Stage, name: str, seed: int) -> Measurements:
    """Train, validate, evaluate; goes on from weights that lie in the folder."""
    archive = stage.folder / f"{name}.tar"
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        trainer = Lent(config(name, stage.rehearse, seed), folder / "run", stage.device)
        trainer.archive, trainer.commit = archive, stage.commit
        if parent := unpacked(archive, folder):
            trainer.start_from(parent)
        trainer.run(None if stage.rehearse else (stage.left - EVALUATION) / 60, show=False)
        progress, model = trainer.progress, trainer.averaged_model()
        frames, rooms, kinds = (
            ((2,), 1, ("longer",)) if stage.rehearse else ((8, 24, 96), 12, ("longer", "denser"))
        )
        rows = evaluate(model, frames, rooms, stage.device, kinds)
    found: Measurements = {
        "parameters": (sum(p.numel() for p in model.parameters()), "1"),
        "parent": (progress.parent or "none", "text"),
        **{name: (getattr(progress, name), "1") for name in ("step", "sequences", "frames")},
        "training": (progress.seconds, "s"),
        "validation": ([one.get("rot_deg") for one in progress.validations], "deg"),
    }
    for loss in progress.losses[0] if progress.losses else ():
        found[f"loss: {loss}"] = ([point[loss] for point in progress.losses], "1")
    for row in rows:
        medians = {key: value["median"] for key, value in row.items() if isinstance(value, dict)}
        for error, median in medians.items():
            found[f"{row['walk']} {row['frames']} {row['who']}: {error}"] = (median, "1")
    return found
