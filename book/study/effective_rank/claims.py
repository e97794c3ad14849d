"""Checks and claims of the chapter on effective rank and entropy: Eqs. (14), (15), Table 1 and Fig. 3."""

from book.study.paper import printed as paper
from book.study.verdicts.model import Claim, Verdict, above, below, identity, measurement, within

CHECKS = (
    identity(
        "rank-bound",
        r"$r_\mathrm{eff}\le\mathrm{rank}\le\min(\mathrm{dim})$, with equality for flat "
        "spectra",
    ),
    identity(
        "near-consensus-entropy",
        r"spectrum $(1,\delta q)$: $\ln "
        r"r_\mathrm{eff}=\ln(1+\delta)+\tfrac{\delta}{1+\delta}\ln(r_\Sigma/\delta)$",
    ),
    measurement(
        "near-collapse-law",
        r"relative error of that law for $r_\mathrm{eff}-1$ of simulated tokens",
        below(0.01),
    ),
    measurement(
        "decay-free-of-n",
        r"decay rate of $r_\mathrm{eff}-1$ at $N=128$ over that at $N=1024$ (8 by (1))",
        within(0.9, 1.1),
    ),
    measurement(
        "decay-is-step", r"decay exponent of $\delta$ per layer over $2\ln(1+h)$", within(0.98, 1.02)
    ),
    measurement("spectral-entropy-falls", r"spectral entropy over $\ln N$ after collapse", below(0.05)),
    measurement("row-entropy-rises", r"row entropy over $\ln N$ after collapse", above(0.99)),
    identity(
        "rank-from-entropy-law",
        r"(13) with (14) gives (15) only with $r=0$, $C=s^{H_0}$, $\alpha=k\ln s$ for $s$ singular values",
    ),
    measurement(
        "implied-alpha",
        r"$\alpha$ that the slope of Table 1 needs in (15) at VGGT's $N$ and depth",
        above(100.0),
    ),
    measurement(
        "theory-entropy-is-fit",
        r"largest distance of the printed theory entropies from a least-squares line through the "
        r"measured ones, "
        r"in units of the last digit",
        below(1.0),
    ),
    measurement(
        "theory-rank-is-fit",
        r"the same for the ranks, a line through $\ln r$ with $r=0$ in (15)",
        within(0.0, 0.5),
    ),
    measurement("rank-fit-with-one", r"the same with $r=1$ in (15)", above(1.0)),
    identity(
        "theory-in-envelope",
        "all ten printed theory values lie where the rounding of the measured ones lets a least-squares line "
        "fall",
    ),
    identity(
        "one-dimension",
        r"one integer $s$ satisfies $r=s^H$ in all ten cells within rounding, and it is the number of "
        r"frames",
    ),
    identity(
        "copied-back",
        rf"${paper.FRAMES}(1-m)$ is less than the printed rank at the two largest $m$: no map of "
        f"{paper.FRAMES} tokens merged and copied back",
    ),
    measurement(
        "entropy-deviation",
        "mean deviation of the entropy columns",
        below(paper.ENTROPY_DEVIATION.value),
        "%",
    ),
    measurement(
        "rank-deviation",
        "mean deviation of the rank columns",
        within(
            paper.RANK_DEVIATION.value - paper.RANK_DEVIATION.half_width,
            paper.RANK_DEVIATION.value + paper.RANK_DEVIATION.half_width,
        ),
        "%",
    ),
    identity("columns-increase", r"measured entropy and rank increase with $m$ in every row"),
    measurement(
        "table-1-curvature",
        r"$t$ statistic of a quadratic term in Table 1 (critical −4.30 at 5%)",
        below(-4.303),
    ),
    measurement("linear-law-aic", r"AIC of $a+b(1-m)^2$ minus AIC of $a+bm$ on Table 1", below(-5.0)),
    measurement(
        "held-out-rank", r"error at $m=0.7,0.9$ of the law fitted to the first three rows", above(20.0), "%"
    ),
    measurement(
        "static-model",
        "mean deviation of a two-parameter model with no dynamics from the entropies",
        below(1.5),
        "%",
    ),
    measurement(
        "static-held-out",
        "error at the last two $m$ of the ranks by that model fitted to the first three rows",
        below(10.0),
        "%",
    ),
    measurement(
        "unmoved-entropy",
        r"rise of $H$ when tokens of one unmoved cloud are removed and $H$ is divided by $\ln N'$",
        above(0.05),
    ),
    measurement("unmoved-rank", "effective rank of that cloud, after over before", below(1.0)),
    measurement(
        "null-rank",
        "effective rank of random attention at the largest $m$ over that at the smallest: nothing evolves",
        below(0.2),
    ),
)

CLAIMS = (
    Claim(
        "eq-14",
        "§5.2",
        "Effective rank is the exponential of the entropy of the normalised singular values.",
        r"The standard definition (Roy and Vetterli); $1\le r_\mathrm{eff}\le\mathrm{rank}$.",
        Verdict.HOLDS,
        "a definition, and the standard one",
        supports=("rank-bound",),
    ),
    Claim(
        "eq-15",
        "§5.2",
        r"With merging the rank is at most $r+C\exp(-\alpha\ell/(Nd))$.",
        r"As (9). Together with (13) and (14) it forces $r=0$ and $\alpha=k\ln s$ for $s$ singular values.",
        Verdict.CONTRADICTED,
        "by (1) with the merged token count, and by a decay rate that contains neither N nor d",
        refutes=("merging_mean_field/exponents-by-d2", "decay-free-of-n"),
        breaks=("rank-from-entropy-law",),
    ),
    Claim(
        "table-1",
        "§5.2",
        "Theoretical predictions from the diffusion model are compared with measurements.",
        r"The theory columns are least-squares lines through the measured columns; the rank column is "
        rf"${paper.FRAMES}^H$ of "
        r"the entropy column.",
        Verdict.DOES_NOT_FOLLOW,
        "nothing was predicted: both theory columns are fits to the column they are compared with",
        breaks=("theory-entropy-is-fit", "theory-rank-is-fit", "theory-in-envelope", "one-dimension"),
    ),
    Claim(
        "fig-3",
        "§5.2",
        "Theory and experiment align closely, showing that merging slows collapse as predicted.",
        r"Drawn from Table 1: an in-sample fit. A model without dynamics fits better, and predicts better.",
        Verdict.DOES_NOT_FOLLOW,
        "alignment of a fit with its own data, and a model without any dynamics does better",
        breaks=("theory-entropy-is-fit", "theory-rank-is-fit", "static-model", "static-held-out"),
    ),
    Claim(
        "claim-below-two-percent",
        "§5.1",
        f"Predicted and measured entropy deviate by less than {paper.ENTROPY_DEVIATION}% on average.",
        "True, as the residual of a two-parameter fit to five points.",
        Verdict.HOLDS,
        "as the in-sample residual of a fit",
        supports=("entropy-deviation",),
    ),
    Claim(
        "claim-eight-percent",
        "§5.2",
        f"Predicted and measured rank deviate by about {paper.RANK_DEVIATION}% on average.",
        rf"True; it is the same residual once more, multiplied by $H\ln{paper.FRAMES}$.",
        Verdict.HOLDS,
        "as the in-sample residual of a fit",
        supports=("rank-deviation",),
    ),
    Claim(
        "claim-increase-with-m",
        "§5.1, §5.2",
        "Measured entropy and effective rank increase with the fusion strength.",
        "True of the five printed rows; there is no row without merging.",
        Verdict.HOLDS,
        "in all printed rows",
        supports=("columns-increase",),
    ),
    Claim(
        "claim-increase-is-slowing",
        "§5.1",
        "The increase in entropy reflects a slower concentration of token features.",
        r"Removing tokens changes $H$ and $r_\mathrm{eff}$ of a matrix at once, before anything evolves. A "
        r"change against $m$ is a static part (same tokens, other matrix) plus a dynamic one: split them.",
        Verdict.DOES_NOT_FOLLOW,
        "a model without dynamics gives the same increase, and unmoved tokens change both measures",
        breaks=("static-model", "static-held-out", "unmoved-entropy", "unmoved-rank", "null-rank"),
    ),
    Claim(
        "claim-confirms-pde",
        "§5.1",
        "The agreement confirms that the PDE model captures the entropy dynamics under merging.",
        r"A straight line is rejected by its own data: a $(1-m)^2$ law has a far lower AIC, and the line "
        r"fitted to "
        r"the first rows misses the ranks of the others.",
        Verdict.DOES_NOT_FOLLOW,
        "an in-sample fit confirms nothing, and its held-out error is large",
        breaks=(
            "theory-entropy-is-fit",
            "table-1-curvature",
            "linear-law-aic",
            "held-out-rank",
            "static-held-out",
        ),
    ),
    Claim(
        "claim-two-trends",
        "§5.2",
        "Both trends, entropy and rank, confirm the theory.",
        rf"They are one measurement: $r={paper.FRAMES}^H$ in all ten cells.",
        Verdict.DOES_NOT_FOLLOW,
        "the second column is a function of the first",
        breaks=("one-dimension",),
    ),
    Claim(
        "claim-rank-from-scaling-law",
        "§5.2",
        r"The predicted ranks are computed from (15).",
        r"They are $e^{a+bm}$ fitted to the measured ranks, which is (15) with $r=0$ and free $C$, "
        r"$\alpha$; with "
        r"the $r=1$ of §3.1 the printed digits do not come out.",
        Verdict.WITH_ASSUMPTIONS,
        "r = 0 and both constants fitted to the measured ranks",
        breaks=("rank-fit-with-one",),
        rescues=("theory-rank-is-fit", "rank-from-entropy-law"),
    ),
    Claim(
        "claim-rank-exponential-law",
        "§5.2",
        r"Rank contraction follows $\exp(-\alpha\ell/(Nd))$.",
        r"Neither $\ell$ nor $N$ is varied; the fitted slope needs an $\alpha$ thousands of times beyond "
        r"the small-"
        r"$\alpha$ expansion it rests on.",
        Verdict.DOES_NOT_FOLLOW,
        "the α it needs is outside the expansion it was derived from",
        breaks=("implied-alpha",),
    ),
    Claim(
        "claim-exponential-shrink",
        "§3.1",
        "Spectral rank and entropy of the attention matrix shrink exponentially with depth.",
        r"$r_\mathrm{eff}-1\approx\delta(1+\ln(r_\Sigma/\delta))$ with $\delta\propto(1+h)^{-2\ell}$.",
        Verdict.WITH_ASSUMPTIONS,
        "effective rank minus one, a post-LN stream with identity values, near collapse",
        rescues=("near-consensus-entropy", "near-collapse-law", "decay-is-step"),
    ),
    Claim(
        "claim-one-entropy",
        "§3.2, §5.1",
        "The entropy of (5) is the attention entropy that is measured, and uniform heat maps show its decay.",
        r"Three quantities share the letter: differential entropy of tokens ($\to-\infty$), spectral "
        r"entropy of $A$ "
        r"($\to0$), row entropy ($\to\ln N$). They move in opposite directions.",
        Verdict.DOES_NOT_FOLLOW,
        "no relation is derived, and as tokens collapse the spectral entropy falls while the row entropy "
        "rises",
        breaks=("spectral-entropy-falls", "row-entropy-rises"),
    ),
    Claim(
        "claim-recorded-matrices",
        "§5",
        f"Attention matrices of consecutive global blocks are recorded for {paper.FRAMES}-frame inputs.",
        rf"The recorded matrix has {paper.FRAMES} singular values for every $m$: not "
        rf"the tokens, not the merged "
        r"tokens. Which "
        r"matrix it is, is not said.",
        Verdict.NOT_DECIDABLE,
        "a statement of which matrix was measured, at which blocks and heads, and how it was averaged",
        missing=("one-dimension", "copied-back"),
    ),
)
