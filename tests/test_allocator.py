"""Memory that a process keeps, and page faults that it saves; where the C library cannot, nothing changes."""

from __future__ import annotations

import ctypes
import os
import platform
import subprocess
import sys
from types import SimpleNamespace

import pytest

from lib import allocator

FAULTS = """
import resource, sys
import torch
from lib.allocator import keep_freed_memory
print(keep_freed_memory() if sys.argv[1] == "here" else "untouched")
def work():
    for _ in range(20):
        torch.ones(1 << 21)  # 8 MiB, 2,048 pages: what glibc hands back at once
work()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
work()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def run(how: str, **variables: str) -> tuple[str, int]:
    # a fixed threshold: glibc otherwise raises it by itself after the first blocks, up to 32 MiB
    bare = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    done = subprocess.run(
        [sys.executable, "-c", FAULTS, how], env=bare | variables, capture_output=True, text=True, check=True
    )
    said, faults = done.stdout.split()
    return said, int(faults)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_what_is_kept_faults_no_more():
    handed_back = run("no", MALLOC_MMAP_THRESHOLD_="65536")[1]
    said, kept = run("here")
    assert said == "True" and handed_back > 20 * 1_000 and kept < handed_back / 20
    assert run("no", **allocator.KEEPING)[1] < handed_back / 20, (
        "the variables do the same for a process that starts"
    )


def test_whoever_sets_the_variables_is_obeyed(monkeypatch: pytest.MonkeyPatch):
    asked: list[tuple[int, int]] = []
    libc = SimpleNamespace(mallopt=lambda *values: asked.append(values) or 1)
    monkeypatch.setattr(ctypes, "CDLL", lambda _: libc)
    assert not allocator.keep_freed_memory({"MALLOC_MMAP_MAX_": "7"}) and not asked
    assert allocator.keep_freed_memory({"MALLOC_ARENA_MAX": "1"}) and asked == [(-1, -1), (-4, 0)]


def test_a_c_library_without_it_changes_nothing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda _: SimpleNamespace())
    assert allocator.keep_freed_memory({}) is False
