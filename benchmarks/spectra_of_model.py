"""Attention spectra of a model while it runs: exact scalars and the frame-pooled spectrum of every head.

    python benchmarks/spectra_of_model.py --model vggt-1b-random --frames 100 --layers 0 8 16 23 --device cuda
    python benchmarks/spectra_of_model.py --model vggt-1b-random --frames 500 --device cuda --bracket-passes
    40 \
        --layers 12 --heads 0 5
    python benchmarks/spectra_of_model.py --model tiny --frames 6 --side 56

--model: "vggt-1b-random", "tiny" (a minute on any CPU), or weights for lib.vggt.checkpoint.load. Input: a
rendered room. Writes one record (JSON and npz: layers x heads) into data/measurements. A call that runs out
of --budget-minutes writes the layers that it finished; ask for the others with --layers.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch

from lib import records
from lib.merging import RULES, MergingRule
from lib.pipes import reader_may_leave
from lib.probe import LayerReading, Probe, as_arrays
from lib.scenes.rooms import render_sequence
from lib.spectra import Budget
from lib.vggt import VGGT, CameraHeadConfig, PatchEmbedConfig, VGGTConfig
from lib.vggt.checkpoint import load

EXPERIMENT = "benchmarks.spectra_of_model"


class BudgetSpentError(Exception):
    """The time for this call is over; what was read so far is kept."""


def build(name: str, seed: int, device: str) -> VGGT:
    """The model in evaluation mode; only its aggregator and camera head are needed."""
    if name == "vggt-1b-random":
        model = VGGT.from_seed(VGGTConfig(depth_head=None, point_head=None, track_head=None), seed)
    elif name == "tiny":
        camera = CameraHeadConfig(trunk_depth=1, heads=4)
        patches = PatchEmbedConfig(kind="conv")
        config = VGGTConfig(
            image_size=56, width=128, depth=4, heads=2, patch_embed=patches, camera_head=camera,
            depth_head=None, point_head=None, track_head=None,
        )  # fmt: skip
        model = VGGT.from_seed(config, seed)
    else:
        model = load(name, device=device)
    return model.to(device).eval()


def read(a: argparse.Namespace) -> tuple[list[LayerReading], bool]:
    """Run the model once with a probe; the layers read, and whether all were."""
    deadline, readings = time.perf_counter() + 60 * a.budget_minutes, []

    def keep(reading: LayerReading) -> None:
        readings.append(reading)
        scalars = reading.heads[0].scalars
        first = f"stable rank {scalars.stable_rank:.2f}, row entropy {scalars.normalised_row_entropy:.3f}"
        print(f"layer {reading.layer:2d}  {reading.seconds:7.1f} s  first head: {first}", flush=True)
        if time.perf_counter() > deadline:
            raise BudgetSpentError

    probe = Probe(
        layers=a.layers,
        heads=a.heads,
        bracket=Budget(passes=a.bracket_passes, bytes=int(a.gib * 2**30)) if a.bracket_passes else None,
        merged=a.m > 0,
        precision=getattr(torch, a.precision),
        seed=a.seed,
        sink=keep,
    )
    rule: MergingRule | None = RULES[a.rule](a.m) if a.m > 0 else None
    model = build(a.model, a.seed, a.device)
    images = render_sequence(a.seed, a.frames, a.side, a.side).images.to(a.device)
    half = torch.autocast(a.device.split(":")[0], torch.bfloat16, enabled=a.device.startswith("cuda"))
    try:
        with half:
            model(images, merging=rule, probe=probe, heads=("camera",))
    except BudgetSpentError:
        return readings, False
    return readings, True


def arguments() -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--frames", type=int, default=6)
    parser.add_argument("--side", type=int, default=518, help="height and width of the images, pixels")
    parser.add_argument("--layers", type=int, nargs="+", help="global layers, all by default")
    parser.add_argument("--heads", type=int, nargs="+", help="all by default")
    parser.add_argument("--rule", choices=list(RULES), default="uniform")
    parser.add_argument("--m", type=float, default=0.0)
    parser.add_argument(
        "--bracket-passes", type=int, default=0, help="attention calls for the entropy; 0 = none"
    )
    parser.add_argument("--gib", type=float, default=8.0, help="memory for the two Krylov bases")
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--budget-minutes", type=float, default=9.0)
    return parser.parse_args()


def main() -> None:
    """Measure and save."""
    a = arguments()
    params = {name: value for name, value in vars(a).items() if name != "budget_minutes"}
    run = records.begin(EXPERIMENT, params, a.device)
    readings, complete = read(a)
    if not readings:
        raise SystemExit(f"no layer was read: --layers {a.layers} names none of the model's")
    seconds = float(np.sum([r.seconds for r in readings]))
    measured = {
        "complete": (complete, "1"),
        "tokens": (readings[0].tokens, "tokens"),
        "probe_seconds": (seconds, "s"),
        "seconds_per_head": (seconds / sum(len(r.heads) for r in readings), "s"),
    }
    if a.device.startswith("cuda"):
        measured["peak"] = (torch.cuda.max_memory_allocated() / 2**30, "GiB")
    arrays = as_arrays(readings)
    arrays["pooled_singular_values"] = np.stack(
        [np.stack([h.pooled_singular_values.numpy() for h in r.heads if h.pooled_singular_values is not None])
         for r in readings]
    )  # fmt: skip
    record = run.finish(measured, kept=readings[0].kept, arrays=arrays)
    folder = records.MEASUREMENTS / a.device.replace(":", "-")
    print(measured, "wrote", records.save(record, folder))


if __name__ == "__main__":
    with reader_may_leave(), torch.inference_mode():
        main()
