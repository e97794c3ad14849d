"""The way of one number, from the grid that asks for it to the sentence that shows it, read in the files."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any

import yaml

from lib import records

TOPIC = "runtime"
QUANTITY = "fastvggt: kept"  # N'/N, in the record
NAME = "released-kept"  # of the number in the chapter
NOTEBOOK, GRID, CHAPTER = f"book/runs/{TOPIC}.ipynb", f"book/runs/{TOPIC}.yml", f"book/{TOPIC}.md"
MEASURE = "lib/costs/measure.py"
WIDTH = 80  # columns that a page shows of a line


class WayError(ValueError):
    """A file no longer has the line that this page shows."""


def line(root: Path, file: str, text: str) -> tuple[str, str]:
    """Where the first line of a file that holds ``text`` is ("line 3" or "cell 8"), and the line.

    Raises:
        WayError: there is none; names file and text.
    """
    content = (root / file).read_text(encoding="utf-8")
    if file.endswith(".ipynb"):
        cells = enumerate(json.loads(content)["cells"], 1)
        found = ((f"cell {n}", one) for n, cell in cells for one in "".join(cell["source"]).splitlines())
    else:
        found = ((f"line {n}", one) for n, one in enumerate(content.splitlines(), 1))
    for place, one in found:
        if text in one:
            return place, one.strip()
    raise WayError(
        f"{file} has no line with {text!r}; how_it_is_built/way.py follows a number that went elsewhere"
    )


def asked(root: Path) -> dict[str, Any]:
    """Parameters of the run: the first entry of the grid, at its largest m."""
    entry = yaml.safe_load((root / GRID).read_text(encoding="utf-8"))[0]
    return entry["params"] | {"m": max(entry["params"]["m"])}


def steps(root: Path, record: records.Record) -> str:
    """The way as a numbered list in MyST: where each step stands, and the line itself."""
    origin = record.provenance
    value, unit = record.measurements[QUANTITY]
    kept_in = f"{Path(NOTEBOOK).stem}-{origin.key}.json"
    depends = f"{len(origin.code)} source files, {len(origin.inputs)} of weights and data"
    parts = [
        ("A grid asks for runs", GRID, line(root, GRID, "frames:"), "yaml"),
        ("A function measures", MEASURE, line(root, MEASURE, ": kept"), "python"),
        ("A notebook saves the record", NOTEBOOK, line(root, NOTEBOOK, "records.save("), "python"),
        (
            f"The record holds it, and hashes of {depends}; its name ends in their key",
            kept_in,
            ("JSON", f'"{QUANTITY}": {{"value": {value!r}, "unit": "{unit}"}}'),
            "json",
        ),
        ("The chapter loads the record, or stops", CHAPTER, line(root, CHAPTER, "profile.load("), "python"),
        ("A cell gives the number a name", CHAPTER, line(root, CHAPTER, f'say("{NAME}"'), "python"),
        ("A sentence calls the name", CHAPTER, line(root, CHAPTER, f"{{glue:text}}`{NAME}`"), "text"),
    ]
    fold = textwrap.TextWrapper(
        WIDTH,
        initial_indent=" " * 3,
        subsequent_indent=" " * 7,
        break_long_words=False,
        break_on_hyphens=False,
    )
    listed = "\n".join(
        f"{n}. **{says}**: `{file}`, {place}\n\n   ```{language}\n{fold.fill(text)}\n   ```\n"
        for n, (says, file, (place, text), language) in enumerate(parts, 1)
    )
    return f"{listed}\nSo readers of that page see **{record[QUANTITY]:.3f}**.\n"
