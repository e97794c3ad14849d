"""Checks and claims that the printed record decides, or shows to be undecidable without an experiment."""

from book.study.paper import printed as paper
from book.study.verdicts.model import Claim, Verdict, identity

CHECKS = (
    identity("no-depth-data", "no printed quantity is given against the layer or the depth"),
    identity("no-frames-data", "no printed quantity is given against the number of frames or tokens"),
    identity("no-error-data", "no camera or reconstruction error is printed as a number"),
    identity("no-heatmap-data", "no number is printed for any heat map or architecture drawing"),
    identity("no-time-unit", "runtimes are printed relative to a baseline only"),
    identity(
        "no-overhead-data",
        f"neither merge factor nor overhead of the {paper.REPORTED_SPEEDUP_FRAMES}-frame runs is printed",
    ),
    identity("no-baseline-row", "Table 1 has no row without merging"),
    identity("colours-swapped", "text and caption give theory and measurement of Fig. 3 opposite colours"),
    identity("strengths-end-early", f"the largest fusion strength measured is below {paper.EXCESSIVE_M}"),
    identity(
        "one-length",
        f"one sequence length is measured, neither below {paper.SHORT_SEQUENCE} nor above "
        f"{paper.LONG_SEQUENCE} frames",
    ),
    identity("no-loss-term", "no equation of the paper contains a loss"),
)

CLAIMS = (
    Claim(
        "claim-figure-3-colours",
        "§5.1, Fig. 3",
        "Blue is the prediction and red the measurement.",
        "The caption says the opposite.",
        Verdict.CONTRADICTED,
        "by the caption of the figure",
        refutes=("colours-swapped",),
    ),
    Claim(
        "claim-geometric-losses",
        "§6",
        "The collapse rate depends jointly on sequence length, fusion strength and geometric losses.",
        "No loss occurs in any equation, and inference has none.",
        Verdict.DOES_NOT_FOLLOW,
        "no equation contains a loss",
        breaks=("no-loss-term",),
    ),
    Claim(
        "claim-validated",
        "§1",
        "Validation against rank profiles, entropy decay and benchmarks shows that the framework explains "
        "collapse and its mitigation quantitatively.",
        "Four quantities are printed, all against $m$: no profile, no decay, no benchmark error.",
        Verdict.DOES_NOT_FOLLOW,
        "nothing is printed against depth, frames or time, no error at all, and no row without merging",
        breaks=(
            "no-depth-data",
            "no-frames-data",
            "no-error-data",
            "no-heatmap-data",
            "no-time-unit",
            "no-overhead-data",
            "no-baseline-row",
            "strengths-end-early",
            "one-length",
        ),
    ),
)
