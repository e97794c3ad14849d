"""The door to training: `python -m lib.train`, and `evaluate` and `export` for what has been trained.

    python -m lib.train --budget-minutes 30                        train the mini VGGT, or go on with it
    python -m lib.train --budget-minutes 9 --device cuda width=192 the same on a GPU, wider
    python -m lib.train --folder _build/train/next --from-weights data/weights/mini.safetensors \\
        --budget-minutes 30 seed=1                                 a new run that begins with shipped weights
    python -m lib.train evaluate data/weights/mini.safetensors     errors on held-out rooms -> JSON beside it
    python -m lib.train export --folder _build/train/mini          weights and record -> data/weights

Options of the run are given as `name=value` after the flags; see `lib.training.config.TrainConfig`. `depth`,
`width`, `patch_size` and `image_size` set the sizes of the mini model. A run that was killed goes on with the
same command; with other options it is refused. `wider=["curved"]` adds ingredients of `lib.scenes.wider`.
"""

from __future__ import annotations

import argparse
import inspect
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from lib.allocator import keep_freed_memory
from lib.pipes import reader_may_leave
from lib.records.contents import hash_path
from lib.training.config import TrainConfig, mini_model
from lib.training.curves import draw_curves
from lib.training.domains import evaluate_domains_file, evaluate_recording_file
from lib.training.evaluation import EVALUATION_FRAMES, evaluate_file
from lib.training.export import export_weights
from lib.training.loop import Trainer
from lib.training.wider import read_config
from lib.vggt.checkpoint import CheckpointError, load
from lib.vggt.config import VGGTConfig
from lib.vggt.memory import check_device

FOLDER = Path("_build/train/mini")


def parse_config(options: Sequence[str], model: VGGTConfig | None = None) -> TrainConfig:
    """A configuration from `name=value` words; values are JSON where they can be read as such.

    `model` holds where no word names a size; None is `mini_model`.

    Raises:
        ValueError: a word without "=", or a name that neither `TrainConfig` nor `mini_model` knows.
    """
    values: dict[str, Any] = {}
    for option in options:
        name, equals, text = option.partition("=")
        if not equals:
            raise ValueError(f"options are name=value, got {option!r}")
        try:
            values[name] = json.loads(text)
        except json.JSONDecodeError:
            values[name] = text
    sizes = {name: values.pop(name) for name in inspect.signature(mini_model).parameters if name in values}
    if sizes:
        values["model"] = mini_model(**sizes)
    elif model is not None:
        values["model"] = model
    return read_config(values)


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line and do what it says."""
    parser = argparse.ArgumentParser(prog="python -m lib.train", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("command", nargs="?", default="train", choices=("train", "evaluate", "export"))
    parser.add_argument("words", nargs="*", metavar="name=value", help="options; weights to evaluate")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="checkpoints, rooms, curves of the run")
    parser.add_argument("--weights", type=Path, default=Path("data/weights/mini.safetensors"))
    parser.add_argument("--from-weights", type=Path, default=None, help="train: begin a new run with these")
    parser.add_argument("--budget-minutes", type=float, default=None, help="from now; else `steps` decides")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=None, help="CPU threads")
    parser.add_argument("--photographs", type=Path, default=None, help="evaluate: a recording with poses")
    parser.add_argument("--wider", action="store_true", help="evaluate: in wider rooms, beside others")
    parser.add_argument(
        "--rooms", type=int, default=32, help="evaluate: rooms for each S; 0: photographs only"
    )
    parser.add_argument("--frames", type=int, nargs="+", default=list(EVALUATION_FRAMES), help="evaluate: S")
    options = parser.parse_intermixed_args(_with_command(arguments))
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    try:
        check_device(options.device)
        {"train": _train, "evaluate": _evaluate, "export": _export}[options.command](options)
    except (ValueError, OSError, CheckpointError) as error:
        raise SystemExit(f"error: {error}") from None


def _with_command(given: Sequence[str] | None) -> list[str]:
    """Make the command explicit, so that `python -m lib.train seed=1` is training with an option."""
    words = sys.argv[1:] if given is None else list(given)
    said = words[:1] and words[0] in ("train", "evaluate", "export", "-h", "--help")
    return words if said else ["train", *words]


def _train(options: argparse.Namespace) -> None:
    parent = options.from_weights
    config = parse_config(options.words, None if parent is None else load(parent).config)
    if config.steps is None and options.budget_minutes is None:
        raise SystemExit("say how long to train: --budget-minutes 30, or the option steps=20000")
    trainer = Trainer(config, options.folder, options.device)
    if trainer.resume():
        _check_goes_on(trainer, parent)
        print(f"going on from step {trainer.progress.step} in {options.folder}")
    elif parent is not None:
        trainer.start_from(parent)
    trainer.run(options.budget_minutes)
    print(f"figure: {draw_curves(trainer.progress, options.folder / 'curves.png')}")


def _check_goes_on(trainer: Trainer, parent: Path | None) -> None:
    """A resumed run must be unfinished, and must have begun with the weights that are asked for, if any."""
    if trainer.finished:
        raise SystemExit(
            f"the run in {trainer.folder} is finished: its learning rate has fallen to zero. Export it, "
            "and start a new run from its weights: --folder elsewhere --from-weights FILE"
        )
    if parent is not None and hash_path(parent) != trainer.progress.parent:
        raise SystemExit(f"{trainer.folder}: its run did not begin with {parent}; choose another --folder")


def _evaluate(options: argparse.Namespace) -> None:
    weights = Path(options.words[0]) if options.words else options.weights
    if options.rooms < 1 and (options.wider or options.photographs is None):
        raise ValueError(f"--rooms {options.rooms} leaves nothing to evaluate: give some, or --photographs")
    if options.wider:
        record = evaluate_domains_file(weights, map(Path, options.words[1:]), options.rooms)
    elif options.rooms < 1:
        record = evaluate_recording_file(weights, options.photographs, options.frames)
    else:
        record = evaluate_file(weights, options.frames, options.rooms, options.device, options.photographs)
    print(json.dumps(record, indent=1))


def _export(options: argparse.Namespace) -> None:
    print(f"wrote {export_weights(options.folder, options.weights, options.device)}")


if __name__ == "__main__":
    keep_freed_memory()
    with reader_may_leave():
        main()
