"""Checks and claims of the chapter on attention as a map on tokens: Eqs. (1) and (2)."""

from lib import paper
from lib.verdicts.model import Claim, Verdict, above, below, identity, measurement, within

CHECKS = (
    identity(
        "kernel-rank",
        r"the attention matrix of $N$ distinct unit tokens has algebraic rank $N$ at layers 0, 10, 20 "
        r"and 30",
    ),
    identity(
        "vacuous-constant",
        r"with $C=(N-1)e^{\alpha L/N}$ the bound (1) is true of every sequence of $L$ matrices",
    ),
    identity(
        "first-order-output",
        r"with (3) inserted, (2) maps $x$ to $M+\alpha(C-MM^\top)x$: at $\alpha=0$ every token becomes $M$",
    ),
    identity(
        "cubic-covariance",
        r"without a residual $\Sigma'=\alpha^2\Sigma^3$, solved by "
        r"$\lambda_\ell=(\alpha\lambda_0)^{3^\ell}/\alpha$",
    ),
    measurement(
        "doubly-exponential",
        r"ratio of $\ln\alpha(1-R^2)$ at successive layers of (2)",
        within(2.99, 3.01),
    ),
    identity(
        "head-rank-bound",
        r"a head of width $k$ in $n$ dimensions stays at relative distance $\ge\sqrt{1-k/n}$ from every "
        r"$\alpha I$",
    ),
    measurement(
        "initial-distance",
        r"relative Frobenius distance of $W_QW_K^\top$ at initialisation from the nearest $\alpha I$",
        above(0.99),
    ),
    measurement(
        "printed-exponent",
        r"exponent $\alpha\ell/N$ of (1) for qk-normalised heads of VGGT, last block, "
        f"{paper.FRAMES} frames",
        below(0.01),
    ),
)

CLAIMS = (
    Claim(
        "eq-1",
        "§3.1",
        r"The rank of the attention matrix falls exponentially with depth at rate $\alpha/N$, down to "
        r"$r=1$.",
        r"The algebraic rank is $N$ at every layer. Near collapse the effective rank obeys "
        r"$r_\mathrm{eff}=\exp[\ln(1+\delta)+\tfrac{\delta}{1+\delta}\ln(r_\Sigma/\delta)]$ with "
        r"$\delta=\alpha(1-R^2)\propto(1+h)^{-2\ell}$: no $N$, no $\alpha$ in the rate.",
        Verdict.CONTRADICTED,
        "by strict positive definiteness of the exponential kernel for a fixed C, and by the measured "
        "decay "
        "of the effective rank; for a free C the bound says nothing",
        refutes=("kernel-rank", "printed-exponent", "effective_rank/decay-free-of-n"),
        breaks=("vacuous-constant",),
    ),
    Claim(
        "eq-2",
        "§3.2",
        "One layer replaces the tokens by attention-weighted averages; residual and normalisation are "
        "left out for clarity, and the continuous-time limit is taken from here.",
        r"$x\mapsto x+h\,\mathrm{Attn}(x)$ with normalisation. Without the residual one layer maps every "
        r"token "
        r"to $M+\alpha(C-MM^\top)x$ and collapse is doubly exponential.",
        Verdict.DOES_NOT_FOLLOW,
        "as a definition it is free; as the premise of (4) it fails, because a map that is not near the "
        "identity has no continuous-time limit",
        breaks=("first-order-output", "cubic-covariance", "doubly-exponential"),
    ),
    Claim(
        "claim-dinov2-identity",
        "§3.2",
        r"Under the DINOv2 initialisation used by VGGT, $W_QW_K^\top\to\alpha I$.",
        r"A random initialisation is at relative distance 1 from every $\alpha I$; a head of width 64 in "
        r"1024 "
        r"dimensions can never be nearer than $\sqrt{1-64/1024}$. What qk-normalisation fixes is the scale "
        r"$\beta=\sqrt{k}$ of the logits, not their shape.",
        Verdict.CONTRADICTED,
        "by the rank of one head and by real initialisations",
        refutes=("head-rank-bound", "initial-distance"),
    ),
)
