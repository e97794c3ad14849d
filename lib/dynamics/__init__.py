"""Tokens on the sphere: particle simulation of attention layers, and the closed laws.

``n`` is the feature width, ``N`` the number of tokens, ``h`` the residual step, β the inverse temperature on
cosines, R the length of the mean direction. Tensors are float64 unless given otherwise; a cloud and the
simulation stay on the device of their tokens.
"""

from lib.dynamics.clouds import biased_cloud, equiangular_cloud, gaussian, mixture_cloud, uniform_cloud, unit
from lib.dynamics.grouping import BipartiteMerge, Groups, copy_back, group_means, groups_of
from lib.dynamics.laws import collapse_layers, dilution_threshold, odds_law, self_share, terminal_rate
from lib.dynamics.particles import Layer, Trajectory, advance, attend, attraction, simulate
from lib.dynamics.statistics import (
    AttentionSpectrum,
    attention_matrix,
    attention_spectrum,
    mean_length,
    spread,
)
