"""What a probe keeps of a layer: numbers and the rows that were asked for, never a matrix."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from jaxtyping import Float32, Float64
from torch import Tensor

from lib.probe.features import Alignment, TokenStatistics
from lib.spectra import Bracket, Measures, Scalars


@dataclass(frozen=True)
class HeadReading:
    """One head of one layer.

    scalars: of attention on all N tokens (lifted where tokens were merged). merged: the same of the N' x N'
    matrix among merged tokens, None without merging. pooled: measures of the frame-pooled S x S matrix with
    all its singular values, None for frame attention. bracket: of the token-level entropy of the N x N
    matrix, None unless asked for; merged_bracket: of the N' x N' matrix. heatmaps: softmax probabilities of
    the chosen queries, on the CPU.
    """

    head: int
    scalars: Scalars
    merged: Scalars | None
    pooled: Measures | None
    pooled_singular_values: Float64[Tensor, " frames"] | None
    own_frame_mass: float | None
    bracket: Bracket | None
    alignment: Alignment
    heatmaps: Float32[Tensor, "queries tokens"] | None
    merged_bracket: Bracket | None = None


@dataclass(frozen=True)
class LayerReading:
    """One attention layer, for one batch item (a frame for kind "frame", a scene for "global").

    kept: N'/N of the keys. queries: tokens of the heatmaps. seconds: what observing this layer cost.
    """

    kind: str
    layer: int
    item: int
    tokens: int
    frames: int
    kept: float
    features: TokenStatistics
    queries: tuple[int, ...]
    heads: tuple[HeadReading, ...]
    seconds: float


def as_arrays(readings: Sequence[LayerReading]) -> dict[str, Float64[np.ndarray, "layers ..."]]:
    """Every number by name, for a record: one for each layer, or layer and head; NaN where there is none.

    Names: "layer", "item", "kept", "seconds", "features.gamma", "scalars.stable_rank", "pooled.entropy", …

    Raises:
        ValueError: the kind or the number of heads differs, so that there is no one table.
    """
    shapes = {(r.kind, len(r.heads)) for r in readings}
    if len(shapes) != 1:
        raise ValueError(f"readings of one kind and one number of heads make a table, got {sorted(shapes)}")
    rows = [_layer_numbers(r) for r in readings]
    heads = [[_head_numbers(h) for h in r.heads] for r in readings]
    names = sorted({name for layer in heads for head in layer for name in head})
    table = {name: np.array([row[name] for row in rows], dtype=np.float64) for name in rows[0]}
    for name in names:
        values = [[head.get(name, np.nan) for head in layer] for layer in heads]
        table[name] = np.array(values, dtype=np.float64)
    return table


def _layer_numbers(reading: LayerReading) -> dict[str, float]:
    features = {f"features.{k}": v for k, v in asdict(reading.features).items() if not isinstance(v, tuple)}
    own = {name: getattr(reading, name) for name in ("layer", "item", "tokens", "kept", "seconds")}
    return own | features


def _head_numbers(reading: HeadReading) -> dict[str, float]:
    numbers: dict[str, float] = {"head": reading.head}
    if reading.own_frame_mass is not None:
        numbers["own_frame_mass"] = reading.own_frame_mass
    for part in ("scalars", "merged", "pooled", "bracket", "merged_bracket", "alignment"):
        value = getattr(reading, part)
        if value is not None:
            fields = asdict(value).items()
            numbers |= {f"{part}.{k}": v for k, v in fields if isinstance(v, int | float)}
    return numbers
