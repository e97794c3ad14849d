"""What a job is made of: pieces, each measured in seconds and recorded at once."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lib.vggt import VGGT, VGGTConfig

Measurements = dict[str, tuple[Any, str]]  # name -> (value, unit)


@dataclass(frozen=True)
class Piece:
    """One record to be: its parameters, how to measure it, and the seconds expected (0: few)."""

    params: dict[str, Any]
    measure: Callable[[], Measurements]
    seconds: float = 0.0


@dataclass
class Stage:
    """Where and within what a job works.

    device: "cuda", or "cpu" for a rehearsal; rehearse: everything tiny; seed: of all that is drawn; folder:
    for files beside the records; deadline: of the job, as `time.monotonic` counts; found: measured before,
    by experiment, for jobs that plan by it; networks: to be trained; commit: of
    the code.
    """

    device: str
    rehearse: bool
    seed: int
    folder: Path
    deadline: float
    found: Callable[[str], list[dict[str, Any]]]
    networks: tuple[str, ...] = ("large",)
    commit: str = "unknown"

    @property
    def left(self) -> float:
        """Seconds until the deadline."""
        return self.deadline - time.monotonic()

    def precision(self, half: bool = True) -> Any:
        """bf16 autocast on a GPU, as VGGT is run there; nothing on a CPU."""
        if self.device.startswith("cuda") and half:
            return torch.autocast("cuda", torch.bfloat16)
        return nullcontext()

    def wait(self) -> None:
        """Until the device has done what it was told."""
        if self.device.startswith("cuda"):
            torch.cuda.synchronize()

    def peak(self) -> float:
        """GiB that tensors took at most since the peak was last reset; 0 on a CPU."""
        return torch.cuda.max_memory_allocated() / 2**30 if self.device.startswith("cuda") else 0.0

    def reset_peak(self) -> None:
        """Forget earlier peaks."""
        if self.device.startswith("cuda"):
            torch.cuda.reset_peak_memory_stats()


@lru_cache(maxsize=1)
def vggt_1b(seed: int, device: str, rehearse: bool) -> VGGT:
    """VGGT-1B's shape with random weights, without tracker; in a rehearsal a small network."""
    from lib.run import random_config

    config = random_config() if rehearse else VGGTConfig.vggt_1b(enable_track=False)
    return VGGT.from_seed(config, seed).to(device).eval()


def pictures(stage: Stage, frames: int, size: tuple[int, int]) -> Tensor:
    """Random pictures (frames, 3, height, width) on the device of the stage."""
    torch.manual_seed(stage.seed)
    return torch.rand(frames, 3, *size, device=stage.device)


def seconds(stage: Stage, call: Callable[[], object], repeats: int = 3) -> float:
    """The fastest of some calls, after one that warms up."""
    call()
    times = []
    for _ in range(repeats):
        stage.wait()
        start = time.perf_counter()
        call()
        stage.wait()
        times.append(time.perf_counter() - start)
    return min(times)
