"""The same run again, in another place and started by hand, gives the same bits as the book's record."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from book.study import profile
from lib import records, sweep
from lib.records.store import read

ROOT = records.ROOT
LONGEST = 12.0  # seconds of the original run; slower experiments share their code with these
NOTEBOOKS = ("advice", "heatmaps", "reconstruction", "runtime", "rivals", "fusion")


def quickest(name: str) -> sweep.Job:
    """The declared run of an experiment that took least time."""
    jobs = [j for j in profile.default().jobs() if Path(j.origin.experiment).stem == name]
    built = [j for j in jobs if j.record.is_file()]
    if not built:
        pytest.skip(f"no record of {name} is here: run `make book` first")
    best = min(built, key=lambda job: read(job.record).seconds)
    if read(best.record).seconds > LONGEST:
        pytest.skip(f"the quickest run of {name} took more than {LONGEST:g} s on this machine")
    return best


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project whose records are its own."""
    root = tmp_path_factory.mktemp("elsewhere")
    shutil.copytree(ROOT / "lib", root / "lib", ignore=shutil.ignore_patterns("__pycache__"))
    for folder in ("book", "data"):
        (root / folder).symlink_to(ROOT / folder)
    return root


@pytest.mark.slow
@pytest.mark.book
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_run_again_gives_the_same_bits(elsewhere: Path, name: str) -> None:
    job = quickest(name)
    code = (
        "import json, sys, papermill; notebook, params = json.loads(sys.argv[1]); "
        "papermill.execute_notebook(notebook, 'out.ipynb', parameters=params, progress_bar=False)"
    )
    environment = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"}
    arguments = json.dumps([job.origin.experiment, job.origin.params])
    done = subprocess.run(
        [sys.executable, "-c", code, arguments],
        cwd=elsewhere,
        env=environment | {"PYTHONPATH": str(elsewhere)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    again = read(elsewhere / "records" / job.record.name)
    assert again.comparable() == read(job.record).comparable()
