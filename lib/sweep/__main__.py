"""``python -m lib.sweep``."""

import sys

from lib.pipes import reader_may_leave
from lib.sweep.command import command_line

with reader_may_leave():
    status = command_line()
sys.exit(status)
