"""Collapse and rank in as many digits as asked for, where double precision would see only its own rounding.

Python's decimal arithmetic; for tens of tokens. Tokens are given in double precision and taken as exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Context, Decimal, localcontext

from torch import Tensor

from lib.dynamics.clouds import Tokens

Rows = list[list[Decimal]]
WIDE = 10**9  # exponents far below anything a double can hold


def collapse_logs(
    tokens: Tokens, beta: float, layers: int, step: float = 0.0, digits: int = 400
) -> list[float]:
    """ln(β(1−R²)) before every layer and after the last: attention on the sphere in ``digits`` decimals.

    ``tokens`` are unit vectors, ``beta`` > 0. Step 0 is Eq. (2) with normalisation, x ← Attn(x)/|Attn(x)|; a
    step h > 0 is the residual layer x ← (x + h·Attn(x))/|x + h·Attn(x)|.

    Raises:
        ValueError: ``beta`` is not positive, or the spread went below what ``digits`` can hold.

    Source: chapter 2.
    """
    if beta <= 0:
        raise ValueError(f"beta {beta} must be positive: the result is a logarithm of it")
    with localcontext(_context(digits)):
        b, h = Decimal(beta), Decimal(step)
        x = [_unit(row) for row in _decimals(tokens)]
        logs = [_log(b * _spread(x), digits)]
        for _ in range(layers):
            moved = _attend(x, b)
            if step:
                moved = [
                    [p + h * q for p, q in zip(a, c, strict=True)] for a, c in zip(x, moved, strict=True)
                ]
            x = [_unit(row) for row in moved]
            logs.append(_log(b * _spread(x), digits))
    return logs


def kernel_pivots(tokens: Tokens, beta: float, digits: int = 100) -> list[float]:
    """Pivots of K_ij = e^{β⟨x_i,x_j⟩} by elimination, the largest remaining one first.

    Stops when what remains is rounding (no diagonal entry above 10^(−``digits``/2)). Softmax attention is a
    positive diagonal matrix times K, so its algebraic rank is at least the number of pivots. Source: chapter
    2.
    """
    with localcontext(_context(digits)):
        x, b = _decimals(tokens), Decimal(beta)
        k = [[(b * _dot(p, q)).exp() for q in x] for p in x]
        left, pivots = set(range(len(x))), []
        while left:
            best = max(left, key=lambda i: k[i][i])
            if k[best][best] < Decimal(10) ** (-digits // 2):
                break
            pivots.append(k[best][best])
            left.remove(best)
            for i in left:
                share = k[i][best] / k[best][best]
                for j in left:
                    k[i][j] -= share * k[best][j]
    return [float(p) for p in pivots]


def _context(digits: int) -> Context:
    return Context(prec=digits, Emin=-WIDE, Emax=WIDE)


def _decimals(tokens: Tensor) -> Rows:
    return [[Decimal(v) for v in row] for row in tokens.double().tolist()]


def _dot(a: Sequence[Decimal], b: Sequence[Decimal]) -> Decimal:
    return sum((p * q for p, q in zip(a, b, strict=True)), Decimal(0))


def _unit(a: Sequence[Decimal]) -> list[Decimal]:
    length = _dot(a, a).sqrt()
    return [v / length for v in a]


def _attend(x: Rows, beta: Decimal) -> Rows:
    out = []
    for query in x:
        weights = [(beta * _dot(query, key)).exp() for key in x]
        total = sum(weights)
        out.append([_dot(weights, column) / total for column in zip(*x, strict=True)])
    return out


def _spread(x: Rows) -> Decimal:
    mean = [sum(column) / len(x) for column in zip(*x, strict=True)]
    return sum(((v - m) ** 2 for row in x for v, m in zip(row, mean, strict=True)), Decimal(0)) / len(x)


def _log(value: Decimal, digits: int) -> float:
    if value < Decimal(10) ** (-2 * digits + 40):  # the spread is a square: its roots need half the digits
        raise ValueError(
            f"the spread fell below what {digits} digits can hold; give more digits or fewer layers"
        )
    return float(value.ln())
