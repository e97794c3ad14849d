"""The most memory that this process has used so far."""

import resource
import sys
from pathlib import Path

STATUS = Path("/proc/self/status")


def of_process() -> float:
    """Largest resident memory, MiB.

    Linux hands `ru_maxrss` down from the process that started this one; its own status has no such memory.
    """
    if STATUS.is_file():
        for line in STATUS.read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def of_gpu(device: str) -> float | None:
    """Largest memory that torch held on one of the GPUs, MiB; None without a GPU."""
    if not device.startswith("cuda"):
        return None
    import torch

    held = [torch.cuda.max_memory_reserved(k) for k in range(torch.cuda.device_count())]
    return max(held) / 2**20 if held else None
