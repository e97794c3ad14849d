"""Attention spectra without the attention matrix: exact where it can be exact, a bracket where not."""

from lib.spectra.bracket import Bracket, Budget, basis_bytes, bracketed_scalars, spectrum_bracket
from lib.spectra.exact import Scalars, exact_scalars, frame_pooled, pooled_measures
from lib.spectra.krylov import KrylovBasis, largest_singular_value, orthonormalise, rademacher
from lib.spectra.lifted import LiftedAttention
from lib.spectra.measures import DenseOperator, Measures, dense_measures, normalise
from lib.spectra.operator import AttentionOperator, LinearMap, attention_with_lse
