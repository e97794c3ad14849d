"""Checks and claims that the printed record decides, or shows to be undecidable without an experiment."""

from lib import paper
from lib.verdicts.model import Claim, Verdict, identity

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

_NEEDS_ERRORS = ("no-error-data",)

CLAIMS = (
    Claim(
        "fig-2",
        "§5.3",
        "All camera and geometry metrics improve consistently as the merge ratio grows.",
        "To be measured with a trained model over m, scenes and seeds.",
        Verdict.NOT_DECIDABLE,
        "camera errors against m with their spread over scenes",
        missing=_NEEDS_ERRORS,
    ),
    Claim(
        "fig-4",
        "§5.4",
        "Heat maps grow uniform with depth, and merging alleviates it.",
        "To be measured as spectral and row entropy per block.",
        Verdict.NOT_DECIDABLE,
        "spectra and row entropies of every block, with and without merging",
        missing=("no-heatmap-data", "no-depth-data"),
    ),
    Claim(
        "claim-superlinear-error",
        "Abstract, §1",
        "Beyond a few hundred frames the reconstruction error accumulates super-linearly.",
        "Nothing in the model speaks of reconstruction error.",
        Verdict.NOT_DECIDABLE,
        "errors against the number of frames of one scene",
        missing=("no-error-data", "no-frames-data"),
    ),
    Claim(
        "claim-predicts-rank-profile",
        "Abstract",
        "The closed-form mean-field equation precisely predicts the observed rank profile.",
        "No rank profile over depth is printed; Table 1 varies m only.",
        Verdict.NOT_DECIDABLE,
        "effective rank per block, predicted before it is measured",
        missing=("no-depth-data",),
    ),
    Claim(
        "claim-rate-matches-curves",
        "§3.2",
        r"The rate $O(1/L)$ matches the entropy and rank-profile curves of VGGT and FastVGGT.",
        "No such curves are printed.",
        Verdict.NOT_DECIDABLE,
        "entropy and rank per block of the trained model",
        missing=("no-depth-data",),
    ),
    Claim(
        "claim-rescaled-curves",
        "§4.2 (i)",
        r"Entropy decay curves rescaled by $d$ align as (10) predicts.",
        "No such curves are printed.",
        Verdict.NOT_DECIDABLE,
        "entropy per block for several m, drawn against ℓ/d",
        missing=("no-depth-data",),
    ),
    Claim(
        "claim-fourfold",
        "§4.2",
        f"The theoretical reduction agrees with the more than {paper.REPORTED_SPEEDUP}× reported for "
        f"{paper.REPORTED_SPEEDUP_FRAMES} frames.",
        "Any larger factor agrees once overheads are free.",
        Verdict.NOT_DECIDABLE,
        "the merge factor of those runs and the cost of everything outside attention",
        missing=("no-overhead-data",),
    ),
    Claim(
        "claim-near-optimal",
        "§4.2",
        "The protection rules of FastVGGT are a near-optimal point of the trade-off between cost and error.",
        "No trade-off curve is printed.",
        Verdict.NOT_DECIDABLE,
        "error against cost for several merging rules",
        missing=("no-error-data", "no-overhead-data"),
    ),
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
        "claim-slower-than-unmerged",
        "§5.1, §5.2",
        "Table 1 shows that merging slows collapse.",
        "There is no row without merging and none against depth: nothing shown is a speed.",
        Verdict.NOT_DECIDABLE,
        "the same measurement at m = 0 and at several depths",
        missing=("no-baseline-row", "no-depth-data"),
    ),
    Claim(
        "claim-real-time",
        "§5.3",
        "Merging achieves real-time performance for dense multi-view inputs.",
        "Only relative runtimes are printed.",
        Verdict.NOT_DECIDABLE,
        "seconds per frame on a named machine",
        missing=("no-time-unit",),
    ),
    Claim(
        "claim-guideline-short",
        "§6",
        f"Below {paper.SHORT_SEQUENCE} frames m = "
        f"{paper.SHORT_SEQUENCE_M[0]}–{paper.SHORT_SEQUENCE_M[1]} loses no "
        "accuracy.",
        "One sequence length was measured, and no accuracy is printed.",
        Verdict.NOT_DECIDABLE,
        "errors over m at several sequence lengths",
        missing=("one-length", "no-error-data"),
    ),
    Claim(
        "claim-guideline-long",
        "§6",
        f"Above {paper.LONG_SEQUENCE} frames m = "
        f"{paper.LONG_SEQUENCE_M[0]}–{paper.LONG_SEQUENCE_M[1]} is to be "
        "preferred, to delay collapse.",
        "One sequence length was measured, and no accuracy is printed.",
        Verdict.NOT_DECIDABLE,
        "errors over m at several sequence lengths",
        missing=("one-length", "no-error-data"),
    ),
    Claim(
        "claim-excessive-merging",
        "§6",
        f"Merging beyond m = {paper.EXCESSIVE_M} causes minor drift.",
        f"Nothing beyond {paper.LARGEST_M} was measured.",
        Verdict.NOT_DECIDABLE,
        f"errors at m above {paper.EXCESSIVE_M} with a rule that reaches it",
        missing=("strengths-end-early", "no-error-data"),
    ),
    Claim(
        "claim-entropy-threshold",
        "§6",
        f"While entropy stays above {paper.ENTROPY_THRESHOLD} the trajectory error stays below "
        f"{paper.ATE_THRESHOLD}.",
        "No trajectory error is printed beside an entropy.",
        Verdict.NOT_DECIDABLE,
        "entropy and trajectory error of the same runs, merged and unmerged",
        missing=_NEEDS_ERRORS,
    ),
    Claim(
        "claim-entropy-accuracy",
        "§6",
        "Entropy and reconstruction accuracy are nearly linearly correlated.",
        r"At most five points, both monotone in $m$; no accuracy is printed.",
        Verdict.NOT_DECIDABLE,
        "entropy and accuracy at fixed m over many scenes",
        missing=_NEEDS_ERRORS,
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
)
