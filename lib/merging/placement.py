"""Which tokens stay: evenly spread over frames and over the patch grid, for any number asked for."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from torch.nn.functional import pad

from .plan import TokenLayout, TokenMask


def apportion(total: int, weights: Int[Tensor, " bins"]) -> Int[Tensor, " bins"]:
    """Share `total` among bins in proportion to their sizes, as evenly as whole numbers allow.

    The shares sum to `total`, and each is at most its bin's size.

    Raises:
        ValueError: if the bins cannot hold `total`.
    """
    capacity = int(weights.sum())
    if not 0 <= total <= capacity:
        raise ValueError(f"the bins hold 0 to {capacity} items, got {total}")
    ends = weights.cumsum(0) * total // max(capacity, 1)
    return ends.diff(prepend=ends.new_zeros(1))


def dither_order(layout: TokenLayout, seed: int | None) -> Int[Tensor, "{layout.frames} {layout.patches}"]:
    """Rank of every patch in its frame such that the first k, for any k, are evenly spread.

    The ranks are those of ordered dithering (Bayer 1973): of a 2**b x 2**b matrix, the first 4**a entries
    are a square lattice of step 2**(b-a), so that one quarter of the patches is one of each 2x2 cell.

    Args:
        layout: patch grid.
        seed: draws a cyclic shift of the matrix for each frame, so that frames keep different patches;
            None shifts none.

    Returns:
        A permutation of 0 ... h*w-1 in each row.
    """
    bits = max(1, (max(layout.patches_high, layout.patches_wide) - 1).bit_length())
    side = 2**bits
    shifts = torch.zeros(layout.frames, 2, dtype=torch.int64)
    if seed is not None:
        generator = torch.Generator().manual_seed(seed)
        shifts = torch.randint(side, shifts.shape, generator=generator)
    row = (torch.arange(layout.patches_high) + shifts[:, :1]) % side  # (S, h)
    column = (torch.arange(layout.patches_wide) + shifts[:, 1:]) % side  # (S, w)
    row, column = row[:, :, None], column[:, None, :]
    threshold = torch.zeros(layout.frames, layout.patches_high, layout.patches_wide, dtype=torch.int64)
    for bit in range(bits):  # the lowest bits of the place decide first: they become the highest
        y, x = (row >> bit) & 1, (column >> bit) & 1
        threshold = threshold * 4 + 2 * (x ^ y) + y
    return threshold.flatten(1).argsort(dim=1).argsort(dim=1)


def place_evenly(
    layout: TokenLayout, free: TokenMask, shares: Int[Tensor, " frames"], seed: int | None
) -> TokenMask:
    """Choose tokens evenly among the `free` ones of each frame: `shares` of them, at most its free tokens.

    Special tokens, where free, are chosen last. seed: see `dither_order`.
    """
    rank = torch.empty(layout.frames, layout.tokens_per_frame, dtype=torch.int64)
    rank[:, : layout.special] = layout.patches + torch.arange(layout.special)
    rank[:, layout.special :] = dither_order(layout, seed)
    # Ranks among the free tokens alone: the others go to the end.
    rank = rank.masked_fill(~free, layout.tokens_per_frame).argsort(dim=1, stable=True).argsort(dim=1)
    return rank < shares[:, None]


def positions(
    layout: TokenLayout, device: torch.device | None = None
) -> Int[Tensor, "{layout.tokens_per_frame} 2"]:
    """Rows and columns in one frame, as RoPE takes them: patches from (1, 1), specials at (0, 0)."""
    rows = torch.arange(1, layout.patches_high + 1, device=device)
    columns = torch.arange(1, layout.patches_wide + 1, device=device)
    return pad(torch.cartesian_prod(rows, columns), (0, 0, layout.special, 0))


def nearest_kept(layout: TokenLayout, kept: TokenMask) -> Int[Tensor, " {layout.tokens}"]:
    """The kept token that stands for each token: itself, or the nearest in its frame.

    A frame that keeps nothing is served by the nearest frame that does (of two, the earlier); of kept
    tokens at the same distance, the first. The result lies on the device of `kept`.

    Raises:
        ValueError: if nothing is kept.
    """
    serving = kept.any(dim=1).nonzero().flatten()
    if len(serving) == 0:
        raise ValueError("at least one token must be kept, got none")
    frame = torch.arange(layout.frames, device=kept.device)
    server = serving[(serving - frame[:, None]).abs().argmin(dim=1)]  # (S,)
    # Frames often keep the same places (always, without shifts): each pattern is solved once.
    patterns, which = kept.unique(dim=0, return_inverse=True)
    local = torch.stack([_nearest_in_frame(layout, pattern) for pattern in patterns])[which]  # (S, P)
    owner = server[:, None] * layout.tokens_per_frame + local[server]
    itself = torch.arange(layout.tokens, device=kept.device)
    return torch.where(kept.flatten(), itself, owner.flatten())


def _nearest_in_frame(layout: TokenLayout, pattern: Bool[Tensor, " tokens"]) -> Int[Tensor, " tokens"]:
    """Nearest kept token for each place of one frame; zeros for a frame that keeps nothing."""
    tokens = pattern.nonzero().flatten()
    if len(tokens) == 0:
        return torch.zeros_like(pattern, dtype=torch.int64)
    place = positions(layout, pattern.device)
    # Whole numbers, so that ties are exact and no product is left to autocast.
    return tokens[(place[:, None] - place[tokens]).square().sum(dim=-1).argmin(dim=1)]


def free_tokens(
    layout: TokenLayout, keep_first_frame: bool, keep_special: bool
) -> Bool[Tensor, "{layout.frames} {layout.tokens_per_frame}"]:
    """Tokens that may be merged or dropped."""
    free = torch.ones(layout.frames, layout.tokens_per_frame, dtype=torch.bool)
    if keep_first_frame:
        free[0] = False
    if keep_special:
        free[:, : layout.special] = False
    return free
