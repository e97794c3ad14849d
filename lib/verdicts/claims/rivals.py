"""Checks and claims of the chapter: Rival explanations of worse results on longer sequences."""

from lib.verdicts.model import Check, Claim, Verdict

CHECKS: tuple[Check, ...] = ()

CLAIMS = (
    Claim(
        "claim-superlinear-error",
        "Abstract, §1",
        "Beyond a few hundred frames the reconstruction error accumulates super-linearly.",
        "Nothing in the model speaks of reconstruction error.",
        Verdict.NOT_DECIDABLE,
        "errors against the number of frames of one scene",
        missing=("printed_evidence/no-error-data", "printed_evidence/no-frames-data"),
    ),
    Claim(
        "claim-rescaled-curves",
        "§4.2 (i)",
        r"Entropy decay curves rescaled by $d$ align as (10) predicts.",
        "No such curves are printed.",
        Verdict.NOT_DECIDABLE,
        "entropy per block for several m, drawn against ℓ/d",
        missing=("printed_evidence/no-depth-data",),
    ),
)
