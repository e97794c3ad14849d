"""Runs forked from a process that has imported what all of them import: each by itself, and guarded."""

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import small_book

from lib.sweep import forks
from lib.sweep.jobs import SweepError

ROOT = Path(__file__).resolve().parents[1]

pytestmark = [pytest.mark.book, pytest.mark.skipif(not forks.POSSIBLE, reason="runs are not forked here")]


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[forks.Forks]:
    made = forks.Forks(tmp_path_factory.mktemp("forks"))
    yield made
    made.close()


def python(started: forks.Forks, source: str, **variables: str) -> str:
    """What a fork prints that runs this source."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        run = started.submit(exec, source, {"__name__": "run"})
    until = time.monotonic() + 60
    while not run.done():
        assert time.monotonic() < until
        time.sleep(0.02)
    return run.paths.stdout.read_text()


def test_every_run_is_a_process_with_an_environment_and_random_numbers_of_its_own(
    started: forks.Forks,
) -> None:
    source = """import os, sys, json, random, tempfile, threading, numpy
print(json.dumps([os.getpid(), os.environ["WHO"], random.random(), numpy.random.rand(), tempfile.mktemp(),
                  os.getppid(), threading.active_count(), len(os.listdir("/proc/self/task"))]))"""
    one, two = (json.loads(python(started, source, WHO=who)) for who in "ab")
    assert (one[1], two[1]) == ("a", "b")
    assert all(a != b for a, b in zip(one[:5], two[:5], strict=True))
    assert one[5:] == two[5:] == [started.server.pid, 1, 1]  # of one thread: safe to fork


def test_nothing_of_the_project_is_there_before_a_run_imports_it(started: forks.Forks) -> None:
    look = "import sys; print([m for m in sys.modules if m.partition('.')[0] in ('lib', 'book')])"
    changed = "import lib.used; lib.used.ROOT = None; " + look
    assert python(started, changed, PYTHONPATH=str(ROOT)) == "['lib', 'lib.used']\n"
    assert python(started, look, PYTHONPATH=str(ROOT)) == "[]\n"


def test_an_exception_is_in_the_log(started: forks.Forks) -> None:
    assert python(started, "raise ValueError('too much')").splitlines()[-1] == "ValueError: too much"


def test_a_run_that_does_not_listen_is_killed(started: forks.Forks) -> None:
    source = (
        "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); print('deaf'); time.sleep(99)"
    )
    run = started.submit(exec, source, {})
    until = time.monotonic() + 60
    while not run.paths.stdout.is_file() or not run.paths.stdout.read_text():
        assert time.monotonic() < until
        time.sleep(0.02)
    run.cancel()
    while not run.done():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_a_killed_server_leaves_its_runs_alone_and_another_takes_its_place(started: forks.Forks) -> None:
    assert python(started, "print(1)") == "1\n"
    before, slow = started.server, started.submit(exec, "import time; time.sleep(.5); print('whole')", {})
    before.kill()
    before.wait()
    assert python(started, "print(2)") == "2\n"
    assert started.server is not before
    while not slow.done():
        time.sleep(0.02)
    assert slow.paths.stdout.read_text() == "whole\n"


def test_a_server_that_does_not_start_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forks, "SERVER", tmp_path / "none.py")
    with pytest.raises(SweepError, match="forked from has ended"):
        forks.Forks(tmp_path).submit(print)


KERNEL = """import os, sys
from pathlib import Path
import matplotlib.pyplot
backend, ours = matplotlib.get_backend(), sorted(m for m in sys.modules if m.startswith("lib.sweep"))
here = [os.getpid(), os.getppid(), os.getsid(0) == os.getpid(), backend, ours]
Path(f"seen-{seed}").write_text(repr(here))"""


@pytest.mark.slow
def test_kernels_are_apart_and_what_no_key_covers_fails(tmp_path: Path) -> None:
    """A run fails for what it imports beside its key; the next of the same server does not."""
    book = small_book.make(tmp_path)
    book.write("lib/aside.py", "")
    run = small_book.RUN.replace("one.ipynb", "many.ipynb")
    aside = "if seed == 0:\n    import importlib\n    importlib.import_module('lib.' + 'aside')"
    cells = small_book.notebook(small_book.PARAMETERS, KERNEL, run, aside, small_book.SAVE)
    book.write("book/runs/many.ipynb", cells)
    options = ("-p", "seed", "0", "1", "--jobs", "1")
    said = book.call(sys.executable, "-m", "lib.sweep", "book/runs/many.ipynb", *options)
    assert "imported lib/aside.py" in said.stderr
    assert "1 ran, 0 were current, 1 failed" in said.stdout
    kernels = [eval((tmp_path / f"seen-{seed}").read_text()) for seed in (0, 1)]
    assert len({process for kernel in kernels for process in kernel[:2]}) == 4
    for kernel in kernels:
        assert kernel[2:] == [True, "module://matplotlib_inline.backend_inline", []]
