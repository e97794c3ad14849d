"""Checks and claims of the first chapter: what the network is and where merging sits (Fig. 1)."""

from book.study.verdicts.model import Claim, Verdict, identity

CHECKS = (
    identity(
        "frame-attention-unmerged",
        "frame attention sees every token of its frame, however strongly global attention merges",
    ),
    identity(
        "merged-only-inside",
        "in a global block only keys inside the softmax are fewer than the tokens of the residual stream",
    ),
    identity(
        "unmerged-inside",
        "the update that a merging global block returns is already unmerged: bitwise the same for all "
        "members of a group, different for different groups",
    ),
)

CLAIMS = (
    Claim(
        "fig-1",
        "§1",
        "Features are refined through global attention with token merging and local self-attention with "
        "token unmerging.",
        "Tokens are merged and unmerged inside the same global block, around the softmax; local (frame) "
        "attention sees every token and takes no part in it.",
        Verdict.CONTRADICTED,
        "by the model itself: unmerging happens in the operation that merged",
        refutes=("frame-attention-unmerged", "merged-only-inside", "unmerged-inside"),
    ),
)
