"""``python -m lib.metrics TRUTH ESTIMATE``: the errors of anybody's cameras, from files."""

import argparse
import json
import sys
from collections.abc import Sequence

import torch

from lib.formats import FORMATS, pair, read_trajectory_file
from lib.formats.pairing import WAYS
from lib.geometry import invert
from lib.metrics.cameras import CONVENTIONS, CameraErrors, camera_errors
from lib.pipes import reader_may_leave

SHOWN = {
    "ate": "ATE, RMSE",
    "ate_median": "ATE, median",
    "ate_relative": "ATE / length of the true path",
    "are_deg": "ARE, RMSE, degrees",
    "rpe_trans": "RPE translation, RMSE",
    "rpe_rot_deg": "RPE rotation, RMSE, degrees",
    "alignment_scale": "scale of the alignment",
}


def parser() -> argparse.ArgumentParser:
    """Of the command line."""
    made = argparse.ArgumentParser(
        prog="python -m lib.metrics",
        description="Errors of an estimated trajectory. Lengths come in the unit of the truth.",
        epilog="The convention 'centres' compares camera centres and is what evo and most papers print. "
        "'fastvggt' is that of the released evaluation of FastVGGT: it compares the translations of "
        "world-to-camera matrices, and so depends on where the world has its origin.",
    )
    for name in ("truth", "estimate"):
        made.add_argument(name, help="file or folder: TUM, KITTI, COLMAP images.txt, or 4x4 matrices")
        made.add_argument(f"--{name}-format", choices=sorted(FORMATS), help="told from the file if left out")
        made.add_argument(
            f"--{name}-world-to-camera", action="store_true", help="its 4x4 matrices are world-to-camera"
        )
    made.add_argument("--by", choices=WAYS, help="how poses are paired; told from the files if left out")
    made.add_argument("--max-difference", type=float, default=0.02, help="seconds within a pair")
    made.add_argument("--offset", type=float, default=0.0, help="seconds added to the estimate's stamps")
    made.add_argument("--delta", type=int, default=1, help="frames from pose to pose of the relative error")
    made.add_argument("--json", action="store_true", help="print every number as JSON instead")
    return made


def command_line(arguments: Sequence[str] | None = None) -> int:
    """``python -m lib.metrics TRUTH ESTIMATE [...]``; the exit status."""
    asked = parser().parse_args(arguments)
    try:
        truth, estimate = (
            read_trajectory_file(
                getattr(asked, name),
                getattr(asked, f"{name}_format"),
                getattr(asked, f"{name}_world_to_camera"),
            )
            for name in ("truth", "estimate")
        )
        pairs = pair(truth, estimate, asked.by, asked.max_difference, asked.offset)
        guess, true = (invert(torch.from_numpy(poses)) for poses in (pairs.estimate, pairs.truth))
        found = {name: camera_errors(guess, true, name, asked.delta) for name in CONVENTIONS}
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if asked.json:
        print(json.dumps({name: errors.to_dict() for name, errors in found.items()}, indent=1))
        return 0
    left = truth.left_out + estimate.left_out
    print(
        f"{len(pairs.truth)} pairs by {pairs.by}, of {len(truth)} true and {len(estimate)} estimated poses"
        + (f"; {left} that are not finite are left out" if left else "")
    )
    print(table(found))
    return 0


def table(found: dict[str, CameraErrors]) -> str:
    """A line for each error, a column for each convention."""
    wide = max(map(len, SHOWN.values()))
    lines = [" " * wide + "".join(f"{name:>14}" for name in found)]
    values = {name: errors.to_dict() for name, errors in found.items()}
    for key, words in SHOWN.items():
        lines.append(f"{words:<{wide}}" + "".join(f"{values[name][key]:>14.6g}" for name in found))
    return "\n".join(lines)


if __name__ == "__main__":
    with reader_may_leave():
        status = command_line()
    sys.exit(status)
