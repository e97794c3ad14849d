"""Numbers as text for prose, captions and tables: digits, powers of ten, per cent, means and spreads."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def minus(found: object) -> str:
    """The text of a number, an interval or a line, with real minus signs in place of hyphens.

    >>> minus(f"{-0.5:.2f}")
    '−0.50'
    """
    return str(found).replace("-", "−")


def percent(share: float, digits: int = 0, signed: bool = False) -> str:
    """A share as per cent with so many decimals; ``signed`` for changes, with a plus where they rise.

    What rounds to zero has no sign.

    >>> percent(0.125, 1), percent(-0.5, signed=True), percent(-0.001, signed=True)
    ('12.5 %', '−50 %', '0 %')
    """
    text = f"{100 * share:{'+' if signed else ''}.{digits}f}"
    return minus(text if float(text) else text.lstrip("+-")) + " %"


def number(value: float, digits: int = 3) -> str:
    """So many significant digits, with a raised power of ten where there is one and a real minus sign.

    >>> number(0.31416), number(-2.5e-7)
    ('0.314', '−2.5·10⁻⁷')
    """
    front, e, exponent = f"{float(value):.{digits}g}".partition("e")
    return minus(front) + (_power(exponent) if e else "")


def power(value: float, digits: int = 0) -> str:
    """With its power of ten in any case, and so many decimals in front of it.

    >>> power(0.00031)
    '3·10⁻⁴'
    """
    front, _, exponent = f"{float(value):.{digits}e}".partition("e")
    return minus(front) + _power(exponent)


def mean_sd(values: Iterable[float], digits: int = 2) -> str:
    """Mean ± standard deviation over seeds.

    >>> mean_sd([1.0, 2.0, 3.0])
    '2.00 ± 1.00'
    """
    sample = np.asarray(list(values), dtype=float)
    return minus(f"{sample.mean():.{digits}f} ± {sample.std(ddof=1):.{digits}f}")


def _power(exponent: str) -> str:
    return "·10" + str(int(exponent)).translate(_RAISED)
