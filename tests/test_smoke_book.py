"""The whole book with the smoke profile, and as the network tested one of other depth, heads and patches."""

import hashlib
import re
import shutil
from pathlib import Path

import pytest
import yaml
from small_book import REPOSITORY, SmallBook

NAME = "another_shape"
ABSENT = "(not measured)"  # in the place of a number that the text shows and no run gave
KEPT = ("book", "data", "lib", "benchmarks", "_config.yml", "_toc.yml", "pyproject.toml", "constraints.txt")
# What a test has no time for, beside what the smoke profile leaves out.
WITHOUT = ("duplicates", "fusion", "lengths", "long_sequences", "reconstruction", "rivals", "runtime")
LEFT = ("architecture", "attention_map", "linearised_softmax", "one_run")
GAP = re.compile(r'class="not-measured">Not measured in this profile: ([^<]*)<')
BOX = re.compile(r'<div class="profile admonition">.*?</div>', re.DOTALL)
FOLDED = re.compile(r'<details class="not-measured">.*?</details>', re.DOTALL)
PARAGRAPH = re.compile(r"(?<!<td>)<p>(.*?)</p>", re.DOTALL)


def profile() -> dict[str, object]:
    """The smoke profile, with random weights of another shape in every role."""
    smoke = yaml.safe_load((REPOSITORY / "book" / "profiles" / "smoke.yml").read_text(encoding="utf-8"))
    smoke["networks"] = dict.fromkeys(smoke["networks"], "random")
    smoke["without"] |= dict.fromkeys(WITHOUT, "left out of a test")
    smoke["leave"] |= dict.fromkeys(LEFT, "left out of a test")
    return smoke | {"title": "Another shape"}


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SmallBook:
    """A copy of this book with one profile more, which is chosen."""
    for name in KEPT:
        source, target = REPOSITORY / name, tmp_path / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    made = SmallBook(tmp_path)
    made.write(f"book/profiles/{NAME}.yml", yaml.safe_dump(profile(), allow_unicode=True))
    monkeypatch.setenv("BOOK_PROFILE", NAME)
    return made


def hashes(folder: Path) -> dict[str, str]:
    """Of every file below a folder."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def slips(page: str, root: Path) -> list[str]:
    """What no page of a profile should say: half sentences, folders, lists of Python, a thing twice."""
    box = " ".join(BOX.findall(page))
    items = re.findall(r"<li><p>(.*?)</p></li>", box, re.DOTALL)
    told = [*items, *GAP.findall(page)]
    found = [text for text in told if re.search(r"\[|\]|['\"][\],]", text) or str(root) in text]
    found += [item for item in set(items) if items.count(item) > 1]
    shown = FOLDED.sub("", page)
    found += [text for text in PARAGRAPH.findall(shown) if ABSENT in text]
    return found + re.findall(rf"\([^()]*{re.escape(ABSENT)}", re.sub(r"<[^>]+>", "", page))


def test_slips_are_found(tmp_path: Path) -> None:
    box = '<div class="profile admonition"><ul><li><p>{}</p></li><li><p>one</p></li></ul></div>'
    fold = '<details class="not-measured"><p>It is (not measured).</p></details>'
    fine = f"{box.format('two')}{fold}<td><p>(not measured)</p></td><p>Three.</p>"
    assert slips(fine, tmp_path) == []
    assert slips(box.format("changed: ['P4']"), tmp_path) == ["changed: ['P4']"]
    assert slips(box.format("one"), tmp_path) == ["one"]
    gap = f'<div class="not-measured">Not measured in this profile: no {tmp_path}/a<'
    assert slips(gap, tmp_path) == [f"no {tmp_path}/a"]
    assert slips("<p>It is (not measured).</p>", tmp_path) == ["It is (not measured)."]
    assert slips(fold.replace("It is", "It (N7,"), tmp_path) == ["(N7, (not measured)"]


@pytest.mark.book
@pytest.mark.slow
def test_the_whole_book_builds_with_a_network_of_another_shape(book: SmallBook) -> None:
    shipped = hashes(book.root / "data")
    built = book.build()
    assert built.status == 0, built.output[-3000:]
    assert "does not follow the profile" not in built.output, built.output
    pages = {path.stem: path for path in (book.root / "_build" / NAME / "html" / "book").rglob("*.html")}
    texts = {name: path.read_text(encoding="utf-8") for name, path in pages.items()}
    reasons = {reason for text in texts.values() for reason in GAP.findall(text)}
    assert "left out of a test" in reasons
    assert not [reason for reason in reasons if re.match(r"\w+Error", reason)]
    assert not [name for name, text in texts.items() if "Traceback (most recent call last)" in text]
    for name in ("heatmaps", "long_sequences", "practice", "predictions", "rivals"):
        assert re.search(r"Profile: Another shape.*tested: random", texts[name], re.DOTALL), name
    assert not {name: found for name, text in texts.items() if (found := slips(text, book.root))}
    assert not (book.root / "_build" / "html").exists() and not (book.root / "records").exists()
    assert len(list((book.root / "records-of" / NAME).glob("*.json"))) >= 8
    assert hashes(book.root / "data") == shipped
