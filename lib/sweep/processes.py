"""One process for each run, through submitit."""

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp

import submitit
from submitit.core.utils import environment_variables

from lib import records
from lib.sweep.jobs import Job, SweepError

POLL = 0.05  # seconds between looks at the runs in progress
LONGEST = 7 * 24 * 60  # minutes after which submitit gives a run up; its own default is two
GRACE = 3.0  # seconds in which a run that was told to stop takes its kernel down


@contextmanager
def alone(job: Job) -> Iterator[None]:
    """Wait until no other process runs this job; the lock ends with the process that holds it."""
    job.notebook.parent.mkdir(parents=True, exist_ok=True)
    with (job.notebook.parent / "lock").open("a") as file:
        fcntl.lockf(file, fcntl.LOCK_EX, 1, int(job.origin.key, 16) % 2**62)  # one byte stands for one job
        yield


def execute(job: Job, visible: str | None = None) -> None:
    """Run one job with papermill in this process, its kernel in the project's root.

    A job that another sweep has finished meanwhile is left as it is.

    Args:
        visible: the GPUs that the kernel sees (``CUDA_VISIBLE_DEVICES``); None: all of them.
    Raises:
        papermill.PapermillExecutionError: a cell failed.
        SweepError: the notebook wrote no record.
    """
    import papermill  # here, because only the run's own process needs them
    from traitlets.config import Config

    os.environ.pop("CUDA_VISIBLE_DEVICES", None)  # submitit sets it to "" where it was asked for no GPU
    if visible is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = visible
    with alone(job), TemporaryDirectory() as sockets:
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


def executor(folder: Path, threads: int) -> submitit.Executor:
    """What starts the processes of a sweep: the one place that knows where they run, this machine.

    Args:
        folder: for submitit's own files.
        threads: processor cores that a run may use.
    """
    chosen = submitit.AutoExecutor(folder, cluster="local")
    chosen.update_parameters(timeout_min=LONGEST, cpus_per_task=threads, stderr_to_stdout=True)
    return chosen


class Pool:
    """Runs in progress; on leaving, those not yet ended are stopped, and their kernels with them."""

    def __init__(self, workers: int) -> None:
        logs = records.ROOT / "_build" / "runs" / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        self.threads = max(1, (os.cpu_count() or 1) // workers)
        self.folder = Path(mkdtemp(prefix="sweep-", dir=logs))
        self.executor = executor(self.folder, self.threads)
        self.running: list[tuple[Job, submitit.Job[None]]] = []

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, *error: object) -> None:
        """A Ctrl-C reaches the runs too, so they first get time to end by themselves."""
        for told in (False, True):
            for _, process in self.running if told else []:
                process.cancel(check=False)
            until = time.monotonic() + GRACE
            while time.monotonic() < until and any(not process.done() for _, process in self.running):
                time.sleep(POLL)
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self, job: Job) -> None:
        """Start one job: submitit's local executor starts whatever it is given, at once.

        Beside a GPU it gets its share of the cores; on a CPU `records.begin` says how many.
        """
        paths = [str(records.ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        on_gpu = str(job.origin.params.get("device")).startswith("cuda")
        threads = os.environ.get("OMP_NUM_THREADS") or (self.threads if on_gpu else records.CPU_THREADS)
        with environment_variables(OMP_NUM_THREADS=threads, PYTHONPATH=os.pathsep.join(paths)):
            process = self.executor.submit(execute, job, os.environ.get("CUDA_VISIBLE_DEVICES"))
        self.running.append((job, process))

    def ended(self) -> list[Job]:
        """Wait until at least one run has ended; those that have, their logs in place."""
        while not (done := [pair for pair in self.running if pair[1].done()]):
            time.sleep(POLL)
        for job, process in done:
            self.running.remove((job, process))
            if process.paths.stdout.is_file():
                os.replace(process.paths.stdout, job.log)
        return [job for job, _ in done]
