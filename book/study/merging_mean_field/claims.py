"""Checks and claims of the chapter on merging in the mean field: Eqs. (7) to (10) and (13)."""

from book.study.paper import printed as paper
from book.study.verdicts.model import Claim, Verdict, identity, measurement, within

CHECKS = (
    identity(
        "change-of-variable",
        r"(7) with $t'=d\ell/N$ gives the same change per layer as (4) with $t=\ell/N$",
    ),
    identity("rederived", r"(4) derived again with $N'=N/d$ tokens is $d$ times faster per layer"),
    identity(
        "three-answers",
        r"one model, three collapse times: $\tau/d$ (derived again), $\tau$ (Eq. 7), $d\tau$ (Eqs. 9, 10)",
    ),
    identity("exponents-by-d2", r"the exponent of (1) at $N/d$ tokens is $d^2$ times that of (9)"),
    identity(
        "same-entropy-drop",
        r"$\int_0^{dT}\tfrac1dh(t'/d)\,dt'=\int_0^Th$: (8) loses as much entropy as "
        "(5)",
    ),
    identity("affine-in-m", r"with $d=1/(1-m)$ Eq. (13) is affine in $m$"),
    identity("linear-in-depth", r"(13) is linear in $L$, whereas (6) and (8) are $O(1/L)$ and $O(1/(dL))$"),
    identity("coefficient-rescaled", r"a coefficient $c/N$ becomes $d\,c/N$ after merging, not $1/d$ of it"),
    identity("delay-monotone", r"(10) and (13) increase with $m$ on all of $[0,1)$"),
    measurement(
        "duplicate-ratio",
        r"largest $|\tau'/\tau-1|$ when exact duplicates are merged with their sizes",
        within(0.0, 1e-6),
    ),
    measurement(
        "dilute-ratio",
        r"$\tau'/(d\tau)$ for $d=2$ distinct tokens merged at $N\ll N^*$",
        within(0.85, 1.05),
    ),
    measurement("dense-ratio", r"$\tau'/\tau$ for $d=10$ at $N\gg N^*$", within(0.99, 1.05)),
    measurement(
        "subsample-shift",
        r"shift of the collapse layer when a uniform cloud is thinned tenfold, over "
        r"$-\tfrac12\ln d/\ln(1+h(1-1/n))$",
        within(0.7, 1.3),
    ),
)

CLAIMS = (
    Claim(
        "eq-7",
        "§4.1",
        r"After merging, the mean-field equation has an extra factor $1/d$.",
        r"A change of variable: per layer nothing changes. What merging changes is the driving measure, "
        r"$\rho\to\rho_w$, and, below $N^*$, the share of self-attention.",
        Verdict.DOES_NOT_FOLLOW,
        "the factor 1/d is the derivative of the new clock; in layers it cancels",
        breaks=("change-of-variable", "rederived"),
    ),
    Claim(
        "eq-8",
        "§4.1",
        r"After merging, entropy decays $d$ times slower, $H'(L)\approx H(0)-O(1/(dL))$.",
        r"After the same number of layers the same entropy is lost.",
        Verdict.DOES_NOT_FOLLOW,
        "the slower clock runs d times longer",
        breaks=("same-entropy-drop", "change-of-variable"),
    ),
    Claim(
        "eq-9",
        "§4.1",
        r"After merging, the rank bound decays with exponent $\alpha\ell/(dN)$.",
        r"(1) with $N/d$ tokens has exponent $d\alpha\ell/N$. The true exponent of $r_\mathrm{eff}-1$ "
        r"has neither.",
        Verdict.CONTRADICTED,
        "by (1) with the merged token count, by a factor d² in the exponent",
        refutes=("exponents-by-d2", "effective_rank/decay-free-of-n"),
    ),
    Claim(
        "eq-10",
        "§4.1",
        r"Merging by a factor $d$ multiplies the collapse time by $d$.",
        r"$\tau'/\tau=1$ for duplicates; $(N+dN_\times)/(N+N_\times)$ for *distinct* tokens, crossover "
        r"$N_\times$ below $N^*=e^{\beta(1-\gamma)}$: $d$ for $N\ll N_\times$, 1 for $N\gg N_\times$.",
        Verdict.WITH_ASSUMPTIONS,
        "distinct tokens are merged and N ≪ N* = exp β(1−γ); the derivation gives three different answers",
        breaks=("three-answers", "duplicate-ratio", "dense-ratio", "subsample-shift"),
        rescues=("dilute-ratio",),
    ),
    Claim(
        "eq-13",
        "§5.1",
        r"The normalised entropy of attention is $H_0-kL/(Nd)$.",
        r"No law for the spectral entropy follows from (4). (13) is affine in $m$ and linear in $L$ by "
        r"construction; Table 1 bends away from a straight line.",
        Verdict.CONTRADICTED,
        "by (6) and (8), which fall like 1/L, and by the curvature of Table 1",
        refutes=("linear-in-depth", "effective_rank/table-1-curvature"),
        breaks=("affine-in-m",),
    ),
    Claim(
        "claim-kappa",
        "§4.1",
        r"The coefficient scales inversely with the token count; after merging it is "
        r"$\kappa'\approx\kappa/d$.",
        r"If it scaled as $1/N$ it would become $d\kappa$.",
        Verdict.CONTRADICTED,
        "by the sentence before it: a coefficient c/N becomes d·c/N when N becomes N/d",
        refutes=("coefficient-rescaled",),
    ),
    Claim(
        "claim-merging-slows-transport",
        "Abstract, §1, §5.3",
        "Token merging slows collapse by lowering the effective diffusion coefficient.",
        r"Nothing per layer changes through the clock. Merging acts through the weights of the driving "
        r"measure, "
        r"in either direction (chapter on the corrected theory).",
        Verdict.DOES_NOT_FOLLOW,
        "the change of clock cancels; exact duplicates merged with their sizes change nothing",
        breaks=("change-of-variable", "duplicate-ratio"),
    ),
    Claim(
        "claim-layerwise-contraction",
        "§5.1",
        r"Discrete layers contract the entropy at a rate proportional to $O(1/L)$.",
        r"The next displayed formula, (13), is linear in $L$.",
        Verdict.CONTRADICTED,
        "by (13), which loses twice the entropy in twice the layers",
        refutes=("linear-in-depth",),
    ),
    Claim(
        "claim-rate-one-over-ld",
        "§5.1, §5.2",
        r"With merging the entropy decays at the predicted rate $O(1/(Ld))$.",
        r"(13) gives $kL/(Nd)$; no depth $L$ is varied in any printed measurement.",
        Verdict.CONTRADICTED,
        "by (13), the formula it is said of, which is linear in L",
        refutes=("linear-in-depth",),
    ),
    Claim(
        "claim-over-regularisation",
        "§6",
        rf"Drift at $m>{paper.EXCESSIVE_M}$ agrees with a predicted acceleration of "
        rf"collapse by over-regularisation.",
        r"(10) and (13) predict the opposite, a delay that grows with $m$ up to 1. Unweighted merging does "
        r"turn round, at $m^*=(1-f)(1-\pi)(1-q)$, for another reason.",
        Verdict.CONTRADICTED,
        "by (10) and (13), which are monotone in m",
        refutes=("delay-monotone",),
    ),
)
