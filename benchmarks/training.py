"""CPU seconds of a training step by part, and images per CPU-second of two checkouts side by side.

    python benchmarks/training.py --frames 2 6 12                       the parts of this checkout's step
    python benchmarks/training.py --against ../other --steps 24         two checkouts take turns, step by step
    python benchmarks/training.py --allocator --patch-size 4 --steps 9  freed memory kept, against handed back

Every step is of the shipped configuration with one thread; the clock is CPU time, as machines are shared.
Both sides train on the same batches from the same weights, so that their losses can be compared too, and each
deals with freed memory as its own `python -m lib.train` does.
Rendering and validation, which are not done in every step, are timed once and shared out over their steps.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import process_time
from typing import Any
from unittest.mock import patch

import torch
from torch import nn

from lib.allocator import KEEPING
from lib.pipes import reader_may_leave
from lib.training import loop
from lib.training.config import TrainConfig, mini_model
from lib.training.data import render_shard
from lib.training.loop import Trainer

WARM_UP = 2
# sequences, windows and the learning rate are at their largest at once; the rooms are those of one shard
CONFIG = {"first_shards": 1, "shard_every": 10**6, "growth_steps": 1, "warmup_steps": 1, "steps": 10**6}


class Clock:
    """CPU seconds by part; inside a part that is timed, other parts count as that part."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._busy = False

    def timed(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """`call`, with its time added to the part `name`."""

        def wrapper(*values: Any, **named: Any) -> Any:
            if self._busy:
                return call(*values, **named)
            self._busy, start = True, process_time()
            try:
                return call(*values, **named)
            finally:
                self._busy = False
                self.seconds[name] = self.seconds.get(name, 0.0) + process_time() - start

        return wrapper


@contextmanager
def watched(trainer: Trainer, clock: Clock) -> Iterator[None]:
    """Every part of `trainer.train_step` reports to the clock while the context is open."""
    aggregator, stack = trainer.model.aggregator, ExitStack()
    modules = {"patch embedding": [aggregator.patch_embed], "camera head": [trainer.model.camera_head]}
    for kind, blocks in (("frame", aggregator.frame_blocks), ("global", aggregator.global_blocks)):
        modules[f"{kind} attention"] = [block.attn for block in blocks]
        modules[f"{kind} MLP"] = [block.mlp for block in blocks]
    with stack:
        for name, parts in modules.items():
            for module in parts:
                stack.enter_context(patch.object(module, "forward", clock.timed(name, module.forward)))
        for head in (trainer.model.depth_head, trainer.model.point_head):
            stack.enter_context(patch.object(head, "extract", clock.timed("dense heads", head.extract)))
        for function in ("sample_batch", "make_target", "camera_loss", "confident_loss", "true_tracks",
                         "matching_loss", "tracking_loss"):  # fmt: skip
            name = "data" if function == "sample_batch" else "targets and losses"
            stack.enter_context(patch.object(loop, function, clock.timed(name, getattr(loop, function))))
        for optimiser in trainer.optimisers.parts:
            timed = clock.timed(type(optimiser).__name__, optimiser.step)
            stack.enter_context(patch.object(optimiser, "step", timed))
        for owner, name, part in (
            (torch.Tensor, "backward", "backward"),
            (nn.utils, "clip_grad_norm_", "clipping"),
            (trainer.average, "update", "running average"),
        ):
            stack.enter_context(patch.object(owner, name, clock.timed(part, getattr(owner, name))))
        yield


def profile(frames: int, steps: int, folder: Path) -> dict[str, float]:
    """CPU seconds of a step by part, for sequences of `frames` frames."""
    trainer = Trainer(TrainConfig(**CONFIG, least_frames=frames, most_frames=frames), folder)  # type: ignore[arg-type]
    for _ in range(WARM_UP):
        trainer.train_step()
    clock, start = Clock(), process_time()
    with watched(trainer, clock):
        for _ in range(steps):
            trainer.train_step()
    whole = (process_time() - start) / steps
    parts = {name: seconds / steps for name, seconds in clock.seconds.items()}
    parts["norms, residuals and the rest"] = whole - sum(parts.values())
    default = TrainConfig()
    parts[f"rendering, a shard every {default.shard_every} steps"] = cost(
        lambda: render_shard(default, 0, trainer.device), default.shard_every
    )
    parts[f"validation, every {default.validate_every} steps"] = cost(
        trainer.validate, default.validate_every
    )
    return parts


def cost(call: Callable[[], Any], steps: int) -> float:
    """CPU seconds of one call, shared out over `steps`."""
    start = process_time()
    call()
    return (process_time() - start) / steps


def work(steps: int, folder: Path, patch_size: int) -> None:
    """One side of a comparison: a step for each line read, answered by its CPU seconds and losses."""
    trainer = Trainer(TrainConfig(**CONFIG, model=mini_model(patch_size=patch_size)), folder)  # type: ignore[arg-type]
    for _ in range(steps):
        sys.stdin.readline()
        start = process_time()
        losses = trainer.train_step()
        print(json.dumps({"seconds": process_time() - start, "losses": losses}), flush=True)


@dataclass(frozen=True)
class Side:
    """One side of a comparison: a checkout, and whether its process keeps freed memory (`lib.allocator`)."""

    checkout: Path
    keeps: bool

    def __str__(self) -> str:
        return f"{self.checkout}, freed memory {'kept' if self.keeps else 'handed back'}"

    def start(self, words: list[str]) -> subprocess.Popen[str]:
        """Its process, which works with its own `lib`."""
        own = {"PYTHONPATH": str(self.checkout), "OMP_NUM_THREADS": "1"} | (KEEPING if self.keeps else {})
        return subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=self.checkout,
            env=os.environ | own,
        )


def sides(against: Path | None) -> list[Side]:
    """This checkout and the other; without another, this one with freed memory kept, and handed back."""
    here = Path(__file__).resolve().parents[1]
    if against is None:
        return [Side(here, True), Side(here, False)]
    return [Side(one, (one / "lib" / "allocator.py").is_file()) for one in (here, against.resolve())]


def compare(asked: Sequence[Side], words: list[str], steps: int) -> list[list[dict[str, Any]]]:
    """Steps of each side, which take turns; `words` are those of this command beside `--work`."""
    command = [sys.executable, str(Path(__file__).resolve()), "--work", "--steps", str(steps), *words]
    running = [side.start(command) for side in asked]
    answers: list[list[dict[str, Any]]] = [[] for _ in running]
    for _ in range(steps):
        for side, list_of in zip(running, answers, strict=True):
            assert side.stdin is not None and side.stdout is not None
            side.stdin.write("step\n")
            side.stdin.flush()
            list_of.append(json.loads(side.stdout.readline()))
    for side in running:
        side.wait()
    return answers


def report(asked: Sequence[Side], answers: list[list[dict[str, Any]]]) -> str:
    """Images per CPU-second of both sides after the warm-up, their ratio, and how far the losses part."""
    images = TrainConfig().frames_per_step
    means = [sum(a["seconds"] for a in side[WARM_UP:]) / len(side[WARM_UP:]) for side in answers]
    lines = [
        f"{side}: {mean:.3f} CPU s a step of up to {images} images, {images / mean:.0f} images per CPU s"
        for side, mean in zip(asked, means, strict=True)
    ]
    lines.append(f"ratio {means[1] / means[0]:.2f}")
    for step in (0, len(answers[0]) - 1):
        here, there = (side[step]["losses"] for side in answers)
        lines.append(f"losses of step {step + 1}: " + ", ".join(
            f"{name} {here[name]:.4f} against {there[name]:.4f}" for name in here
        ))  # fmt: skip
    return "\n".join(lines)


def main() -> None:
    """Parse the command line and do what it says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--frames", type=int, nargs="+", default=[2, 6, 12], help="S of the table of parts")
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--against", type=Path, default=None, help="compare with this checkout")
    parser.add_argument("--allocator", action="store_true", help="compare freed memory kept and handed back")
    parser.add_argument("--patch-size", type=int, default=8, help="of both sides of a comparison")
    parser.add_argument("--folder", type=Path, default=None, help="rooms are kept here; else rendered anew")
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        if options.work:
            work(options.steps, folder, options.patch_size)
        elif options.against is not None or options.allocator:
            asked = sides(options.against)
            words = ["--folder", str(folder), "--patch-size", str(options.patch_size)]
            print(report(asked, compare(asked, words, options.steps)))
        else:
            for frames in options.frames:
                parts = profile(frames, options.steps, folder)
                print(f"S = {frames}: {sum(parts.values()):.3f} CPU s a step")
                for name, seconds in sorted(parts.items(), key=lambda part: -part[1]):
                    print(f"  {name:36}{seconds:8.4f}{seconds / sum(parts.values()):8.1%}")


if __name__ == "__main__":
    with reader_may_leave():
        main()
