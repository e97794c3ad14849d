"""Checks and claims of the chapter on the corrected theory: what does govern collapse and merging."""

from book.study.verdicts.model import Claim, Verdict, above, below, identity, measurement, within

CHECKS = (
    identity(
        "odds-law",
        r"equiangular tokens: $\mathrm{odds}_{\ell+1}=\mathrm{odds}_\ell\,((r+h)/(r+h\mu))^2$ exactly, "
        r"pre- and post-LN",
    ),
    identity("continuous-limit", r"for $h\to0$ the odds law is $\dot{\ln\mathrm{odds}}=2(1-\mu)$"),
    measurement("odds-simulation", "largest relative error of the odds law against simulation", below(1e-6)),
    measurement(
        "beta-slows",
        r"layers to collapse at $\beta=4$ over those at $\beta=0$ (less than 1 by (1))",
        above(1.0),
    ),
    identity(
        "moved-share",
        r"$1-\mu=N/(N+N^*-1)$ with $N^*=e^{\beta(1-\gamma)}$: it falls with $\beta$ and grows with $N$",
    ),
    measurement(
        "dilution", r"$\tau$ at the smallest $N$ over $\tau$ at the largest, $\beta=12$", above(10.0)
    ),
    measurement(
        "dilution-law",
        r"largest relative error of the closed $\tau(N)$ against the odds law",
        below(0.05),
    ),
    measurement(
        "frames-not-tokens",
        r"largest $|\tau/\tau_\mathrm{law}-1|$ of the frame part, law with $N$ replaced by the number of "
        r"frames",
        below(0.2),
    ),
    identity(
        "weighted-exact", r"size-biased merging of duplicates is exact, and its first-order error vanishes"
    ),
    measurement(
        "weighted-order", r"$\log_2$ ratio of its error when the group radius doubles", within(1.9, 2.2)
    ),
    measurement(
        "query-order",
        r"the same for one token's output when its query is merged as well (first order)",
        within(0.9, 1.2),
    ),
    identity(
        "sign-criterion",
        r"$|M_w|^2-|M|^2=-2d\,\langle V,M\rangle+d^2|V|^2$ with $V=\sum_gw_g\rho_g(x_g-M)$, and its "
        r"derivative for a small removal",
    ),
    measurement(
        "sign-agreement",
        r"share of random unweighted merges, delayed or hastened by over a layer, whose direction is "
        r"the sign of $|M|^2-|M_w|^2$",
        above(0.95),
    ),
    measurement(
        "acceleration", r"$\tau/\tau'$ of an unweighted merge that removes misaligned mass", above(1.5)
    ),
    identity(
        "renyi-solution",
        r"the unweighted delay of orthogonal clusters is $\tfrac12\ln(K\sum p^2)$ for small $R_0$",
    ),
    measurement(
        "renyi-delay",
        r"simulated delay of an unweighted merge over $\tfrac12\ln(K\sum p^2)$, the value furthest from 1",
        within(0.8, 1.1),
    ),
    measurement(
        "delay-over-d",
        r"$\tau'/(d\tau)$ when ten clusters with nine tenths of the tokens are merged, $d\approx10$",
        below(0.5),
    ),
    measurement("delay-reverses", r"$\tau'/\tau$ of the same unweighted merge at $\beta=4$", below(0.95)),
    identity("peak", r"the share of unique tokens grows up to $m^*=(1-f)(1-\pi)(1-q)$ and falls after it"),
    measurement(
        "non-monotone", r"$\tau$ at saturation over $\tau$ at $m^*$, merging without size bias", below(0.95)
    ),
    measurement(
        "mixture-law",
        r"largest relative error of the two-type law (no fit) against simulation over $m$, $\beta=0$",
        below(0.1),
    ),
    identity(
        "block-spectrum", "the block model's closed spectrum is that of a direct singular value decomposition"
    ),
    measurement(
        "static-effect", r"effective rank at $m=0.7$ over that at $m=0$ with no layer of dynamics", above(1.5)
    ),
    measurement(
        "static-null",
        "relative change of the effective rank under a merge that leaves every output unchanged",
        above(0.02),
    ),
    measurement("frame-hierarchy", r"largest error of the frame/global law against simulation", below(1e-5)),
)

CLAIMS = (
    Claim(
        "claim-longer-sequences",
        "Abstract, §1",
        "Collapse grows with the length of the input sequence.",
        r"Through dilution only: $1-\mu=N/(N+N^*-1)$ with $N^*=e^{\beta(1-\gamma)}$, where $N$ counts "
        r"what is distinct (frames, once a frame has concentrated). Beyond the crossover the speed does not "
        r"depend on $N$, and frame attention never sees more than one frame.",
        Verdict.WITH_ASSUMPTIONS,
        "N is below N* = exp β(1−γ); beyond it more frames change nothing",
        breaks=("mean_field/layers-against-n", "frame-hierarchy"),
        rescues=(
            "odds-law",
            "odds-simulation",
            "moved-share",
            "dilution",
            "dilution-law",
            "frames-not-tokens",
        ),
    ),
    Claim(
        "claim-alpha-rate",
        "§3.1",
        r"$\alpha$ controls the convergence rate: collapse in a time of order $N/\alpha$.",
        r"A larger inverse temperature raises the self-attention share $\mu$ and *slows* collapse; the "
        r"terminal rate "
        r"$2\ln(1+h)$ does not contain it.",
        Verdict.CONTRADICTED,
        "by the exact odds law",
        refutes=("beta-slows",),
        breaks=("continuous-limit",),
    ),
    Claim(
        "claim-periodic-merging",
        "§4.1 (i)",
        "Merging delays collapse without retraining.",
        r"Size-biased merging of keys changes nothing to first order. Merging by $d$ without size bias "
        r"moves the driving mean to $|M_w|^2=|M|^2-2d\langle V,M\rangle+d^2|V|^2$: a delay when it "
        r"shrinks, an acceleration when it grows. The delay turns into an acceleration once clusters hold "
        r"themselves ($p_gN^*\gtrsim1$).",
        Verdict.WITH_ASSUMPTIONS,
        "merging without size bias, small β, and the removed mass so well aligned that |M_w| < |M|",
        breaks=("weighted-exact", "weighted-order", "query-order", "acceleration", "delay-reverses"),
        rescues=("sign-criterion", "sign-agreement", "renyi-delay"),
    ),
    Claim(
        "claim-delay-proportional",
        "§4.1 (ii)",
        "The delay is proportional to the compression ratio.",
        r"Additive and logarithmic: $\Delta\ell\approx\tfrac12\ln(K\sum p^2)/\ln(1+h)$ at small $\beta$.",
        Verdict.DOES_NOT_FOLLOW,
        "at small β the delay is the logarithm of a concentration of weights, not the factor d",
        breaks=("renyi-solution", "renyi-delay", "delay-over-d"),
    ),
    Claim(
        "claim-aggressive-merging",
        "§4.1",
        "Very aggressive merging removes informative tokens and harms.",
        r"In the dynamics without size bias the delay turns round at $m^*=(1-f)(1-\pi)(1-q)$, where "
        r"distinct tokens begin to merge, and is nearly gone at saturation.",
        Verdict.WITH_ASSUMPTIONS,
        "merging without size bias beyond m*; geometry itself is not in the theory",
        rescues=("peak", "non-monotone", "mixture-law"),
    ),
    Claim(
        "claim-causal-link",
        "§5.4",
        "The findings establish a clear causal link between less collapse and better geometry.",
        r"A higher effective rank at larger $m$ appears already with no layer of dynamics, because "
        r"another matrix is measured. Static and dynamic parts must be separated first.",
        Verdict.DOES_NOT_FOLLOW,
        "the measured effect has a static part that needs no dynamics, and only correlations are shown",
        breaks=("block-spectrum", "static-effect", "static-null", "printed_evidence/no-error-data"),
    ),
)
