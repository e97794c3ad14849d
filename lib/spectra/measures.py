"""What a set of singular values says: entropy, effective rank, stable rank, participation; and the dense
oracle.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from lib.spectra.operator import ENTRY_ERROR


@dataclass(frozen=True)
class Measures:
    """Summary of the singular values σ of one matrix; p = σ / Σσ.

    size: k, how many singular values there can be. entropy: H = -Σ p ln p in nats. effective_rank: e^H (Roy
    and Vetterli), the paper's Eq. (14). normalised_entropy: H / ln k, as in the paper's Table 1.
    stable_rank: Σσ² / σ₁². participation: (Σσ)² / Σσ². frobenius: sqrt(Σσ²). largest: σ₁. All dimensionless
    floats.
    """

    size: int
    entropy: float
    effective_rank: float
    normalised_entropy: float
    stable_rank: float
    participation: float
    frobenius: float
    largest: float

    @classmethod
    def of(cls, singular_values: Float[Tensor, " values"], size: int | None = None) -> "Measures":
        """From singular values ≥ 0 in any order; size counts zeros left out, and is their number by default.

        Raises:
            ValueError: no value is positive, or one is negative or not finite.
        """
        values = singular_values.double().flatten()
        if values.numel() == 0 or not bool(torch.isfinite(values).all()) or float(values.min()) < 0:
            raise ValueError("singular values must be finite, ≥ 0 and at least one")
        positive = values[values > 0]
        if positive.numel() == 0:
            raise ValueError("all singular values are 0: the spectrum of a zero matrix has no entropy")
        size = values.numel() if size is None else size
        total, squares, largest = float(positive.sum()), float((positive**2).sum()), float(positive.max())
        share = positive / total
        entropy = max(0.0, -float((share * share.log()).sum()))
        return cls(
            size=size,
            entropy=entropy,
            effective_rank=math.exp(entropy),
            normalised_entropy=normalise(entropy, size),
            stable_rank=squares / largest**2,
            participation=total**2 / squares,
            frobenius=math.sqrt(squares),
            largest=largest,
        )


def normalise(entropy: float, size: int) -> float:
    """H / ln k; 0 for k = 1, where H can only be 0."""
    return entropy / math.log(size) if size > 1 else 0.0


def dense_measures(matrix: Float[Tensor, "rows columns"]) -> Measures:
    """Measures of a stored matrix by a full SVD in float64: O(n³) time, the oracle of the tests."""
    return Measures.of(torch.linalg.svdvals(matrix.double()))


class DenseOperator:
    """A stored matrix behind the same interface as an attention operator: the way to prescribed spectra.

    float32 or float64. A product with any number of columns counts one pass.
    """

    def __init__(self, matrix: Float[Tensor, "rows columns"]) -> None:
        self.matrix, self.dtype, self.device = matrix, matrix.dtype, matrix.device
        self.rows, self.columns = matrix.shape
        self.entry_error = ENTRY_ERROR[matrix.dtype]
        self.passes = 0

    def matvec(self, vectors: Float[Tensor, "{self.columns} b"]) -> Float[Tensor, "{self.rows} b"]:
        """A @ vectors."""
        self.passes += 1
        return self.matrix @ vectors

    def rmatvec(self, vectors: Float[Tensor, "{self.rows} b"]) -> Float[Tensor, "{self.columns} b"]:
        """Aᵀ @ vectors."""
        self.passes += 1
        return (vectors.T @ self.matrix).T  # on a CPU faster than with the large matrix turned

    def frobenius_squared(self) -> float:
        """‖A‖_F²."""
        return float((self.matrix.double() ** 2).sum())

    def attention_rows(self, rows: Int[Tensor, " chosen"]) -> Float[Tensor, "chosen {self.columns}"]:
        """Some of its rows."""
        return self.matrix[rows]

    def dense(self) -> Float64[Tensor, "{self.rows} {self.columns}"]:
        """The matrix in float64."""
        return self.matrix.double()
