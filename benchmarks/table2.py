"""Table 2 for real: VGGT-1B on a GPU, seconds, peak memory and operations against m for each merging rule.

    python benchmarks/table2.py --device cuda                      # every length and rule, resumable
    python benchmarks/table2.py --config small --frames 4 --size 56x70 --repeats 1

The plain network and one rule at every m take turns in one process; weights and images are random, on which
neither times nor memory depend. Each (frames, rule) is one record in data/measurements; those of the present
code are skipped, and no new one is begun after --budget-minutes. bf16 autocast on a GPU, as VGGT is used.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from pathlib import Path

import torch

from lib import records
from lib.costs import measure as runtime
from lib.merging import RegisteredRule, TokenLayout
from lib.pipes import reader_may_leave
from lib.run import random_config
from lib.vggt import VGGT, VGGTConfig
from lib.vggt.memory import estimate_memory, require_memory

EXPERIMENT = "benchmarks.table2"
STRENGTHS = (0.3, 0.5, 0.7, 0.9)
FRAMES = (50, 100, 200, 500, 1000)
LONG = 500  # from so many frames on: one pass of each, warmed up on fewer frames
WARM_FRAMES = 50


def variants(rule: str, seed: int) -> dict[str, RegisteredRule]:
    """One rule at every strength, under names such as "uniform m=0.5"."""
    return {f"{rule} m={m}": runtime.rules(rule, m, seed)[rule] for m in STRENGTHS}


def build(name: str, seed: int, device: str) -> VGGT:
    """The network in evaluation mode with weights from `seed`: "vggt-1b" without tracker, or "small"."""
    config = VGGTConfig.vggt_1b(enable_track=False) if name == "vggt-1b" else random_config()
    return VGGT.from_seed(config, seed).to(device).eval()


def measure(model: VGGT, params: dict, folder: Path) -> Path:
    """Measure one (frames, rule) and save its record."""
    device, frames = params["device"], params["frames"]
    height, width = (int(side) for side in params["size"].split("x"))
    require_memory(estimate_memory(model.config, frames, height, width), device)
    run = records.begin(EXPERIMENT, params, device)
    generator = torch.Generator().manual_seed(params["seed"])
    images = torch.rand(frames, 3, height, width, generator=generator).to(device)
    warm = WARM_FRAMES if frames >= LONG and device.startswith("cuda") else None
    chosen = variants(params["rule"], params["seed"])
    measured = runtime.measure(model, images, chosen, params["repeats"], warm)
    patch, special = model.config.patch_size, model.config.special_tokens
    layout = TokenLayout(frames, height // patch, width // patch, special)
    found = runtime.as_measurements(measured, model.config, layout)
    return records.save(run.finish(found, kept=measured[list(chosen)[-1]].kept), folder)


def arguments(argv: list[str] | None) -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", default="vggt-1b", choices=["vggt-1b", "small"])
    parser.add_argument("--frames", type=int, nargs="+", default=list(FRAMES))
    parser.add_argument("--rules", nargs="+", default=list(runtime.VARIANTS), choices=runtime.VARIANTS)
    parser.add_argument("--size", default="392x518", help="height x width in pixels")
    parser.add_argument("--repeats", type=int, default=3, help=f"timed passes below {LONG} frames; 1 beyond")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--folder", type=Path, help="where records go; default data/measurements/DEVICE")
    parser.add_argument("--budget-minutes", type=float, default=8.0)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> list[Path]:
    """Measure what has no record yet, shortest sequences first; returns the records written."""
    a = arguments(argv)
    deadline, written = time.monotonic() + 60 * a.budget_minutes, []
    folder = a.folder or records.MEASUREMENTS / a.device.replace(":", "-")
    torch.set_num_threads(1)
    model = build(a.config, a.seed, a.device)
    for frames, rule in itertools.product(sorted(a.frames), a.rules):
        params = {
            "config": a.config,
            "frames": frames,
            "rule": rule,
            "size": a.size,
            "repeats": 1 if frames >= LONG else a.repeats,
            "seed": a.seed,
            "device": a.device,
        }
        if records.path_of(records.provenance(EXPERIMENT, params), folder).is_file():
            print(f"{frames} frames, {rule}: already measured")
            continue
        if time.monotonic() > deadline:
            print(f"{frames} frames, {rule}: no time left; call again", file=sys.stderr)
            break
        written.append(measure(model, params, folder))
        print(f"{frames} frames, {rule}: {written[-1]}", flush=True)
    return written


if __name__ == "__main__":
    with reader_may_leave():
        main()
