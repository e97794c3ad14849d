"""Command lines of ours end quietly when their reader leaves, as under ``| head``."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TALKS = "import lib.pipes\nwith lib.pipes.reader_may_leave():\n    print('x' * {})"
FAILS = "import lib.pipes\nwith lib.pipes.reader_may_leave():\n    raise {}"


def ended(*command: str) -> tuple[int, str]:
    """Exit status and standard error of a process whose output nobody reads."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    process = subprocess.Popen(
        [sys.executable, *command],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert process.stdout and process.stderr
    process.stdout.close()
    said = process.stderr.read()
    process.stderr.close()
    return process.wait(), said


@pytest.mark.parametrize("letters", [1, 200_000])  # few wait in a buffer until the end
def test_a_reader_that_leaves_is_no_error(letters: int) -> None:
    assert ended("-c", TALKS.format(letters)) == (141, "")


def test_errors_and_statuses_pass() -> None:
    status, said = ended("-c", FAILS.format("ValueError('seen')"))
    assert status == 1 and "ValueError: seen" in said
    assert ended("-c", FAILS.format("SystemExit(3)"))[0] == 3


@pytest.mark.slow
def test_a_sweep_and_training_end_quietly() -> None:
    asked = ("book/runs/one_run.ipynb", "-p", "seed", *map(str, range(300)), "--dry-run")
    assert ended("-m", "lib.sweep", *asked) == (141, "")
    assert ended("-m", "lib.train", "--help")[1] == ""


def test_every_command_line_is_one_of_them() -> None:
    folders = ("lib", "benchmarks", "book", "tests")
    doors = [
        p for f in folders for p in (ROOT / f).rglob("*.py") if p.name == "__main__.py" or calls_itself(p)
    ]
    assert len(doors) > 5
    assert [p.name for p in doors if "reader_may_leave()" not in p.read_text(encoding="utf-8")] == []


def calls_itself(path: Path) -> bool:
    """Whether a file is a script that has `lib` at hand."""
    text = path.read_text(encoding="utf-8")
    return '\nif __name__ == "__main__":\n' in text and "\nfrom lib" in text
