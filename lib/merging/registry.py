"""Merging rules by name, and how a setting of one is written.

A new rule is a class derived from `RegisteredRule` and one line in `RULES`: runs, tables and counts of
operations then know it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from .adaptive import AdaptiveRule
from .fastvggt import FastVGGTRule
from .grid import KeyValueGridRule
from .plan import RegisteredRule
from .split import SplitRule
from .uniform import UniformRule

RULES: Mapping[str, type[RegisteredRule]] = {
    "fastvggt": FastVGGTRule,
    "uniform": UniformRule,
    "grid": KeyValueGridRule,
    "adaptive": AdaptiveRule,
    "split": SplitRule,
}
PLAIN, BIASED, UNPROTECTED = "plain", "biased", "unprotected"


@dataclass(frozen=True)
class Setting:
    """How global attention merges: "fastvggt 0.5", "uniform 0.97 unprotected", "grid 0.5 biased", "plain".

    Attributes:
        rule: a name in `RULES`.
        m: what the rule is asked for, in [0, 1); 0 is plain VGGT, whatever the rule. The fusion strength, or
            for a rule whose ratio follows the tokens ("adaptive") its tolerance.
        size_bias: add log group sizes to the logits of merged keys.
        protected: False protects nothing that the rule can do without (`RegisteredRule.unprotected`).

    Raises:
        ValueError: an unknown rule, or m out of range.
    """

    rule: str = "fastvggt"
    m: float = 0.0
    size_bias: bool = False
    protected: bool = True

    def __post_init__(self) -> None:
        if self.rule not in RULES:
            raise ValueError(f"rule must be one of {tuple(RULES)}, got {self.rule!r}")
        if not 0 <= self.m < 1:
            meaning = ", the tolerance of this rule," if RULES[self.rule].adaptive else ""
            raise ValueError(f"m{meaning} must lie in [0, 1), got {self.m}")

    @classmethod
    def parse(cls, text: str) -> Setting:
        """From its name.

        Raises:
            ValueError: naming the text and how a setting is written.
        """
        words = text.split()
        if words == [PLAIN]:
            return cls()
        try:
            rule, m, options = words[0], float(words[1]), set(words[2:])
        except (IndexError, ValueError):
            rule, m, options = "", math.nan, set()
        if rule not in RULES or not 0 < m < 1 or not options <= {BIASED, UNPROTECTED}:
            raise ValueError(
                f"setting {text!r}: write {PLAIN!r}, or a rule of {tuple(RULES)}, m in (0, 1), and perhaps "
                f"{BIASED!r} or {UNPROTECTED!r}, as in 'uniform 0.97 {UNPROTECTED}'"
            )
        return cls(rule, m, BIASED in options, UNPROTECTED not in options)

    @property
    def name(self) -> str:
        """How `parse` reads it: "uniform 0.97 unprotected"; "plain" where m is 0, whatever the rule."""
        if self.m == 0:
            return PLAIN
        options = [BIASED] * self.size_bias + [UNPROTECTED] * (not self.protected)
        return " ".join([self.rule, f"{self.m}", *options])

    def merging(self, seed: int) -> RegisteredRule | None:
        """The rule, with the seed of the run; None for plain VGGT."""
        if self.m == 0:
            return None
        rule = RULES[self.rule](self.m, seed=seed, size_bias=self.size_bias)  # type: ignore[call-arg]
        return rule if self.protected else rule.unprotected()
