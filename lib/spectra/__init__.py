"""Attention spectra without the attention matrix: exact where it can be exact, a bracket where not."""

from lib.spectra.bracket import Bracket, Budget, basis_bytes, spectrum_bracket
from lib.spectra.exact import Scalars, exact_scalars, frame_pooled, pooled_measures
from lib.spectra.krylov import KrylovBasis, largest_singular_value, orthonormalise, rademacher
from lib.spectra.lifted import LiftedAttention
from lib.spectra.measures import DenseOperator, Measures, dense_measures, normalise
from lib.spectra.operator import AttentionOperator, LinearMap, attention_with_lse

__all__ = [
    "AttentionOperator",
    "Bracket",
    "Budget",
    "DenseOperator",
    "KrylovBasis",
    "LiftedAttention",
    "LinearMap",
    "Measures",
    "Scalars",
    "attention_with_lse",
    "basis_bytes",
    "dense_measures",
    "exact_scalars",
    "frame_pooled",
    "largest_singular_value",
    "normalise",
    "orthonormalise",
    "pooled_measures",
    "rademacher",
    "spectrum_bracket",
]
