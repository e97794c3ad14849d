"""A book of two executed pages and two papermill runs, built with the real extension in its own folder."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml

REPOSITORY = Path(__file__).resolve().parents[1]

HEADER = """---
jupytext:
  text_representation: {extension: .md, format_name: myst}
kernelspec: {name: python3, display_name: Python 3, language: python}
---
"""

INTRO = (
    HEADER
    + """
# Intro

(here)=
## A page of its own

```{code-cell} ipython3
from myst_nb import glue
from lib import unrelated
glue("constant", unrelated.CONSTANT, display=False)
```

The constant is {glue:text}`constant`.

```{exercise}
One.
```

```{exercise}
Two.
```
"""
)

CHAPTER = (
    HEADER
    + """
# Chapter

```{code-cell} ipython3
from myst_nb import glue
from lib import records
total = sum(records.load("book/runs/one.ipynb", m=m, seed=0)["size"] for m in (0.1, 0.5))
glue("total", total, display=False)
```

The runs add up to {glue:text}`total:.3f`.
"""
)

LIBRARY = ("lib/records", "lib/scenes", "lib/sweep", "lib/pipes.py", "lib/used.py")
PARAMETERS = "m = 0.25\nseed = 0"
RUN = """from pathlib import Path
from lib import records
from lib.size import size
params = records.parameters("book/runs/one.ipynb", globals())
run = records.begin("book/runs/one.ipynb", params)
offset = float(Path("data/offset.txt").read_text())"""
FIGURE = "from lib import drawing\ndrawing.draw(run)"
SAVE = 'records.save(run.finish({"size": (size(m) + offset, "m")}, kept=1 - m))'

FILES = {
    "book/intro.md": INTRO,
    "book/chapter.md": CHAPTER,
    # what it would cost is counted with the network, which a small book does not have
    "book/plan.py": 'def plan(jobs):\n    return [f"{len(jobs)} runs"]\n\n\ndef left_out():\n    return {}\n',
    "book/references.bib": "@misc{known, title={Known}, author={Somebody}, year={2020}}\n",
    "book/runs/grid.yml": "- notebook: book/runs/one.ipynb\n  params: {m: [0.1, 0.5], seed: 0}\n",
    "data/offset.txt": "1.0\n",
    "lib/__init__.py": "",
    "lib/size.py": "def size(m):\n    return 10 * m\n",
    "lib/drawing.py": "def draw(run):\n    pass\n",
    "lib/unrelated.py": "CONSTANT = 3\n",
    "_toc.yml": "format: jb-book\nroot: book/intro\nchapters:\n- file: book/chapter\n",
}


@dataclass(frozen=True)
class Build:
    """How a build ended: exit status, pages executed, pages that Sphinx read, how many runs; its output."""

    status: int
    executed: int
    read: int
    swept: int
    output: str

    @property
    def counts(self) -> tuple[int, int, int, int]:
        """(exit status, pages executed, pages read, runs)."""
        return self.status, self.executed, self.read, self.swept


@dataclass(frozen=True)
class SmallBook:
    """The book's folder, and what can be done with it."""

    root: Path

    def write(self, name: str, text: str) -> None:
        """Write one file of the book."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def edit(self, name: str, old: str, new: str) -> None:
        """Replace text that must be there."""
        text = (self.root / name).read_text(encoding="utf-8")
        assert old in text, f"{name} has no {old!r}"
        self.write(name, text.replace(old, new))

    def build(self, *flags: str) -> Build:
        """``jupyter-book build .`` with the given flags, in a process of its own."""
        done = self.call(str(Path(sys.executable).parent / "jupyter-book"), "build", ".", *flags)
        output = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout + done.stderr)
        assert "Executing notebook using" not in output, "myst-nb executed a page by itself"
        marks = ("pages: executed ", "Using cached notebook", "sweep: ran ")
        counted = [len(re.findall(mark, output)) for mark in marks]
        return Build(done.returncode, *counted, output)

    def call(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Any command from the book's root, importing the book's own `lib`."""
        environment = os.environ | {"PYTHONPATH": str(self.root), "NO_COLOR": "1"}
        environment.pop("BOOK_STATE", None)
        return subprocess.run(command, cwd=self.root, env=environment, capture_output=True, text=True)

    def page(self, name: str) -> str:
        """HTML of a built page."""
        return (self.root / "_build" / "html" / "book" / f"{name}.html").read_text(encoding="utf-8")

    def records(self) -> list[Path]:
        """All records of runs."""
        return sorted((self.root / "records").glob("*.json"))


def notebook(parameters: str, *cells: str, figure: str = "") -> str:
    """JSON of a notebook without outputs: cells tagged ``parameters``, without tag, tagged ``figure``."""
    sources = [(parameters, ["parameters"]), *((cell, []) for cell in cells), (figure, ["figure"])]
    return json.dumps(
        {
            "cells": [
                {
                    "cell_type": "code",
                    "id": f"c{number}",
                    "metadata": {"tags": tags},
                    "execution_count": None,
                    "outputs": [],
                    "source": source,
                }
                for number, (source, tags) in enumerate(sources)
            ],
            "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
            "nbformat": 4,
            "nbformat_minor": 5,
        },
        indent=1,
    )


def make(root: Path) -> SmallBook:
    """Write the book: this repository's extension, records, sweep and configuration around small pages."""
    book = SmallBook(root)
    for name, text in FILES.items():
        book.write(name, text)
    book.write("book/runs/one.ipynb", notebook(PARAMETERS, RUN, SAVE, figure=FIGURE))
    extensions = [
        f"book/_ext/{name}.py"
        for name in (
            "guard",
            "pages",
            "kernels",
            "gaps",
            "after_gap",
            "captions",
            "profiled",
            "traces",
            "markup",
        )
    ]
    study = [f"book/study/{name}.py" for name in ("__init__", "chosen", "entries", "profile")]
    for name in (*LIBRARY, *extensions, *study, "book/profiles", "book/_static"):
        source, target = REPOSITORY / name, root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, target)
    configuration = yaml.safe_load((REPOSITORY / "_config.yml").read_text(encoding="utf-8"))
    configuration["sphinx"]["local_extensions"] = dict.fromkeys(("guard", "markup", "profiled"), "book/_ext")
    own = configuration["sphinx"]["config"]
    configuration["sphinx"]["config"] = {k: v for k, v in own.items() if not k.startswith("autodoc")}
    configuration["sphinx"]["extra_extensions"].remove("sphinx-mathjax-offline")  # 24 MB to copy
    book.write("_config.yml", yaml.safe_dump(configuration))
    return book
