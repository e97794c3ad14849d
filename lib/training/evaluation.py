"""Errors of trained weights on held-out rooms and photographs, beside a trivial baseline and the oracle."""

from __future__ import annotations

import datetime
import json
import math
import os
import platform
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from lib.geometry import camera_centres, invert, relative_to_first, rotation_angle_deg, unproject
from lib.metrics import DegenerateAlignmentError, camera_errors, depth_errors, path_length, point_errors
from lib.records.contents import hash_path
from lib.records.fingerprints import versions
from lib.scenes.recordings import open_recording
from lib.scenes.sequence import Sequence
from lib.scenes.walks import walk
from lib.training.validation import STRIDE
from lib.vggt.checkpoint import load
from lib.vggt.model import VGGT

EVALUATION_FRAMES = (2, 4, 8, 16, 32, 64, 128)
LONG = 32  # beyond so many frames half the rooms are enough: an evaluation is to take minutes
PHOTOGRAPH_STRIDE = 10  # every tenth photograph: steps of a hand-held video as long as those of our walks


@dataclass(frozen=True)
class Estimate:
    """What is claimed about a sequence: camera-from-frame-0, depth, points in frame 0's coordinates."""

    extrinsics: Float[Tensor, "frames 3 4"]
    depth: Float[Tensor, "frames height width"]
    points: Float[Tensor, "frames height width 3"]


Estimator = Callable[[Sequence], Estimate]


def predict(model: VGGT) -> Estimator:
    """The estimates of a model."""

    @torch.inference_mode()
    def estimate(sequence: Sequence) -> Estimate:
        prediction = model(sequence.images)
        assert prediction.extrinsics is not None and prediction.depth is not None
        assert prediction.world_points is not None
        return Estimate(prediction.extrinsics[0], prediction.depth[0, ..., 0], prediction.world_points[0])

    return estimate


def identity_baseline(sequence: Sequence) -> Estimate:
    """The trivial baseline: the camera never moves and everything is as far as the mean depth."""
    truth = _truth(sequence).depth
    depth = torch.full_like(truth, truth[truth > 0].mean().item())
    still = torch.eye(3, 4, dtype=depth.dtype, device=depth.device).expand(len(sequence), -1, -1)
    assert sequence.intrinsics is not None
    return Estimate(still, depth, unproject(depth, still, sequence.intrinsics.to(depth.dtype)))


def oracle(sequence: Sequence) -> Estimate:
    """The oracle, in a unit of its own: every error of it must be zero."""
    truth, scale = _truth(sequence), 0.37
    extrinsics = torch.cat([truth.extrinsics[..., :3], scale * truth.extrinsics[..., 3:]], -1)
    return Estimate(extrinsics, scale * truth.depth, scale * truth.points)


def _truth(sequence: Sequence) -> Estimate:
    if sequence.extrinsics is None or sequence.intrinsics is None or sequence.depth is None:
        raise ValueError(f"{sequence.name} lacks cameras or depth; an evaluation needs both")
    extrinsics = relative_to_first(sequence.extrinsics.double())
    depth = sequence.depth.double()
    return Estimate(extrinsics, depth, unproject(depth, extrinsics, sequence.intrinsics.double()))


def sequence_errors(estimator: Estimator, sequence: Sequence) -> dict[str, float]:
    """Errors of one sequence.

    rotation_deg: median angle to the true rotation relative to frame 0, frame 0 left out. centres_relative:
    see `unexplained_motion`. are_deg, rpe_rot_deg, rpe_relative and ate_relative: textbook errors after
    Sim(3) alignment of the centres, the lengths as shares of the path (RPE: of the mean step). abs_rel: after
    median scaling. points_relative: mean distance after Sim(3) alignment of the points, as a share of their
    mean distance from frame 0. NaN where an error is not defined: alignment needs three frames.
    """
    truth, guess = _truth(sequence), estimator(sequence)
    rotation, true_rotation = guess.extrinsics[1:, :, :3].double(), truth.extrinsics[1:, :, :3]
    valid = truth.depth > 0
    distance = truth.points.norm(dim=-1)[valid].mean().item()
    points = point_errors(guess.points, truth.points, mask=valid, alignment="similarity")
    return {
        "rotation_deg": rotation_angle_deg(rotation, true_rotation).median().item()
        if len(sequence) > 1
        else math.nan,
        "centres_relative": unexplained_motion(guess.extrinsics, truth.extrinsics),
        **_trajectory(guess.extrinsics, truth.extrinsics),
        "abs_rel": depth_errors(guess.depth, truth.depth, mask=valid, scale="median").abs_rel,
        "points_relative": points.mean / distance,
    }


def unexplained_motion(estimate: Float[Tensor, "frames 3 4"], truth: Float[Tensor, "frames 3 4"]) -> float:
    """RMS error of the camera centres seen from frame 0, as a share of the true RMS distance from frame 0.

    Both camera-from-frame-0. Only the unit of length is fitted (by least squares), nothing is turned or
    moved; so 0 is exact and 1 is what a camera that stands still has. NaN if the true camera does not move.
    """
    guess, true = (camera_centres(poses).double().flatten() for poses in (estimate, truth))
    if true.norm() == 0:
        return math.nan
    if guess.norm() == 0:
        return 1.0
    cosine = torch.dot(guess, true).clamp(min=0) / (guess.norm() * true.norm())
    left = true / true.norm() - cosine * guess / guess.norm()
    return float(left.norm())


def _trajectory(estimate: Tensor, truth: Tensor) -> dict[str, float]:
    """Textbook camera errors; a camera that stands still is compared with the centre of the true path."""
    names = ("are_deg", "rpe_rot_deg", "rpe_relative", "ate_relative")
    if len(truth) < 3:
        return dict.fromkeys(names, math.nan)
    length = path_length(invert(truth))
    try:
        errors = camera_errors(estimate, truth)
    except DegenerateAlignmentError:
        centres = camera_centres(truth)
        spread = (centres - centres.mean(0)).norm(dim=-1).square().mean().sqrt().item()
        turns = rotation_angle_deg(truth[1:, :, :3], truth[:-1, :, :3]).square().mean().sqrt().item()
        steps = (centres[1:] - centres[:-1]).norm(dim=-1).square().mean().sqrt().item()
        angles = rotation_angle_deg(estimate[..., :3].double(), truth[..., :3]).square().mean().sqrt().item()
        return dict(
            zip(names, (angles, turns, steps / (length / (len(truth) - 1)), spread / length), strict=True)
        )
    step = length / (len(truth) - 1)
    values = (errors.are_deg, errors.rpe_rot_deg, errors.rpe_trans / step, errors.ate / length)
    return dict(zip(names, values, strict=True))


def room_walks(
    kind: str, frames: int, rooms: int, size: int, device: torch.device | str
) -> Iterable[Sequence]:
    """Walks of `frames` frames through test rooms 0 .. `rooms` - 1; kind as in `lib.scenes.walks.walk`."""
    for seed in range(rooms):
        yield walk(kind, seed, frames, size, device)


def evaluate(
    model: VGGT, frames: Iterable[int], rooms: int, device: torch.device | str = "cpu",
    kinds: Iterable[str] = ("longer", "denser", "large"),
) -> list[dict[str, Any]]:  # fmt: skip
    """Rows {walk, frames, who, walks, error: {median, values}} for the model, the baseline and the oracle.

    Every kind of walk and number of frames is seen in test rooms 0 .. `rooms` - 1; beyond `LONG` frames, in
    the first half of them. `values` has one error for each room, in this order.
    """
    size, rows = model.config.image_size, []
    for kind in kinds:
        for count in frames:
            some = rooms if count <= LONG else max(1, rooms // 2)
            rows += _rows(model, kind, room_walks(kind, count, some, size, device))
    return rows


def evaluate_photographs(model: VGGT, folder: Path, frames: Iterable[int]) -> list[dict[str, Any]]:
    """The same rows on one recording: every tenth photograph, cut into pieces of so many frames.

    Lengths that the recording does not reach are left out.
    """
    size = model.config.image_size
    whole = open_recording(folder, stride=PHOTOGRAPH_STRIDE, need_poses=True, height=size, width=size)
    rows = []
    for count in frames:
        starts = range(0, len(whole) - count + 1, count)
        if starts:
            rows += _rows(model, folder.name, (whole.take(range(at, at + count)) for at in starts))
    return rows


def _rows(model: VGGT, walk: str, sequences: Iterable[Sequence]) -> list[dict[str, Any]]:
    """One row for each estimator, on sequences of one length."""
    estimators = {"model": predict(model), "still": identity_baseline, "oracle": oracle}
    found: dict[str, list[dict[str, float]]] = {who: [] for who in estimators}
    frames = 0
    for sequence in sequences:
        frames = len(sequence)
        for who, estimator in estimators.items():
            found[who].append(sequence_errors(estimator, sequence))
    return [
        {"walk": walk, "frames": frames, "who": who, "walks": len(errors), **_summary(errors)}
        for who, errors in found.items()
    ]


def _summary(errors: list[dict[str, float]]) -> dict[str, dict[str, Any]]:
    """Median over walks, and the value of each; None where an error is not defined."""
    table = {name: np.array([error[name] for error in errors]) for name in errors[0]}
    return {
        name: {
            "median": None if np.isnan(values).any() else float(np.median(values)),
            "values": [None if np.isnan(value) else float(f"{value:.5g}") for value in values],
        }
        for name, values in table.items()
    }


def evaluate_file(
    weights: Path,
    frames: Iterable[int],
    rooms: int,
    device: torch.device | str = "cpu",
    photographs: Path | None = None,
) -> dict[str, Any]:
    """Evaluate a weights file and put the result, with its provenance, into the JSON record beside it."""
    start, frames = time.time(), tuple(frames)
    model = load(weights, device=device)
    rows = evaluate(model, frames, rooms, device)
    if photographs is not None:
        rows += evaluate_photographs(model, photographs, frames)
    result = {
        "rows": rows,
        "weights": hash_path(weights),
        "split": "test",
        "stride_video_frames": STRIDE,
        "started": datetime.datetime.fromtimestamp(start, datetime.UTC).isoformat(timespec="seconds"),
        "seconds": round(time.time() - start, 1),
        "device": device_name(device),
        "versions": versions(),
    }
    update_record(weights.with_suffix(".json"), {"evaluation": result})
    return result


def device_name(device: torch.device | str) -> str:
    """Name of the GPU, or of the processor type and the number of threads."""
    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()} CPU, {torch.get_num_threads()} thread(s)"


def update_record(path: Path, entries: dict[str, Any]) -> None:
    """Merge `entries` into the JSON file at `path`, atomically; the file is made if it is not there."""
    record = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    partial = path.with_suffix(f".{os.getpid()}.partial")
    text = json.dumps(record | entries, indent=1, allow_nan=False)
    # lists of plain values on one line, else most of the file is line ends
    text = re.sub(r"\[[^\[\]{}]*\]", lambda found: " ".join(found[0].split()), text)
    partial.write_text(text + "\n", encoding="utf-8")
    os.replace(partial, path)
