"""Numbers as text for prose and captions: significant digits, powers of ten, means with their spread."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def number(value: float, digits: int = 3) -> str:
    """So many significant digits, with a raised power of ten where there is one and a real minus sign.

    >>> number(0.31416), number(-2.5e-7)
    ('0.314', '−2.5·10⁻⁷')
    """
    front, e, exponent = f"{float(value):.{digits}g}".partition("e")
    return front.replace("-", "−") + (_power(exponent) if e else "")


def power(value: float, digits: int = 0) -> str:
    """With its power of ten in any case, and so many decimals in front of it.

    >>> power(0.00031)
    '3·10⁻⁴'
    """
    front, _, exponent = f"{float(value):.{digits}e}".partition("e")
    return front.replace("-", "−") + _power(exponent)


def mean_sd(values: Iterable[float], digits: int = 2) -> str:
    """Mean ± standard deviation over seeds.

    >>> mean_sd([1.0, 2.0, 3.0])
    '2.00 ± 1.00'
    """
    sample = np.asarray(list(values), dtype=float)
    return f"{sample.mean():.{digits}f} ± {sample.std(ddof=1):.{digits}f}".replace("-", "−")


def _power(exponent: str) -> str:
    return "·10" + str(int(exponent)).translate(_RAISED)
