"""Kernels of pages, forked from one process that has imported what most of them import (`lib.sweep.forks`).

A kernel that starts by itself spends seconds on imports. What a page imports of this project it still imports
itself, so that its trace is the same.
"""

import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock
from typing import TYPE_CHECKING, Any

from jupyter_client.provisioning.factory import KernelProvisionerFactory

if TYPE_CHECKING:
    from lib.sweep.forks import Forked

MANY_PAGES = ("sympy", "myst_nb")  # import these, and no run does


class Kernel:
    """A forked kernel, asked as a process of `subprocess` is; nobody learns its exit status."""

    stdin = stdout = stderr = None

    def __init__(self, forked: "Forked") -> None:
        self.forked, self.pid = forked, forked.pid

    def poll(self) -> int | None:
        """None while it is alive, then 0."""
        return 0 if self.forked.done() else None

    wait = poll  # asked only of one that has ended

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        self.forked.send(signal.Signals(number))


@contextmanager
def forked() -> Iterator[None]:
    """Have kernels that start meanwhile forked, where that is possible."""
    # Here, when the profile is known: `lib` asks at its import where records lie.
    from lib.sweep.forks import POSSIBLE, Forks
    from lib.sweep.forkserver import provide

    if not POSSIBLE:
        yield
        return
    factory: Any = KernelProvisionerFactory.instance()
    usual, asking = factory.default_provisioner_name, Lock()
    with TemporaryDirectory() as logs, closing(Forks(Path(logs), *MANY_PAGES)) as forks:

        def start(*kernel: Any) -> Kernel:
            with asking:  # pages ask from several threads
                return Kernel(forks.kernel(*kernel))

        provide(start)
        try:
            yield
        finally:
            factory.default_provisioner_name = usual
