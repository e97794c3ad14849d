"""Long sequences: every room goes through the network once for each arm, so that errors pair room by room."""

from __future__ import annotations

from collections.abc import Sequence as Several
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from book.study.long_sequences import law
from book.study.long_sequences.arms import ARMS, Arm, Result, run_arm
from book.study.long_sequences.shares import Shares, draw_queries, group_masks, matching_tokens
from book.study.shipped import trained_frames
from lib.geometry import relative_to_first, rotation_angle_deg, unproject
from lib.metrics import DegenerateAlignmentError, camera_errors, chamfer, depth_errors
from lib.metrics.cameras import umeyama
from lib.run import Params, Setup, load_model, prepare
from lib.scenes.sequence import Sequence
from lib.training.evaluation import unexplained_motion

Array = NDArray[np.float64]
QUERIES = 32  # patches, and as many camera tokens
POINTS = 2000  # of each cloud, for the Chamfer distance
EVERY = 4  # all arms are judged on every fourth frame as well: those that the arm with a quarter has
GEOMETRY = {
    "rotation": "deg",  # median over frames of the angle between true and estimated turn since frame 0
    "rotation_pairs": "deg",  # the same over all pairs of frames: no frame is special
    "rpe_rot": "deg",
    "rpe_trans": "m",
    "ate": "m",
    "unexplained": "1",
    "abs_rel": "1",
    "chamfer": "m",
}
ERRORS = (
    GEOMETRY | {f"{name}_fourth": unit for name, unit in GEOMETRY.items()} | {"pairs": "1", "seconds": "s"}
)


@dataclass(frozen=True)
class Table:
    """errors: name -> (arms, rooms). log_sums: (rooms, layers, factors, heads, queries, 4) of the unmerged
    run, nats. mass: (arms, rooms, layers, 2, 4), mean over heads and over patch and camera queries; NaN
    where an arm changes the frames or is not asked."""

    arms: list[str]
    scenes: list[str]
    errors: dict[str, Array]
    log_sums: NDArray[np.float32]
    mass: Array


def measure(
    params: Params, arms: Several[str], trained: int = 0, added: int = 0, factors: Several[float] = ()
) -> Table:
    """Run every room of `params.scene` in each arm, "plain" first.

    trained, added: as in `book.study.shipped.trained_frames` and `run_arm`. factors: of the logits, at which
    the masses of the plain run are read besides 1; from the same activations.

    Raises ValueError on an unknown arm; and as `lib.run.prepare`.
    """
    unknown = [name for name in arms if name not in ARMS]
    if unknown:
        raise ValueError(f"arms {unknown} are not among {list(ARMS)}")
    names = ["plain", *(name for name in arms if name != "plain")]
    length = trained_frames(params.model, trained)
    model, _ = load_model(params)
    rows, masses, sums, scenes = [], [], [], params.each_scene()
    for one in scenes:
        setup = prepare(one, model)
        read = [_read(setup, ARMS[name], length, added, (1.0, *factors)) for name in names]
        rows.append([errors(setup.sequence, result) for result, _ in read])
        plain = read[0][1]
        sums.append(np.empty(0, np.float32) if plain is None else plain)
        masses.append([_mass(table, setup) for _, table in read])
    table = {e: np.array([[row.get(e, np.nan) for row in room] for room in rows], float).T for e in ERRORS}
    return Table(names, [one.scene for one in scenes], table, np.stack(sums), np.array(masses).swapaxes(0, 1))


def _read(
    setup: Setup, arm: Arm, trained: int, added: int, factors: Several[float]
) -> tuple[Result, NDArray[np.float32] | None]:
    """The result of an arm and the log-sums of its groups, None where the arm changes the frames."""
    biased = arm.first or arm.own or arm.starved or arm.split  # what events do not show
    if len(setup.sequence) < 3 or arm.keep > 1 or arm.middle or arm.chunks or arm.company or biased:
        return run_arm(setup, arm, trained, added), None
    queries = draw_queries(setup.layout, QUERIES, setup.params.seed)
    matches = matching_tokens(setup.sequence, setup.layout, queries)
    probe = Shares(queries, group_masks(setup.layout, queries, matches), factors)
    result = run_arm(setup, arm, trained, added, probe)
    return replace(result, seconds=result.seconds - probe.seconds), probe.table()


def _mass(table: NDArray[np.float32] | None, setup: Setup) -> Array:
    """(layers, 2, 4): mean over heads, of patch queries and of camera queries."""
    if table is None:
        return np.full((setup.model.config.depth, 2, 4), np.nan)
    found = law.shares(table[:, 0]).mean(1)
    return np.stack([found[:, :QUERIES].mean(1), found[:, QUERIES:].mean(1)], 1)


def errors(sequence: Sequence, result: Result) -> dict[str, float]:
    """What an arm got wrong, on the frames that it used and on every fourth, and what it cost.

    Without a truth only the cost.
    """
    few = [row for row, frame in enumerate(result.frames) if frame % EVERY == 0]
    fourth = replace(
        result,
        extrinsics=result.extrinsics[few],
        depth=result.depth[few],
        frames=[result.frames[row] for row in few],
    )
    return (
        geometry(sequence, result)
        | {f"{name}_fourth": value for name, value in geometry(sequence, fourth).items()}
        | {"pairs": float(result.pairs), "seconds": result.seconds}
    )


def geometry(sequence: Sequence, result: Result) -> dict[str, float]:
    """Errors of cameras, depth and surface on the frames of `result`; those that the truth allows."""
    found: dict[str, float] = {}
    truth = sequence.take(result.frames)
    if truth.extrinsics is not None and len(truth) > 1:
        guess, true = (relative_to_first(e.double()) for e in (result.extrinsics, truth.extrinsics))
        i, j = torch.triu_indices(len(truth), len(truth), 1)
        turns = [poses[j, :, :3] @ poses[i, :, :3].mT for poses in (guess, true)]
        angles = rotation_angle_deg(turns[0], turns[1])
        found["rotation"] = float(angles[i == 0].median())
        found["rotation_pairs"] = float(angles.median())
        found["unexplained"] = unexplained_motion(guess, true)
        try:
            centres = camera_errors(result.extrinsics, truth.extrinsics)
            found |= {"ate": centres.ate, "rpe_rot": centres.rpe_rot_deg, "rpe_trans": centres.rpe_trans}
        except DegenerateAlignmentError:
            pass
    if truth.depth is not None and bool((truth.depth > 0).any()):
        found["abs_rel"] = depth_errors(result.depth.float()[..., None], truth.depth, scale="median").abs_rel
        if truth.extrinsics is not None and truth.intrinsics is not None:
            found["chamfer"] = _surface_error(truth, result)
    return found


def _surface_error(truth: Sequence, result: Result) -> float:
    """Chamfer distance in metres of `POINTS` drawn pixels, moved onto the true ones by a similarity."""
    assert truth.depth is not None and truth.extrinsics is not None and truth.intrinsics is not None
    valid = (truth.depth > 0).flatten().nonzero()[:, 0]
    drawn = valid[torch.randperm(len(valid), generator=torch.Generator().manual_seed(0))[:POINTS]]
    lenses = truth.intrinsics.double()  # the true ones for both
    true, guess = (
        unproject(depth.double(), extrinsics.double(), lenses).reshape(-1, 3)[drawn].numpy()
        for depth, extrinsics in ((truth.depth, truth.extrinsics), (result.depth, result.extrinsics))
    )
    return chamfer(guess, true, alignment=umeyama(guess, true)).distance
