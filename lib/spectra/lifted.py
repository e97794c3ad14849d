"""Merged attention seen by all N tokens: L = U A M.

M averages the tokens of each key row, A is the attention among the merged rows, U hands every token its
query row. L is N x N and row-stochastic; it is what the layer does to the token values, and the matrix to
set beside plain attention. A token may sit in two key rows (the released rule's protected destinations), so
the rows of M may overlap.
"""

from typing import Protocol

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from lib.spectra.operator import AttentionOperator


class KeyGroups(Protocol):
    """Which tokens each key row averages: rows one after the other in `members`, from `offsets`."""

    @property
    def members(self) -> Int[Tensor, "batch members"]: ...
    @property
    def offsets(self) -> Int[Tensor, "batch keys"]: ...
    @property
    def weights(
        self,
    ) -> Float[Tensor, "batch members"] | None: ...  # share of each member in its row; None = equal


class MergedTokens(Protocol):
    """What lifting needs to know of a merging plan (lib.merging.Plan, which lies above this package)."""

    @property
    def tokens(self) -> int: ...
    @property
    def query_length(self) -> int: ...
    @property
    def key_length(self) -> int: ...
    @property
    def keys(self) -> KeyGroups: ...
    @property
    def output_rows(self) -> Int[Tensor, "batch tokens"] | None: ...  # query row that each token receives


class LiftedAttention:
    """L = U A M for one head and one batch item of a merging plan; same interface as AttentionOperator.

    merged: the attention among merged rows. plan: what was merged; item: which batch entry of the plan.

    Raises:
        ValueError: their sizes disagree, or a token sits in more than two key rows.
    """

    def __init__(self, merged: AttentionOperator, plan: MergedTokens, item: int = 0) -> None:
        if (merged.rows, merged.columns) != (plan.query_length, plan.key_length):
            planned = f"{plan.query_length} x {plan.key_length}"
            raise ValueError(f"attention is {merged.rows} x {merged.columns}, the plan {planned}")
        self.merged, self.rows, self.columns = merged, plan.tokens, plan.tokens
        self.dtype, self.device, self.entry_error = merged.dtype, merged.device, merged.entry_error
        self._read_groups(plan, item)
        self._read_overlaps()
        ones = torch.ones(self.rows, 1, dtype=self.dtype, device=self.device)
        self.column_mass = self.rmatvec(ones)[:, 0]

    def _read_groups(self, plan: MergedTokens, item: int) -> None:
        """Memberships (row, token, share) of M, and the query row of every token."""
        offsets, self._token = plan.keys.offsets[item], plan.keys.members[item]
        counts = torch.diff(offsets, append=offsets.new_tensor([len(self._token)]))
        self._row = torch.repeat_interleave(torch.arange(len(offsets), device=offsets.device), counts)
        weights = plan.keys.weights
        share = 1.0 / counts.double()[self._row] if weights is None else weights[item].double()
        self._share = share.to(self.device)
        source = plan.output_rows
        self._source = torch.arange(self.rows, device=self.device) if source is None else source[item]

    def _read_overlaps(self) -> None:
        """Pairs of key rows that share a token, with the product of the two shares."""
        order = torch.argsort(self._token, stable=True)
        token = self._token[order]
        same = token[1:] == token[:-1]
        if bool((same[1:] & same[:-1]).any()):
            raise ValueError("a token sits in more than two key rows; lifting handles one or two")
        first, second = order[:-1][same], order[1:][same]
        self._overlap = (self._row[first], self._row[second], self._share[first] * self._share[second])

    @property
    def passes(self) -> int:
        """Attention calls spent so far, all by the merged operator."""
        return self.merged.passes

    def _merge(self, vectors: Float[Tensor, "{self.columns} b"]) -> Float[Tensor, "{self.merged.columns} b"]:
        """M @ vectors."""
        share = self._share[:, None].to(vectors.dtype)
        out = vectors.new_zeros(self.merged.columns, vectors.shape[1])
        return out.index_add_(0, self._row, share * vectors[self._token])

    def _merge_adjoint(self, vectors: Tensor) -> Tensor:
        """Mᵀ @ vectors."""
        share = self._share[:, None].to(vectors.dtype)
        out = vectors.new_zeros(self.columns, vectors.shape[1])
        return out.index_add_(0, self._token, share * vectors[self._row])

    def matvec(self, vectors: Float[Tensor, "{self.rows} b"]) -> Float[Tensor, "{self.rows} b"]:
        """L @ vectors."""
        return self.merged.matvec(self._merge(vectors))[self._source]

    def rmatvec(self, vectors: Float[Tensor, "{self.rows} b"]) -> Float[Tensor, "{self.rows} b"]:
        """Lᵀ @ vectors."""
        gathered = vectors.new_zeros(self.merged.rows, vectors.shape[1]).index_add_(0, self._source, vectors)
        return self._merge_adjoint(self.merged.rmatvec(gathered))

    def row_squares(self) -> Float64[Tensor, " {self.rows}"]:
        """Σ_n L_in² for every token, exact with overlaps: Σ (M Mᵀ)_ab A_ga A_gb. 1 or 2 passes."""
        merged = self.merged
        squares = torch.zeros(merged.columns, dtype=torch.float64, device=self.device)
        bias = squares.index_add(0, self._row, self._share**2).log()
        if merged.log_sizes is not None:
            bias = bias + 2 * merged.log_sizes
        total = merged.row_products(merged.key, bias.to(merged.dtype))
        a, b, weight = self._overlap
        if len(a):
            bias = (2 * weight).log()  # both orders of the pair
            if merged.log_sizes is not None:
                bias = bias + merged.log_sizes[a] + merged.log_sizes[b]
            middle = (merged.key[a] + merged.key[b]) / 2
            total = total + merged.row_products(middle, bias.to(merged.dtype))
        return total[self._source]

    def frobenius_squared(self) -> float:
        """‖L‖_F², exact up to rounding."""
        return float(self.row_squares().sum())

    def row_entropies(self) -> Float64[Tensor, " {self.rows}"]:
        """Entropy of every row, nats; 1 pass.

        Counted over (token, key row) memberships. That is the entropy over tokens where no token sits in
        two key rows; where one does, it is larger by at most ln 2 times the mass on such tokens.
        """
        own = torch.zeros(self.merged.columns, dtype=torch.float64, device=self.device)
        own.index_add_(0, self._row, -self._share * self._share.log())
        spread = self.merged.matvec(own[:, None].to(self.dtype))[:, 0].double()
        return (self.merged.row_entropies() + spread)[self._source]

    def diagonal(self) -> Float64[Tensor, " {self.rows}"]:
        """L_ii: what each token gives to itself."""
        entries = self.merged.entries(self._source[self._token], self._row) * self._share
        return torch.zeros(self.rows, dtype=torch.float64, device=self.device).index_add_(
            0, self._token, entries
        )

    def attention_rows(self, rows: Int[Tensor, " chosen"]) -> Float[Tensor, "chosen {self.rows}"]:
        """L[rows, :] as probabilities over all tokens."""
        return self._merge_adjoint(self.merged.attention_rows(self._source[rows]).T).T

    def dense(self, limit: int = 16_384) -> Float64[Tensor, "{self.rows} {self.rows}"]:
        """The whole matrix.

        Raises:
            ValueError: there are more than `limit` tokens.
        """
        if self.rows > limit:
            raise ValueError(f"a {self.rows} x {self.rows} matrix takes {self.rows**2 / 2**27:.0f} GiB")
        return self._merge_adjoint(self.merged.dense().T).T[self._source]
