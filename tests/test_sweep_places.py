"""Where the runs of a sweep go on: what may be asked for, and what reaches sbatch."""

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lib import sweep
from lib.sweep import command, place

SLURM = ("--executor", "slurm", "--time", "1:00:00")


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Commands of Slurm on the path that take every job, and know it as running until it is in `over`."""
    folder = tmp_path / "bin"
    folder.mkdir()
    says = {"sbatch": "echo Submitted batch job 7", "srun": ":", "scancel": ":"}
    says["squeue"] = f"test -e {tmp_path}/down && exit 1; test -e {tmp_path}/over || echo 7"
    for name, line in says.items():
        (folder / name).write_text(f"#!/bin/sh\n{line}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return tmp_path


def asked(*arguments: str) -> place.Place:
    """What a command line with these options asks for."""
    return place.chosen(command.parser().parse_args(["book/runs/one_run.ipynb", *arguments]))


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        *(("90", 90), ("0:30", 1), ("90:01", 91), ("1:30:00", 90), ("1:30:01", 91)),
        *(("2-0", 2880), ("2-12", 3600), ("1-1:30", 1530), ("1-1:30:10", 1531)),
    ],
)
def test_times_are_read_as_slurm_reads_them(text: str, minutes: int) -> None:
    assert place.minutes(text) == minutes


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--executor", "pbs"), "--executor pbs, needed is local or slurm"),
        (("--executor", "slurm"), "needs --time"),
        (("--jobs", "-1"), "-1 runs at a time, needed is at least 1"),
        (("--gpus-per-job", "-1"), "--gpus-per-job -1, needed is at least 0"),
        (("--cpus-per-job", "0"), "--cpus-per-job 0, needed is at least 1"),
        (("--time", "soon"), "--time soon is no time"),
        (("--time", "1:2:3:4"), "--time 1:2:3:4 is no time"),
        (("--time", "0"), "--time 0, needed is at least 1"),
        (("--memory-per-job", "8"), "--memory-per-job is for --executor slurm"),
        (("--slurm", "account=mine"), "--slurm is for --executor slurm"),
        ((*SLURM, "--memory-per-job", "-8"), "--memory-per-job -8.0, needed is at least"),
        ((*SLURM, "--slurm", "account"), "--slurm account, needed is NAME=VALUE"),
        ((*SLURM, "--slurm", "a b=1"), "--slurm a b, needed is NAME=VALUE"),
    ],
)
def test_what_cannot_be_asked_for_is_one_clear_error(
    cluster: Path, arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sweep.command_line(["book/runs/one_run.ipynb", "--dry-run", *arguments]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: ") and message in said.err and said.err.count("\n") == 1


def test_without_slurm_its_executor_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(OSError, match="needs sbatch, srun, squeue, scancel: not on the path"):
        asked(*SLURM)


def test_runs_here_share_out_the_gpus_that_are_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5,GPU-aa,7")
    assert asked("--jobs", "2", "--gpus-per-job", "2").slots() == ["3,5", "GPU-aa,7"]
    assert asked("--jobs", "3", "--gpus-per-job", "1").slots() == ["3", "5", "GPU-aa"]
    assert asked("--jobs", "2").slots() == ["3,5,GPU-aa,7"] * 2, "nothing asked for: all of them for each"
    with pytest.raises(OSError, match="--jobs 3 --gpus-per-job 2 needs 6 GPUs, of which 4 are here"):
        asked("--jobs", "3", "--gpus-per-job", "2")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(OSError, match="of which 0 are here"):
        asked("--gpus-per-job", "1")


def test_gpus_are_counted_where_nothing_chooses_among_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/bin")
    assert place.gpus_here() == [] or os.path.exists("/bin/nvidia-smi")
    card = "NVIDIA H100 (UUID: GPU-1)"
    (tmp_path / "nvidia-smi").write_text(f"#!/bin/sh\necho 'GPU 0: {card}'\necho 'GPU 1: {card}'\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    assert place.gpus_here() == ["0", "1"]


def script(folder: Path, where: place.Place) -> list[str]:
    """The lines of what submitit hands to sbatch, for one job."""
    made = place.executor(folder, where)
    process = place.submitted(made, print, "here")
    assert not isinstance(process, str) and process.job_id == "7"
    (text,) = folder.glob("*_submission.sh")
    return text.read_text(encoding="utf-8").splitlines()


def test_everything_asked_for_reaches_sbatch(cluster: Path) -> None:
    options = (*SLURM[:3], "1-2:30:00", "--jobs", "5", "--gpus-per-job", "1", "--cpus-per-job", "6")
    more = ("--memory-per-job", "64", "--slurm", "account=vision", "partition=gpu", "mail-type=FAIL")
    lines = script(cluster / "jobs", asked(*options, *more))
    wanted = {"time=1590", "gpus-per-node=1", "cpus-per-task=6", "mem=64GB", "job-name=sweep"}
    wanted |= {"account=vision", "partition=gpu", "mail-type=FAIL"}
    assert {f"#SBATCH --{option}" for option in wanted} <= {*lines}
    (step,) = (line for line in lines if line.startswith("srun "))
    assert "--cpus-per-task=6" in step.split()


def test_what_was_not_asked_for_is_left_to_the_cluster(cluster: Path) -> None:
    text = "\n".join(script(cluster / "jobs", asked(*SLURM)))
    assert "--time=60" in text and "--cpus-per-task=1" in text
    assert not any(word in text for word in ("gpus", "--mem", "partition", "account"))


def test_a_refusal_is_told_in_the_words_of_slurm(cluster: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (cluster / "bin" / "sbatch").write_text(
        "#!/bin/sh\necho 'sbatch: error: invalid partition specified: x' >&2\nexit 1\n"
    )
    made = place.executor(cluster / "jobs", asked(*SLURM))
    assert place.submitted(made, print) == "sbatch: error: invalid partition specified: x"
    assert capsys.readouterr().err == ""


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Lets time pass."""
    now = [1000.0]
    monkeypatch.setattr(place, "time", SimpleNamespace(monotonic=lambda: now[0]))
    return lambda seconds: now.__setitem__(0, now[0] + seconds)


def job_of_slurm(cluster: Path) -> Any:
    return place.submitted(place.executor(cluster / "jobs", asked(*SLURM)), print)


def test_a_job_without_a_result_is_over_once_it_has_left_the_queue(
    cluster: Path, clock: Callable[[float], None]
) -> None:
    process, queue = job_of_slurm(cluster), place.Queue()
    for _ in range(3):
        assert not queue.over(process), "it is in the queue"
        clock(place.LOOK + 1)
    (cluster / "over").touch()
    (cluster / "down").touch()
    clock(place.LOOK + 1)
    assert not queue.over(process), "a controller that does not answer says nothing"
    (cluster / "down").unlink()
    clock(place.LOOK + 1)
    assert not queue.over(process), "the disk may be late"
    clock(place.SETTLE + 1)
    assert queue.over(process)


def test_a_result_ends_a_job_whatever_the_queue_says(cluster: Path, clock: Callable[[float], None]) -> None:
    process, queue = job_of_slurm(cluster), place.Queue()
    assert not queue.over(process)
    process.paths.result_pickle.touch()
    assert queue.over(process)


def test_a_job_is_not_missed_in_a_queue_that_was_looked_at_before_it_came(
    cluster: Path, clock: Callable[[float], None]
) -> None:
    process, queue = job_of_slurm(cluster), place.Queue()
    (cluster / "over").touch()
    queue.look(place.time.monotonic())
    clock(place.LOOK - 1)
    assert not queue.over(process)
    (cluster / "over").unlink()
    clock(place.SETTLE + 1)
    assert not queue.over(process)
