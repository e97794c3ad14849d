"""Which tokens merge, with what weight; merge and unmerge, and one registry of rules."""

from .adaptive import AdaptiveRule
from .fastvggt import FastVGGTRule
from .grid import KeyValueGridRule
from .plan import Grouping, MergingRule, Plan, RegisteredRule, TokenLayout
from .registry import RULES, Setting
from .split import SplitRule
from .uniform import UniformRule
