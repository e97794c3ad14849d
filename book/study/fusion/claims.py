"""Checks and claims of the chapter: Entropy and rank against m."""

from book.study.verdicts.model import Claim, Verdict, above, measurement

CHECKS = (
    measurement(
        "rank-profile-unfitted",
        r"largest relative error over blocks of $r_\ell=1+(r_0-1)e^{-\beta\ell/N}$, $\beta$ as measured, "
        r"against the effective rank of the trained network at $m=0$",
        above(0.2),
    ),
    measurement(
        "rank-not-inverse-depth",
        r"log–log slope of the effective rank against the block, the steeper one of no merging and of the "
        r"released rule at $m=0.5$ ($-1$ by the printed rate)",
        above(-0.5),
    ),
    measurement(
        "first-block",
        r"$|\ln|$ of the effective rank of the first block at $m=0.5$ over that at $m=0$: the tokens are the "
        r"same",
        above(0.05),
    ),
    measurement(
        "static-share",
        r"static share, $|$static$|$ over $|$static$|+|$dynamic$|$, of the change of $\ln r_\mathrm{eff}$ "
        r"from $m=0$ to $0.5$, released rule",
        above(0.5),
    ),
)

CLAIMS = (
    Claim(
        "claim-predicts-rank-profile",
        "Abstract",
        "The closed-form mean-field equation precisely predicts the observed rank profile.",
        r"No rank profile over depth is printed. In the trained network measured here the profile is not the "
        r"one that (1) gives with its measured $\beta$ and $N$.",
        Verdict.CONTRADICTED,
        "by the rank profile of the network measured here, which the equation does not know from any other",
        refutes=("rank-profile-unfitted",),
        breaks=("printed_evidence/no-depth-data",),
    ),
    Claim(
        "claim-rate-matches-curves",
        "§3.2",
        r"The rate $O(1/L)$ matches the entropy and rank-profile curves of VGGT and FastVGGT.",
        "No such curves are printed. In the trained network measured here the effective rank is not largest "
        "in the first block, and over all blocks it does not fall like $1/L$, with the released merging or "
        "without.",
        Verdict.CONTRADICTED,
        "by the rank profiles of the network measured here, with the released merging and without",
        refutes=("rank-not-inverse-depth",),
        breaks=("printed_evidence/no-depth-data",),
    ),
    Claim(
        "claim-slower-than-unmerged",
        "§5.1, §5.2",
        "Table 1 shows that merging slows collapse.",
        "There is no row without merging and none against depth: nothing shown is a speed. Measured at "
        r"$m=0$ as well, most of the change is there on tokens that never were merged.",
        Verdict.DOES_NOT_FOLLOW,
        "the recorded rank changes in the first block already, before anything could be slowed, and most of "
        "the change is static",
        breaks=(
            "first-block",
            "static-share",
            "printed_evidence/no-baseline-row",
            "printed_evidence/no-depth-data",
        ),
    ),
)
