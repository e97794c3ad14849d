"""Checks and claims of the chapter: Cameras and geometry against m."""

from lib import paper
from lib.verdicts.model import Check, Claim, Verdict

CHECKS: tuple[Check, ...] = ()

CLAIMS = (
    Claim(
        "fig-2",
        "§5.3",
        "All camera and geometry metrics improve consistently as the merge ratio grows.",
        "To be measured with a trained model over m, scenes and seeds.",
        Verdict.NOT_DECIDABLE,
        "camera errors against m with their spread over scenes",
        missing=("printed_evidence/no-error-data",),
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
        missing=("printed_evidence/one-length", "printed_evidence/no-error-data"),
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
        missing=("printed_evidence/one-length", "printed_evidence/no-error-data"),
    ),
    Claim(
        "claim-excessive-merging",
        "§6",
        f"Merging beyond m = {paper.EXCESSIVE_M} causes minor drift.",
        f"Nothing beyond {paper.LARGEST_M} was measured.",
        Verdict.NOT_DECIDABLE,
        f"errors at m above {paper.EXCESSIVE_M} with a rule that reaches it",
        missing=("printed_evidence/strengths-end-early", "printed_evidence/no-error-data"),
    ),
    Claim(
        "claim-entropy-threshold",
        "§6",
        f"While entropy stays above {paper.ENTROPY_THRESHOLD} the trajectory error stays below "
        f"{paper.ATE_THRESHOLD}.",
        "No trajectory error is printed beside an entropy.",
        Verdict.NOT_DECIDABLE,
        "entropy and trajectory error of the same runs, merged and unmerged",
        missing=("printed_evidence/no-error-data",),
    ),
    Claim(
        "claim-entropy-accuracy",
        "§6",
        "Entropy and reconstruction accuracy are nearly linearly correlated.",
        r"At most five points, both monotone in $m$; no accuracy is printed.",
        Verdict.NOT_DECIDABLE,
        "entropy and accuracy at fixed m over many scenes",
        missing=("printed_evidence/no-error-data",),
    ),
)
