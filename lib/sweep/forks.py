"""Runs of this machine, forked from a process that has imported what each of them imports (`forkserver`)."""

import contextlib
import os
import pickle
import select
import signal
import subprocess
import sys
from multiprocessing import Pipe
from pathlib import Path
from threading import Timer
from types import SimpleNamespace
from typing import Any

from lib.sweep.jobs import SweepError


def _possible() -> bool:
    """Elsewhere not every library survives a fork; and some sandboxes know no handles of processes."""
    if sys.platform != "linux":
        return False
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError:
        return False
    return True


POSSIBLE = _possible()
SERVER = Path(__file__).with_name("forkserver.py")
GRACE = 1.0  # seconds in which what was told to end does so by itself


class Forked:
    """A run in progress, asked as one of submitit's; it may outlive the process that started it."""

    def __init__(self, pid: int, log: Path) -> None:
        self.pid, self.paths, self.handle = pid, SimpleNamespace(stdout=log), -1
        with contextlib.suppress(ProcessLookupError):  # it has ended already
            self.handle = os.pidfd_open(pid)  # means this process, whoever gets its number later

    def __del__(self) -> None:
        if self.handle >= 0:
            os.close(self.handle)

    def done(self) -> bool:
        """Whether it has ended."""
        return self.handle < 0 or bool(select.select([self.handle], [], [], 0)[0])

    def cancel(self, check: bool = True) -> None:
        """Interrupt it, so that it ends its kernel; kill it where that does not help."""
        self.send(signal.SIGINT)
        last = Timer(GRACE, self.send, [signal.SIGKILL])
        last.daemon = True
        last.start()

    def send(self, number: signal.Signals) -> None:
        """Send a signal, unless it has ended."""
        if not self.done():
            signal.pidfd_send_signal(self.handle, number)


class Forks:
    """Starts runs as an executor of submitit does; the server starts with the first.

    `also`: what it imports beside what every run does. One that was killed starts anew. Its libraries take
    the variables of then, ``OMP_NUM_THREADS`` among them; a run has those of its own start.
    """

    def __init__(self, folder: Path, *also: str) -> None:
        self.folder, self.also, self.count = folder, also, 0
        self.server: subprocess.Popen[bytes] | None = None

    def submit(self, *call: Any) -> Forked:
        """Call a function in a process of its own.

        Raises:
            SweepError: the server does not start.
        """
        return self._ask(pickle.dumps(call))

    def kernel(self, *told: Any) -> Forked:
        """Start a kernel: its arguments, folder and environment. Raises as `submit`."""
        return self._ask(told)

    def _ask(self, what: bytes | tuple[Any, ...]) -> Forked:
        if self.server is None or self.server.poll() is not None:
            self.start()
        self.count += 1
        log = self.folder / f"{self.count}.out"
        try:
            self.asking.send_bytes(pickle.dumps((str(log), dict(os.environ), what)))
            return Forked(self.asking.recv(), log)
        except (EOFError, ConnectionError):
            raise SweepError("the process that runs are forked from has ended: out of memory?") from None

    def start(self) -> None:
        """Start the server; whatever is asked of it meanwhile waits."""
        self.asking, served = Pipe()
        with served:
            command = [sys.executable, "-u", "-P", str(SERVER), str(served.fileno()), *self.also]
            self.server = subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=[served.fileno()])

    def close(self) -> None:
        """End the server; runs in progress go on."""
        if self.server is None:
            return
        self.asking.close()
        try:
            self.server.wait(GRACE)
        except subprocess.TimeoutExpired:  # it is still importing
            self.server.kill()
            self.server.wait()
