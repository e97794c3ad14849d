"""``python -m lib.run SCENE``: cameras, depth and points of a scene, as files that other programs open."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from lib.allocator import keep_freed_memory
from lib.formats.reconstruction import write
from lib.pipes import reader_may_leave
from lib.run import DTYPES, Params, prepare, run
from lib.run.results import reconstruction
from lib.vggt.checkpoint import CheckpointError


def parser() -> argparse.ArgumentParser:
    """Of the command line; the defaults are those of `lib.run.Params`, but for merging."""
    known = Params(m=0.0)
    made = argparse.ArgumentParser(
        prog="python -m lib.run",
        description="One forward pass over the frames of a scene; its results as files.",
        epilog="Written are trajectory.txt (TUM), colmap/ (cameras, images and points as text), points.ply, "
        "maps.npz (depth, confidence, intrinsics at the size of the pictures), depth/ (16-bit PNG, "
        "thousandths of the unit) and view.html, which opens in a browser. Only what the network says goes "
        "into them; its unit of length is its own.",
    )
    made.add_argument("scene", help="a folder of photographs or a recording, FOLDER#1/4, or rooms:7")
    made.add_argument("--out", type=Path, default=Path("results"), help="a new folder (default: results)")
    made.add_argument("--model", default=known.model, help="mini, random, a checkpoint, or facebook/VGGT-1B")
    made.add_argument("--frames", type=int, default=known.frames, help="spread evenly over the scene")
    made.add_argument("--m", type=float, default=known.m, help="share of tokens to merge away, 0 for none")
    made.add_argument("--merging", dest="rule", default=known.rule, help="how, e.g. fastvggt or uniform")
    made.add_argument("--size-bias", action="store_true", help="merged keys weigh as their tokens did")
    made.add_argument("--logit-scale", default=known.logit_scale, help="none, a number, or 'length 12'")
    made.add_argument("--seed", type=int, default=known.seed)
    made.add_argument("--device", default=known.device, help="cpu or cuda")
    made.add_argument("--dtype", default=known.dtype, choices=DTYPES, help="of products; auto: by the device")
    made.add_argument("--points", type=float, default=0.5, help="share of pixels, the surest, that are kept")
    return made


def command_line(arguments: Sequence[str] | None = None) -> int:
    """``python -m lib.run SCENE [--out FOLDER] [...]``; the exit status."""
    asked = vars(parser().parse_args(arguments))
    out, share = asked.pop("out"), asked.pop("points")
    try:
        outcome = run(prepare(Params(**asked)))
        written = write(reconstruction(outcome), out, share)
    except (ValueError, OSError, MemoryError, CheckpointError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for name, (value, unit) in outcome.measurements.items():
        if value is not None:
            print(f"{name} {value:.6g} {unit}".removesuffix(" 1"))
    print(*(f"wrote {path}" for path in written), sep="\n")
    return 0


if __name__ == "__main__":
    keep_freed_memory()
    with reader_may_leave():
        status = command_line()
    sys.exit(status)
