"""Checks and claims of the chapter: Time and memory against m.

Bounds were fixed before the first run. One check reads a clock; its bound leaves a factor of several.
"""

from book.study.paper import printed as paper
from book.study.verdicts.model import Claim, Verdict, above, below, measurement, within

CHECKS = (
    measurement(
        "released-factor-long",
        rf"$N/N'$ of the released rule at the largest printed $m$ and {paper.REPORTED_SPEEDUP_FRAMES} frames",
        below(4.0),
    ),
    measurement(
        "released-operations-long",
        f"operations of VGGT-1B at {paper.REPORTED_SPEEDUP_FRAMES} frames over those with the released rule, "
        "matching included",
        within(4.0, 6.0),
        "×",
    ),
    measurement(
        "clock-over-square",
        "CPU time of the mini aggregator under the released rule at the largest $m$, relative to no merging, "
        "over $(1-m)^2$",
        above(5.0),
    ),
    measurement(
        "online-bound",
        f"time of one pass over {paper.FRAMES} frames at the A100's peak rate with global attention free, "
        "over the time between two frames of a video",
        above(10.0),
    ),
    measurement(
        "batch-bound",
        f"frames per second of one pass over {paper.FRAMES} frames with the released rule at the A100's peak "
        "rate, heads left out",
        below(30.0),
        "frames/s",
    ),
)

CLAIMS = (
    Claim(
        "claim-fourfold",
        "§4.2",
        f"The theoretical reduction agrees with the more than {paper.REPORTED_SPEEDUP}× reported for "
        f"{paper.REPORTED_SPEEDUP_FRAMES} frames.",
        "Any larger factor agrees once overheads are free. The operations of the released rule, matching and "
        "saturation included, give the reported speedup without overheads.",
        Verdict.DOES_NOT_FOLLOW,
        "the released rule merges by less than four, not by ten",
        breaks=("released-factor-long", "released-operations-long", "clock-over-square"),
    ),
    Claim(
        "claim-real-time",
        "§5.3",
        "Merging achieves real-time performance for dense multi-view inputs.",
        "Only relative runtimes are printed. With the released rule, operations alone take longer at the "
        "peak rate of the printed device than the video lasts; with any rule, far longer than one frame.",
        Verdict.DOES_NOT_FOLLOW,
        "no time is printed, and the operations of the released rule do not keep pace with a video",
        breaks=("printed_evidence/no-time-unit", "online-bound", "batch-bound"),
    ),
)
