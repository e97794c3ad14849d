"""Exercises of the chapter on run time."""

from book.study.exercises.model import Exercise, Sheet
from lib.costs.operations import forward_operations
from lib.merging import TokenLayout
from lib.vggt import VGGTConfig


def first_half(of_all: bool, frame_too: bool = False, grid: tuple[int, int] = (28, 37)) -> int:
    """Frames from which on global attention is over half of what VGGT-1B, or its blocks, compute."""
    config = VGGTConfig()
    for frames in range(1, 2000):
        counted = forward_operations(config, TokenLayout(frames, *grid))
        part = counted.global_attention + (counted.frame_attention if frame_too else 0)
        if part > (counted.total if of_all else counted.alternating) / 2:
            return frames
    raise AssertionError("half is reached by then")


def _reused(full: float, one_pass: float, matching: float, r: float) -> float:
    return full / (one_pass - matching * (1 - 1 / r))


COSTS = ((10.0, 4.0, 1.0, 1.0), (10.0, 4.0, 1.0, 4.0), (10.0, 4.0, 2.0, 24.0))

SHEET = Sheet(
    "runtime",
    Exercise(
        "runtime-ex-length",
        "Where attention takes over",
        1,
        ("global attention", "operations"),
        answer="the number of frames for VGGT-1B at 28 × 37 patches",
        right=lambda: first_half(of_all=True),
        traps={
            "You left the embedding out: DINOv2 is part of the aggregator.": lambda: first_half(of_all=False),
            "You counted frame attention with global attention.": lambda: first_half(
                of_all=True, frame_too=True
            ),
        },
    ),
    Exercise(
        "runtime-ex-amortise",
        "Fewer searches",
        2,
        ("operations", "destination"),
        answer="a function of full, one_pass, matching and r that gives the speedup",
        right=lambda: _reused,
        traps={
            "Matching is not gone: one search in r is left.": lambda: (
                lambda full, one_pass, matching, r: full / (one_pass - matching)
            ),
            "Only matching is divided by r, not the whole pass.": lambda: (
                lambda full, one_pass, matching, r: full / (one_pass / r)
            ),
            "That is the time that is left; the speedup is one over it.": lambda: (
                lambda *cost: 1 / _reused(*cost)
            ),
        },
        at=COSTS,
    ),
    Exercise("runtime-ex-machine", "Which kernel", 3, ("size bias", "fused attention")),
)
check = SHEET.check
