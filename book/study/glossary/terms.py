"""The glossary as data: each term with its other spellings, its chapter and what it says."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from book.study import entries

FILE = Path(__file__).with_name("terms.yml")


@dataclass(frozen=True)
class Term:
    """A word of the field.

    Attributes:
        says: one or two sentences, plain text.
        chapter: the page where it is used in earnest.
        also: other spellings.
        only: pages whose text means the term; all, if there are none.
    """

    term: str
    says: str
    chapter: str
    also: tuple[str, ...] = ()
    only: tuple[str, ...] = ()

    @property
    def spellings(self) -> tuple[str, ...]:
        """Everything that is this term where it stands in a text."""
        return (self.term, *self.also)


def terms(file: Path = FILE) -> tuple[Term, ...]:
    """All terms, in alphabetical order.

    Raises:
        EntryError: an entry with other fields than those of `Term`, or two with a spelling in common.
    """
    listed = entries.read(file, ("terms",))["terms"]
    found = [entries.build(Term, entry, f"{entries.shown(file)}: term {n}") for n, entry in enumerate(listed)]
    _require_distinct(found)
    return tuple(sorted(found, key=lambda term: term.term.lower()))


def _require_distinct(found: Iterable[Term]) -> None:
    taken: dict[str, str] = {}
    for term in found:
        for spelling in term.spellings:
            if taken.setdefault(spelling.lower(), term.term) != term.term:
                other = taken[spelling.lower()]
                raise entries.EntryError(f"{spelling!r} is a spelling of {other!r} and of {term.term!r}")


def page(file: Path = FILE) -> str:
    """MyST text of the glossary."""
    listed = [f"{term.term}\n  {term.says} From {{doc}}`/book/{term.chapter}`.\n" for term in terms(file)]
    return "```{glossary}\n" + "\n".join(listed) + "```\n"
