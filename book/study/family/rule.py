"""How far a statement reaches over the family of networks, and the rule that says when that is enough."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from book.study.family import statements
from book.study.family.statements import NETWORKS, Statement


@dataclass(frozen=True)
class Rule:
    """When what was measured on small networks may be said of any network.

    kinds: so many kinds of network (one architecture, one longest training sequence) must say yes, each in
    every training. networks: so many these must be at least. And no network may say no.
    """

    kinds: int
    networks: int

    def __str__(self) -> str:
        return (
            "A kind of network is one architecture with one longest sequence in training; its networks "
            "differ by their training alone. A kind agrees if every network of it does, by its whole 95 % "
            f"interval over rooms. At least {self.kinds} kinds with at least {self.networks} networks must "
            "agree, and no network may say the opposite by its whole interval."
        )


RULE = Rule(kinds=2, networks=3)


@dataclass(frozen=True)
class Reach:
    """Over how many networks a statement holds by its whole interval.

    says: the statement. number: what was measured. yes, no, measured: networks that say so, and all that were
    asked. kinds: that agree in every training. carries: by the rule it may be said of any network.
    """

    says: str
    number: str
    yes: int
    no: int
    measured: int
    kinds: int
    carries: bool

    def __str__(self) -> str:
        against = f", the opposite for {self.no}" if self.no else ""
        return f"holds for {self.yes} of {self.measured} networks{against}"


def reach(statement: Statement, kinds: Mapping[str, str], asked: Rule = RULE) -> Reach:
    """Count and judge; `kinds`: network -> its kind, networks of one kind differ by their training alone."""
    words = {name: word for name in kinds if (word := statement.word(name)) != "not measured"}
    of_kind: dict[str, list[str]] = {}
    for name, word in words.items():
        of_kind.setdefault(kinds[name], []).append(word)
    agree = [found for found in of_kind.values() if set(found) == {"yes"}]
    yes, no = (list(words.values()).count(word) for word in ("yes", "no"))
    enough = len(agree) >= asked.kinds and sum(map(len, agree)) >= asked.networks
    return Reach(statement.says, statement.number, yes, no, len(words), len(agree), enough and not no)


def kind(name: str) -> str:
    """Architecture and longest training, as "with reference frame, 6 blocks, patches of 8, to 12 frames"."""
    config = statements.report(name)["config"]
    model = config["model"]
    reference = "with" if model.get("reference", True) else "without"
    size = f"{model['depth']} blocks, patches of {model['patch_size']}"
    sees = ", earlier frames only" if model.get("causal") else ""
    return f"{reference} reference frame, {size}, to {config['most_frames']} frames{sees}"


def reaches(names: Iterable[str]) -> dict[str, Reach]:
    """Reach of each statement that checks name, over the family.

    Raises:
        ValueError: no statement has this name.
    """
    known = {ask.__name__: ask for ask in statements.ALL}
    if unknown := sorted(set(names) - set(known)):
        raise ValueError(f"no statement about the family is called {unknown}; there are {', '.join(known)}")
    kinds = {name: kind(name) for name in NETWORKS}
    return {name: reach(known[name](), kinds) for name in sorted(set(names))}
