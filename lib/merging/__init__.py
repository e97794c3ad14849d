"""Which tokens merge, with what weight; merge and unmerge (spec section 2)."""

from .fastvggt import FastVGGTRule
from .plan import Grouping, MergingRule, Plan, TokenLayout

__all__ = ["FastVGGTRule", "Grouping", "MergingRule", "Plan", "TokenLayout"]
