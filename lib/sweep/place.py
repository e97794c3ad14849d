"""Where the runs of a sweep go on, and what each may use: this machine, or Slurm, both through submitit."""

import argparse
import getpass
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from types import MappingProxyType
from typing import Any

import submitit
from submitit.core.utils import FailedSubmissionError, UncompletedJobError

LONGEST = 7 * 24 * 60  # minutes after which submitit gives a run up; its own default is two
COMMANDS = ("sbatch", "srun", "squeue", "scancel")
LOOK = 5.0  # seconds between two questions to Slurm's controller
SETTLE = 5.0  # seconds that a shared disk may take to show what a job wrote that has left the queue
TIME = re.compile(r"(?:(?P<days>\d+)-)?(?P<first>\d+)(?::(?P<second>\d+))?(?::(?P<third>\d+))?")


@dataclass(frozen=True)
class Place:
    """Where, how many runs at a time, and what each gets.

    Attributes:
        executor: "local" or "slurm".
        jobs: runs at a time.
        gpus: of each run.
        cpus: of each; None: this machine's by `jobs`, on Slurm one.
        memory: GB of each; None: as Slurm gives.
        minutes: its longest time; None: a week.
        slurm: other options of sbatch, without their dashes.

    Raises:
        ValueError: a value out of range, an option of Slurm without Slurm, or Slurm without a time.
        OSError: Slurm's commands are not on the path, or there are not so many GPUs here.
    """

    executor: str = "local"
    jobs: int = 2
    gpus: int = 0
    cpus: int | None = None
    memory: float | None = None
    minutes: int | None = None
    slurm: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        """Check what was asked for."""
        if self.executor not in {"local", "slurm"}:
            raise ValueError(f"--executor {self.executor}, needed is local or slurm")
        if self.jobs < 1:
            raise ValueError(f"{self.jobs} runs at a time, needed is at least 1")
        least = {"gpus": 0, "cpus": 1, "memory": 0.001, "minutes": 1}
        for name, bound in least.items():
            if (value := getattr(self, name)) is not None and value < bound:
                flag = "--time" if name == "minutes" else f"--{name}-per-job"
                raise ValueError(f"{flag} {value}, needed is at least {bound}")
        if self.executor == "slurm":
            self._check_slurm()
            return
        for flag, asked in (("--memory-per-job", self.memory), ("--slurm", self.slurm)):
            if asked:
                raise ValueError(f"{flag} is for --executor slurm: this machine gives a run what it takes")
        if self.gpus * self.jobs > len(here := gpus_here() if self.gpus else []):
            raise OSError(
                f"--jobs {self.jobs} --gpus-per-job {self.gpus} needs {self.gpus * self.jobs} GPUs, "
                f"of which {len(here)} are here; give fewer, or --executor slurm"
            )

    def _check_slurm(self) -> None:
        if self.minutes is None:
            raise ValueError(
                "--executor slurm needs --time, the longest that one run may take, e.g. --time 2:00:00"
            )
        if absent := [name for name in COMMANDS if shutil.which(name) is None]:
            raise OSError(
                f"--executor slurm needs {', '.join(absent)}: not on the path. Ask from a node that "
                "submits jobs, or leave --executor out"
            )

    @property
    def threads(self) -> int:
        """Processor cores of a run."""
        share = (os.cpu_count() or 1) // self.jobs if self.executor == "local" else 1
        return self.cpus or max(1, share)

    def slots(self) -> list[str | None]:
        """The GPUs of each of the runs at a time here (``CUDA_VISIBLE_DEVICES``); None: all of them."""
        if not self.gpus or self.executor == "slurm":
            return [os.environ.get("CUDA_VISIBLE_DEVICES")] * self.jobs
        here = gpus_here()
        return [",".join(here[k * self.gpus : (k + 1) * self.gpus]) for k in range(self.jobs)]


def gpus_here() -> list[str]:
    """NVIDIA's GPUs that a process of this machine may use, by number or name."""
    if (visible := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [name for name in visible.split(",") if name.strip()]
    if shutil.which("nvidia-smi") is None:
        return []
    listed = subprocess.run(["nvidia-smi", "--list-gpus"], capture_output=True, text=True).stdout
    return [str(number) for number, line in enumerate(re.findall(r"^GPU \d+:", listed, re.MULTILINE))]


def minutes(text: str) -> int:
    """Whole minutes, rounded up, of a time as Slurm writes it: M, M:S, H:M:S, D-H, D-H:M, D-H:M:S.

    >>> minutes("90"), minutes("1:30:00"), minutes("2-12")
    (90, 90, 3600)

    Raises:
        ValueError: it is none.
    """
    if (match := TIME.fullmatch(text.strip())) is None:
        raise ValueError(f"--time {text} is no time; give minutes (90), H:M:S (1:30:00) or D-H (2-12)")
    given = [int(match[part] or 0) for part in ("first", "second", "third")]
    if match["days"] is not None:
        hours, over, seconds = given
        hours += 24 * int(match["days"])
    elif match["third"] is not None:
        hours, over, seconds = given
    else:
        hours, (over, seconds) = 0, given[:2]
    return hours * 60 + over + -(-seconds // 60)


def options(parser: argparse.ArgumentParser) -> None:
    """Add what says where a sweep's runs go on."""
    add = parser.add_argument
    add(
        "--executor", default="local", help="local: processes of this machine (default); slurm: jobs of Slurm"
    )
    add("--jobs", type=int, default=2, metavar="K", help="runs at a time (default 2)")
    add("--gpus-per-job", type=int, default=0, metavar="K", help="GPUs of each run; here: GPUs of its own")
    add("--cpus-per-job", type=int, metavar="K", help="cores of each run beside its GPU (slurm: 1)")
    add("--memory-per-job", type=float, metavar="GB", help="memory of each run, slurm only")
    add("--time", metavar="H:M:S", help="longest time of each run; slurm needs it")
    add("--slurm", nargs="+", default=[], metavar="NAME=VALUE", help="other options of sbatch: account=…")


def chosen(asked: argparse.Namespace) -> Place:
    """What a command line asked for.

    Raises:
        ValueError, OSError: as `Place`; a time that is none; an option of sbatch without its value.
    """
    pairs = [pair.removeprefix("--").partition("=") for pair in asked.slurm]
    for name, _, value in pairs:
        if not re.fullmatch(r"[a-z][a-z-]*", name) or not value:
            raise ValueError(f"--slurm {name}, needed is NAME=VALUE with an option of sbatch: account=mine")
    return Place(
        executor=asked.executor,
        jobs=asked.jobs,
        gpus=asked.gpus_per_job,
        cpus=asked.cpus_per_job,
        memory=asked.memory_per_job,
        minutes=None if asked.time is None else minutes(asked.time),
        slurm={name.replace("-", "_"): value for name, _, value in pairs},
    )


def executor(folder: Path, place: Place) -> submitit.Executor:
    """What starts the processes of a sweep: the one place that knows where they run.

    Args:
        folder: for submitit's own files; on a cluster every node sees it.
    """
    made = submitit.AutoExecutor(folder, cluster=place.executor)
    made.update_parameters(
        timeout_min=place.minutes or LONGEST, cpus_per_task=place.threads, stderr_to_stdout=True
    )
    if place.executor == "slurm":
        made.update_parameters(
            name="sweep",
            slurm_additional_parameters=dict(place.slurm),
            # Slurm gives notice a minute early where it likes: not before a short run has begun
            slurm_signal_delay_s=min(90, 15 * (place.minutes or LONGEST)),
            # since Slurm 22.05 a step has one core unless it asks again
            slurm_srun_args=[f"--cpus-per-task={place.threads}"],
            **({"gpus_per_node": place.gpus} if place.gpus else {}),
            **({"mem_gb": place.memory} if place.memory else {}),
        )
    return made


class Queue:
    """Which jobs have ended: on Slurm by their result, or by ``squeue``, which needs no accounting.

    A job that was killed leaves no result; submitit would learn of it from ``sacct``, which not every cluster
    has, and within a minute.
    """

    def __init__(self) -> None:
        self.asked = float("-inf")
        self.there: frozenset[str] = frozenset()
        self.submitted: dict[str, float] = {}
        self.left: dict[str, float] = {}

    def over(self, process: Any) -> bool:
        """Whether a job has ended."""
        if not isinstance(process, submitit.SlurmJob):
            return bool(process.done())
        os.scandir(process.paths.folder).close()  # makes a shared disk look again
        if process.paths.result_pickle.exists():
            return True
        now = time.monotonic()
        since = self.submitted.setdefault(process.job_id, now)
        if now > self.asked + LOOK:
            self.look(now)
        if process.job_id in self.there or self.asked <= since:
            self.left.pop(process.job_id, None)
            return False
        return now > self.left.setdefault(process.job_id, now) + SETTLE

    def look(self, now: float) -> None:
        """Ask Slurm; where its controller does not answer, all is as it was."""
        command = ["squeue", "--noheader", "--user", getpass.getuser(), "--format", "%i"]
        asked = subprocess.run(command, capture_output=True, text=True)
        if asked.returncode == 0:
            self.asked, self.there = now, frozenset(asked.stdout.split())


def seeing_gpus(visible: str | None, call: Callable[..., None], *arguments: Any) -> None:
    """Call in a process that submitit has started on this machine.

    Args:
        visible: the GPUs that it and its kernel see (``CUDA_VISIBLE_DEVICES``); None: all of them.
    """
    os.environ.pop("CUDA_VISIBLE_DEVICES", None)  # submitit sets it to "" where it was asked for no GPU
    if visible is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = visible
    call(*arguments)


def submitted(executor: Any, *call: Any) -> Any:
    """A call on its way, as the executor's job, or in a line why Slurm does not take it."""
    try:
        with redirect_stderr(StringIO()):  # submitit prints the refusal, and raises it too
            return executor.submit(*call)
    except (UncompletedJobError, FailedSubmissionError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        return next((line for line in lines if line.startswith("sbatch: ")), repr(error))
