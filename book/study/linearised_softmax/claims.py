"""Checks and claims of the chapter on the linearised softmax: Eq. (3)."""

from book.study.verdicts.model import Claim, Verdict, above, below, identity, measurement, within

CHECKS = (
    identity(
        "series",
        r"$NA_{ij}=1+\alpha(s_{ij}-\bar s_i)+\tfrac{\alpha^2}{2}[(s_{ij}-\bar "
        r"s_i)^2-\mathrm{Var}_i]+O(\alpha^3)$, for every $N$",
    ),
    identity(
        "second-derivative", r"$\partial_\alpha^2 p=p\,[(s-E_\alpha)^2-\mathrm{Var}_\alpha]$, for every $N$"
    ),
    identity(
        "row-constant",
        r"$\mathrm{E}|(s-\mathrm{E}s)^2-\mathrm{Var}\,s|\le\tfrac{4}{3\sqrt3}$ for $|s|\le1$, with "
        r"equality for "
        r"two opposite groups of shares $\tfrac12(1\pm\tfrac1{\sqrt3})$",
    ),
    identity(
        "radius",
        r"all terms of the expansion together converge for $|\alpha|<\pi/2$, and no further for two "
        r"equal opposite "
        r"groups",
    ),
    measurement(
        "first-order-slope",
        r"$\log_2$ ratio of the row error of (3) when $\alpha$ doubles",
        within(1.95, 2.05),
    ),
    measurement("second-order-slope", r"the same with the $\alpha^2$ term kept", within(2.95, 3.05)),
    measurement(
        "row-bound",
        r"largest row error of (3), hunted for, divided by $\tfrac{2}{3\sqrt3}(\alpha\omega)^2$",
        within(0.0, 1.0),
    ),
    measurement("row-bound-sharp", r"the same for two opposite groups at $\alpha=0.01$", above(0.99)),
    measurement(
        "entry-bound",
        r"largest $N|A-A^{(1)}|$, hunted for, divided by $e^{2\alpha\omega}-1-2\alpha\omega$",
        within(0.0, 1.0),
    ),
    measurement(
        "entry-bound-sharp", r"the same for one token opposite to all others, $\alpha=1$", above(0.99)
    ),
    measurement(
        "size-free",
        r"row error at $\alpha=0.5$ for the largest $N$ over that for the smallest",
        within(0.5, 1.5),
    ),
    measurement(
        "error-at-vggt-scale",
        r"mean row error of (3) at $\beta=8$ for independent qk-normalised heads, predicted without a fit",
        within(0.44, 0.48),
    ),
    measurement(
        "error-with-own-key",
        r"the same where queries equal keys, as $W_QW_K^\top=\alpha I$ has it, at $N=2048$",
        above(1.0),
    ),
    measurement(
        "error-when-aligned",
        r"mean row error of (3) at $\beta=8$ on strongly aligned tokens",
        below(0.05),
    ),
    identity(
        "gaussian-average",
        r"for Gaussian tokens $\mathrm{Attn}(x)=M+\beta\Sigma x$ exactly, at every $\beta$: what (3) drops "
        r"averages out",
    ),
    measurement(
        "average-survives",
        r"regression of $\mathrm{Attn}(x)-M$ on $\beta\Sigma x$ at $\beta=8$, uniform tokens on $S^{63}$, "
        r"queries that are not keys",
        within(0.9, 1.1),
    ),
)

CLAIMS = (
    Claim(
        "eq-3",
        "§3.2",
        r"To first order in $\alpha$ the softmax is $1/N$ plus $\alpha/N$ times the centred cosines.",
        r"True for every $N$, with row error at most $\tfrac{2}{3\sqrt3}(\alpha\omega)^2$ and entry "
        r"error at most "
        r"$(e^{2\alpha\omega}-1-2\alpha\omega)/N$, both sharp ($\omega\le1$: half the range of the "
        r"cosines in a "
        r"row); the next term is $\tfrac{\alpha^2}{2N}[(s-\bar s)^2-\mathrm{Var}]$.",
        Verdict.HOLDS,
        "as an expansion for α → 0, with both remainder bounds free of N",
        supports=(
            "series",
            "second-derivative",
            "row-constant",
            "first-order-slope",
            "second-order-slope",
            "row-bound",
            "row-bound-sharp",
            "entry-bound",
            "entry-bound-sharp",
            "size-free",
        ),
    ),
    Claim(
        "claim-expansion-applies",
        "§3.2",
        r"The expansion (3) describes VGGT's attention.",
        r"VGGT normalises queries and keys, so $\beta=\sqrt{64}=8$ at initialisation, beyond the radius "
        r"$\pi/2$ up to which convergence is guaranteed: (3) misplaces nearly a quarter of a row in the "
        r"mean, and more where a token finds its own key. It "
        r"becomes accurate only where tokens are already aligned. The layer's output $M+\beta\Sigma "
        r"x$ survives longer: "
        r"it is exact for Gaussian tokens.",
        Verdict.WITH_ASSUMPTIONS,
        "entry by entry only where the tokens are already strongly aligned, that is after collapse; in the "
        "average over keys also for Gaussian clouds with far more tokens than N*",
        breaks=("radius", "error-at-vggt-scale", "error-with-own-key"),
        rescues=("error-when-aligned", "gaussian-average", "average-survives"),
    ),
)
