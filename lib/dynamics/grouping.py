"""Groups of particles that are merged: their means, and copying back."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from lib.dynamics.clouds import Tokens


@dataclass(frozen=True)
class Groups:
    """A partition of tokens into groups: the group of every token, and sizes as floats.

    ``size_bias``: whether keys are weighted by group size (logarithm of the size added to the logits).
    """

    labels: Int64[Tensor, " tokens"]
    sizes: Float[Tensor, " groups"]
    size_bias: bool

    @property
    def weights(self) -> Float[Tensor, " groups"] | None:
        """Key weights for attention: the sizes with size bias, None (uniform) without."""
        return self.sizes if self.size_bias else None


def groups_of(
    labels: Int64[Tensor, " tokens"], size_bias: bool, dtype: torch.dtype = torch.float64
) -> Groups:
    """Groups from labels 0…K−1, every one of which must occur.

    Raises:
        ValueError: a label is missing.
    """
    sizes = torch.bincount(labels).to(dtype)
    if (sizes == 0).any():
        raise ValueError(f"labels must be 0…K−1 without gaps; {int((sizes == 0).sum())} of them do not occur")
    return Groups(labels, sizes, size_bias)


def group_means(x: Tokens, groups: Groups) -> Float[Tensor, "groups width"]:
    """Means of the tokens of every group."""
    total = torch.zeros(len(groups.sizes), x.shape[-1], dtype=x.dtype, device=x.device)
    return total.index_add_(0, groups.labels, x) / groups.sizes.to(x)[:, None]


def copy_back(y: Float[Tensor, "groups width"], groups: Groups) -> Tokens:
    """Every token gets the value of its group."""
    return y[groups.labels]
