"""Exercises of the chapter on measuring spectra."""

import math

import sympy as sp
import torch

from book.study.exercises.model import Exercise, Sheet
from lib.merging import TokenLayout
from lib.spectra import dense_measures

SIZE, SAMPLE = 64, 256
MEMORY = 8 * 2**30  # bytes
TOKENS = TokenLayout(frames=500, patches_high=28, patches_wide=37).tokens


def _four(size: int = SIZE) -> list[float]:
    """Stable ranks of uniform attention and of the identity; their row entropies over ln N."""
    both = torch.full((size, size), 1 / size), torch.eye(size)
    ranks = [dense_measures(a).stable_rank for a in both]
    return [*ranks, *(float(torch.special.entr(a).sum(1).mean()) / math.log(size) for a in both)]


def _stable(terms: str) -> sp.Expr:
    return sp.simplify(sp.sympify(terms))


def _steps(arrays: int = 2, memory: float = MEMORY, item: int = 4) -> int:
    return int(memory // (arrays * TOKENS * 64 * item))


SHEET = Sheet(
    "spectra",
    Exercise(
        "spectra-ex-uniform",
        "Uniform, or identity",
        1,
        ("stable rank", "row entropy"),
        answer="stable ranks of uniform attention and the identity, 64 tokens; then row entropies over ln 64",
        right=_four,
        traps={
            "Row entropy counts the keys that a query reads: uniform rows have the most.": lambda: [
                *_four()[:2],
                *_four()[:1:-1],
            ],
            "Uniform attention has equal rows: one singular value.": lambda: [SIZE, SIZE, *_four()[2:]],
            "The identity has as many equal singular values as tokens.": lambda: [1, 1, *_four()[2:]],
        },
        tolerance=1e-4,
    ),
    Exercise(
        "spectra-ex-null",
        "Noise alone",
        2,
        ("stable rank", "softmax"),
        answer="the stable rank, in s",
        right=lambda: _stable("exp((2*s)**2/2) / exp(s**2/2)**2"),
        traps={
            "That is the variance of the weights; the mean row adds one.": lambda: _stable("exp(s**2) - 1"),
            "Divide by the square of the mean of e^z.": lambda: _stable("exp(2*s**2)"),
            "That is the mean of e^z: second moments are needed.": lambda: _stable("exp(s**2/2)"),
        },
    ),
    Exercise(
        "spectra-ex-sample",
        "Sampling tokens",
        1,
        ("singular-value entropy",),
        answer="the largest entropy, in nats, that a sample of 256 tokens can have",
        right=lambda: math.log(SAMPLE),
        traps={
            "That is in bits; nats need the natural logarithm.": lambda: math.log2(SAMPLE),
            "That is the largest effective rank; the entropy is its logarithm.": lambda: SAMPLE,
        },
    ),
    Exercise(
        "spectra-ex-budget",
        "A budget of memory",
        2,
        ("singular value",),
        answer="the number of Krylov steps",
        right=_steps,
        traps={
            "There are two bases, for rows and for columns.": lambda: _steps(arrays=1),
            "A GiB has 2³⁰ bytes.": lambda: _steps(memory=8e9),
            "Four bytes a number, not eight.": lambda: _steps(item=8),
        },
    ),
    Exercise(
        "spectra-ex-sink",
        "A sink in every frame",
        3,
        ("sink", "softmax"),
        answer="a function of N and S: the a at which sinks take half",
        right=lambda: lambda tokens, sinks: math.log((tokens - sinks) / sinks),
        traps={
            "The sinks compete with the others only: N − S, not N.": lambda: (
                lambda tokens, sinks: math.log(tokens / sinks)
            ),
            "That is in bits: take the natural logarithm.": lambda: (
                lambda tokens, sinks: math.log2((tokens - sinks) / sinks)
            ),
            "There are S sinks, not one.": lambda: lambda tokens, sinks: math.log(tokens - sinks),
        },
        at=((1024, 8), (64, 16), (10, 4)),
    ),
)
check = SHEET.check
