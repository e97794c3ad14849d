"""Tokens on the sphere: particle simulation of attention layers.

``n`` is the feature width, ``N`` the number of tokens, ``h`` the residual step, β the inverse temperature on
cosines, R the length of the mean direction. Tensors are float64 unless given otherwise; a cloud and the
simulation stay on the device of their tokens.
"""

from lib.dynamics.clouds import biased_cloud, equiangular_cloud, gaussian, uniform_cloud, unit
from lib.dynamics.grouping import Groups, copy_back, group_means, groups_of
from lib.dynamics.particles import Layer, Trajectory, advance, attend, attraction, simulate
from lib.dynamics.statistics import attention_matrix, mean_length, spread
