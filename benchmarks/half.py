"""What half precision buys on a CPU, and what it costs: float32 and bfloat16 passes take turns.

    python benchmarks/half.py [--models mini wide] [--frames 16] [--repeats 5] [--keep]

Only the aggregator computes in bfloat16 (`lib.run.forward`); heads stay in float32, as on a GPU. A name of
data/weights runs on a rendered room and is judged against the truth; "wide" has random weights, four times
the width of "mini" and eight pairs of blocks, on pictures of 224 x 224 pixels. Times are CPU seconds, the
best of all turns.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

import torch
from torch import Tensor

from lib import records
from lib.gpu import half_is_fast
from lib.pipes import reader_may_leave
from lib.run import Params, Setup, errors, forward, prepare
from lib.vggt import VGGT, CameraHeadConfig, DenseHeadConfig, PatchEmbedConfig, Prediction, VGGTConfig

EXPERIMENT = "benchmarks.half"
WIDE = "wide"
DTYPES = ("float32", "bfloat16")
OUTPUTS = ("pose_enc", "depth", "world_points")
JUDGED = {"rotation_from_frame_0": "deg", "abs_rel": "1"}
UNITS = {f"{dtype}_s": "s" for dtype in DTYPES} | dict.fromkeys(OUTPUTS, "1")
UNITS |= {f"{dtype}_{error}": unit for dtype in DTYPES for error, unit in JUDGED.items()}


def wide() -> VGGT:
    """A network with every part but the tracker, of random weights, in which products take the time."""
    dense = {"features": 64, "out_channels": (48, 96, 192, 384), "layers": (1, 3, 5, 7)}
    config = VGGTConfig(
        width=384,
        depth=8,
        heads=6,
        patch_embed=PatchEmbedConfig(depth=12, heads=6),
        camera_head=CameraHeadConfig(trunk_depth=4, heads=6),
        depth_head=DenseHeadConfig(2, "exp", **dense),  # type: ignore[arg-type]
        point_head=DenseHeadConfig(4, "inv_log", **dense),  # type: ignore[arg-type]
        track_head=None,
    )
    return VGGT.from_seed(config, 0).eval()


def distance(half: Tensor, full: Tensor) -> float:
    """Length of the difference over that of the float32 output."""
    return float((half - full).norm() / full.norm())


def compared(name: str, frames: int, repeats: int) -> dict[str, float]:
    """Seconds of both, distances of their outputs and, of a trained network, errors against the truth."""
    setup: Setup | None = None
    if name == WIDE:
        model, generator = wide(), torch.Generator().manual_seed(0)
        images = torch.rand(frames, 3, 224, 224, generator=generator)
    else:
        setup = prepare(Params(model=name, scene="denser:0", frames=frames, m=0.0))
        model, images = setup.model, setup.sequence.images
    said: dict[str, Prediction] = {}
    seconds = dict.fromkeys(DTYPES, float("inf"))
    for _ in range(repeats + 1):  # the first turn warms up
        for dtype in DTYPES:
            start = time.process_time()
            said[dtype] = forward(model, images, dtype=dtype)
            spent = time.process_time() - start
            seconds[dtype] = min(seconds[dtype], spent)
    found = {f"{dtype}_s": value for dtype, value in seconds.items()}
    full, half = (said[dtype] for dtype in DTYPES)
    found |= {output: distance(getattr(half, output), getattr(full, output)) for output in OUTPUTS}
    for dtype in DTYPES if setup else ():
        judged = errors(setup.sequence, said[dtype])
        found |= {f"{dtype}_{error}": float(judged[error][0]) for error in JUDGED}
    return found


def table(found: dict[str, dict[str, float]]) -> str:
    """One line a network."""
    lines = [f"units for bf16 products: {'yes' if half_is_fast(torch.device('cpu')) else 'no'}"]
    for name, row in found.items():
        gain = row["float32_s"] / row["bfloat16_s"]
        far = "  ".join(f"{output} {row[output]:.1e}" for output in OUTPUTS)
        lines.append(f"{name:16} {row['float32_s']:.3f} s, {row['bfloat16_s']:.3f} s: x{gain:.2f}   {far}")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> dict[str, dict[str, float]]:
    """Measure, print, and write the record if asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", default=["mini", WIDE], help="of data/weights, or wide")
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--keep", action="store_true", help="a record into data/measurements")
    options = parser.parse_args(argv)
    chosen = {"models": options.models, "frames": options.frames, "repeats": options.repeats}
    chosen |= {"threads": torch.get_num_threads(), "units": half_is_fast(torch.device("cpu"))}
    begun = records.begin(EXPERIMENT, chosen, "cpu") if options.keep else None
    found = {name: compared(name, options.frames, options.repeats) for name in options.models}
    print(table(found))
    if begun is not None:
        rows = [(f"{name}: {key}", value, key) for name, row in found.items() for key, value in row.items()]
        measured = {label: (value, UNITS[key]) for label, value, key in rows}
        print("wrote", records.save(begun.finish(measured), records.MEASUREMENTS / "cpu"))
    return found


if __name__ == "__main__":
    with reader_may_leave():
        main()
