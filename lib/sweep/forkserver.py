"""A process that imports what every run imports, once, and forks: a run and its kernel start in moments.

It is run by its path and imports third parties only: `lib.used` in each kernel still sees exactly what of the
project was imported there. It has one thread, computes nothing, and ends with the process that asks. Its
arguments are the descriptor of a connection and what else to import. Each request on it is the log, the
environment and the call of one run, or what a kernel is told; it is forked at once; the answer is the number
of its process.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import pickle
import signal
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection, Pipe
from types import SimpleNamespace
from typing import Any

IMPORTED = (
    *("torch", "numpy.random", "scipy.integrate", "scipy.optimize", "scipy.spatial.transform", "scipy.stats"),
    *("safetensors.torch", "jaxtyping", "PIL.Image", "pandas.io.formats.style", "matplotlib.pyplot", "yaml"),
    *("ipykernel.kernelapp", "papermill", "submitit", "tqdm"),
)
INLINE = "module://matplotlib_inline.backend_inline"  # what a kernel chooses before it imports matplotlib


def serve(asked: Connection) -> tuple[str, dict[str, str], Any]:
    """Fork a process for each request; in it, return the request."""
    while True:
        try:
            request = asked.recv_bytes()
        except (EOFError, ConnectionError):  # whoever asked is gone; runs in progress go on by themselves
            request = b""
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:  # their processor time becomes this process's
                pass
        if not request:
            os._exit(0)
        if not (child := os.fork()):
            asked.close()
            return pickle.loads(request)  # type: ignore[no-any-return]
        try:
            asked.send(child)
        except OSError:  # whoever asked has gone meanwhile, and knows nothing of it
            os.kill(child, signal.SIGKILL)


class Waiting:
    """A fork of a run, made before the run imports anything of the project, that is told to be its kernel.

    As a child of its run it ends with it. It is asked as a process of `subprocess` is.
    """

    stdin = stdout = stderr = None
    returncode: int | None = None

    def __init__(self) -> None:
        told, self.teller = Pipe(duplex=False)
        self.pid = os.fork()
        if not self.pid:
            os.setsid()  # as Jupyter does: a Ctrl-C is for the run, which ends its kernel
            self.teller.close()
            with contextlib.suppress(EOFError):  # the run needs none
                become_kernel(*told.recv())
            sys.exit()
        told.close()

    def start(self, *kernel: Any) -> Waiting | None:
        """Have it be this kernel; None if it is one already."""
        if self.teller.closed:
            return None
        with self.teller as teller:
            teller.send(kernel)
        return self

    def poll(self) -> int | None:
        """Its exit status; None while it is alive."""
        if self.returncode is None:
            child, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if child else None
        return self.returncode

    wait = poll  # asked only of one that has ended

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)


def become_kernel(arguments: list[str], folder: str, environment: dict[str, str]) -> None:
    """Be what ``python -m ipykernel_launcher`` is; it ends when the process that it came from does."""
    from ipykernel.kernelapp import launch_new_instance

    adopt(environment)
    os.chdir(folder)
    sys.argv = ["ipykernel_launcher", *arguments, f"--IPKernelApp.parent_handle={os.getppid()}"]
    launch_new_instance()


def adopt(environment: dict[str, str]) -> None:
    """Take these variables for those of this process."""
    os.environ.clear()
    os.environ.update(environment)


def provide(start: Callable[[list[str], str, dict[str, str]], Any]) -> None:
    """Have Jupyter start kernels of this Python by `start`.

    It is told a kernel's arguments, folder and environment, and returns the process or, for one that shall
    start as usual, None.
    """
    from jupyter_client.provisioning.factory import KernelProvisionerFactory
    from jupyter_client.provisioning.local_provisioner import LocalProvisioner

    class Provisioner(LocalProvisioner):
        process: Any = None

        async def launch_kernel(self, cmd: list[str], **how: Any) -> Any:
            folder = how.get("cwd") or os.getcwd()
            usual = cmd[:3] != [sys.executable, "-m", "ipykernel_launcher"]
            if usual or (process := start(cmd[3:], folder, how["env"])) is None:
                return await super().launch_kernel(cmd, **how)
            self.process, self.cwd = process, folder
            self.pid = self.pgid = process.pid
            return self.connection_info

    factory: Any = KernelProvisionerFactory.instance()
    factory.provisioners["forked"] = SimpleNamespace(load=lambda: Provisioner)
    factory.default_provisioner_name = "forked"


def run(log: str, environment: dict[str, str], what: bytes | tuple[Any, ...]) -> None:
    """Be the process of one run, which is a pickled call, or a kernel, told as in `become_kernel`."""
    from numpy import random

    adopt(environment)
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(file, stream.fileno())
    random.seed()  # Python's own is drawn anew in every fork; torch's is the same in every fresh process
    if not isinstance(what, bytes):
        os.setsid()
        return become_kernel(*what)
    provide(Waiting().start)  # first: what is unpickled brings the project's modules along
    function, *arguments = pickle.loads(what)
    function(*arguments)


def main() -> None:
    """Import, serve, and in each fork run."""
    interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is for the runs, of its group
    os.environ.setdefault("MPLBACKEND", INLINE)
    for name in (*IMPORTED, *sys.argv[2:]):
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    del sys.modules["__main__"].__file__  # multiprocessing keeps the module; no kernel has imported it
    gc.freeze()  # pages that no collection touches stay shared
    request = serve(Connection(int(sys.argv[1])))
    signal.signal(signal.SIGINT, interrupt)
    run(*request)


if __name__ == "__main__":
    main()
