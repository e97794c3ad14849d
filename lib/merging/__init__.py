"""Which tokens merge, with what weight; merge and unmerge (spec section 2)."""

from .plan import Grouping, MergingRule, Plan, TokenLayout

__all__ = ["Grouping", "MergingRule", "Plan", "TokenLayout"]
