"""One attention matrix A = softmax(scale * q kᵀ + log_sizes) as a linear operator that never stores it.

    A V  = sdpa(q, k, V)
    Aᵀ U = c ∘ sdpa(k', q', U),   k' = [k, 1], q' = [q, -lse / scale],   c = exp(lse of that very call) = Aᵀ 1

because scale * k' q'ᵀ = log Aᵀ entry by entry: the log-sum-exp of the rows is one more key column, and no
kernel of our own is needed. Every product with up to head_dim columns costs one *pass*: one ordinary
attention-head call.
"""

from typing import Protocol

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float64, Int
from torch import Tensor

from lib.gpu import beside, key_column, with_key_bias

Queries = Float[Tensor, "queries width"]
Keys = Float[Tensor, "keys width"]
LogSizes = Float[Tensor, " keys"]  # added to the logits
Pairs = Int[Tensor, " pairs"]  # row or column numbers

# Relative error of exp(logit): accumulated logits, and in half precision the rounded weights and outputs.
ENTRY_ERROR = {
    torch.float64: 2.0**-49,
    torch.float32: 2.0**-20,
    torch.bfloat16: 2.0**-8,
    torch.float16: 2.0**-11,
}


class LinearMap(Protocol):
    """What the spectrum estimators need to know about a matrix."""

    rows: int
    columns: int
    dtype: torch.dtype  # of the vectors it takes and returns
    device: torch.device
    entry_error: float  # relative error of an entry of the matrix, as the products see it

    @property
    def passes(self) -> int: ...  # attention calls spent so far
    def matvec(self, vectors: Float[Tensor, "columns b"]) -> Float[Tensor, "rows b"]: ...
    def rmatvec(self, vectors: Float[Tensor, "rows b"]) -> Float[Tensor, "columns b"]: ...
    def frobenius_squared(self) -> float: ...
    def attention_rows(self, rows: Int[Tensor, " chosen"]) -> Float[Tensor, "chosen columns"]: ...
    def dense(self) -> Float64[Tensor, "rows columns"]: ...


def attention_with_lse(
    query: Queries, key: Keys, value: Keys, scale: float
) -> tuple[Queries, Float[Tensor, " queries"]]:
    """One fused attention call for one head that also returns the row log-sum-exp, float32 or float64.

    All of one dtype. Memory is O((Nq + Nk) D). CPU: any float dtype; CUDA: float32 (memory-efficient kernel),
    bfloat16 and float16 (flash kernel).

    Raises:
        NotImplementedError: another device or dtype.
    """
    q, k, v = (x.contiguous()[None, None] for x in (query, key, value))
    aten = torch.ops.aten
    if q.device.type == "cpu":
        out, lse = aten._scaled_dot_product_flash_attention_for_cpu(q, k, v, scale=scale)[:2]
    elif q.device.type == "cuda" and q.dtype == torch.float32:
        out, lse = aten._scaled_dot_product_efficient_attention(q, k, v, None, True, scale=scale)[:2]
    elif q.device.type == "cuda" and q.dtype in (torch.bfloat16, torch.float16):
        out, lse = aten._scaled_dot_product_flash_attention(q, k, v, scale=scale)[:2]
    else:
        raise NotImplementedError(
            f"no fused attention with log-sum-exp for {q.dtype} on {q.device.type}; use the CPU, or CUDA in "
            "float32, bfloat16 or float16"
        )
    lse = lse.reshape(-1)[: q.shape[-2]]  # the efficient kernel pads the log-sum-exp to a multiple of 32
    return out[0, 0], lse.double() if q.dtype == torch.float64 else lse.float()


class AttentionOperator:
    """A = softmax(scale q kᵀ + log_sizes) of one head, from q and k alone.

    query, key: as they enter attention (after qk-norm, RoPE and merging), one dtype and
    device. scale: factor of the logits, > 0. log_sizes: log group sizes added to the logits, or None.
    Attributes: rows = Nq, columns = Nk, row_lse, column_mass = Aᵀ 1, passes = attention calls
    so far. Products accept and return float32 (float64 if q is float64) whatever dtype the kernel runs in.
    Memory O((Nq + Nk) D).

    Raises:
        ValueError: shapes, dtypes or devices do not fit, or scale is not positive.
    """

    def __init__(self, query: Queries, key: Keys, scale: float, log_sizes: LogSizes | None = None) -> None:
        if query.ndim != 2 or key.ndim != 2 or query.shape[1] != key.shape[1]:
            raise ValueError(
                f"query {tuple(query.shape)} and key {tuple(key.shape)} must be (Nq, D), (Nk, D)"
            )
        if not scale > 0:
            raise ValueError(f"scale = {scale} must be > 0 (1/sqrt(head_dim) in VGGT)")
        if query.dtype != key.dtype or query.device != key.device:
            raise ValueError(
                f"query ({query.dtype}, {query.device}) and key ({key.dtype}, {key.device}) must agree"
            )
        if log_sizes is not None and log_sizes.shape != key.shape[:1]:
            raise ValueError(f"log_sizes {tuple(log_sizes.shape)} must be ({key.shape[0]},), one per key")
        self.query, self.key, self.scale, self.log_sizes = query, key, float(scale), log_sizes
        self.rows, self.columns, self.passes = query.shape[0], key.shape[0], 0
        self.dtype = torch.float64 if query.dtype == torch.float64 else torch.float32
        self.device, self.entry_error = query.device, ENTRY_ERROR[query.dtype]
        self._q, self._k = with_key_bias(query, key, self.scale, log_sizes)
        self.mixed_keys, self.row_lse = self._fused(self._q, self._k, self.key.to(self.dtype), self.scale)
        minus_lse = key_column(-self.row_lse / self.scale, query.dtype)
        self._q_adjoint = beside(self._q, minus_lse)
        self._k_adjoint = beside(self._k, torch.ones_like(minus_lse[:1]))
        column_lse = self._fused(self._k_adjoint, self._q_adjoint, None, self.scale)[1]
        self.column_mass = column_lse.exp()

    def _fused(self, q: Tensor, k: Tensor, values: Tensor | None, scale: float) -> tuple[Tensor, Tensor]:
        """softmax(scale q kᵀ) @ values in slices of the head width, and the log-sum-exp of its rows."""
        width = q.shape[1]
        if values is None:
            values = k.new_zeros(k.shape[0], 1)
        outputs, lse = [], None
        for start in range(0, values.shape[1], width):
            piece = values[:, start : start + width]
            padded = F.pad(piece, (0, width - piece.shape[1])).to(q.dtype)
            out, lse = attention_with_lse(q, k, padded, scale)
            outputs.append(out[:, : piece.shape[1]].to(self.dtype))
            self.passes += 1
        assert lse is not None
        return torch.cat(outputs, 1), lse

    def matvec(self, vectors: Float[Tensor, "{self.columns} b"]) -> Float[Tensor, "{self.rows} b"]:
        """A @ vectors, ceil(b / width) passes."""
        return self._fused(self._q, self._k, vectors, self.scale)[0]

    def rmatvec(self, vectors: Float[Tensor, "{self.rows} b"]) -> Float[Tensor, "{self.columns} b"]:
        """Aᵀ @ vectors, ceil(b / width) passes."""
        mixed = self._fused(self._k_adjoint, self._q_adjoint, vectors, self.scale)[0]
        return self.column_mass[:, None] * mixed

    def row_products(
        self, key: Float[Tensor, "pairs width"], bias: Float[Tensor, " pairs"] | None
    ) -> Float64[Tensor, " {self.rows}"]:
        """Σ_p exp(2 scale q_i·key_p + bias_p - 2 lse_i) for every row i. 1 pass.

        With key_p = (k_a + k_b) / 2 and bias_p = log_sizes_a + log_sizes_b + log w the terms are w A_ia A_ib.
        """
        q, k = with_key_bias(self.query, key, 2 * self.scale, bias)
        lse = self._fused(q, k, None, 2 * self.scale)[1]
        return (lse.double() - 2 * self.row_lse.double()).exp()

    def row_squares(self) -> Float64[Tensor, " {self.rows}"]:
        """Σ_j A_ij² for every row i: a log-sum-exp at twice the scale. 1 pass."""
        return self.row_products(self.key, None if self.log_sizes is None else 2 * self.log_sizes)

    def frobenius_squared(self) -> float:
        """‖A‖_F² = Σσ². Exact up to rounding; 1 pass."""
        return float(self.row_squares().sum())

    def row_entropies(self) -> Float64[Tensor, " {self.rows}"]:
        """-Σ_j A_ij ln A_ij for every row, nats, from lse_i - scale q_i·(A k)_i. 0 or 1 pass."""
        mean_logit = self.scale * (self.query.double() * self.mixed_keys.double()).sum(1)
        if self.log_sizes is not None:
            mean_logit += self.matvec(self.log_sizes[:, None].to(self.dtype))[:, 0].double()
        return self.row_lse.double() - mean_logit

    def entries(self, rows: Pairs, columns: Pairs) -> Float64[Tensor, " pairs"]:
        """A[rows, columns] pair by pair. No pass."""
        logits = self.scale * (self.query[rows].double() * self.key[columns].double()).sum(1)
        if self.log_sizes is not None:
            logits += self.log_sizes[columns].double()
        return (logits - self.row_lse[rows].double()).exp()

    def diagonal(self) -> Float64[Tensor, " {self.rows}"] | None:
        """A_ii; None where queries and keys are not the same tokens (Nq ≠ Nk)."""
        if self.rows != self.columns:
            return None
        same = torch.arange(self.rows, device=self.device)
        return self.entries(same, same)

    def attention_rows(self, rows: Int[Tensor, " chosen"]) -> Float[Tensor, "chosen {self.columns}"]:
        """A[rows, :] as probabilities in the vectors' dtype: all of them are stored."""
        logits = self.scale * (self.query[rows].to(self.dtype) @ self.key.to(self.dtype).T)
        if self.log_sizes is not None:
            logits += self.log_sizes.to(self.dtype)
        return (logits - self.row_lse[rows, None].to(self.dtype)).exp()

    def dense(self, limit: int = 16_384) -> Float64[Tensor, "{self.rows} {self.columns}"]:
        """The whole matrix.

        Raises:
            ValueError: there are more than `limit` rows or columns.
        """
        if max(self.rows, self.columns) > limit:
            size = self.rows * self.columns * 8 / 2**30
            raise ValueError(f"a {self.rows} x {self.columns} matrix takes {size:.0f} GiB; limit = {limit}")
        logits = (self.query.double() @ self.key.double().T) * self.scale
        if self.log_sizes is not None:
            logits = logits + self.log_sizes.double()
        return torch.softmax(logits, -1)
