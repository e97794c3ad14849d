"""What is exact at any size in a handful of passes: energies, entropies of rows and columns, the pooled
matrix.
"""

import math
import time
from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from lib.spectra.krylov import largest_singular_value
from lib.spectra.measures import Measures
from lib.spectra.operator import LinearMap

_FRAMES_AT_ONCE = 64  # one pass carries as many columns as a head is wide


class StochasticMap(LinearMap, Protocol):
    """A row-stochastic attention matrix: AttentionOperator or LiftedAttention."""

    column_mass: Float[Tensor, " columns"]

    def row_squares(self) -> Float64[Tensor, " rows"]: ...
    def row_entropies(self) -> Float64[Tensor, " rows"]: ...
    def diagonal(self) -> Float64[Tensor, " rows"] | None: ...


@dataclass(frozen=True)
class Scalars:
    """Numbers of one attention matrix A (rows, columns), exact up to the kernel's rounding.

    frobenius: ‖A‖_F. stable_rank: ‖A‖_F²/σ₁²; 1 = rank one. largest: σ₁, from below, with relative error at
    most largest_error (see largest_singular_value); stable_rank is then at most 2 largest_error too large.
    trace: ΣA_ii, NaN if queries and keys are different tokens. row_entropy: mean over rows of -ΣA ln A,
    nats; normalised_row_entropy: divided by ln columns (1 = uniform, 0 = one-hot). row_participation: mean
    of 1/Σ_j A_ij², the keys a query attends to. column_entropy: of the column masses c_j/rows, divided by
    ln columns. column_participation: (Σc)²/Σc², the keys that are attended to. sink: largest c_j/rows, the
    share of all attention that one key takes, and sink_index the key. passes, seconds: cost, without that
    of the operator.
    """

    rows: int
    columns: int
    frobenius: float
    stable_rank: float
    largest: float
    largest_error: float
    trace: float
    row_entropy: float
    normalised_row_entropy: float
    row_participation: float
    column_entropy: float
    column_participation: float
    sink: float
    sink_index: int
    passes: int
    seconds: float


def exact_scalars(operator: StochasticMap, seed: int, largest: float | None = None) -> Scalars:
    """All scalars in about ten passes and O(N) memory.

    Args:
        seed: of the start block for σ₁.
        largest: σ₁ where a full SVD in float64 has said it: saves passes.
    """
    begin, before = time.perf_counter(), operator.passes
    squares, row_entropy = operator.row_squares(), float(operator.row_entropies().mean())
    energy = float(squares.sum())
    if largest is None:
        largest, error = largest_singular_value(operator, seed)
    else:
        error = min(operator.rows, operator.columns) * torch.finfo(torch.float64).eps
    mass = operator.column_mass.double() / operator.rows
    positive = mass[mass > 0]
    diagonal, logs = operator.diagonal(), math.log(max(2, operator.columns))
    return Scalars(
        rows=operator.rows,
        columns=operator.columns,
        frobenius=math.sqrt(energy),
        stable_rank=energy / largest**2,
        largest=largest,
        largest_error=error,
        trace=math.nan if diagonal is None else float(diagonal.sum()),
        row_entropy=row_entropy,
        normalised_row_entropy=row_entropy / logs,
        row_participation=float((1 / squares).mean()),
        column_entropy=-float((positive * positive.log()).sum()) / logs,
        column_participation=float(mass.sum() ** 2 / (mass**2).sum()),
        sink=float(mass.max()),
        sink_index=int(mass.argmax()),
        passes=operator.passes - before,
        seconds=time.perf_counter() - begin,
    )


def frame_pooled(operator: LinearMap, frames: int) -> Float64[Tensor, "{frames} {frames}"]:
    """Attention between frames: mean over the rows, sum over the columns of each frame.

    Exact and row-stochastic; ⌈S/64⌉ passes and N · 64 numbers. The operator must be (N, N) with N = S · P
    tokens frame by frame (lift merged attention first).

    Raises:
        ValueError: ``frames`` does not divide N, or the operator is not square.
    """
    if operator.rows != operator.columns or frames < 1 or operator.rows % frames:
        raise ValueError(
            f"frames = {frames} must divide N of an N x N operator, got {operator.rows} x {operator.columns}"
        )
    per_frame = operator.rows // frames
    pooled = torch.empty(frames, frames, dtype=torch.float64, device=operator.device)
    for start in range(0, frames, _FRAMES_AT_ONCE):
        count = min(_FRAMES_AT_ONCE, frames - start)
        eye = torch.eye(count, dtype=operator.dtype, device=operator.device)
        indicator = torch.zeros(operator.rows, count, dtype=operator.dtype, device=operator.device)
        indicator[start * per_frame : (start + count) * per_frame] = eye.repeat_interleave(per_frame, 0)
        mixed = operator.matvec(indicator).double()
        pooled[:, start : start + count] = mixed.unflatten(0, (frames, per_frame)).mean(1)
    return pooled


def pooled_measures(pooled: Float[Tensor, "frames frames"]) -> Measures:
    """Measures of the full spectrum of a pooled matrix."""
    return Measures.of(torch.linalg.svdvals(pooled.double()))
