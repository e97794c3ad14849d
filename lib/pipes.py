"""Command lines whose output may be cut short: ``python -m lib.sweep NOTEBOOK --dry-run | head``."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def reader_may_leave() -> Iterator[None]:
    """End the process quietly, with the status that a shell expects, when nobody reads its output any more.

    What runs inside has the time to clean up: for it a closed pipe is an exception like others.

    Raises:
        SystemExit: the reader has left.
    """
    try:
        try:
            yield
        except SystemExit:  # as after --help
            sys.stdout.flush()
            raise
        sys.stdout.flush()
    except BrokenPipeError:
        # the interpreter flushes once more at its end; what is left in the buffer has no reader
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)
