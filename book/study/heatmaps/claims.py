"""Checks and claims of the chapter: What chosen tokens look at.

Thresholds were written before the first run of ``book/runs/heatmaps.ipynb``. Each is the border between two
verdicts. Distances are total variation, 0 for the same map and 1 for maps without overlap:

* two maps are *nearly identical*, and a map is *almost uniform*, below `NEARLY`;
* heads *respond to distinct regions* above it;
* "deeper" is the second half of the global blocks, and of these the block that is most favourable to the
  paper is taken;
* maps become *increasingly* homogeneous if their distance falls from the first block to the last and at
  each step between; if only the former, the claim holds under that reading; if not even that, it is
  contradicted;
* merging *alleviates* rank collapse if the stable rank of attention among all tokens rises, *worsens* it if
  it falls, each with the whole bootstrap interval over scenes; merging is that of the released rule where
  it merges most.

The sides declared are those that were expected before the first run, but for one: the distance from the
first block to the last was expected to fall, and rose.
"""

from book.study.verdicts.model import Claim, Verdict, above, below, measurement

NEARLY = 0.2

CHECKS = (
    measurement(
        "tokens-differ",
        "mean distance between the maps of two tokens, in that deeper block where it is smallest (median "
        "over scenes; below 0.2: nearly identical)",
        above(NEARLY),
    ),
    measurement(
        "not-uniform",
        "mean distance of a map from uniform attention, in that deeper block where it is smallest (median "
        "over scenes; below 0.2: almost uniform)",
        above(NEARLY),
    ),
    measurement(
        "last-over-first",
        "distance between the maps of two tokens, last block over first (median over scenes)",
        above(1.0),
    ),
    measurement(
        "not-at-each-step",
        "share of steps from one block to the next at which that distance falls",
        below(1.0),
    ),
    measurement(
        "heads-differ",
        "mean distance between the maps of one token in two heads of the first block (median over scenes)",
        above(NEARLY),
    ),
    measurement(
        "merging-lowers-rank",
        "stable rank of attention among all tokens, deeper blocks, strongest merging of the released rule "
        "over none: upper end of the 95 % interval over scenes",
        below(1.0),
    ),
    measurement(
        "static-part-lowers-rank",
        "the same with the tokens of the unmerged run: what merging does to the matrix alone",
        below(1.0),
    ),
    measurement(
        "cosines-explain",
        r"share of the variance of a row's logits that the theory's law $\beta\cos$ explains (median over "
        "heads, blocks and scenes)",
        below(0.5),
    ),
)

_SMALL = "in a trained VGGT of small size and rendered rooms; the maps of VGGT-1B remain to be measured"

CLAIMS = (
    Claim(
        "fig-4",
        "§5.4",
        "Heat maps grow uniform with depth, and merging alleviates it.",
        "On the network measured here maps are far from uniform at every depth, and merging lowers the "
        "stable rank of attention, by what it does to the matrix rather than to the tokens.",
        Verdict.CONTRADICTED,
        f"by the distance of maps from uniform attention, and by stable ranks, {_SMALL}",
        refutes=("not-uniform", "merging-lowers-rank", "static-part-lowers-rank"),
    ),
    Claim(
        "claim-identical-areas",
        "§3.1",
        "At deeper layers all tokens attend to nearly identical areas.",
        "On the network measured here two tokens share part of their map at every depth and differ in the "
        "rest.",
        Verdict.CONTRADICTED,
        f"by the distance between the maps of two tokens {_SMALL}",
        refutes=("tokens-differ",),
    ),
    Claim(
        "claim-uniform-heatmaps",
        "§1, §3.1",
        "Collapse shows as almost uniform heat maps.",
        "Equal maps need not be uniform ones, and those measured here are neither.",
        Verdict.CONTRADICTED,
        f"by the distance of maps from uniform attention {_SMALL}",
        refutes=("not-uniform",),
    ),
    Claim(
        "claim-homogeneous-with-depth",
        "§3.1",
        "Across consecutive blocks the maps of tokens become increasingly homogeneous.",
        "On the network measured here their distance rises to a middle block and falls after it; the maps of "
        "the last block are less alike than those of the first.",
        Verdict.CONTRADICTED,
        f"by the distance between the maps of two tokens, block by block, {_SMALL}",
        refutes=("last-over-first", "not-at-each-step"),
    ),
    Claim(
        "claim-distinct-heads",
        "§3.1",
        "At shallow layers attention heads respond to distinct geometric regions.",
        "They do, on the network measured here.",
        Verdict.HOLDS,
        "the maps of one token in two heads of the first block differ",
        supports=("heads-differ",),
    ),
    Claim(
        "claim-heatmap-evolution",
        "Abstract",
        "The theory quantitatively matches the evolution of attention heat maps.",
        "No heat map is predicted or given in numbers; the law from which the theory starts leaves most of "
        "the variance of trained logits unexplained.",
        Verdict.DOES_NOT_FOLLOW,
        "nothing is printed that could match, and the law explains less than half of what is measured here",
        breaks=("printed_evidence/no-heatmap-data", "cosines-explain"),
    ),
)
