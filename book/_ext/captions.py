"""Captions in another profile: rooms, frames and seeds as many as there, and its words for things."""

import functools
import re
from typing import Any

SPELT = {"three": 3, "four": 4, "six": 6, "eight": 8, "ten": 10, "sixteen": 16, "twenty": 20}
NUMBER = rf"(?P<count>\d+|{'|'.join(SPELT)})"
ROOMS = r"(?P<what>(?:held-out |[Tt]est )?(?:[Rr]ooms|scenes))"
SPAN = r"(?P<first>\d+)–(?P<last>\d+)(?: and \d+–\d+)?"
FRESH = re.compile(rf"{ROOMS} (?:from \d+ on|\d+ and after)")
WALKS = re.compile(rf"(?:(?:[Tt]est )?rooms )?(?P<kind>longer|denser):{SPAN}")
RANGE = re.compile(rf"{ROOMS} {SPAN}")
COUNTED = re.compile(rf"\b{NUMBER} {ROOMS}(?: \(\d+–\d+\))?", re.IGNORECASE)
ALSO = re.compile(r"\b(?P<count>\d+)(?= (?:and|or|to) (?:in )?\d+ frames\b)")  # the first of two numbers
FRAMES = re.compile(rf"\b{NUMBER} frames\b", re.IGNORECASE)
SEEDS = re.compile(r"(?P<what>\bseeds?(?: of the rule)?) (?P<first>\d+)(?:–(?P<last>\d+))?")


def number(text: str) -> int:
    """Of digits or of a word."""
    return SPELT.get(text.lower()) or int(text)


def scenes(profile: Any, walk: str) -> int:
    """How many scenes a run for such a walk has in this profile; where it has none, in the shipped book."""
    from book.study.profile import NotMeasured, default
    from lib.scenes.walks import single_scenes

    try:
        return len(single_scenes(profile.scene(walk)))
    except NotMeasured:
        return len(single_scenes(default().scene(walk)))


def _fresh(profile: Any, found: re.Match[str]) -> str:
    return found["what"]


def _walks(profile: Any, found: re.Match[str]) -> str:
    walk = "{kind}:{first}-{last}".format(**found.groupdict())
    return f"{scenes(profile, walk)} test rooms"


def _range(profile: Any, found: re.Match[str]) -> str:
    walk = "denser:{first}-{last}".format(**found.groupdict())
    return f"{scenes(profile, walk)} {found['what'].lower()}"


def _counted(profile: Any, found: re.Match[str]) -> str:
    walk = f"denser:0-{number(found['count']) - 1}"
    return f"{scenes(profile, walk)} {found['what']}"


def _frames(profile: Any, found: re.Match[str]) -> str:
    count = number(found["count"])
    length = profile.lengths.get(count, count)
    return found[0] if length == count else f"{length} frames"


def _also(profile: Any, found: re.Match[str]) -> str:
    return str(profile.lengths.get(number(found["count"]), found["count"]))


def _seeds(profile: Any, found: re.Match[str]) -> str:
    seeds = dict.fromkeys(profile.seeds.get(int(n), int(n)) for n in found.group("first", "last") if n)
    return f"{found['what']} {'–'.join(map(str, seeds))}"


RULES = (
    *((FRESH, _fresh), (WALKS, _walks), (RANGE, _range), (COUNTED, _counted)),
    *((ALSO, _also), (FRAMES, _frames), (SEEDS, _seeds)),
)


def here(text: str, profile: Any) -> str:
    """A caption of the shipped book as it reads in this profile."""
    text = re.sub(r"\s+", " ", text)  # a line may end between a number and its unit
    for pattern, said in RULES:
        text = pattern.sub(functools.partial(said, profile), text)
    return in_words(text, profile)


def in_words(text: str, profile: Any) -> str:
    """The same with its numbers as they are: what a cell has measured here."""
    for old, new in profile.words.items():
        text = re.sub(rf"\b{re.escape(old)}\b", new, text)
    return text
