"""Tokens on the sphere: particle simulation of attention layers, continuous flows, and the closed laws.

``n`` is the feature width, ``N`` the number of tokens, ``h`` the residual step, β the inverse temperature on
cosines, R the length of the mean direction. Tensors are float64 unless given otherwise; a cloud and the
simulation stay on the device of their tokens.
"""

from lib.dynamics.clouds import (
    biased_cloud,
    equiangular_cloud,
    gaussian,
    hierarchical_cloud,
    mixture_cloud,
    poisson_cloud,
    uniform_cloud,
    unit,
)
from lib.dynamics.flows import (
    Flow,
    alternate,
    component_shares,
    first_order_velocity,
    mean_field_velocity,
    mean_flow,
    softmax_velocity,
    tangent,
)
from lib.dynamics.grouping import BipartiteMerge, Groups, copy_back, group_means, groups_of
from lib.dynamics.laws import (
    collapse_layers,
    dilution_threshold,
    hierarchy_law,
    layers_per_log_token,
    logistic_spread,
    mobius_mean,
    mobius_solution,
    near_collapse_rank,
    odds_law,
    pre_ln_random_spread,
    pre_ln_spread,
    self_share,
    terminal_rate,
)
from lib.dynamics.particles import Layer, Trajectory, advance, attend, attraction, simulate
from lib.dynamics.statistics import (
    AttentionSpectrum,
    attention_matrix,
    attention_spectrum,
    covariance_rank,
    mean_length,
    spread,
)

__all__ = [
    "AttentionSpectrum",
    "BipartiteMerge",
    "Flow",
    "Groups",
    "Layer",
    "Trajectory",
    "advance",
    "alternate",
    "attend",
    "attention_matrix",
    "attention_spectrum",
    "attraction",
    "biased_cloud",
    "collapse_layers",
    "component_shares",
    "copy_back",
    "covariance_rank",
    "dilution_threshold",
    "equiangular_cloud",
    "first_order_velocity",
    "gaussian",
    "group_means",
    "groups_of",
    "hierarchical_cloud",
    "hierarchy_law",
    "layers_per_log_token",
    "logistic_spread",
    "mean_field_velocity",
    "mean_flow",
    "mean_length",
    "mixture_cloud",
    "mobius_mean",
    "mobius_solution",
    "near_collapse_rank",
    "odds_law",
    "poisson_cloud",
    "pre_ln_random_spread",
    "pre_ln_spread",
    "self_share",
    "simulate",
    "softmax_velocity",
    "spread",
    "tangent",
    "terminal_rate",
    "uniform_cloud",
    "unit",
]
