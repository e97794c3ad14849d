"""Sweeps through a real Slurm of one node on loopback: complete, killed, started twice; `make slurm`.

The node lives as long as these tests (`tests/slurm/one_node.sh`); ``ONE_NODE_LOGS=FOLDER`` keeps its logs.
"""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import small_sweep
from small_sweep import FINISHED, Sweep, ended, wait

SCRIPT = Path(__file__).parent / "slurm" / "one_node.sh"
LIFE = 1500  # seconds after which the node ends, whatever becomes of the tests
NEEDED = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel")
PATH = f"{os.environ['PATH']}{os.pathsep}/usr/sbin{os.pathsep}/sbin"
ABSENT = [name for name in NEEDED if shutil.which(name, path=PATH) is None]
WORKERS = 3
JOBS = ("--executor", "slurm", "--time", "10")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.book,
    pytest.mark.long,
    pytest.mark.skipif(bool(ABSENT), reason=f"no {', '.join(ABSENT)}: install slurm-wlm and munge"),
]


@pytest.fixture(scope="module")
def node() -> Iterator[str]:
    """A Slurm of one node; SLURM_CONF for whoever asks it."""
    command = ["bash", str(SCRIPT), str(LIFE), "sh", "-c", 'echo "$SLURM_CONF"; cat']
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as script:
        assert script.stdin and script.stdout
        configuration = script.stdout.readline().strip()
        assert configuration, "Slurm did not start; what it said is above"
        yield configuration
        script.stdin.close()  # ends the script's command, and so the script
    assert script.returncode == 0
    assert not Path(configuration).exists()


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A book of which FINISHED runs are there."""
    root = tmp_path_factory.mktemp("book")
    small_sweep.make(root)
    return root


@pytest.fixture
def sweep(begun: Path, node: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sweep]:
    """A sweep of which FINISHED runs are there, to be continued on the node."""
    monkeypatch.setenv("SLURM_CONF", node)
    shutil.copytree(begun, tmp_path / "book", symlinks=True)
    made = Sweep(tmp_path / "book", WORKERS, JOBS)
    before = made.hashes()
    yield made
    after = made.hashes()
    assert len(after) == len(made.seeds), "the grid is complete"
    assert {name: after[name] for name in before} == before, "no finished record was lost or changed"


def queue() -> list[str]:
    """Numbers of the jobs that Slurm knows as not ended."""
    asked = ["squeue", "--noheader", "--format", "%i"]
    return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split()


def test_a_sweep_completes(sweep: Sweep) -> None:
    status, said = ended(sweep.start())
    assert status == 0, said
    assert sweep.ran() == sweep.seeds[FINISHED:]
    assert said.endswith(f"{len(sweep.seeds) - FINISHED} ran, {FINISHED} were current")
    wait(lambda: queue() == [])  # a job leaves it after its result
    logs = list((sweep.root / "_build" / "runs" / "logs").glob("*.log"))
    assert len(logs) == len(sweep.seeds)
    assert not list((sweep.root / "_build" / "runs" / "logs").glob("sweep-*"))


def test_killed_jobs_lose_nothing(sweep: Sweep) -> None:
    sweep.hold()
    sweeping = sweep.start()
    sweep.started()
    killed = queue()[:2]
    subprocess.run(["scancel", "--signal", "KILL", "--full", *killed], check=True)
    wait(lambda: not {*killed} & {*queue()})
    sweep.go()
    status, said = ended(sweeping)
    assert status == 1 and len(list((sweep.root / "_build" / "runs" / "failed").iterdir())) == 2, said
    assert len(sweep.hashes()) == len(sweep.seeds) - 2
    status, said = ended(sweep.start("--retry-failed"))
    assert status == 0 and "2 ran" in said, said


def test_a_killed_sweep_loses_nothing(sweep: Sweep) -> None:
    """Its jobs go on in Slurm; a second sweep, asked at once, waits for them and runs none again."""
    sweep.hold()
    sweeping = sweep.start()
    sweep.started()
    sweeping.kill()
    assert sweeping.wait() == -signal.SIGKILL
    again = sweep.start()
    wait(lambda: len(queue()) > len(sweep.seeds) - FINISHED)
    sweep.go()
    status, said = ended(again)
    assert status == 0, said
    assert sweep.ran() == sweep.seeds[FINISHED:]


def test_two_sweeps_never_do_a_run_twice(sweep: Sweep) -> None:
    both = [sweep.start(), sweep.start()]
    for sweeping in both:
        status, said = ended(sweeping)
        assert status == 0, said
    assert sweep.ran() == sweep.seeds[FINISHED:]


def test_a_stopped_sweep_takes_its_jobs_from_the_queue(sweep: Sweep) -> None:
    sweep.hold()
    sweeping = sweep.start()
    sweep.started()
    os.killpg(sweeping.pid, signal.SIGINT)
    status, said = ended(sweeping)
    assert status == 130 and "the same command goes on" in said
    wait(lambda: queue() == [])
    sweep.go()
    assert ended(sweep.start())[0] == 0


def test_what_slurm_refuses_is_told_in_its_words(sweep: Sweep) -> None:
    status, said = ended(sweep.start("--slurm", "partition=none"))
    assert status == 1
    assert "error: Slurm does not take the job: sbatch: error: invalid partition specified: none" in said
    assert ended(sweep.start())[0] == 0


def test_a_job_that_runs_out_of_time_is_a_failure_with_its_cell(sweep: Sweep) -> None:
    sweep.hold()
    status, said = ended(sweep.start("--time", "2"))
    assert status == 1, said
    assert said.count("failed in cell 3: UncompletedJobError: Job not requeued because: timed-out") == WORKERS
    sweep.go()
    assert ended(sweep.start("--retry-failed"))[0] == 0
