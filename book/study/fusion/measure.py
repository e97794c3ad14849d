"""Spectra of global attention under merging: of tokens that a merged network made, and of the same tokens.

Each scene passes through the network twice. The *propagated* run merges in every global block. The *static*
one merges nowhere; each block is only shown as the rule would have merged it there (T8 of the book). Only in
the first block do both see the same tokens: the difference later on is what the layers in between made of
merging.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from book.study.static_merging import StaticMerging
from lib.probe import LayerReading, Probe, as_arrays
from lib.run import Measurements, Params, merging_rule, prepare, run
from lib.spectra import Budget
from lib.vggt import VGGT

Array = NDArray[np.float64]
PARTS = ("propagated", "static")
FEATURES = ("resultant", "gamma", "common", "frame", "token", "step")
ALIGNMENT = ("beta", "self_mass", "critical_tokens")


@dataclass(frozen=True)
class Spectra:
    """What the scenes of a range gave.

    Attributes:
        scenes: names of the single scenes, in order.
        kept: (scenes, layers) N'/N of the keys.
        arrays: "propagated.token.entropy" and so on, (scenes, layers, heads) or, for features, (scenes,
            layers); `readings_table` has the names. Entropies in nats; all others dimensionless.
        banner: a warning that belongs on figures, or None.
    """

    scenes: tuple[str, ...]
    kept: Array
    arrays: dict[str, Array]
    banner: str | None


def readings_table(readings: Sequence[LayerReading]) -> dict[str, Array]:
    """The numbers of one probed run that this experiment keeps.

    Returns:
        (layers, heads): "token.*" of the matrix among the merged tokens (N' x N', or N x N' where only
        keys merge), "lifted.*" of the N x N matrix that acts on all tokens, "pooled.*" of its S x S average
        over frames; each with entropy H (nats), size k (how many singular values there can be) and
        stable_rank; "token." and "lifted." also row_entropy (nats), columns, and lower and upper end of the
        bracket of H; "alignment.*". (layers,): "features.*" and "kept".
    """
    every = as_arrays(readings)
    merged = "merged.stable_rank" in every
    found = {"kept": every["kept"]}
    for name, scalars, bracket in (
        ("token", "merged" if merged else "scalars", "merged_bracket" if merged else "bracket"),
        ("lifted", "scalars", "bracket"),
    ):
        found |= {f"{name}.{q}": every[f"{scalars}.{q}"] for q in ("stable_rank", "row_entropy", "columns")}
        found |= {f"{name}.{q}": every[f"{bracket}.{q}"] for q in ("entropy", "lower", "upper", "size")}
    found |= {f"pooled.{q}": every[f"pooled.{q}"] for q in ("entropy", "size", "stable_rank")}
    found |= {f"features.{q}": every[f"features.{q}"] for q in FEATURES}
    found |= {f"alignment.{q}": every[f"alignment.{q}"] for q in ALIGNMENT}
    return found


def scene_spectra(
    params: Params, protect: bool, model: VGGT
) -> tuple[dict[str, dict[str, Array]], str | None]:
    """Both parts of one single scene, by name, and the banner of its run.

    At m = 0 the plain run is both. protect: False protects nothing that the rule can do without.

    Raises:
        ValueError: from the rule, with the largest m that it reaches; and as `lib.run.prepare`.
    """
    setup = replace(prepare(params, model), rule=merging_rule(params, protect))
    probes = {part: Probe(merged=True, bracket=Budget()) for part in PARTS}
    run(setup, probes["propagated"])  # type: ignore[arg-type]
    if setup.rule is None:
        probes["static"] = probes["propagated"]
    else:
        run(replace(setup, rule=None), StaticMerging(model, setup.rule, probes["static"]))
    return {part: readings_table(probe.readings) for part, probe in probes.items()}, setup.banner


def measure(params: Params, protect: bool, model: VGGT) -> Spectra:
    """All scenes of the range that `params.scene` names.

    Raises:
        ValueError: as `scene_spectra`.
    """
    singles = params.each_scene()
    results = [scene_spectra(single, protect, model) for single in singles]
    arrays = {
        f"{part}.{name}": np.stack([tables[part][name] for tables, _ in results])
        for part in PARTS
        for name in results[0][0][part]
    }
    kept = arrays.pop("propagated.kept")
    arrays.pop("static.kept")
    return Spectra(tuple(single.scene for single in singles), kept, arrays, results[0][1])


def effective_rank(arrays: Mapping[str, Array], matrix: str, part: str = "propagated") -> Array:
    """e^H of every scene, layer and head, for the matrix "token", "lifted" or "pooled"."""
    return np.exp(arrays[f"{part}.{matrix}.entropy"])


def normalised_entropy(arrays: Mapping[str, Array], matrix: str, part: str = "propagated") -> Array:
    """H / ln k of every scene, layer and head; 0 where k = 1, as H is."""
    size = arrays[f"{part}.{matrix}.size"]
    return arrays[f"{part}.{matrix}.entropy"] / np.log(np.maximum(size, 2))


def summary(found: Spectra) -> Measurements:
    """Means over scenes, layers and heads: rank and entropy of the three matrices, both parts, and k."""
    measured: Measurements = {"scenes": (len(found.scenes), "1")}
    for matrix in ("pooled", "token", "lifted"):
        size = float(found.arrays[f"propagated.{matrix}.size"].mean())
        measured[f"{matrix}_size"] = (size, "1")
        for part in PARTS:
            rank = float(effective_rank(found.arrays, matrix, part).mean())
            entropy = float(normalised_entropy(found.arrays, matrix, part).mean())
            stable = float(found.arrays[f"{part}.{matrix}.stable_rank"].mean())
            measured[f"{matrix}_effective_rank_{part}"] = (rank, "1")
            measured[f"{matrix}_normalised_entropy_{part}"] = (entropy, "1")
            measured[f"{matrix}_stable_rank_{part}"] = (stable, "1")
    return measured
