"""Which tokens merge, with what weight; merge and unmerge (spec section 2)."""

from .adaptive import AdaptiveRule
from .fastvggt import FastVGGTRule
from .grid import KeyValueGridRule
from .plan import Grouping, MergingRule, Plan, TokenLayout
from .uniform import UniformRule

__all__ = [
    "AdaptiveRule",
    "FastVGGTRule",
    "Grouping",
    "KeyValueGridRule",
    "MergingRule",
    "Plan",
    "TokenLayout",
    "UniformRule",
]
