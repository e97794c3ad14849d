"""How many pages and runs a build repeats after each of eight typical edits; nothing is executed.

    python benchmarks/edits.py

Each commit is unpacked, each edit made there, and the keys before and after are compared. Runs: their keys.
Pages: in the older commit, every page that executes, where anything below HASHED changed; now at most those
whose cells reach a changed module by import, or name the notebook of a run or measurement whose key changed
(the build itself goes by what a page's last execution really used, which is never more). A record goes into
data/measurements.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from lib import records
from lib.pipes import reader_may_leave

EXPERIMENT = "benchmarks.edits"
BEFORE = "0896ad2"
# what is edited: (in words, file then, file now, text, text instead)
EDITS = (
    (
        "font size of all figures",
        "lib/figures/style.py",
        "book/study/style.py",
        '"font.size": ',
        '"font.size": 1',
    ),
    ("a legend of one topic", "lib/figures/scaling.py", "book/study/rivals/draw.py", "legend(", "legend( "),
    (
        "wording of a claim",
        "lib/verdicts/claims/entropy.py",
        "book/study/entropy/claims.yml",
        "uniform",
        "even",
    ),
    ("a merging rule", "lib/merging/grid.py", "lib/merging/grid.py", "return ", "return  "),
    ("attention layers", "lib/vggt/layers.py", "lib/vggt/layers.py", "return ", "return  "),
    ("a docstring", "lib/vggt/layers.py", "lib/vggt/layers.py", '"""', '"""Indeed: '),
    ("training data", "lib/training/data.py", "lib/training/data.py", "return ", "return  "),
    ("an entry of the bibliography", "book/references.bib", "book/references.bib", "year", " year"),
)
HASHED = ("lib/", "data/", "book/_ext/")  # keyed every page before
NOTEBOOK = re.compile(r"book/runs/(\w+)\.(?:ipynb|yml)")
CELL = re.compile(r"^```\{code-cell\}[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
OPENED = re.compile(r"open_chapter\(\"(\w+)\"\)")


def cells(page: Path) -> str:
    """The code of a page, or nothing."""
    text = page.read_text(encoding="utf-8")
    if page.suffix == ".ipynb":
        code = [c for c in json.loads(text)["cells"] if c["cell_type"] == "code"]
        return "\n".join("".join(c["source"]) for c in code)
    bodies = (re.sub(r"\A(:[\w-]+:.*\n|---\n(.*\n)*?---\n)+", "", body) for body in CELL.findall(text))
    return "\n".join(bodies)


def pages(root: Path) -> dict[str, str]:
    """Pages in the table of contents that execute: name and code."""
    named = re.findall(r"(?:root|file): (\S+)", (root / "_toc.yml").read_text(encoding="utf-8"))
    files = [next(p for s in (".md", ".ipynb") if (p := root / f"{name}{s}").is_file()) for name in named]
    return {p.relative_to(root).as_posix(): code for p in files if (code := cells(p))}


def run_keys(root: Path) -> dict[str, str]:
    """Key of every declared run, and of what every measurement would be now, by notebook and parameters."""
    from book.study.profile import BOOK

    keys = {job.label: job.origin.key for job in BOOK.jobs()}
    for path in sorted((root / "data" / "measurements").rglob("*.json")):
        about = json.loads(path.read_text(encoding="utf-8"))
        try:
            now = records.key(about["experiment"], about["params"], root)
        except (FileNotFoundError, ValueError):
            continue
        keys[f"measured {about['experiment']} {json.dumps(about['params'])}"] = now
    return keys


def page_keys(root: Path, runs: dict[str, str]) -> dict[str, str]:
    """What each page depends on at most, as text: modules that its cells reach, and runs that they name."""
    from lib.records.code import closure, hash_code, significant

    found = {}
    for name, code in pages(root).items():
        files = closure(code, "", root)
        files |= {root / "book" / "study" / topic / "claims.yml" for topic in OPENED.findall(code)}
        sources = [code, *(significant(p.read_text()) for p in files if p.suffix == ".py")]
        notebooks = {stem for source in sources for stem in NOTEBOOK.findall(source)}
        every = re.search(r"sweep\.declared\(|runs/\{", code)
        named = {k: v for k, v in runs.items() if every or any(f"/{stem}.ipynb" in k for stem in notebooks)}
        named |= {
            k: v for k, v in runs.items() if k.startswith("measured benchmarks.") and "load_measured" in code
        }
        hashes = {p.relative_to(root).as_posix(): hash_code(p) for p in files}
        found[name] = json.dumps([code, hashes, named], sort_keys=True)
    return found


def state(root: Path, whole: bool) -> tuple[dict[str, str], dict[str, str]]:
    """Keys of runs and of pages now; ``whole``: every page by all of lib and data, as before."""
    runs = run_keys(root)
    if not whole:
        return runs, page_keys(root, runs)
    files = [p for top in HASHED for p in (root / top).rglob("*") if p.is_file() and p.suffix != ".pyc"]
    everything = str(hash(tuple((str(p), p.read_bytes()) for p in sorted(files)))) + json.dumps(runs)
    return runs, {name: code + everything for name, code in pages(root).items()}


def counts(root: Path, whole: bool) -> Iterator[tuple[int, int]]:
    """Pages and runs repeated after each edit, which is taken back."""
    runs, before = state(root, whole)
    for _, then, now, old, new in EDITS:
        path = root / (then if whole else now)
        text = path.read_text(encoding="utf-8")
        assert old in text, f"{path} has no {old!r}"
        path.write_text(text.replace(old, new, 1), encoding="utf-8")
        after_runs, after = state(root, whole)
        path.write_text(text, encoding="utf-8")
        declared = [label for label in runs if not label.startswith("measured")]
        yield sum(after[n] != before[n] for n in before), sum(after_runs[n] != runs[n] for n in declared)


def unpacked(commit: str, folder: Path) -> Path:
    """The files of a commit."""
    content = subprocess.run(
        ["git", "archive", commit], cwd=records.ROOT, check=True, capture_output=True
    ).stdout
    subprocess.run(["tar", "-x"], cwd=folder, input=content, check=True)
    return folder


def measured(commit: str, whole: bool) -> list[list[int]]:
    """`counts` of a commit, by that commit's own library in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        root = unpacked(commit, Path(folder).resolve())
        command = [sys.executable, str(Path(__file__).resolve()), "--in", str(root), *["--whole"] * whole]
        done = subprocess.run(
            command, env=os.environ | {"PYTHONPATH": str(root)}, check=True, stdout=subprocess.PIPE, text=True
        )
        return json.loads(done.stdout)


def main() -> None:
    """Measure both commits and write the record, or (``--in``) count in one folder."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--in", dest="folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--whole", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.folder:
        print(json.dumps(list(counts(asked.folder, asked.whole))))
        return
    run = records.begin(EXPERIMENT, {"before": BEFORE})
    head = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=records.ROOT, check=True, capture_output=True, text=True
    ).stdout.strip()
    executing = len(pages(records.ROOT))  # read, like the commit, before anything can move on
    then, now = measured(BEFORE, whole=True), measured(head, whole=False)
    found = {
        "commit": (head, "1"),
        "edits": ([words for words, *_ in EDITS], "1"),
        **{
            f"pages_{when}": ([p for p, _ in table], "pages")
            for when, table in (("before", then), ("now", now))
        },
        **{
            f"runs_{when}": ([r for _, r in table], "runs")
            for when, table in (("before", then), ("now", now))
        },
        "pages": (executing, "pages"),
    }
    for words, before, after in zip(found["edits"][0], then, now, strict=True):
        print(f"{words:32} pages {before[0]:3} -> {after[0]:3}   runs {before[1]:3} -> {after[1]:3}")
    print("wrote", records.save(run.finish(found), records.MEASUREMENTS / "cpu"))


if __name__ == "__main__":
    with reader_may_leave():
        main()
