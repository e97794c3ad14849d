"""Training of a better network: rooms drawn on the card, bf16, until the time is up; a later call goes on.

The averaged weights lie in the folder of the records, in pieces small enough to be carried home:
``cat weights.safetensors.* > weights.safetensors`` joins them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch

from benchmarks.gpu.pieces import Measurements, Piece, Stage
from lib.training.config import TrainConfig, mini_model
from lib.training.evaluation import evaluate
from lib.training.loop import Trainer
from lib.vggt.checkpoint import save

PIECE = 15 * 2**20  # bytes of a piece of the weights
LEAST, EVALUATION = 90.0, 30.0  # seconds below which training is not begun, and of the evaluation at its end
NAME = "weights.safetensors"


def config(rehearse: bool, seed: int) -> TrainConfig:
    """12 x 12 patches of 96 pixels, 12 pairs of width 192, 256 frames a step."""
    if rehearse:
        small = {
            "frames_per_step": 4,
            "most_frames": 3,
            "shard_rooms": 2,
            "shard_frames": 3,
            "first_shards": 1,
        }
        return TrainConfig(mini_model(depth=4, width=32), seed, steps=2, validation_rooms=1, **small)
    model = mini_model(depth=12, width=192, image_size=96)
    return TrainConfig(
        model,
        seed,
        frames_per_step=256,
        most_frames=24,
        shard_frames=24,
        shard_rooms=64,
        growth_steps=1000,
        match_layer=4,
        track_layer=6,
        validate_every=250,
        large_rooms=0.25,
    )


class Lent(Trainer):
    """A trainer that hands out its averaged weights whenever it saves: the card may be gone at any time."""

    out: Path

    def save(self) -> Path:
        """The checkpoint beside the rooms, and the weights in pieces."""
        path, progress = super().save(), self.progress
        facts = {"steps": progress.step, "seed": self.config.seed, "sequences": progress.sequences}
        save(self.averaged_model().to("cpu"), self.folder / NAME, facts, torch.float16)
        split(self.folder / NAME, self.out)
        return path


def split(path: Path, folder: Path) -> list[Path]:
    """The file in pieces of at most `PIECE` bytes, numbered from 00."""
    content, found = path.read_bytes(), []
    for number, start in enumerate(range(0, len(content), PIECE)):
        found.append(folder / f"{path.name}.{number:02d}")
        found[-1].write_bytes(content[start : start + PIECE])
    return found


def joined(folder: Path, into: Path) -> Path | None:
    """The file whose pieces lie in a folder, None without any."""
    parts = sorted(folder.glob(f"{NAME}.*"))
    if not parts:
        return None
    into.write_bytes(b"".join(part.read_bytes() for part in parts))
    return into


def pieces(stage: Stage) -> Iterator[Piece]:
    """The next stretch of training, if enough time is left for one."""
    part = 1 + len(stage.found("benchmarks.gpu.training"))
    if (stage.rehearse and part > 1) or (stage.left < LEAST and not stage.rehearse):
        return
    params = {"part": part, "seed": stage.seed + part - 1, "device": stage.device}
    yield Piece(params, lambda: measure(stage, params["seed"]))


def measure(stage: Stage, seed: int) -> Measurements:
    """Train, validate, evaluate; goes on from weights that lie in the folder."""
    with tempfile.TemporaryDirectory() as folder:
        trainer = Lent(config(stage.rehearse, seed), Path(folder), stage.device)
        trainer.out = stage.folder
        if parent := joined(stage.folder, Path(folder) / "parent.safetensors"):
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
    for name in progress.losses[0] if progress.losses else ():
        found[f"loss: {name}"] = ([point[name] for point in progress.losses], "1")
    for row in rows:
        medians = {key: value["median"] for key, value in row.items() if isinstance(value, dict)}
        for error, median in medians.items():
            found[f"{row['walk']} {row['frames']} {row['who']}: {error}"] = (median, "1")
    return found
