"""One process for each run, of this machine or a job of Slurm."""

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import Any

from submitit.core.utils import environment_variables

from lib import records
from lib.sweep import failures, forks
from lib.sweep.jobs import Job, SweepError
from lib.sweep.place import Place, Queue, executor, seeing_gpus, submitted

POLL = 0.05  # seconds between looks at the runs in progress
GRACE = 3.0  # seconds in which a run that was told to stop takes its kernel down


@contextmanager
def alone(job: Job) -> Iterator[None]:
    """Wait until no other process runs this job; the lock ends with the process that holds it."""
    job.notebook.parent.mkdir(parents=True, exist_ok=True)
    with (job.notebook.parent / "lock").open("a") as file:
        fcntl.lockf(file, fcntl.LOCK_EX, 1, int(job.origin.key, 16) % 2**62)  # one byte stands for one job
        yield


def execute(job: Job) -> None:
    """Run one job with papermill in this process, its kernel in the project's root; keep why it failed.

    A job that another sweep has finished meanwhile is left as it is.

    Raises:
        papermill.PapermillExecutionError: a cell failed.
        SweepError: the notebook wrote no record.
    """
    import papermill  # here, because only the run's own process needs them
    from traitlets.config import Config

    with alone(job), TemporaryDirectory() as sockets, failures.kept(job):
        if records.found(job.record) is not None:
            return
        # By default kernels pick free TCP ports, and two that start at once can pick the same.
        own = {"transport": "ipc", "ip": f"{sockets}/kernel"}
        papermill.execute_notebook(
            records.ROOT / job.origin.experiment,
            job.notebook,
            parameters=job.origin.params,
            cwd=records.ROOT,
            progress_bar=False,
            config=Config({"KernelManager": own}),
            extra_arguments=["--IPKernelApp.exec_lines=from lib import used; used.watch()"],
            shutdown_kernel="immediate",  # its record is written; a stopped run has a second to end
        )
        if records.found(job.record) is None:
            raise SweepError(f"ended without its record {job.record.name}: does it call records.save?")


class Pool:
    """Runs in progress; on leaving, those not yet ended are stopped, and their kernels with them."""

    def __init__(self, place: Place) -> None:
        logs = records.ROOT / "_build" / "runs" / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        self.place, self.free, self.queue = place, place.slots(), Queue()
        self.folder = Path(mkdtemp(prefix="sweep-", dir=logs))
        self.executor = executor(self.folder, place)
        self.forks = forks.Forks(self.folder) if place.executor == "local" and forks.POSSIBLE else None
        self.running: list[tuple[Job, Any, str | None]] = []  # their processes: submitit's, or forks

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, *error: object) -> None:
        """A Ctrl-C reaches the runs of this machine too, so they first get time to end by themselves."""
        for told in (False, True) if self.place.executor == "local" else (True,):
            for _, process, _ in self.running if told else []:
                process.cancel(check=False)
            until = time.monotonic() + GRACE
            while time.monotonic() < until and any(not self.queue.over(p) for _, p, _ in self.running):
                time.sleep(POLL)
        if self.forks is not None:
            self.forks.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self, job: Job) -> str:
        """Start one job at once, or hand it to Slurm; empty, or why Slurm takes no more for now.

        Beside a GPU it gets its share of the cores; on a CPU `records.begin` says how many.

        Raises:
            SweepError: Slurm refuses it, and no other run is on its way.
        """
        paths = [str(records.ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        on_gpu = str(job.origin.params.get("device")).startswith("cuda")
        threads = os.environ.get("OMP_NUM_THREADS") or (self.place.threads if on_gpu else records.CPU_THREADS)
        seeing = [seeing_gpus, self.free[-1]] if self.place.executor == "local" else []
        failures.begun(job)
        starter = self.executor if on_gpu else self.forks or self.executor  # a GPU's driver likes no forks
        with environment_variables(OMP_NUM_THREADS=threads, PYTHONPATH=os.pathsep.join(paths)):
            process = submitted(starter, *seeing, execute, job)
        if isinstance(process, str):
            if not self.running:
                raise SweepError(f"Slurm does not take the job: {process}")
            return process
        self.running.append((job, process, self.free.pop()))
        return ""

    def ended(self) -> list[Job]:
        """Wait until at least one run has ended; those that have, their logs in place."""
        while not (done := [entry for entry in self.running if self.queue.over(entry[1])]):
            time.sleep(POLL)
        for entry in done:
            self.running.remove(entry)
            job, process, slot = entry
            self.free.append(slot)
            if process.paths.stdout.is_file():
                os.replace(process.paths.stdout, job.log)
        return [job for job, _, _ in done]
