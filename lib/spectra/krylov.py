"""Block Golub–Kahan: an orthonormal block Krylov basis of AᵀA and A times it, from products alone."""

import torch
from jaxtyping import Float
from torch import Tensor

from lib.spectra.operator import LinearMap

# Where the spectrum decays fast a new block is mostly rounding noise, and two rounds are not enough.
QR_ROUNDS = 3
# A round that leaves every column this much of its length found nothing more to take away.
NOTHING_LEFT = 0.7


def orthonormalise(
    block: Float[Tensor, "n b"], basis: Float[Tensor, "n k"] | None, rounds: int = QR_ROUNDS
) -> tuple[Float[Tensor, "n b"], Float[Tensor, "b b"]]:
    """Orthonormal columns for what `block` adds to the orthonormal `basis`.

    Returns (q, r) with block = basis (…) + q r, q orthonormal and orthogonal to basis.
    Two to `rounds` rounds of project and QR: after the second a further one only if the last took something.
    """
    r = torch.eye(block.shape[1], dtype=block.dtype, device=block.device)
    for turn in range(rounds):
        if basis is not None:
            block = block - basis @ (basis.T @ block)
        block, factor = torch.linalg.qr(block)
        r = factor @ r
        if turn and float(factor.diagonal().abs().min()) > NOTHING_LEFT:
            break
    return block, r


class KrylovBasis:
    """V = [V₁ … V_m] orthonormal for the block Krylov space of AᵀA from a start block, and AV.

    V₁ spans the b columns of start. steps m; passes 2m - 1; memory (rows + columns) · b · m numbers.
    The one-sided form works on A, not on AᵀA: its noise floor is ε σ₁, not √ε σ₁, and sums of σ need that.

    Raises:
        ValueError: the start block is not that of the operator, or wider than it.
    """

    def __init__(
        self, operator: LinearMap, start: Float[Tensor, "columns b"], rounds: int = QR_ROUNDS
    ) -> None:
        if start.shape[0] != operator.columns or start.shape[1] > operator.columns:
            raise ValueError(f"start block {tuple(start.shape)} must be ({operator.columns}, b), b ≤ columns")
        self.operator, self.block, self.rounds = operator, start.shape[1], rounds
        first, self.start_factor = orthonormalise(start, None, rounds)  # start = V₁ start_factor
        self.v, self.av = first, operator.matvec(first)
        self.remainder: Tensor | None = None  # (next block, its factor) of the step begun but not yet taken
        self._next: Tensor | None = None

    @property
    def steps(self) -> int:
        """m, the number of blocks in the basis."""
        return self.v.shape[1] // self.block

    def look_ahead(self) -> Float[Tensor, "b b"]:
        """r with AᵀA V_m = V (…) + V_{m+1} r: what the basis still misses. One pass, kept for `extend`."""
        if self.remainder is None:
            last = self.av[:, -self.block :]
            self._next, self.remainder = orthonormalise(self.operator.rmatvec(last), self.v, self.rounds)
        return self.remainder

    def extend(self, steps: int) -> None:
        """Grow the basis to `steps` blocks (nothing happens if it has them)."""
        have = self.steps
        if steps <= have:
            return
        width = steps * self.block
        v, av = self.v.new_empty(self.v.shape[0], width), self.av.new_empty(self.av.shape[0], width)
        v[:, : have * self.block], av[:, : have * self.block] = self.v, self.av
        for step in range(have, steps):
            here = slice(step * self.block, (step + 1) * self.block)
            self.v, self.av = v[:, : here.start], av[:, : here.start]
            self.look_ahead()
            assert self._next is not None
            v[:, here], self.remainder = self._next, None
            av[:, here] = self.operator.matvec(v[:, here])
        self.v, self.av = v, av


def rademacher(
    rows: int, columns: int, seed: int, like: LinearMap | None = None
) -> Float[Tensor, "{rows} {columns}"]:
    """Random signs; float32 on the CPU, or dtype and device of `like`."""
    rng = torch.Generator().manual_seed(seed)
    signs = torch.randint(0, 2, (rows, columns), generator=rng, dtype=torch.int8) * 2 - 1
    return signs.to(torch.float32) if like is None else signs.to(dtype=like.dtype, device=like.device)


def largest_singular_value(
    operator: LinearMap, seed: int, *, block: int = 64, tolerance: float = 1e-3, max_steps: int = 30
) -> tuple[float, float]:
    """σ₁ and a bound on its relative error, from a few passes.

    Krylov steps are added until the residual ρ = ‖AᵀA v - θ² v‖ / θ² of the top Ritz pair is ≤ tolerance, or
    max_steps are spent. Some singular value lies within θ ρ/2 of θ (Bauer–Fike); it is the largest unless the
    random start was almost blind to it, so θ ≤ σ₁ ≤ θ(1 + ρ/2). The true error is of order ρ² where σ₁ is
    isolated. Returns (θ, ρ/2).
    """
    block = max(1, min(block, operator.columns // 8))  # room for at least eight steps
    start = rademacher(operator.columns, block, seed, operator)
    start[:, 0] = 1.0  # column means: the collapsed direction
    basis = KrylovBasis(operator, start)
    while True:
        gram = basis.av.double().T @ basis.av.double()
        values, vectors = torch.linalg.eigh(gram)
        missing = basis.look_ahead().double() @ vectors[-basis.block :, -1]
        residual = float(missing.norm() / values[-1])
        room = (basis.steps + 1) * basis.block <= operator.columns
        if residual <= tolerance or basis.steps >= max_steps or not room:
            return float(values[-1].sqrt()), residual / 2
        basis.extend(basis.steps + 1)
