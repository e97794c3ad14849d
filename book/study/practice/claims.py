"""Checks and claims of the chapter: What to do in practice.

Fixed before the first run of ``book/runs/adaptive.ipynb``:

*Near-optimal.* Geometric errors are the rotation from frame 0 and AbsRel. FastVGGT is not near an optimum
if one and the same other fixed rule, at the same query-key pairs, lowers one of these errors by more than
`NEAR` per cent of FastVGGT's median, on both kinds of walk at 32 frames: the upper end of the 95 % interval
(bootstrap over scenes) of the paired difference lies below that. Otherwise the measurement is evidence and
decides nothing about VGGT-1B.

*Adaptive.* For each record, budget and operating point: deviation of the last tokens from the unmerged run,
adaptive minus the fixed rule with the lowest median there, the latter interpolated linearly to the adaptive
run's own pairs, scene by scene. Adaptive wins a comparison if the 95 % interval lies below 0 and loses it if
it lies above; a budget wins overall if it wins every comparison.
"""

from book.study.verdicts.model import Claim, Verdict, above, measurement

NEAR = 10.0  # per cent

CHECKS = (
    measurement(
        "no-sure-rival",
        "change of a camera or depth error by another fixed rule at FastVGGT's query-key pairs: upper end of "
        "the 95 % interval, the lowest over rules and operating points (of two kinds of walk the higher)",
        above(-NEAR),
        "%",
    ),
)

CLAIMS = (
    Claim(
        "claim-near-optimal",
        "§4.2",
        "The protection rules of FastVGGT are a near-optimal point of the trade-off between cost and error.",
        "No trade-off curve is printed. On the mini network, at 32 frames and the same pairs, no other fixed "
        "rule surely lowers camera or depth errors by more than a tenth.",
        Verdict.NOT_DECIDABLE,
        "error against cost for several merging rules, VGGT-1B, hundreds of frames",
        missing=("printed_evidence/no-error-data", "printed_evidence/no-overhead-data", "no-sure-rival"),
    ),
)
