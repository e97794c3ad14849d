"""Checks and claims of the chapter: What to do in practice."""

from lib.verdicts.model import Check, Claim, Verdict

CHECKS: tuple[Check, ...] = ()

CLAIMS = (
    Claim(
        "claim-near-optimal",
        "§4.2",
        "The protection rules of FastVGGT are a near-optimal point of the trade-off between cost and error.",
        "No trade-off curve is printed.",
        Verdict.NOT_DECIDABLE,
        "error against cost for several merging rules",
        missing=("printed_evidence/no-error-data", "printed_evidence/no-overhead-data"),
    ),
)
