"""Checks and claims of the chapter on entropy: Eqs. (5), (6) and (12)."""

from book.study.verdicts.model import Claim, Verdict, above, below, identity, measurement, within

CHECKS = (
    identity("divergence", r"$\nabla_S\cdot P_xm=-(n-1)\langle x,m\rangle$"),
    identity(
        "wrapped-cauchy",
        r"$n=2$: $H=\ln(1-r^2)$ relative to uniform and $\dot H=-R^2$ along the corrected flow",
    ),
    identity(
        "poisson-entropy",
        r"Poisson kernels, every $n$: $H=(n-1)\,\mathbb E\ln\tfrac{1-r^2}{1+r^2+2rs}$ and "
        r"$\tfrac{dH}{dr}=-2(n-1)R/(1-r^2)$, so $\dot H=-(n-1)R^2$",
    ),
    identity(
        "mean-shift",
        r"attention is $\tfrac1\beta\nabla\log\sum_je^{\beta\langle x,x_j\rangle}$, so "
        r"$\dot H=-\tfrac1\beta\int\rho\langle\nabla\log\rho,\nabla\log\rho_\beta\rangle$",
    ),
    measurement(
        "dissipation",
        r"largest relative deviation of $\dot H$ from $-(n-1)R^2$ over dimensions and concentrations",
        below(1e-5),
    ),
    measurement("fisher-excess", r"smallest ratio of $I(\rho)$ to $(n-1)R^2$", above(1.5)),
    measurement(
        "any-beta",
        r"largest relative difference of the identity for every $\beta$ from transported densities",
        below(1e-5),
    ),
    measurement("small-beta-limit", r"$\dot H$ over $-(n-1)R^2$ at the smallest $\beta$", within(0.99, 1.01)),
    measurement(
        "large-beta-limit", r"$\beta\dot H$ over $-I(\rho)$ at the largest $\beta$", within(0.95, 1.05)
    ),
    identity(
        "fisher-at-ends",
        r"Poisson kernels, every $n$: $I=\tfrac{4(n-1)^3}n\tfrac{r^2}{(1-r^2)^2}$, 0 at the uniform measure, "
        r"infinite at a Dirac measure",
    ),
    measurement(
        "printed-sign-entropy",
        r"$\dot H$ along (4) as printed over $+(n-1)\alpha R^2$",
        within(0.99, 1.01),
    ),
    identity("limit-of-six", r"(6) tends to $H(0)$ as $L\to\infty$: no entropy is lost"),
    measurement(
        "particle-entropy",
        r"largest difference of nearest-neighbour entropy of particles from $H(0)-(n-1)\int R^2$",
        below(0.25),
        "nats",
    ),
    measurement("entropy-slope", r"late slope of $H(t)$ over $-(n-1)$", within(0.95, 1.05)),
    identity(
        "rate-laws",
        r"the pre-LN laws solve $b'=hb/\sqrt{b^2+D^2}$ and $y'=(h/D)^2y/(1+y)$; a post-LN layer shrinks "
        r"small angles by $1/(1+h)$",
    ),
    measurement(
        "rate-post-ln",
        r"decay exponent of $1-R^2$ per post-LN layer over $2\ln(1+h)$, worst over $\beta$",
        within(0.98, 1.02),
    ),
    measurement(
        "rate-pre-ln-coherent",
        r"log–log slope of the distance to consensus, $\sqrt{1-R^2}$, against $\ell$, pre-LN, $V=I$",
        within(-1.05, -0.95),
    ),
    measurement(
        "rate-pre-ln-random",
        r"log–log slope of $1-R^2$ against $\ell$, pre-LN, a new random $V$ per layer",
        within(-1.15, -0.85),
    ),
)

_DISSIPATION = (
    r"$\dot H=-(n-1)R^2$ for small $\beta$; exactly $\dot H=-\tfrac1\beta\int\rho\langle\nabla\log\rho,"
    r"\nabla\log\rho_\beta\rangle$ for every $\beta$, which tends to $-I(\rho)/\beta$ for $\beta\to\infty$."
)
_DISSIPATION_BREAKS = (
    "divergence",
    "wrapped-cauchy",
    "poisson-entropy",
    "mean-shift",
    "dissipation",
    "fisher-excess",
    "any-beta",
    "small-beta-limit",
    "large-beta-limit",
)

CLAIMS = (
    Claim(
        "eq-5",
        "§3.2",
        r"$\dot H=-\int\rho|\nabla\log\rho|^2\le0$ along (4).",
        _DISSIPATION,
        Verdict.DOES_NOT_FOLLOW,
        "even with the sign of (4) put right (as printed, entropy grows along it): it is the dissipation of "
        "a backward heat flow; for transport the divergence of the velocity stands there. It is the large-β "
        "asymptotics up to a factor 1/β, the opposite of the regime of (3)",
        breaks=_DISSIPATION_BREAKS,
    ),
    Claim(
        "eq-6",
        "§3.2",
        r"After $L$ layers $H(L)\approx H(0)-O(1/L)$.",
        r"$H(t)=H(0)-(n-1)\int_0^tR^2\to-\infty$, linearly with slope $-(n-1)$ once collapsed.",
        Verdict.CONTRADICTED,
        "by the collapse it should describe (its limit is H(0)) and by (13), which is linear in L",
        refutes=("limit-of-six", "entropy-slope", "particle-entropy", "merging_mean_field/linear-in-depth"),
    ),
    Claim(
        "eq-12",
        "§5.1",
        r"$\dot H=-\int\rho|\nabla\log\rho|^2\le0$, repeated for the experiments.",
        _DISSIPATION,
        Verdict.DOES_NOT_FOLLOW,
        "as (5); besides, the entropy of tokens is not the spectral entropy that is measured",
        breaks=(
            *_DISSIPATION_BREAKS,
            "effective_rank/spectral-entropy-falls",
            "effective_rank/row-entropy-rises",
        ),
    ),
    Claim(
        "claim-equality-dirac",
        "§3.2",
        r"Equality in (5) holds only when $\rho$ is a Dirac measure.",
        r"The Fisher information is 0 only at the uniform measure and infinite at a Dirac measure.",
        Verdict.CONTRADICTED,
        "by its own right-hand side, which is infinite at a Dirac measure",
        refutes=("fisher-at-ends",),
    ),
    Claim(
        "claim-monotone-entropy",
        "§3.2, §5.1",
        "From (4) the entropy decays monotonically.",
        r"Along (4) as printed the entropy grows, $\dot H=+(n-1)\alpha R^2$; along the corrected flow it "
        r"falls, "
        r"$\dot H=-(n-1)R^2$.",
        Verdict.CONTRADICTED,
        "by (4) as printed",
        refutes=("printed-sign-entropy",),
    ),
    Claim(
        "claim-rate-one-over-l",
        "Abstract, §1",
        r"Tokens converge toward a Dirac measure at rate $O(1/L)$.",
        r"The distance to consensus, $\sqrt{1-R^2}$, is $\sim1/\ell$ for pre-LN with coherent values; the "
        r"spread $1-R^2$ falls exponentially, $(1+h)^{-2\ell}$, for post-LN and on the sphere of (4), doubly "
        r"exponentially for (2).",
        Verdict.WITH_ASSUMPTIONS,
        "a pre-LN residual stream with coherent values; the derivation through (4)–(6) is on the sphere, "
        "where the "
        "rate is exponential",
        breaks=("rate-post-ln", "attention_map/doubly-exponential"),
        rescues=("rate-pre-ln-coherent", "rate-laws"),
    ),
    Claim(
        "claim-variance-rate",
        "§3.2, below Eq. (6)",
        r"Variance and rank of the token features diminish at rate $O(1/L)$.",
        r"The variance fraction is $\sim1/(h^2\ell)$ for pre-LN with a fresh random $V$ in every layer, "
        r"$\sim1/\ell^2$ "
        r"for $V=I$, exponential for post-LN.",
        Verdict.WITH_ASSUMPTIONS,
        "a pre-LN residual stream with independent random values in every layer",
        breaks=("rate-post-ln", "rate-pre-ln-coherent"),
        rescues=("rate-pre-ln-random", "rate-laws"),
    ),
)
