"""Checks and claims of the chapter: Entropy and rank against m."""

from lib.verdicts.model import Check, Claim, Verdict

CHECKS: tuple[Check, ...] = ()

CLAIMS = (
    Claim(
        "claim-predicts-rank-profile",
        "Abstract",
        "The closed-form mean-field equation precisely predicts the observed rank profile.",
        "No rank profile over depth is printed; Table 1 varies m only.",
        Verdict.NOT_DECIDABLE,
        "effective rank per block, predicted before it is measured",
        missing=("printed_evidence/no-depth-data",),
    ),
    Claim(
        "claim-rate-matches-curves",
        "§3.2",
        r"The rate $O(1/L)$ matches the entropy and rank-profile curves of VGGT and FastVGGT.",
        "No such curves are printed.",
        Verdict.NOT_DECIDABLE,
        "entropy and rank per block of the trained model",
        missing=("printed_evidence/no-depth-data",),
    ),
    Claim(
        "claim-slower-than-unmerged",
        "§5.1, §5.2",
        "Table 1 shows that merging slows collapse.",
        "There is no row without merging and none against depth: nothing shown is a speed.",
        Verdict.NOT_DECIDABLE,
        "the same measurement at m = 0 and at several depths",
        missing=("printed_evidence/no-baseline-row", "printed_evidence/no-depth-data"),
    ),
)
