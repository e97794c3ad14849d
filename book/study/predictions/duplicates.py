"""The same frame shown d times, against d times as many different frames of the same stretch.

Exact copies are the one redundancy that theory speaks of without approximation: for one attention layer the
output does not change, and the N × N matrix keeps its singular values while its size grows. In the model
only the special tokens tell the first frame from its copies.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray

from book.study.predictions.blocks import duplicated_change
from book.study.predictions.merging import Ranks
from book.study.predictions.profiles import STEP, Profile, copies, every_fourth
from book.study.static_merging import Observers
from lib.geometry import relative_to_first, rotation_angle_deg
from lib.run import Params, Setup, errors, forward, load_model, prepare
from lib.scenes.sequence import Sequence
from lib.vggt import VGGT, AttentionEvent, Observer, parse_scale

COPIES = (1, 2, STEP)
ARMS = ("copies", "new")
PROFILE = ("common", "frame", "token")
ERROR = "rotation_from_frame_0"

Arrays = dict[str, NDArray[np.float64]]


@dataclass
class Duplicated:
    """Observer: change of each global block's attention when its keys and values come d times (float32)."""

    rows: list[list[float]] = field(default_factory=list)

    def observe(self, event: AttentionEvent) -> None:
        """Measure one global block of an unmerged run."""
        if event.kind == "global":
            with torch.inference_mode(), torch.autocast(event.x.device.type, enabled=False):
                qkv = event.q.float(), event.k.float(), event.v.float()
                self.rows.append([duplicated_change(*qkv, count, event.scale) for count in COPIES[1:]])


def frames_for(sequence: Sequence, arm: str, count: int) -> Sequence:
    """Every fourth frame `count` times, or `count` times as many frames of the same stretch (1, 2 or 4)."""
    if arm == "copies":
        return copies(every_fourth(sequence), count)
    return sequence.take(range(0, len(sequence), STEP // count))


def measure(params: Params) -> Arrays:
    """All scenes; arrays with the scene as first axis, see `measure_scene`.

    Raises:
        ValueError: m = 0, which has nothing to compare with; fewer than five frames; as `lib.run.prepare`.
    """
    if params.m == 0:
        raise ValueError("m must be above 0: every arm runs without merging and at m")
    if params.frames <= STEP:
        raise ValueError(
            f"frames must be at least {STEP + 1}, of which every fourth is used; {params.frames}"
        )
    model, _ = load_model(params)
    found = [measure_scene(model, prepare(each, model)) for each in params.each_scene()]
    return {name: np.stack([scene[name] for scene in found]) for name in found[0]}


def measure_scene(model: VGGT, setup: Setup) -> Arrays:
    """One scene, (2 arms, 3 counts, unmerged and merged, …).

    common, frame, token (…, blocks): shares of the tokens entering; kept; rotation: median error of the
    turn since frame 0, degrees, NaN without a truth or a camera head; for copies only: turned (3, 2), mean
    angle in degrees between the pose of a copy and of the original predicted without copies; rank (3, 2, 4)
    of the last block, see `Ranks`; module (blocks, 2): see `Duplicated`.
    """
    shape = (len(ARMS), len(COPIES), 2)
    found = {name: np.full((*shape, model.config.depth), np.nan) for name in PROFILE}
    found |= {name: np.full(shape, np.nan) for name in ("kept", "rotation")}
    found |= {"turned": np.full(shape[1:], np.nan), "rank": np.full((*shape[1:], 4), np.nan)}
    duplicated = Duplicated()
    for merged, rule in enumerate((None, setup.rule)):
        original: torch.Tensor | None = None
        for a, arm in enumerate(ARMS):
            for c, count in enumerate(COPIES):
                sequence = frames_for(setup.sequence, arm, count)
                probe, ranks = Profile(setup.params.seed), Ranks.of(model, setup.params.seed)
                ranks.blocks = [model.config.depth - 1] if arm == "copies" else []
                watching: list[Observer] = [
                    probe,
                    ranks,
                    *([duplicated] if (merged, a, c) == (0, 0, 0) else []),
                ]
                poses, kept, rotation = _run(
                    replace(setup, sequence=sequence, rule=rule), Observers(watching)
                )
                for name in PROFILE:
                    found[name][a, c, merged] = probe.arrays()[name]
                found["kept"][a, c, merged], found["rotation"][a, c, merged] = kept, rotation
                if arm == "copies":
                    found["rank"][c, merged] = ranks.rows[0]
                    original = poses if count == 1 else original
                    found["turned"][c, merged] = _turned(poses, original, count)
    return found | {"module": np.array(duplicated.rows)}


def _run(setup: Setup, probe: Observers) -> tuple[torch.Tensor | None, float, float]:
    """Predicted cameras (S, 3, 4) on the CPU, mean kept fraction, rotation error in degrees."""
    model, scale = setup.model, parse_scale(setup.params.logit_scale)
    heads = [name for name in ("camera",) if name in model.available_heads]
    prediction = forward(model, setup.sequence.images, setup.rule, probe, logit_scale=scale, heads=heads)
    kept = float(np.mean(prediction.report.kept))
    if prediction.extrinsics is None:
        return None, kept, np.nan
    prediction = replace(prediction, extrinsics=prediction.extrinsics.cpu())
    value = errors(setup.sequence, prediction).get(ERROR, (None, ""))[0]
    assert prediction.extrinsics is not None
    return prediction.extrinsics[0], kept, np.nan if value is None else float(value)


def _turned(poses: torch.Tensor | None, original: torch.Tensor | None, count: int) -> float:
    """Mean angle between the turns since frame 0 of the copies and of the originals, degrees."""
    if poses is None or original is None:
        return np.nan
    now, before = (relative_to_first(p.double())[:, :, :3] for p in (poses, original))
    return float(rotation_angle_deg(now, before.repeat_interleave(count, 0)).mean())


def log_change(arrays: Arrays, name: str, arm: str, merged: bool) -> NDArray[np.float64]:
    """ln of a share entering the last block, four times as many frames against the original, by scene."""
    values = np.log(arrays[name][:, ARMS.index(arm), :, int(merged), -1])
    change: NDArray[np.float64] = values[:, -1] - values[:, 0]
    return change


def measurements(arrays: Arrays) -> dict[str, tuple[float | None, str]]:
    """Means over scenes, for a record; undefined values are None."""
    rank = arrays["rank"][..., 0]
    found = {
        "module_change": (float(arrays["module"].max()), "1"),
        "rank_ratio": (float(np.mean(rank[:, -1, 0] / rank[:, 0, 0])), "1"),
        "rank_ratio_merged": (float(np.mean(rank[:, -1, 1] / rank[:, 0, 1])), "1"),
        "turned": (float(arrays["turned"][:, -1, 0].mean()), "deg"),
    }
    for arm in ARMS:
        for merged, word in enumerate(("plain", "merged")):
            change = float(log_change(arrays, "frame", arm, bool(merged)).mean())
            found[f"frame_part_{arm}_{word}"] = (change, "1")
            found[f"rotation_{arm}_{word}"] = (
                float(arrays["rotation"][:, ARMS.index(arm), -1, merged].mean()),
                "deg",
            )
    return {name: (None if np.isnan(value) else value, unit) for name, (value, unit) in found.items()}
