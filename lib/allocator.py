"""Freed memory is kept for the next tensor of its size, in place of being handed back to the system.

Unless told otherwise, glibc returns every block above 32 MiB (smaller ones at first) that a CPU tensor frees,
and the system gives it out again page by page, zeroed. Where such tensors come and go, as in a training step
with fine patches, that can be a third of the time. A process that keeps its memory needs no more of it at its
peak, and holds it to its end.
`benchmarks/training.py --allocator` and `benchmarks/forward.py --allocator` measure both ways.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of mallopt(3), glibc
KEEPING = {
    "MALLOC_TRIM_THRESHOLD_": str(1 << 40),
    "MALLOC_MMAP_MAX_": "0",
}  # the same, for a process that starts


def keep_freed_memory(environment: Mapping[str, str] = os.environ) -> bool:
    """Let this process keep what it frees; whether its C library can (glibc can, musl and macOS cannot).

    Variables of `environment` that already say how decide instead.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None or any(name in environment for name in KEEPING):
        return False
    return bool(mallopt(M_TRIM_THRESHOLD, -1) and mallopt(M_MMAP_MAX, 0))
