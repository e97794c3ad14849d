"""Frames, depth, tokens: attention and spread block by block, errors frame by frame, over many scenes."""

from __future__ import annotations

from collections.abc import Sequence as Several
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lib.geometry import camera_centres, relative_to_first, rotation_angle_deg, unproject
from lib.probe import Probe, as_arrays
from lib.run import Outcome, Params, Setup, prepare, run
from lib.scenes.rooms import RoomStyle, render_walks, room_seed
from lib.scenes.sequence import Sequence
from lib.scenes.walks import SPAN, STEP, open_scene
from lib.spectra import Budget
from lib.vggt import VGGT

Array = NDArray[np.float64]

STRANGER = 100  # the other room of room n is n + 100
NEAR = 0.1  # two depths within a tenth of each other are one surface
COMPANIES = ("alone", "copies", "between", "onward", "strangers")
FRAME_NUMBERS = ("rotation", "centre", "distance", "turn", "overlap")
LAYER_NUMBERS = ("gamma", "common", "frame", "token", "norm", "step")
HEAD_NUMBERS = (
    "scalars.stable_rank", "scalars.row_entropy", "scalars.columns", "pooled.stable_rank", "pooled.entropy",
    "own_frame_mass", "alignment.self_mass", "alignment.critical_tokens", "alignment.beta",
    "merged.stable_rank", "merged.row_entropy", "bracket.entropy", "bracket.size",
    "merged_bracket.entropy", "merged_bracket.size",
)  # fmt: skip


@dataclass(frozen=True)
class Reading:
    """What one range of scenes gave.

    Attributes:
        scenes: names of the single scenes, in order.
        tables: name -> array with the scenes first; NaN where something is not known or was not asked for.
        kept: N'/N, mean over scenes.
    """

    scenes: tuple[str, ...]
    tables: dict[str, Array] = field(default_factory=dict)
    kept: float = 1.0

    def known(self) -> dict[str, Array]:
        """The tables that hold at least one number."""
        return {name: table for name, table in self.tables.items() if np.isfinite(table).any()}


def measure(
    params: Params,
    model: VGGT,
    attention: int = 0,
    entropy: bool = False,
    middle: bool = False,
    added: int = 0,
) -> Reading:
    """Run every scene of the range of `params`.

    Args:
        params: of the runs; their scene may be a range.
        model: loaded for `params`.
        attention: in how many scenes, from the first on, attention matrices are read; the others give
            tokens and errors only, which costs a tenth.
        entropy: of these, the token-level singular-value entropy as well.
        middle: run each scene a second time with its middle frame as frame 0.
        added: run the frames again in the company of so many others, see `company_errors`; 0 does not.

    Raises:
        ValueError: a negative count, and as `lib.run.prepare`.
    """
    if attention < 0 or added < 0:
        raise ValueError(f"attention and added must be 0 or more, got {attention} and {added}")
    rows: list[dict[str, Array]] = []
    kept, names = [], []
    for place, single in enumerate(params.each_scene()):
        probe = _probe(single.m, place < attention, entropy)
        setup = prepare(single, model)
        outcome = run(setup, probe)
        rows.append(_depth_numbers(probe) | _error_numbers(outcome) | _runs_again(setup, middle, added))
        kept.append(outcome.kept)
        names.append(single.scene)
    return Reading(tuple(names), stacked(rows), float(np.mean(kept)))


def _probe(m: float, attention: bool, entropy: bool) -> Probe:
    if not attention:
        return Probe(heads=())
    return Probe(merged=m > 0, bracket=Budget() if entropy else None)


def _depth_numbers(probe: Probe) -> dict[str, Array]:
    """Per layer, and per layer and head where attention was read."""
    table = as_arrays(probe.readings)
    layers = {name: table[f"features.{name}"] for name in LAYER_NUMBERS}
    return layers | {name: table[name] for name in HEAD_NUMBERS if name in table}


def _error_numbers(outcome: Outcome) -> dict[str, Array]:
    skipped = ("seconds", "tokens", "kept", "pairs")
    found = {
        f"errors.{name}": np.array(np.nan if value is None else value)
        for name, (value, _) in outcome.measurements.items()
        if not any(part in name for part in skipped)
    }
    return found | {f"frames.{name}": value for name, value in frame_errors(outcome).items()}


def _runs_again(setup: Setup, middle: bool, added: int) -> dict[str, Array]:
    found = {}
    if middle:
        again = run_again(setup, middle_first(len(setup.sequence)))
        found["middle.rotation"] = np.array(median_rotation(again))
    if added:
        found["company.rotation"] = company_errors(setup, added)
    return found


def stacked(rows: Several[dict[str, Array]]) -> dict[str, Array]:
    """Tables (scenes, …) from one dict of arrays a scene; a scene without a name gets NaN there."""
    shapes = {name: value.shape for row in rows for name, value in row.items()}
    return {
        name: np.stack([row.get(name, np.full(shape, np.nan)).astype(float) for row in rows])
        for name, shape in shapes.items()
    }


def frame_errors(outcome: Outcome) -> dict[str, Array]:
    """Errors of each frame, and how far it is from frame 0; (S,) each, nothing where cameras are unknown.

    rotation: angle between the estimated and the true turn since frame 0, degrees. centre: distance of the
    estimated camera centre, seen from frame 0, from the true one, metres; only the unit of length is fitted,
    over all frames. distance: of the true centre from frame 0, metres. turn: true turn since frame 0,
    degrees. overlap: see `overlap_with_first`, where depth is known.
    """
    sequence, prediction = outcome.setup.sequence, outcome.prediction
    if sequence.extrinsics is None or prediction.extrinsics is None:
        return {}
    true, guess = (relative_to_first(e.double()) for e in (sequence.extrinsics, prediction.extrinsics[0]))
    at, guessed = (camera_centres(e).numpy() for e in (true, guess))
    energy = float((guessed**2).sum())
    unit = max(0.0, float((guessed * at).sum()) / energy) if energy > 0 else 0.0
    numbers = {
        "rotation": rotation_angle_deg(guess[..., :3], true[..., :3]).numpy(),
        "centre": np.linalg.norm(unit * guessed - at, axis=-1),
        "distance": np.linalg.norm(at, axis=-1),
        "turn": rotation_angle_deg(true[..., :3], torch.eye(3, dtype=torch.float64)).numpy(),
    }
    seen = overlap_with_first(sequence)
    return numbers if seen is None else numbers | {"overlap": seen}


def overlap_with_first(sequence: Sequence) -> Array | None:
    """Share of each frame's pixels (S,) whose surface frame 0 shows too; None without cameras or depth.

    A pixel counts if its point falls into frame 0, in front of it, within `NEAR` of the depth seen there.
    Pixels without depth are left out; a frame without any has NaN.
    """
    if sequence.extrinsics is None or sequence.intrinsics is None or sequence.depth is None:
        return None
    true = relative_to_first(sequence.extrinsics.double())
    depth, camera = sequence.depth.double(), sequence.intrinsics.double()
    points = unproject(depth, true, camera)  # (S, H, W, 3), coordinates of frame 0
    height, width = depth.shape[1:]
    pixels = points @ camera[0].T
    z = pixels[..., 2].clamp(min=1e-6)
    column, row = (pixels[..., 0] / z).round().long(), (pixels[..., 1] / z).round().long()
    inside = (points[..., 2] > 0) & (column >= 0) & (column < width) & (row >= 0) & (row < height)
    there = depth[0][row.clamp(0, height - 1), column.clamp(0, width - 1)]
    same = inside & (there > 0) & ((there - points[..., 2]).abs() < NEAR * points[..., 2])
    valid = depth > 0
    share = (same & valid).sum((1, 2)).double() / valid.sum((1, 2))
    return share.numpy()


def middle_first(count: int) -> list[int]:
    """Order of `count` frames that begins with the middle one and keeps the others as they were."""
    middle = count // 2
    return [middle, *(i for i in range(count) if i != middle)]


def run_again(setup: Setup, order: Several[int]) -> Outcome:
    """The same frames in another order."""
    return run(Setup(setup.params, setup.model, setup.sequence.take(order), setup.rule, setup.banner))


def median_rotation(outcome: Outcome, judged: int | None = None) -> float:
    """Median rotation error of the first `judged` frames without frame 0, degrees; NaN if undefined."""
    errors = frame_errors(outcome).get("rotation", np.array([]))[1:judged]
    return float(np.median(errors)) if len(errors) else np.nan


def company_errors(setup: Setup, added: int) -> Array:
    """Median rotation error of the frames of a run in the company of `added` others, (5,) as `COMPANIES`.

    Only the frames of the run are judged, so their path and their distances never change. They come alone;
    with copies of themselves; with new frames of the same stretch; with frames that walk on; with frames of
    another room. The last three need a "denser" walk; for other scenes they are NaN.
    """
    sequence, count = setup.sequence, len(setup.sequence)
    companies: dict[str, Tensor] = {"copies": sequence.images[[i % count for i in range(added)]]}
    if setup.params.scene.startswith("denser:"):
        sequence, walking = walk_with_company(setup, added)
        companies = {"copies": sequence.images[[i % count for i in range(added)]]} | walking
    found = {"alone": sequence.images[:0]} | companies
    return np.array(
        [_judged(setup, sequence, found[name]) if name in found else np.nan for name in COMPANIES]
    )


def walk_with_company(setup: Setup, added: int) -> tuple[Sequence, dict[str, Tensor]]:
    """The frames of a "denser" walk, and `added` others of the same rendering: (sequence, name -> images).

    One rendering, because a room loses the furniture that stands in the way of any of its frames: rendered
    one by one the companies would walk through slightly different rooms.
    """
    count, size = len(setup.sequence), setup.sequence.images.shape[-1]
    room = int(setup.params.scene.split(":")[1])
    judged = torch.linspace(0, SPAN, count, dtype=torch.float64)
    between = (torch.arange(added, dtype=torch.float64) + 0.5) * SPAN / added
    onward = SPAN + STEP * (1 + torch.arange(added, dtype=torch.float64))
    times = torch.cat([judged, between, onward])[None]
    view = render_walks([room_seed("test", room)], times, size, size, RoomStyle())
    whole = Sequence(
        setup.sequence.name, view.images[0], view.extrinsics[0], view.intrinsics[0], view.depth[0]
    )
    strangers = open_scene(f"denser:{room + STRANGER}", added, size, setup.model.config.patch_size).images
    images = whole.images
    return whole.take(range(count)), {
        "between": images[count : count + added],
        "onward": images[count + added :],
        "strangers": strangers,
    }


def _judged(setup: Setup, sequence: Sequence, company: Tensor) -> float:
    """Median rotation error of `sequence` when it is followed by the images `company`."""
    if sequence.extrinsics is None:
        return np.nan
    images = torch.cat([sequence.images, company])
    whole = Setup(setup.params, setup.model, Sequence(sequence.name, images), setup.rule, setup.banner)
    prediction = run(whole).prediction
    if prediction.extrinsics is None:
        return np.nan
    guess, true = (relative_to_first(e.double()) for e in (prediction.extrinsics[0], sequence.extrinsics))
    errors = rotation_angle_deg(guess[1 : len(sequence), :, :3], true[1:, :, :3])
    return float(errors.median()) if len(errors) else np.nan
