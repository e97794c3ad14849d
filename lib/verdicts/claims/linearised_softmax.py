"""Checks and claims of the chapter on the linearised softmax: Eq. (3)."""

from lib.verdicts.model import Claim, Verdict, above, below, identity, measurement, within

CHECKS = (
    identity(
        "series",
        r"$NA_{ij}=1+\alpha(s_{ij}-\bar s_i)+\tfrac{\alpha^2}{2}[(s_{ij}-\bar "
        r"s_i)^2-\mathrm{Var}_i]+O(\alpha^3)$",
    ),
    identity("second-derivative", r"$\partial_\alpha^2 p=p\,[(s-E_\alpha)^2-\mathrm{Var}_\alpha]$"),
    measurement(
        "first-order-slope",
        r"$\log_2$ ratio of the row error of (3) when $\alpha$ doubles",
        within(1.95, 2.05),
    ),
    measurement("second-order-slope", r"the same with the $\alpha^2$ term kept", within(2.95, 3.05)),
    measurement("row-bound", r"largest row error of (3) divided by $\alpha^2$", within(0.0, 1.0)),
    measurement("entry-bound", r"largest $N|A-A^{(1)}|$ divided by $2\alpha^2e^{2\alpha}$", within(0.0, 1.0)),
    measurement(
        "size-free",
        r"row error at $\alpha=0.5$ for the largest $N$ over that for the smallest",
        within(0.5, 1.5),
    ),
    measurement(
        "error-at-vggt-scale",
        r"mean row error of (3) at $\beta=8$ on random 64-dimensional heads (2 is the most possible)",
        above(0.5),
    ),
    measurement(
        "error-when-aligned",
        r"mean row error of (3) at $\beta=8$ on strongly aligned tokens",
        below(0.05),
    ),
)

CLAIMS = (
    Claim(
        "eq-3",
        "§3.2",
        r"To first order in $\alpha$ the softmax is $1/N$ plus $\alpha/N$ times the centred cosines.",
        r"True, with row error at most $\alpha^2$ and entry error at most $2\alpha^2e^{2\alpha}/N$ for any "
        r"$N$; the next term is $\tfrac{\alpha^2}{2N}[(s-\bar s)^2-\mathrm{Var}]$.",
        Verdict.HOLDS,
        "as an expansion for α → 0, with both remainder bounds free of N",
        supports=(
            "series",
            "second-derivative",
            "first-order-slope",
            "second-order-slope",
            "row-bound",
            "entry-bound",
            "size-free",
        ),
    ),
    Claim(
        "claim-expansion-applies",
        "§3.2",
        r"The expansion (3) describes VGGT's attention.",
        r"VGGT normalises queries and keys, so $\beta=\sqrt{64}=8$ at initialisation: (3) misses more "
        r"than half "
        r"of what it could miss on spread tokens, and becomes accurate only where tokens are already "
        r"aligned.",
        Verdict.WITH_ASSUMPTIONS,
        "only where the tokens are already strongly aligned, that is after collapse",
        breaks=("error-at-vggt-scale",),
        rescues=("error-when-aligned",),
    ),
)
