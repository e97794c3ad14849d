"""Sessions, prerequisites and exercises of the course, as MyST text for its page."""

import importlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from book.study import entries
from book.study.exercises.model import LEVELS, Exercise, Sheet
from book.study.shipped import read_report

FILE = Path(__file__).with_name("course.yml")
BOOK = entries.ROOT / "book"
WORDS_A_MINUTE = 200
PART = re.compile(r"(\d+) (.+)")


@dataclass(frozen=True)
class Session:
    """One meeting: its pages, the highest level of exercises, and parts that begin with their minutes."""

    title: str
    goal: str
    pages: tuple[str, ...]
    level: float
    plan: tuple[str, ...]

    @property
    def parts(self) -> list[tuple[int, str]]:
        """(minutes, what is done).

        Raises:
            EntryError: a part that does not begin with its minutes.
        """
        found = [PART.fullmatch(part) for part in self.plan]
        if not all(found):
            raise entries.EntryError(f"session {self.title!r}: each part begins with its minutes")
        return [(int(part[1]), part[2]) for part in found if part]

    @property
    def minutes(self) -> int:
        """Of the whole meeting."""
        return sum(minutes for minutes, _ in self.parts)


def read(file: Path = FILE) -> tuple[dict[str, list[str]], dict[str, list[Session]]]:
    """Prerequisites of each page; sessions of each course.

    Raises:
        EntryError: the file has another form, or a page needs one that is not listed.
    """
    raw = entries.read(file, ("needs", "four", "ten"))
    unknown = {n for needed in raw["needs"].values() for n in needed} - set(raw["needs"])
    if unknown:
        raise entries.EntryError(f"{entries.shown(file)}: not a page of the course: {sorted(unknown)}")
    courses = {
        name: [entries.build(Session, entry, f"{name}: session {n}") for n, entry in enumerate(raw[name], 1)]
        for name in ("four", "ten")
    }
    return raw["needs"], courses


def sheet(page: str) -> Sheet | None:
    """The exercises of a page, if it has any."""
    if not (BOOK / "study" / "exercises" / f"{page}.py").is_file():
        return None
    found: Sheet = importlib.import_module(f"book.study.exercises.{page}").SHEET
    return found


def marks(level: int) -> str:
    """A level as dots.

    >>> marks(2)
    '●●○'
    """
    return "●" * level + "○" * (len(LEVELS) - level)


def reading(pages: Iterable[str]) -> int:
    """Minutes to read the words of these pages, code left out."""
    texts = [(BOOK / f"{page}.md").read_text(encoding="utf-8") for page in pages]
    prose = [re.sub(r"```\{code-cell\}.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE) for text in texts]
    return round(sum(len(text.split()) for text in prose) / WORDS_A_MINUTE)


def exercises_of(pages: Iterable[str], level: float) -> list[Exercise]:
    """Exercises of these pages up to a level."""
    sheets = [found for page in pages if (found := sheet(page))]
    return [e for one in sheets for e in one.exercises.values() if e.level <= level]


def sessions(course: str) -> str:
    """One box for each session of the course "four" or "ten"."""
    return "\n".join(_box(number, session) for number, session in enumerate(read()[1][course], 1))


def _box(number: int, session: Session) -> str:
    listed = exercises_of(session.pages, session.level)
    plan = " · ".join(f"{what} ({minutes} min)" for minutes, what in session.parts)
    before = ", ".join(f"{{doc}}`/book/{page}`" for page in session.pages)
    links = ", ".join(f"{{ref}}`{e.title} <{e.name}>`\u00a0{marks(e.level)}" for e in listed)
    return f"""::::{{admonition}} {number} · {session.title} ({session.minutes} minutes)
:class: session
**Afterwards you can** {session.goal}.

**Before:** {before} (about {reading(session.pages)} minutes to read).

**In class:** {plan}.

**Exercises** ({sum(e.checked for e in listed)} of {len(listed)} checked): {links}.
::::
"""


def chapters() -> str:
    """A table: what each chapter takes for granted, minutes to read it, how many exercises it has."""
    rows = ["| chapter | takes for granted | min | ex. |", "|---|---|--:|--:|"]
    for page, needed in read()[0].items():
        links = ", ".join(f"{{doc}}`/book/{n}`" for n in needed) or "linear algebra, softmax"
        count = len(exercises_of([page], max(LEVELS)))
        rows.append(f"| {{doc}}`/book/{page}` | {links} | {reading([page])} | {count} |")
    return "\n".join(rows) + "\n"


def difficulty() -> str:
    """What the marks mean, with how many exercises have them."""
    every = exercises_of(read()[0], max(LEVELS))
    lines = [
        f"- {marks(level)} **{words}**: {sum(e.level == level for e in every)} exercises, "
        f"{sum(e.level == level and e.checked for e in every)} of them checked"
        for level, words in LEVELS.items()
    ]
    wrong = sum(len(e.traps) for e in every)
    return "\n".join(lines) + f"\n\nTogether the checks know {wrong} wrong answers by name.\n"


def page_seconds(page: str, state: Path) -> float | None:
    """Seconds that the newest execution of a page took, as the build filed them; None without one."""
    filed = sorted((state / f"book-{page}").glob("*/seconds.json"), key=lambda path: path.stat().st_mtime)
    return float(json.loads(filed[-1].read_text(encoding="utf-8"))) if filed else None


def laboratory(root: Path) -> str:
    """What the pages of each session of ten cost on the machine that built them; what a training costs."""
    rows = ["| session | its pages run in |", "|---|--:|"]
    for number, session in enumerate(read()[1]["ten"], 1):
        known = [page_seconds(page, root / "_build" / "pages") for page in session.pages]
        seconds = sum(one for one in known if one is not None)
        said = f"{seconds / 60:.1f} min" if None not in known else "not measured in this build"
        rows.append(f"| {number} · {session.title} | {said} |")
    minutes = read_report()["seconds"] / 60
    trained = f"The network that comes with the book was trained in {minutes:.0f} minutes, without a GPU."
    return "\n".join([*rows, "", trained, ""])
