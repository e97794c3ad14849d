"""Global attention without merging, read from the same scenes at several lengths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from lib.merging import TokenLayout
from lib.run import Params, Setup, prepare
from lib.vggt import VGGT, AttentionEvent


def increasing(lengths: Sequence[int], least: int) -> None:
    """Refuse lengths from which no growth can be read.

    Raises:
        ValueError: fewer than two, not increasing, or one below `least`.
    """
    if len(lengths) < 2 or lengths[0] < least or sorted(set(lengths)) != list(lengths):
        raise ValueError(f"lengths = {list(lengths)} must be two or more that increase, none below {least}")


def in_drawn_order(params: Params, model: VGGT) -> Setup:
    """One scene, its frames in an order drawn by `params.seed`: no length shows more of one end of a walk.

    Raises:
        ValueError: as `lib.run.prepare`.
    """
    setup = prepare(params, model)
    order = torch.randperm(params.frames, generator=torch.Generator().manual_seed(params.seed))
    return replace(setup, sequence=setup.sequence.take(order.tolist()))


def among_all_tokens(event: AttentionEvent) -> TokenLayout | None:
    """How the tokens of a global block lie; None for another block.

    Raises:
        ValueError: tokens were merged.
    """
    if event.kind != "global":
        return None
    if event.plan is not None or event.layout is None:
        raise ValueError("what a length does is read from attention among all tokens: set m = 0")
    return event.layout
