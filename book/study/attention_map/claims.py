"""Checks and claims of the chapter on attention as a map on tokens: Eqs. (1) and (2)."""

from book.study.paper import printed as paper
from book.study.verdicts.model import Claim, Verdict, above, below, identity, measurement, within

CHECKS = (
    identity(
        "kernel-rank",
        r"the attention matrix of $N$ distinct unit tokens has algebraic rank $N$ at layers 0, 20, 40 "
        r"and 60",
    ),
    identity(
        "never-merge",
        r"$\langle\mathrm{Attn}(y)-\mathrm{Attn}(x),y-x\rangle$ is $\beta$ times a variance, "
        r"positive for two "
        r"different tokens: attention never makes them equal",
    ),
    identity(
        "vacuous-constant",
        r"with $C=(N-1)e^{\alpha L/N}$ the bound (1) is true of every sequence of $L$ matrices",
    ),
    identity(
        "first-order-output",
        r"with (3) inserted, (2) maps $x$ to $M+\alpha\Sigma x$ ($M$ mean, $\Sigma$ covariance of the "
        r"tokens): at $\alpha=0$ every token becomes $M$",
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
        "step-of-eq-2",
        r"at equal cosines $\gamma$ one layer of (2) moves a token by the fraction "
        r"$N/(N+N^\star-1)$ of its way to "
        r"the mean, $N^\star=e^{\beta(1-\gamma)}$",
    ),
    measurement(
        "one-layer-jump",
        r"fraction of the way to the mean that one layer of (2) moves a token at $\alpha=1$ (0 for "
        r"a map near the "
        r"identity)",
        above(0.9),
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
        "logit-correlation",
        r"mean correlation of the logits of qk-normalised heads at initialisation with the cosines "
        r"of the tokens "
        r"(1 if $W_QW_K^\top=\alpha I$)",
        within(-0.2, 0.2),
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
        r"The algebraic rank is $N$ at every layer that separates the tokens, and attention always "
        r"does. Near collapse the effective rank obeys "
        r"$r_\mathrm{eff}=\exp[\ln(1+\delta)+\tfrac{\delta}{1+\delta}\ln(r_\Sigma/\delta)]$ with "
        r"$\delta=\alpha(1-R^2)\propto(1+h)^{-2\ell}$: no $N$, no $\alpha$ in the rate.",
        Verdict.CONTRADICTED,
        "by strict positive definiteness of the exponential kernel for a fixed C, and by the measured "
        "decay "
        "of the effective rank; for a free C the bound says nothing",
        refutes=("kernel-rank", "never-merge", "effective_rank/decay-free-of-n"),
        breaks=("vacuous-constant", "printed-exponent"),
    ),
    Claim(
        "eq-2",
        "§3.2",
        "One layer replaces the tokens by attention-weighted averages; residual and normalisation are "
        "left out for clarity, and the continuous-time limit is taken from here.",
        r"$x\mapsto x+h\,\mathrm{Attn}(x)$ with normalisation. Without the residual one layer maps "
        r"every token to "
        r"$M+\alpha\Sigma x$ ($M$ mean, $\Sigma$ covariance) and collapse is doubly exponential; it is near "
        r"the identity only for $N\ll "
        r"e^{\beta(1-\gamma)}$, where (3) fails.",
        Verdict.DOES_NOT_FOLLOW,
        "as a definition it is free; as the premise of (4) it fails: where (3) holds, (2) is not "
        "near the identity "
        "and has no continuous-time limit",
        breaks=(
            "first-order-output",
            "cubic-covariance",
            "doubly-exponential",
            "step-of-eq-2",
            "one-layer-jump",
        ),
    ),
    Claim(
        "claim-dinov2-identity",
        "§3.2",
        r"Under the DINOv2 initialisation used by VGGT, $W_QW_K^\top\to\alpha I$.",
        r"A head of width $k$ in $n$ dimensions can never be nearer than $\sqrt{1-k/n}$ to any "
        r"$\alpha I$, and a "
        r"random one is at $\sqrt{1-g^2/n^2}$, $g$ standard normal. What qk-normalisation fixes is "
        r"the scale "
        r"$\beta=\sqrt{k}$ of the logits, not their shape.",
        Verdict.CONTRADICTED,
        "by the rank of one head and by real initialisations",
        refutes=("head-rank-bound", "initial-distance", "logit-correlation"),
    ),
)
