"""``python -m lib.sweep``."""

import sys

from lib.sweep.command import command_line

sys.exit(command_line())
