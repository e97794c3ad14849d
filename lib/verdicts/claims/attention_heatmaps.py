"""Checks and claims of the chapter: What chosen tokens look at."""

from lib.verdicts.model import Check, Claim, Verdict

CHECKS: tuple[Check, ...] = ()

CLAIMS = (
    Claim(
        "fig-4",
        "§5.4",
        "Heat maps grow uniform with depth, and merging alleviates it.",
        "To be measured as spectral and row entropy per block.",
        Verdict.NOT_DECIDABLE,
        "spectra and row entropies of every block, with and without merging",
        missing=("printed_evidence/no-heatmap-data", "printed_evidence/no-depth-data"),
    ),
)
