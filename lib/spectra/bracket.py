"""Token-level singular-value entropy without the matrix: an estimate inside a bracket.

One block Krylov run gives three looks at Σσ and Σσ ln σ:

* Ritz values alone: they miss the tail, H comes out low.
* Block Gauss quadrature of the probes zᵀ f(AᵀA) z. Its remainder has one sign for f = √λ and one for
  f = √λ ln λ, and H comes out high.
* Block Gauss–Radau quadrature with a node at zero: the remainder has the other sign, and H comes out low.

Per function the signs are theorems (the derivatives of √λ and of √λ ln(λ/λ₁) keep theirs on (0, λ₁]); for
H, a ratio, they are not, so the coverage of the bracket is measured, not claimed (benchmarks/spectra.py).
Sampling error is kept small by taking converged Ritz pairs exactly (no probe) and by the exactly known
‖A‖_F² as control variate; what is left widens the bracket by MARGIN standard errors.
"""

import math
import time
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lib.spectra.exact import Scalars, StochasticMap, exact_scalars
from lib.spectra.krylov import KrylovBasis, rademacher
from lib.spectra.measures import DenseOperator, Measures, normalise
from lib.spectra.operator import LinearMap

DENSE_BELOW = 1500  # below this a full float64 SVD is as fast as the Krylov run
MARGIN = 3.0  # standard errors added on either side
CONVERGED = 1e-6  # share of a Ritz vector in the last block below which the pair counts as exact
TYPICAL_WEIGHT = 4.0  # a mean of b ≥ 8 squared signs stays within this factor of 1
FIRST_STEPS = (6, 9)  # looks that cost little and say how fast the bracket narrows
CAUTION = 0.9  # share of the width asked for that is aimed at


@dataclass(frozen=True)
class Bracket:
    """Singular-value entropy H (nats) of one matrix, estimated, with lower ≤ H ≤ upper.

    size: k, number of singular values. method: "dense" (exact: lower = entropy = upper), "ritz" (the basis
    holds all of A to rounding) or "quadrature" (middle of Gauss and Gauss–Radau). ritz, radau, gauss: the
    three looks. standard_error: of the probes, in nats; rounding: allowance for the kernel's arithmetic, in
    nats. nuclear: estimated Σσ; captured: ‖AV‖²/‖A‖² of the basis; largest: σ₁; stable_rank = ‖A‖_F²/σ₁².
    passes, steps m, block b, bytes (both bases, and the matrix if it was stored), seconds: what it cost.
    reached: whether the width asked for was met.
    """

    size: int
    entropy: float
    lower: float
    upper: float
    method: str
    ritz: float
    radau: float
    gauss: float
    standard_error: float
    rounding: float
    nuclear: float
    captured: float
    largest: float
    stable_rank: float
    passes: int
    steps: int
    block: int
    bytes: int
    seconds: float
    reached: bool

    @property
    def width(self) -> float:
        """upper - lower, nats."""
        return self.upper - self.lower

    @property
    def effective_rank(self) -> tuple[float, float, float]:
        """e^H: lower, estimate, upper."""
        return math.exp(self.lower), math.exp(self.entropy), math.exp(self.upper)

    @property
    def normalised(self) -> tuple[float, float, float]:
        """H / ln k: lower, estimate, upper."""
        low, mid, high = (normalise(h, self.size) for h in (self.lower, self.entropy, self.upper))
        return low, mid, high


@dataclass(frozen=True)
class Budget:
    """What a bracket may cost. width: nats asked for; passes: attention calls; bytes: for the two bases.

    block: probes that share the passes (the head width, so that a pass carries them all).
    """

    width: float = 0.05
    passes: int = 80
    bytes: int = 4 * 2**30
    block: int = 64

    def __post_init__(self) -> None:
        if not (self.width > 0 and self.passes >= 3 and self.bytes > 0 and self.block >= 8):
            raise ValueError(f"{self} needs width > 0, passes ≥ 3, bytes > 0 and block ≥ 8")

    def most_steps(self, operator: LinearMap) -> int:
        """Largest m that passes (2m - 1), bytes and the size of the matrix allow.

        Raises:
            ValueError: it is below 2.
        """
        per_step = basis_bytes(operator, self.block, 1)
        most = min((self.passes + 1) // 2, self.bytes // per_step, operator.columns // self.block)
        if most < 2:
            raise ValueError(
                f"{self} allows {most} Krylov steps on {operator.rows} x {operator.columns}; two are needed: "
                f"{2 * per_step} bytes, 3 passes and 2 * block ≤ {operator.columns} columns"
            )
        return most


def basis_bytes(operator: LinearMap, block: int, steps: int) -> int:
    """Bytes of V and AV after m steps: (rows + columns) · b · m numbers."""
    return (operator.rows + operator.columns) * block * steps * operator.dtype.itemsize


def spectrum_bracket(
    operator: LinearMap,
    seed: int,
    budget: Budget | None = None,
    *,
    steps: int | None = None,
    dense_below: int = DENSE_BELOW,
    frobenius_squared: float | None = None,
) -> Bracket:
    """Bracket of the singular-value entropy at the least cost that meets budget.width.

    Full SVD below `dense_below` rows or columns; else as many Krylov steps as the first looks foresee for the
    width, until the bracket is narrow enough or the budget spent (`reached`); or `steps`. While the matrix
    takes no more than twice the memory of the bases it is stored, and a pass is one matrix product.

    Raises:
        ValueError: fewer than two steps fit, or ``steps`` asks for more than fit.
    """
    begin, before = time.perf_counter(), operator.passes
    if min(operator.rows, operator.columns) < dense_below:
        return _dense_bracket(operator, begin, before)
    budget = budget or Budget()
    most = budget.most_steps(operator)
    if steps is not None and not 2 <= steps <= most:
        raise ValueError(f"steps = {steps} must lie in [2, {most}], what {budget} allows")
    energy = operator.frobenius_squared() if frobenius_squared is None else frobenius_squared
    products = _stored_if_small(operator, basis_bytes(operator, budget.block, steps or most))
    basis = KrylovBasis(products, rademacher(operator.columns, budget.block, seed, operator))
    looks = _widened(basis, energy, budget.width, (steps,) if steps else FIRST_STEPS, steps or most)
    stored = products is not operator
    return Bracket(
        **looks,
        size=min(operator.rows, operator.columns),
        passes=operator.passes - before + stored * products.passes,
        steps=basis.steps,
        block=budget.block,
        bytes=basis_bytes(operator, budget.block, basis.steps) + stored * _matrix_bytes(operator),
        seconds=time.perf_counter() - begin,
        reached=looks["upper"] - looks["lower"] <= budget.width,
    )


def bracketed_scalars(
    operator: StochasticMap, seed: int, budget: Budget, dense_below: int = DENSE_BELOW
) -> tuple[Scalars, Bracket]:
    """`exact_scalars` and `spectrum_bracket`: a full SVD says σ₁, too; a Krylov run is told the energy.

    Raises: as `spectrum_bracket`.
    """
    if min(operator.rows, operator.columns) < dense_below:
        bracket = spectrum_bracket(operator, seed, budget, dense_below=dense_below)
        return exact_scalars(operator, seed, bracket.largest), bracket
    scalars = exact_scalars(operator, seed)
    energy = scalars.frobenius**2
    return scalars, spectrum_bracket(
        operator, seed, budget, dense_below=dense_below, frobenius_squared=energy
    )


def _widened(
    basis: KrylovBasis, energy: float, width: float, steps: tuple[int, ...], most: int
) -> dict[str, Any]:
    """What a basis says that grows over `steps`, then as foreseen, until the bracket is narrow enough."""
    widths: dict[int, float] = {}
    while True:
        last = min(steps[len(widths)] if len(widths) < len(steps) else _foreseen(widths, width), most)
        basis.extend(last)
        looks = _look(basis, energy)
        widths[last] = looks["upper"] - looks["lower"]
        if last == most or widths[last] <= width:
            return looks


def _foreseen(widths: dict[int, float], width: float) -> int:
    """Steps that should make the bracket a little less than `width` wide: it narrows at the rate last seen.

    widths: by steps, two at least. At most three times the last steps, which also follow where it does not
    narrow.
    """
    (first, wide), (last, narrow) = sorted(widths.items())[-2:]
    rate = math.log(wide / narrow) / (last - first)
    missing = math.log(narrow / (CAUTION * width))
    return 3 * last if missing > 2 * rate * last else last + max(1, math.ceil(missing / rate))


def _matrix_bytes(operator: LinearMap) -> int:
    return operator.rows * operator.columns * operator.dtype.itemsize


def _stored_if_small(operator: LinearMap, bases: int) -> LinearMap:
    """The operator, or its matrix where that takes no more than twice the `bases` (bytes)."""
    if isinstance(operator, DenseOperator) or _matrix_bytes(operator) > 2 * bases:
        return operator
    stored = DenseOperator(operator.attention_rows(torch.arange(operator.rows, device=operator.device)))
    stored.entry_error = operator.entry_error
    return stored


def _dense_bracket(operator: LinearMap, begin: float, before: int) -> Bracket:
    matrix = operator.dense()
    values = torch.linalg.svdvals(matrix)
    exact = Measures.of(values)
    h = exact.entropy
    return Bracket(
        size=exact.size,
        **dict.fromkeys(("entropy", "lower", "upper", "ritz", "radau", "gauss"), h),
        method="dense",
        standard_error=0.0,
        rounding=0.0,
        nuclear=float(values.sum()),
        captured=1.0,
        largest=exact.largest,
        stable_rank=exact.stable_rank,
        passes=operator.passes - before,
        steps=0,
        block=0,
        bytes=matrix.numel() * matrix.element_size(),
        seconds=time.perf_counter() - begin,
        reached=True,
    )


def _look(basis: KrylovBasis, energy: float) -> dict[str, Any]:
    """Ritz, Gauss and Radau entropies of one basis, and the bracket they make."""
    # AV = U factor, block upper bidiagonal; its rounding is that of the passes
    factor = torch.linalg.qr(basis.av, mode="r")[1].double()
    ritz_values, gauss = _quadrature(factor, basis, energy)
    # a node at zero: drop the last diagonal block
    radau = _quadrature(factor[: -basis.block], basis, energy)[1]
    ritz = Measures.of(ritz_values)
    captured = min(1.0, float((ritz_values**2).sum()) / energy)
    unit, size = basis.operator.entry_error, min(basis.operator.rows, basis.operator.columns)
    # Entries with relative errors u move Σσ by at most sqrt(k) u ‖A‖_F, spread over values as small as u:
    # -p ln p turns that into ln(1/u) times as much entropy.
    rounding = min(unit * math.sqrt(size * energy) / gauss.nuclear * math.log(1 / unit), math.log(size))
    error = max(gauss.error, radau.error)
    lower = max(radau.entropy - MARGIN * error, ritz.entropy) - rounding
    upper = gauss.entropy + MARGIN * error + rounding
    complete = gauss.entropy - ritz.entropy < max(rounding, 1e-4)
    return {
        "entropy": ritz.entropy if complete else (gauss.entropy + radau.entropy) / 2,
        "lower": max(lower, 0.0),
        "upper": min(upper, math.log(size)),
        "method": "ritz" if complete else "quadrature",
        "ritz": ritz.entropy,
        "radau": radau.entropy,
        "gauss": gauss.entropy,
        "standard_error": error,
        "rounding": rounding,
        "nuclear": (gauss.nuclear + radau.nuclear) / 2,
        "captured": captured,
        "largest": ritz.largest,
        "stable_rank": energy / ritz.largest**2,
    }


@dataclass(frozen=True)
class _Sums:
    """Quadrature result: entropy (nats), its standard error over the probes, and Σσ."""

    entropy: float
    error: float
    nuclear: float


def _quadrature(factor: Tensor, basis: KrylovBasis, energy: float) -> tuple[Tensor, _Sums]:
    """Singular values of `factor` and the block quadrature sums they give.

    Probe i weighs the pair (θ_j, y_j) by (y_jᵀ Vᵀ z_i)²; Vᵀ z_i is zero below its first block.
    """
    theta, vectors = _right_factors(factor, basis.operator.dtype)
    b = basis.block
    weights = (vectors[:b].T @ basis.start_factor.double()) ** 2  # (K, b)
    # A converged pair stands for itself and is counted exactly. Its weight is 1 on average; another weight
    # tells of
    # a value of multiplicity beyond b, or of a direction that only rounding put into an exhausted basis.
    single = (weights.mean(1) > 1 / TYPICAL_WEIGHT) & (weights.mean(1) < TYPICAL_WEIGHT)
    converged = single & ((vectors[-b:] ** 2).sum(0) < CONVERGED)
    logs = torch.where(theta > 0, theta, torch.ones_like(theta)).log()
    functions = torch.stack([theta, theta * logs, theta**2])  # (3, K)
    fixed = functions[:, converged].sum(1)
    probes = (functions[:, ~converged] @ weights[~converged]).T  # (b, 3)
    return theta, _entropy_of_sums(fixed, probes, energy)


def _right_factors(factor: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Singular values and right singular vectors (columns) of `factor`."""
    if dtype == torch.float64:
        _, theta, rows = torch.linalg.svd(factor)
        return F.pad(theta, (0, len(rows) - len(theta))), rows.T
    # eigh takes half the time of the SVD; its floor √ε64 σ₁ lies below the ε32 σ₁ of the passes
    values, vectors = torch.linalg.eigh(factor.T @ factor)
    return values.clamp_min(0).sqrt(), vectors


def _entropy_of_sums(fixed: Tensor, probes: Tensor, energy: float) -> _Sums:
    """H = ln S₁ - S_L/S₁ from exact parts and probe samples of Σσ, Σσ ln σ, Σσ².

    Σσ² is known, so the samples are regressed on it; below 1e-5 of it nothing but rounding is left to
    regress.
    """
    mean, rest = probes.mean(0), energy - float(fixed[2])
    deviation = probes - mean
    if rest > 1e-5 * energy:
        x = deviation[:, 2:]
        slope = (deviation * x).sum(0) / (x**2).sum().clamp_min(1e-300)
        mean, deviation = mean - slope * (mean[2] - rest), deviation - x * slope
    s1, sl = (fixed + mean)[:2].tolist()
    influence = (deviation[:, 0] * (1 + sl / s1) - deviation[:, 1]) / s1  # dH of one probe
    count = len(influence)
    error = float(influence.norm()) / math.sqrt(count * (count - 2))
    return _Sums(math.log(s1) - sl / s1, error, s1)
