"""Do the tests notice a wrong line? Random small changes of the core, each against the tests that run it.

    python benchmarks/mutants.py --count 150 --seed 0 --minutes 30 > drawn.txt
    python benchmarks/mutants.py --again drawn.txt    # what lived, once there are tests for it
    python benchmarks/mutants.py --listed             # does a test notice one that is listed as equivalent?

mutmut leaves constants of a module, defaults of a class and decorated functions alone and draws no sample;
cosmic-ray runs one command for every change. Here each change is made in a copy of the repository, in a
process forked from one that has imported torch, and judged by those tests of the library whose coverage
reaches it, the quickest first; tests that build pages or notebooks are not asked. A change that cannot change
a result is listed, with the reason, in tests/equivalent_mutants.yml. Exit status 1: too many lived. The
coverage is kept in _build/mutants, for each file of tests, until that file or the library changes.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import importlib
import itertools
import json
import multiprocessing
import os
import random
import re
import resource
import shutil
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from tempfile import mkdtemp

import coverage
import pytest
import yaml
from mutations import Mutant, mutants

from lib.pipes import reader_may_leave

ROOT = Path(__file__).resolve().parents[1]
WORK = ROOT / "_build" / "mutants"
EQUIVALENT = ROOT / "tests" / "equivalent_mutants.yml"
ROOMS = ("dynamics", "geometry.py", "merging", "metrics", "probe", "records", "scenes", "spectra", "vggt")
CORE = (*ROOMS, "training/losses.py")
HEAVY = ("torch", "scipy.stats", "scipy.spatial", "scipy.integrate", "hypothesis", "evo", "matplotlib.pyplot")
TESTS = ["-q", "-m", "not book and not long", "-p", "no:cacheprovider", "--hypothesis-seed=0"]
EACH = 30.0  # processor seconds of tests for one change
ENDLESS = 60  # processor seconds beyond three times its tests after which a change counts as noticed


Lines = dict[int, set[str]]


@dataclass
class Covering:
    """Which test runs which line: seconds of each test, and the tests of each line of each file."""

    seconds: dict[str, float] = field(default_factory=dict)
    lines: dict[str, dict[int, set[str]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(set))
    )

    def tests(self, mutant: Mutant) -> list[str]:
        """Tests that run a changed line, or for one that runs at import any of its file.

        Tests in the file that is named after the changed one come first; of each test one variant, then a
        second; among them the quickest.
        """
        lines, (first, last) = self.lines[mutant.file], mutant.span
        found = set().union(*(lines[n] for n in range(first, last + 1) if n in lines))
        if not found or first not in inside_functions(mutant.file):
            found = set().union(*lines.values())
        variants: Counter[str] = Counter()
        order = []
        for test in sorted(found, key=lambda t: (self.seconds[t], t)):
            variants[test.split("[")[0]] += 1
            far = Path(mutant.file).stem not in Path(test.split("::")[0]).stem
            order.append((far, variants[test.split("[")[0]], self.seconds[test], test))
        chosen, spent = [], 0.0
        for _, _, seconds, test in sorted(order):
            spent += seconds
            if spent > EACH and chosen:
                break
            chosen.append(test)
        return chosen


@cache
def inside_functions(file: str) -> frozenset[int]:
    """Lines of a file that run when a function is called; all others run at import."""
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)]
    return frozenset(k for f in functions for k in range(f.body[0].lineno, (f.end_lineno or 0) + 1))


class Watch:
    """A pytest plugin: a context of coverage for each test, one for the fixtures that a file shares."""

    def __init__(self, measured: coverage.Coverage) -> None:
        self.measured, self.seconds, self.failed = measured, {}, set()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        begin = time.process_time()
        self.measured.switch_context(item.nodeid)
        result = yield
        self.seconds[item.nodeid] = time.process_time() - begin
        self.measured.switch_context("")
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef, request: pytest.FixtureRequest) -> Iterator:
        shared = fixturedef.scope != "function"
        if shared:
            self.measured.switch_context(request.node.nodeid.split("::")[0] or "tests")
        result = yield
        if shared:
            self.measured.switch_context(request._pyfuncitem.nodeid)
        return result

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if not report.passed:
            self.failed.add(report.nodeid)


def copy_of_the_repository(folder: Path) -> Path:
    """Everything but data (linked) and what is hidden or built."""
    for entry in ROOT.iterdir():
        if entry.name.startswith((".", "_build", "records")):
            continue
        if entry.name == "data":
            (folder / "data").symlink_to(entry)
        elif entry.is_dir():
            shutil.copytree(entry, folder / entry.name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(entry, folder)
    return folder


@contextmanager
def as_if_started_in(folder: Path, output: Path) -> Iterator[None]:
    """For a forked process: the copy's `lib`, its own output, no reference numbers, low priority."""
    os.nice(max(0, 5 - os.nice(0)))
    os.environ["VGGT_GOLDEN"] = os.devnull
    os.chdir(folder)
    sys.path[:0] = [str(folder)]
    for name in [name for name in sys.modules if name.split(".")[0] == "lib"]:
        del sys.modules[name]  # the parent's; what is judged is the copy's
    with output.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        yield
        sys.stdout.flush()


def measure(folder: Path, name: str, target: Path) -> None:
    """Run a file of tests in a copy and write what each line of the library is run by."""
    measured = coverage.Coverage(data_file=None, include=[str(folder / "lib" / "*")], config_file=False)
    watch = Watch(measured)
    with as_if_started_in(folder, target.with_suffix(".txt")):
        measured.start()
        pytest.main([*TESTS, name], plugins=[watch])
        measured.stop()
    data, found = measured.get_data(), {}
    for path in data.measured_files():
        found[Path(path).relative_to(folder).as_posix()] = data.contexts_by_lineno(path)
    passed = {test: s for test, s in watch.seconds.items() if test not in watch.failed}
    target.write_text(json.dumps({"seconds": passed, "lines": found}))


def covering(folder: Path, workers: int) -> Covering:
    """The coverage of all tests, measured anew where a file of tests or the library has changed."""
    WORK.mkdir(parents=True, exist_ok=True)
    tests = sorted(p.relative_to(ROOT).as_posix() for p in (ROOT / "tests").glob("test_*.py"))
    helpers = [p for p in (ROOT / "tests").glob("*.py") if not p.name.startswith("test_")]
    base = _hash([*sorted((ROOT / "lib").rglob("*.py")), *sorted(helpers)])
    parts = {name: WORK / f"{_hash([ROOT / name])}-{base}.json" for name in tests}
    todo = [(folder, name, part) for name, part in parts.items() if not part.is_file()]
    print(f"{len(todo)} of {len(parts)} files of tests to be measured", flush=True)
    with multiprocessing.get_context("fork").Pool(workers, maxtasksperchild=1) as pool:
        pool.starmap(measure, todo, chunksize=1)
    return _merged([json.loads(part.read_text()) for part in parts.values() if part.is_file()])


def _hash(files: Sequence[Path]) -> str:
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in files)).hexdigest()[:12]


def _merged(parts: list[dict]) -> Covering:
    whole = Covering()
    for part in parts:
        whole.seconds |= part["seconds"]
        for file, lines in part["lines"].items():
            for number, contexts in lines.items():
                for context in filter(None, contexts):
                    named = [context] if "::" in context else part["seconds"]  # a fixture of the whole file
                    whole.lines[file][int(number)] |= {test for test in named if test in part["seconds"]}
    return whole


def judge(folder: Path, tests: list[str], seconds: float) -> None:
    """In a forked process: run the tests, and end with pytest's exit status."""
    limit = int(3 * seconds) + ENDLESS
    resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 5))
    with as_if_started_in(folder, folder / "output.txt"):
        status = pytest.main(["-x", *TESTS, *tests])
    os._exit(int(status))


@dataclass
class Trial:
    """A change in a copy of the repository, and the process that judges it."""

    mutant: Mutant
    folder: Path
    process: BaseProcess
    until: float

    @property
    def verdict(self) -> str:
        """What noticed the change; "" where nothing did."""
        code = self.process.exitcode
        lines = (self.folder / "output.txt").read_text(errors="replace").splitlines()
        named = [line.split(" - ")[0].split()[-1] for line in lines if line.startswith(("FAILED", "ERROR"))]
        if code is None or code < 0:
            return "endless, or out of memory"
        return "" if code == 0 else (named or ["nothing can be collected"])[0]


def start(mutant: Mutant, folder: Path, whole: Covering, serial: int) -> Trial:
    """Write the change into the copy and fork; a time of its own keeps stale bytecode out."""
    path = folder / mutant.file
    path.write_text(mutant.apply((ROOT / mutant.file).read_text(encoding="utf-8")), encoding="utf-8")
    os.utime(path, (serial, serial))
    tests = whole.tests(mutant)
    seconds = sum(whole.seconds[test] for test in tests)
    process = multiprocessing.get_context("fork").Process(target=judge, args=(folder, tests, seconds))
    process.start()
    return Trial(mutant, folder, process, time.monotonic() + 10 * (seconds + ENDLESS))


def judged(
    wanted: Sequence[Mutant], folders: list[Path], whole: Covering, end: float
) -> Iterator[tuple[Mutant, str]]:
    """Each change and what noticed it, as they end; none is begun after `end`."""
    left, free, running, serial = list(wanted), list(folders), [], 10**9
    while running or (left and time.monotonic() < end):
        while left and free and time.monotonic() < end:
            mutant, serial = left.pop(0), serial + 2
            if not whole.tests(mutant):
                yield mutant, ""
                continue
            running.append(start(mutant, free.pop(), whole, serial))
        wait([trial.process.sentinel for trial in running], timeout=5)
        for trial in list(running):
            if trial.process.is_alive() and time.monotonic() < trial.until:
                continue
            trial.process.kill()
            trial.process.join()
            running.remove(trial)
            shutil.copy2(ROOT / trial.mutant.file, trial.folder / trial.mutant.file)
            free.append(trial.folder)
            yield trial.mutant, trial.verdict


def candidates() -> list[Mutant]:
    """Every change of the core, in the order of its files and lines."""
    found = []
    for name in CORE:
        path = ROOT / "lib" / name
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            found += mutants(file.read_text(encoding="utf-8"), file.relative_to(ROOT).as_posix())
    return found


def equivalent() -> dict[tuple[str, str, str], str]:
    """Reason of each change that is known to change no result, by the name of the change."""
    listed = yaml.safe_load(EQUIVALENT.read_text(encoding="utf-8")) or []
    return {(entry["file"], entry["line"], entry["change"]): entry["reason"] for entry in listed}


def survivors(printed: Path) -> set[tuple[str, str, str]]:
    """File, old and new text of each change that lived in an earlier draw, from what it printed."""
    found = re.findall(
        r"^survived +(\S+):\d+  (.*)  ->  (.*)  \[\d+ tests passed\]$", printed.read_text(), re.MULTILINE
    )
    return {(file, old, new) for file, old, new in found}


def main(arguments: argparse.Namespace) -> int:
    """Draw, judge, print; exit status."""
    everything, known = candidates(), equivalent()
    random.Random(arguments.seed).shuffle(everything)
    if arguments.again:
        lived = survivors(arguments.again)
        everything = [m for m in everything if (m.file, m.old, m.new) in lived]
    if arguments.listed:
        everything, known, arguments.count = [m for m in everything if m.name in known], {}, len(known)
    python = (m for m in everything if m.compiles((ROOT / m.file).read_text(encoding="utf-8")))
    drawn = list(itertools.islice(python, arguments.count))
    print(f"{len(drawn)} of {len(everything)} changes of the core, seed {arguments.seed}", flush=True)
    for name in HEAVY:
        importlib.import_module(name)
    base = Path(mkdtemp(prefix="mutants-"))
    folders = [base / str(k) for k in range(arguments.workers)]
    for folder in folders:
        folder.mkdir()
        copy_of_the_repository(folder)
    whole, count = covering(folders[0], arguments.workers), Counter()
    end = time.monotonic() + 60 * arguments.minutes
    unlisted = [mutant for mutant in drawn if mutant.name not in known]
    count["equivalent"] = len(drawn) - len(unlisted)
    for mutant, noticed in judged(unlisted, folders, whole, end):
        word = "killed" if noticed else "survived"
        count[word] += 1
        by = noticed or f"{len(whole.tests(mutant))} tests passed"
        print(f"{word:9}{mutant.file}:{mutant.number}  {mutant.old}  ->  {mutant.new}  [{by}]", flush=True)
    shutil.rmtree(base)
    run = count["killed"] + count["survived"]
    share = (count["killed"] + count["equivalent"]) / max(1, run + count["equivalent"])
    print(
        f"{run} run, {count['killed']} killed, {count['survived']} survived; {count['equivalent']} listed as "
        f"equivalent; {len(unlisted) - run} not run for lack of time: {share:.1%} killed or equivalent"
    )
    return int(count["killed"] > 0 if arguments.listed else share < arguments.least)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=150, help="how many changes to draw")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--again", type=Path, help="output of an earlier draw: judge what lived in it anew")
    parser.add_argument("--listed", action="store_true", help="judge what is listed; none may be killed")
    parser.add_argument("--minutes", type=float, default=30.0, help="no change is begun after so many")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--least", type=float, default=0.95, help="share killed or equivalent that is enough")
    with reader_may_leave():
        sys.exit(main(parser.parse_args()))
