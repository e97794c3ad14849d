"""Checks and claims of the chapter on what merging costs and saves: Eq. (11) and Table 2."""

from book.study.paper import printed as paper
from book.study.verdicts.model import Claim, Verdict, above, below, identity, measurement, within

CHECKS = (
    identity("pairs-quotient", r"$(DT)^2/(DT/d)^2=d^2$"),
    measurement(
        "tenfold", r"reduction that (11) gives at the printed example over the printed one", above(9.0)
    ),
    identity("reciprocals", "every printed speedup is the reciprocal of the printed runtime within rounding"),
    measurement(
        "eightfold",
        rf"reciprocal of the printed runtime at the largest $m$, over the printed {paper.ACCELERATION}×",
        within(0.9, 1.1),
    ),
    measurement(
        "exponent-at-first-m", r"$\ln T/\ln(1-m)$ at the smallest printed $m>0$ (2 for (11))", below(1.5)
    ),
    measurement(
        "exponent-at-last-m", r"$\ln T/\ln(1-m)$ at the largest printed $m$ (2 for (11))", below(1.0)
    ),
    measurement("quadratic-misfit", r"printed runtime at the largest $m$ over $(1-m)^2$", above(10.0)),
    measurement(
        "speedup-ceiling", r"speedup for $m\to1$ of the fit $a+b(1-m)+c(1-m)^2$ to Table 2", below(15.0), "×"
    ),
    measurement("quadratic-share", r"share of the quadratic term of that fit at $m=0$", below(0.7)),
    measurement(
        "attention-share",
        f"share of attention in the operations of one global block at {paper.FRAMES} frames",
        above(0.95),
    ),
    measurement("released-saturation", r"$m$ from which the released rule stops merging more", below(0.7)),
    measurement("released-kept", r"smallest fraction of tokens the released rule keeps", above(0.3)),
    identity("same-at-last-two", r"the released rule keeps the same number of tokens at the two largest $m$"),
    measurement(
        "uniform-kept", r"largest $|N'/N-(1-m)|$ of the uniform rule over the printed $m$", below(0.01)
    ),
    measurement(
        "matching-share",
        r"operations of bipartite matching over those of full attention, any $m$",
        above(0.05),
    ),
    identity(
        "matching-all-sources",
        r"attention plus matching cost $(x+x^2)/2$ of full attention if all that is kept, $x=1-m$, are "
        r"destinations",
    ),
    measurement(
        "matching-linear-law",
        r"root mean square error of $(x+x^2)/2$ on Table 2, nothing fitted, over that of $x^2$",
        below(0.5),
    ),
    measurement(
        "released-ceiling",
        f"speedup in operations of the whole network at {paper.FRAMES} frames, released rule, largest $m$",
        below(5.0),
        "×",
    ),
    measurement(
        "dense-matrix",
        f"memory of one head's attention matrix at {paper.FRAMES} frames, two bytes an entry",
        above(80.0),
        "GiB",
    ),
    identity("merge-is-projection", r"unmerging after merging is idempotent of rank $N'<N$: not invertible"),
)

CLAIMS = (
    Claim(
        "eq-11",
        "§4.2",
        r"Merging by $d$ reduces the cost of global attention from $O((DT)^2)$ to $O((DT/d)^2)$.",
        r"True of the dense products $QK^\top$ and $AV$ when $N'=N/d$ tokens really remain; the matching "
        r"itself "
        r"costs $O(N^2)$ whatever $m$ is.",
        Verdict.HOLDS,
        "for the dense core",
        supports=("pairs-quotient",),
    ),
    Claim(
        "table-2",
        "§5.3",
        rf"Relative runtimes up to {paper.ACCELERATION}× faster, consistent with $O((DT/d)^2)$.",
        r"The local exponent falls from below 1.5 to below 1 as $m$ grows; $a+b(1-m)+c(1-m)^2$ fits, and "
        "caps the speedup.",
        Verdict.CONTRADICTED,
        "by its own numbers: more than ten times slower than the square at the largest m",
        refutes=("exponent-at-first-m", "exponent-at-last-m", "quadratic-misfit"),
        breaks=("speedup-ceiling", "quadratic-share", "attention-share", "released-ceiling"),
    ),
    Claim(
        "claim-tenfold",
        "§4.2",
        rf"$d={paper.EXAMPLE_FACTOR}$ yields a theoretical {paper.EXAMPLE_REDUCTION}× reduction in pairwise "
        "computations.",
        r"(11) gives $d^2$, the square of it.",
        Verdict.CONTRADICTED,
        "by (11) and by the ∼d² of the next paragraph",
        refutes=("tenfold",),
    ),
    Claim(
        "claim-runtime-trend",
        "§4.2, §5.3",
        r"Measured runtime follows the $(N/d)^2$ trend; it decreases nearly quadratically.",
        r"Between linear and quadratic at small $m$, slower than linear at large $m$.",
        Verdict.CONTRADICTED,
        "by the exponents of Table 2, which start between one and two and end below one",
        refutes=("exponent-at-last-m", "quadratic-misfit"),
    ),
    Claim(
        "claim-eightfold",
        "§5.3",
        f"The runtime of {paper.RUNTIME_AT_LARGEST_M} at the largest m is an acceleration of about "
        f"{paper.ACCELERATION}×.",
        "The arithmetic of Table 2 is consistent. Whether public code reaches it is measured in Part II.",
        Verdict.HOLDS,
        "as arithmetic on the printed runtimes",
        supports=("reciprocals", "eightfold"),
    ),
    Claim(
        "claim-arithmetic-and-memory",
        "§4.2",
        r"Merging reduces arithmetic and memory by $\sim d^2$ in the attention stage.",
        r"Arithmetic yes; memory only if the attention matrix is held. Fused attention needs memory "
        r"linear in $N$.",
        Verdict.WITH_ASSUMPTIONS,
        "the attention matrix is materialised",
        rescues=("pairs-quotient", "dense-matrix"),
    ),
    Claim(
        "claim-memory-exhaustion",
        "§1",
        "Quadratic complexity exhausts memory beyond a few hundred frames.",
        r"A held $N\times N$ matrix would, far earlier. The public model uses fused attention; its time is "
        r"quadratic, its attention memory is not.",
        Verdict.WITH_ASSUMPTIONS,
        "the attention matrix is materialised",
        rescues=("dense-matrix",),
    ),
    Claim(
        "claim-uniform-factor",
        "§4.2",
        r"Under a uniform merging factor the token count is $N'=DT/d$ up to a small constant.",
        "True of a uniform rule. The released rule saturates, and keeps a fixed share of the tokens beyond.",
        Verdict.WITH_ASSUMPTIONS,
        "a rule that reaches every m; the released one does not",
        breaks=("released-saturation", "released-kept"),
        rescues=("uniform-kept",),
    ),
    Claim(
        "claim-m-controls",
        "§6",
        r"The merging ratio $m$ directly controls the effective diffusion coefficient.",
        r"In the released rule all $m$ beyond saturation are the same computation, yet Tables 1 and 2 "
        r"differ there.",
        Verdict.DOES_NOT_FOLLOW,
        "no coefficient is measured, and the released rule does not react to m beyond its saturation",
        breaks=("released-saturation", "same-at-last-two"),
    ),
    Claim(
        "claim-cost-of-matching",
        "§4.2",
        "The only constants beside the square are implementation and input/output overhead.",
        r"Bipartite matching with a share $f$ of destinations adds $f(1-f)/2$ of full attention: a "
        r"constant in the released rule, a term linear in $1-m$ in a rule that merges every source.",
        Verdict.DOES_NOT_FOLLOW,
        "matching is itself quadratic in N",
        breaks=("matching-share", "matching-all-sources", "matching-linear-law"),
    ),
    Claim(
        "claim-reversible",
        "§5.3",
        "Alternating merging and unmerging is a reversible process that minimises information loss.",
        r"Unmerging copies one value to a group; the composition is a projection onto $N'$ dimensions.",
        Verdict.CONTRADICTED,
        "by the rank of merge followed by unmerge",
        refutes=("merge-is-projection",),
    ),
)
