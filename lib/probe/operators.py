"""The attention matrix of one head of an observed block, as an operator that never stores it."""

from __future__ import annotations

import torch

from lib.spectra import AttentionOperator, LiftedAttention
from lib.vggt import AttentionEvent


def attention_operators(
    event: AttentionEvent, head: int, item: int = 0, precision: torch.dtype = torch.float32
) -> tuple[AttentionOperator, AttentionOperator | LiftedAttention]:
    """Attention of one head and batch item as the block computed it, and as all N tokens see it.

    The softmax ran in the dtype of the values: queries, keys and group sizes are rounded to it, then computed
    with in `precision`.

    Returns:
        (Nq, Nk) among the rows that entered the softmax, and (N, N); the same object where nothing merged.
    """
    rounded = event.v.dtype
    q, k = (t[item, head].to(rounded).to(precision) for t in (event.q, event.k))
    plan = event.plan
    sizes = None if plan is None or plan.log_sizes is None else plan.log_sizes[item].to(rounded).float()
    inner = AttentionOperator(q, k, event.scale, sizes)
    return inner, inner if plan is None else LiftedAttention(inner, plan, item)
