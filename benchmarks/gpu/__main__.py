"""See `benchmarks.gpu`."""

import sys

from benchmarks.gpu.command import main
from lib.pipes import reader_may_leave

if __name__ == "__main__":
    with reader_may_leave():
        status = main()
    sys.exit(status)
