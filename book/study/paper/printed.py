"""Every number the paper prints, with the place it stands at; no other module or page may hold one.

The paper is arXiv 2512.21691, "Analyzing the Mechanism of Attention Collapse in VGGT from a Dynamics
Perspective". Its ``d`` means both a dimension and a merge factor; here the feature dimension is ``n`` and
``d = 1/(1 - m)`` is the merge factor only.
"""

from __future__ import annotations

from dataclasses import dataclass

ARXIV = "2512.21691"


@dataclass(frozen=True)
class Printed:
    """One printed number: ``value`` in ``unit``, the ``words`` around it and where they stand.

    ``decimals`` is the number of decimals printed, so that ``half_width`` is the rounding half-interval.
    """

    value: float
    place: str
    words: str
    unit: str = ""
    decimals: int = 0

    @property
    def half_width(self) -> float:
        """Largest rounding error the printed digits allow (same unit as ``value``)."""
        return 0.5 * 10.0**-self.decimals

    def __str__(self) -> str:
        """The digits as printed, without the unit."""
        return f"{self.value:.{self.decimals}f}"


@dataclass(frozen=True)
class Equation:
    """A numbered equation as printed: its LaTeX source (the paper's own symbols) and its section."""

    number: int
    tex: str
    place: str
    about: str

    @property
    def id(self) -> str:
        """Identifier in the ledger, e.g. ``eq-4``."""
        return f"eq-{self.number}"


@dataclass(frozen=True)
class Table1Row:
    """One fusion strength of Table 1; entropies have four printed decimals, ranks two."""

    m: float
    entropy_measured: float
    entropy_theory: float
    rank_measured: float
    rank_theory: float


@dataclass(frozen=True)
class Table2Row:
    """One fusion strength of Table 2; runtimes (relative to m = 0): two decimals, speedups: at most one."""

    m: float
    runtime: float
    speedup: float


TABLE_1_PLACE = "Table 1, §5.2"
TABLE_1 = (
    Table1Row(0.1, 0.7239, 0.7413, 89.93, 100.15),
    Table1Row(0.3, 0.7903, 0.7776, 135.82, 125.53),
    Table1Row(0.5, 0.8274, 0.8140, 171.00, 157.34),
    Table1Row(0.7, 0.8548, 0.8503, 202.75, 197.21),
    Table1Row(0.9, 0.8734, 0.8866, 227.71, 247.19),
)
TABLE_1_ENTROPY_DECIMALS = 4
TABLE_1_RANK_DECIMALS = 2

TABLE_2_PLACE = "Table 2, §5.3"
TABLE_2 = (
    Table2Row(0.0, 1.00, 1.0),
    Table2Row(0.3, 0.61, 1.6),
    Table2Row(0.5, 0.38, 2.6),
    Table2Row(0.7, 0.22, 4.5),
    Table2Row(0.9, 0.12, 8.3),
)
TABLE_2_RUNTIME_DECIMALS = 2
TABLE_2_SPEEDUP_DECIMALS = 1

# In-text numbers ------------------------------------------------------------------------------------------
STEADY_RANK = Printed(1, "§3.1, below Eq. (1)", "dominant subspace dimension, typically r = 1")
SHALLOW_BLOCK = Printed(0, "§3.1", "Block 0 → Block 23")
DEEP_BLOCK = Printed(23, "§3.1", "Block 0 → Block 23")
EXAMPLE_FACTOR = Printed(10, "§4.2", "d = 10 yields a theoretical 10× reduction in pairwise computations")
EXAMPLE_REDUCTION = Printed(10, "§4.2", "d = 10 yields a theoretical 10× reduction", "×")
REPORTED_SPEEDUP = Printed(4, "§4.2", "empirical > 4× inference speedups reported in FastVGGT", "×")
REPORTED_SPEEDUP_FRAMES = Printed(1000, "§4.2", "for 1000-frame inputs", "frames")
SPEEDUP_EXPONENT = Printed(2, "§4.2 and §5.3", "arithmetic and memory by ∼d²; speedup proportional to d²")
FRAMES = Printed(500, "§5", "input sequences of 500 frames unless otherwise noted", "frames")
FUSION_STRENGTHS = tuple(
    Printed(m, "§5.1", "fusion strengths m ∈ {0.1, 0.3, 0.5, 0.7, 0.9}", decimals=1)
    for m in (0.1, 0.3, 0.5, 0.7, 0.9)
)
ENTROPY_DEVIATION = Printed(2, "§5.1", "mean deviation below 2%", "%")
RANK_DEVIATION = Printed(8, "§5.2", "average deviation ≈ 8%", "%")
RUNTIME_AT_LARGEST_M = Printed(0.12, "§5.3", "from 1.0× at m = 0 to 0.12× at m = 0.9", "×", 2)
LARGEST_M = Printed(0.9, "§5.3", "from 1.0× at m = 0 to 0.12× at m = 0.9", decimals=1)
ACCELERATION = Printed(8, "§5.3 and caption of Table 2", "∼8× acceleration; up to 8×", "×")
SHORT_SEQUENCE = Printed(200, "§6", "short sequences (< 200 frames)", "frames")
SHORT_SEQUENCE_M = (
    Printed(0.3, "§6", "moderate merging (m = 0.3–0.5)", decimals=1),
    Printed(0.5, "§6", "moderate merging (m = 0.3–0.5)", decimals=1),
)
LONG_SEQUENCE = Printed(500, "§6", "long sequences (> 500 frames)", "frames")
LONG_SEQUENCE_M = (
    Printed(0.7, "§6", "stronger merging (m = 0.7–0.9)", decimals=1),
    Printed(0.9, "§6", "stronger merging (m = 0.7–0.9)", decimals=1),
)
EXCESSIVE_M = Printed(0.95, "§6", "excessive merging (m > 0.95) can remove geometric anchors", decimals=2)
ENTROPY_THRESHOLD = Printed(0.8, "§6", "when entropy remains above 0.8", decimals=1)
ATE_THRESHOLD = Printed(0.2, "§6", "the mean ATE consistently stays below 0.2", decimals=1)

# Colours of Fig. 3 as its text and its caption give them.
FIGURE_3_COLOURS = {
    "text, §5.1": {"theory": "blue", "measured": "red"},
    "caption of Fig. 3": {"theory": "red", "measured": "blue"},
}

# What the paper prints as data: quantity -> the variables it is printed against.
PRINTED_DATA = {
    "normalised entropy of attention": ("m",),
    "effective rank of attention": ("m",),
    "relative runtime": ("m",),
    "speedup": ("m",),
}

# Everything that is printed about the 1000-frame runs.
LONG_RUNS = {"speedup": REPORTED_SPEEDUP, "frames": REPORTED_SPEEDUP_FRAMES}

EQUATIONS = (
    Equation(
        1, r"\text{rank}(A^{(\ell)}) \leq r + C \exp\left(-\frac{\alpha \ell}{N}\right)", "§3.1", "rank bound"
    ),
    Equation(
        2,
        r"X^{(\ell+1)} = A^{(\ell)} X^{(\ell)} W_V^{(\ell)} W_O^{(\ell)},\quad A^{(\ell)} = \text{Softmax}"
        r"\left(\frac{X^{(\ell)} W_Q^{(\ell)} (X^{(\ell)} W_K^{(\ell)})^\top}{\sqrt{d}}\right)",
        "§3.2",
        "attention update without residual",
    ),
    Equation(
        3,
        r"A_{ij}^{(\ell)} = \frac{1}{N} + \frac{\alpha}{N} \left(\langle x_i^{(\ell)}, x_j^{(\ell)} \rangle "
        r"- \frac{1}{N} \sum_k \langle x_i^{(\ell)}, x_k^{(\ell)} \rangle \right) + \mathcal{O}(\alpha^2)",
        "§3.2",
        "expansion of the softmax",
    ),
    Equation(
        4,
        r"\partial_t \rho_t(x) = \nabla_S \cdot \left(\rho_t(x) \nabla_S \frac{\delta F[\rho_t]}{\delta "
        r"\rho_t(x)} \right),\quad F[\rho] = \frac{\alpha}{2} \iint_S \langle x, y \rangle \rho(x) \rho(y)"
        r"\, dx\, dy",
        "§3.2",
        "mean-field equation",
    ),
    Equation(
        5,
        r"\frac{dH}{dt} = - \int_S \rho_t(x) \|\nabla_S \log \rho_t(x)\|^2 dx \leq 0",
        "§3.2",
        "entropy dissipation",
    ),
    Equation(6, r"H(L) \approx H(0) - \mathcal{O}(1/L)", "§3.2", "entropy after L layers"),
    Equation(
        7,
        r"\partial_{t'} \rho_{t'}(x) = \frac{1}{d} \nabla_S \cdot \left(\rho_{t'}(x) \nabla_S \frac{\delta "
        r"F[\rho_{t'}]}{\delta \rho_{t'}(x)} \right)",
        "§4.1",
        "mean-field equation after merging",
    ),
    Equation(
        8,
        r"\frac{dH'}{dt'} = - \frac{1}{d} \int_S \rho_{t'}(x) \|\nabla_S \log \rho_{t'}(x)\|^2 dx,\quad "
        r"H'(L) \approx H(0) - \mathcal{O}\left(\frac{1}{dL}\right)",
        "§4.1",
        "entropy after merging",
    ),
    Equation(
        9,
        r"\text{rank}(A'^{(\ell)}) \leq r + C \exp\left(-\frac{\alpha \ell}{dN}\right)",
        "§4.1",
        "rank bound after merging",
    ),
    Equation(10, r"\tau' \approx d \tau", "§4.1", "collapse time after merging"),
    Equation(11, r"\mathcal{O}((DT)^2) \rightarrow \mathcal{O}((DT/d)^2)", "§4.2", "attention cost"),
    Equation(
        12,
        r"\frac{dH}{dt} = - \int_S \rho_t(x) \|\nabla_S \log \rho_t(x)\|^2 dx \leq 0",
        "§5.1",
        "entropy dissipation, repeated",
    ),
    Equation(13, r"H(d) \approx H_0 - k \frac{L}{Nd}", "§5.1", "entropy against merge factor"),
    Equation(
        14,
        r"r_{\text{eff}} = \exp\left(-\sum_i \lambda_i \log \lambda_i\right)",
        "§5.2",
        "effective rank",
    ),
    Equation(
        15,
        r"\text{rank}(A^{(\ell)}) \leq r + C \exp\left(-\frac{\alpha\ell}{Nd}\right)",
        "§5.2",
        "rank bound after merging, repeated",
    ),
)


def equation(number: int) -> Equation:
    """The printed equation with this number (1 to 15).

    Raises:
        ValueError: there is no such equation.
    """
    for entry in EQUATIONS:
        if entry.number == number:
            return entry
    raise ValueError(f"the paper has no equation ({number}); its equations are (1) to ({len(EQUATIONS)})")


def table_1(column: str) -> tuple[float, ...]:
    """One column of Table 1 as printed, in order of m: a field name of ``Table1Row``."""
    return tuple(getattr(row, column) for row in TABLE_1)


def table_2(column: str) -> tuple[float, ...]:
    """One column of Table 2 as printed, in order of m: a field name of ``Table2Row``."""
    return tuple(getattr(row, column) for row in TABLE_2)
