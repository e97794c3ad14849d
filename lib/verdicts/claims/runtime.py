"""Checks and claims of the chapter: Time and memory against m."""

from lib import paper
from lib.verdicts.model import Check, Claim, Verdict

CHECKS: tuple[Check, ...] = ()

CLAIMS = (
    Claim(
        "claim-fourfold",
        "§4.2",
        f"The theoretical reduction agrees with the more than {paper.REPORTED_SPEEDUP}× reported for "
        f"{paper.REPORTED_SPEEDUP_FRAMES} frames.",
        "Any larger factor agrees once overheads are free.",
        Verdict.NOT_DECIDABLE,
        "the merge factor of those runs and the cost of everything outside attention",
        missing=("printed_evidence/no-overhead-data",),
    ),
    Claim(
        "claim-real-time",
        "§5.3",
        "Merging achieves real-time performance for dense multi-view inputs.",
        "Only relative runtimes are printed.",
        Verdict.NOT_DECIDABLE,
        "seconds per frame on a named machine",
        missing=("printed_evidence/no-time-unit",),
    ),
)
