"""Cameras and geometry with and without merging: every error of the paper's Fig. 2, on the same scenes.

Each scene is rendered (or read) once and then goes through the network once unmerged and once for each
setting of merging, so that errors can be compared scene by scene.
"""

from __future__ import annotations

import math
from collections.abc import Sequence as Many
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray

from book.study.reconstruction.chamfer import chamfer_fastvggt
from lib.geometry import invert, relative_to_first, rotation_angle_deg, unproject
from lib.merging import Setting
from lib.merging.registry import PLAIN
from lib.metrics import DegenerateAlignmentError, path_length
from lib.metrics.cameras import umeyama
from lib.metrics.surfaces import chamfer
from lib.probe import attention_operators
from lib.run import Measurements, Params, Setup, errors, load_model, prepare, run
from lib.scenes.sequence import Sequence
from lib.spectra import Measures, frame_pooled, pooled_measures
from lib.training.evaluation import unexplained_motion
from lib.vggt import AttentionEvent, Prediction

Array = NDArray[np.float64]
SPECTRA = ("none", "pooled", "token")


@dataclass
class Entropies:
    """Observer of global attention: normalised entropies by layer, means over heads, of the first batch item.

    Rows of `layers`: pooled_entropy (S x S matrix between frames), pooled_stable_rank, row_entropy (of the
    N x N matrix, over ln N); with `token_level` also token_entropy and token_stable_rank (N x N, lifted where
    tokens merged) and merged_entropy (N' x N', the matrix that was really computed). Entropies are over the
    logarithm of the number of singular values. Dense, so for small N only where `token_level`.
    """

    token_level: bool
    layers: list[dict[str, float]] = field(default_factory=list)

    def observe(self, event: AttentionEvent) -> None:
        """Read one layer."""
        if event.kind != "global" or event.layout is None:
            return
        with torch.inference_mode(), torch.autocast(event.x.device.type, enabled=False):
            heads = [self._head(event, head) for head in range(event.q.shape[1])]
        self.layers.append({name: float(np.mean([h[name] for h in heads])) for name in heads[0]})

    def _head(self, event: AttentionEvent, head: int) -> dict[str, float]:
        assert event.layout is not None
        inner, outer = attention_operators(event, head)
        pooled = pooled_measures(frame_pooled(outer, event.layout.frames))
        found = {
            "pooled_entropy": pooled.normalised_entropy,
            "pooled_stable_rank": pooled.stable_rank,
            "row_entropy": float(outer.row_entropies().mean()) / math.log(outer.columns),
        }
        if self.token_level:
            token = Measures.of(torch.linalg.svdvals(outer.dense()))
            merged = token if outer is inner else Measures.of(torch.linalg.svdvals(inner.dense()))
            found["token_entropy"] = token.normalised_entropy
            found["token_stable_rank"] = token.stable_rank
            found["merged_entropy"] = merged.normalised_entropy
        return found

    def means(self) -> Measurements:
        """Means over layers."""
        names = self.layers[0] if self.layers else {}
        return {n: (float(np.mean([layer[n] for layer in self.layers])), "1") for n in names}


def cloud_errors(sequence: Sequence, prediction: Prediction, points: int, seed: int) -> Measurements:
    """Chamfer distances of the predicted surfaces to the true one, metres.

    Two estimates: the point head ("points") and depth unprojected with the predicted cameras ("depth"). Two
    conventions: textbook, after the similarity that moves corresponding pixels onto each other, and
    FastVGGT's, by bounding boxes with clipped and summed distances. At most `points` pixels with true depth
    are drawn with `seed`, the same for estimate and truth, so that an exact estimate has distance 0 (and
    fewer points give a little smaller penalties than all would). Empty without true depth and cameras.
    """
    if sequence.depth is None or sequence.extrinsics is None or sequence.intrinsics is None:
        return {}
    valid = (sequence.depth > 0).flatten().nonzero()[:, 0].cpu()
    if len(valid) == 0:
        return {}
    chosen = valid[torch.randperm(len(valid), generator=torch.Generator().manual_seed(seed))[:points]]
    cameras = relative_to_first(sequence.extrinsics.double())
    truth = unproject(sequence.depth.double(), cameras, sequence.intrinsics.double())
    estimates = {"points": prediction.world_points, "depth": None}
    if prediction.depth is not None and prediction.extrinsics is not None:
        assert prediction.intrinsics is not None
        depth, poses, lens = (
            t[0].double() for t in (prediction.depth[..., 0], prediction.extrinsics, prediction.intrinsics)
        )
        estimates["depth"] = unproject(depth, poses, lens)[None]
    true = truth.reshape(-1, 3)[chosen].numpy()
    found: Measurements = {}
    for name, cloud in estimates.items():
        if cloud is not None:
            guess = cloud[0].reshape(-1, 3)[chosen].double().numpy()
            move = umeyama(guess, true)
            found[f"chamfer_{name}_textbook"] = (chamfer(guess, true, alignment=move).distance, "m")
            found[f"chamfer_{name}_fastvggt"] = (chamfer_fastvggt(guess, true, seed=seed).distance, "m")
    return found


def scene_errors(sequence: Sequence, prediction: Prediction, points: int, seed: int) -> Measurements:
    """All errors of one run: those of `lib.run.errors`, `centres_relative`, and Chamfer distances.

    centres_relative: share of the camera's motion left unexplained (`lib.training.evaluation`), only the unit
    of length fitted. What the truth does not allow is left out or None.
    """
    found = errors(sequence, prediction)
    if sequence.extrinsics is not None and prediction.extrinsics is not None and len(sequence) > 1:
        estimate, truth = (
            relative_to_first(e.double()) for e in (prediction.extrinsics[0], sequence.extrinsics)
        )
        left = unexplained_motion(estimate, truth)
        found["centres_relative"] = (None if math.isnan(left) else left, "1")
    try:
        return found | cloud_errors(sequence, prediction, points, seed)
    except DegenerateAlignmentError:
        return found


def scene_facts(sequence: Sequence) -> Measurements:
    """What needs no estimate: length of the path (m), and the rotation error of a camera that never turns."""
    if sequence.extrinsics is None or len(sequence) < 2:
        return {}
    extrinsics = sequence.extrinsics.double()
    turned = relative_to_first(extrinsics)[1:, :, :3]
    angles = rotation_angle_deg(torch.eye(3, dtype=turned.dtype), turned)
    return {"path": (path_length(invert(extrinsics)), "m"), "still_rotation": (float(angles.median()), "deg")}


@dataclass(frozen=True)
class Table:
    """Everything measured on a set of scenes.

    Attributes:
        scenes: names. settings: names, the first is "plain".
        values: name -> (settings, scenes), NaN where it is not defined; facts of scenes -> (scenes,).
        layers: name -> (settings, scenes, layers), entropies.
        units: unit of every name in `values`.
    """

    scenes: list[str]
    settings: list[str]
    values: dict[str, Array]
    layers: dict[str, Array]
    units: dict[str, str]

    def medians(self) -> Measurements:
        """Median over scenes, a list over settings (None where a scene lacks the error)."""
        return {
            name: ([_or_none(np.median(row)) for row in np.atleast_2d(array)], self.units[name])  # type: ignore[misc]
            for name, array in self.values.items()
        }


def measure(params: Params, settings: Many[str], spectra: str = "none", points: int = 4000) -> Table:
    """Run every scene of `params.scene` unmerged and with each setting.

    Args:
        params: model, scene or range of scenes, frames, seed, device; its rule and m are not looked at.
        settings: names as in `Setting`; "plain" comes first whether asked for or not.
        spectra: "none", "pooled" (cheap) or "token" (dense, some hundred tokens).
        points: of each cloud, for the Chamfer distance.

    Raises:
        ValueError: a setting that is not one, unknown `spectra`, `points` below 4; and as `lib.run.prepare`
            and the rules.
    """
    if spectra not in SPECTRA or points < 4:
        raise ValueError(f"spectra must be one of {SPECTRA} and points at least 4, got {spectra!r}, {points}")
    names = [PLAIN, *(name for name in dict.fromkeys(settings) if name != PLAIN)]
    rules = [Setting.parse(name) for name in names]
    model, _ = load_model(params)
    table: list[list[Measurements]] = []
    layers: list[list[list[dict[str, float]]]] = []
    facts: list[Measurements] = []
    scenes = params.each_scene()
    for one in scenes:
        setup = prepare(replace(one, m=0.0), model)
        facts.append(scene_facts(setup.sequence))
        found = [_measure(setup, rule, spectra, points) for rule in rules]
        table.append([numbers for numbers, _ in found])
        layers.append([rows for _, rows in found])
    units = {n: unit for scene in (*table, facts) for row in scene for n, (_, unit) in row.items()}
    values = {n: _stack([[row.get(n) for row in scene] for scene in table]).T for n in _names(table)}
    values |= {n: _stack([[row.get(n) for row in facts]])[0] for n in _names([facts])}
    return Table([one.scene for one in scenes], names, values, _by_layer(layers), units)


def _measure(
    setup: Setup, setting: Setting, spectra: str, points: int
) -> tuple[Measurements, list[dict[str, float]]]:
    """Errors, entropies and kept fraction of one scene under one setting; and the entropies by layer."""
    seen = Entropies(spectra == "token") if spectra != "none" else None
    outcome = run(replace(setup, rule=setting.merging(setup.params.seed)), seen)  # type: ignore[arg-type]
    found = scene_errors(setup.sequence, outcome.prediction, points, setup.params.seed)
    found["kept"] = (outcome.kept, "1")
    return (found, []) if seen is None else (found | seen.means(), seen.layers)


def _names(rows: Many[Many[Measurements]]) -> list[str]:
    return list(dict.fromkeys(name for scene in rows for row in scene for name in row))


def _stack(rows: list[list[tuple[float | int | None, str] | None]]) -> Array:
    return np.array([[math.nan if e is None or e[0] is None else e[0] for e in row] for row in rows], float)


def _by_layer(layers: list[list[list[dict[str, float]]]]) -> dict[str, Array]:
    """(settings, scenes, layers) by name; empty without entropies."""
    names = layers[0][0][0] if layers and layers[0] and layers[0][0] else {}
    return {
        f"layers.{n}": np.array([[[row[n] for row in one] for one in scene] for scene in layers]).swapaxes(
            0, 1
        )
        for n in names
    }


def _or_none(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
