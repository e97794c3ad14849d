"""Pictures of merging rules: what becomes of each token, and how much really remains."""

from collections.abc import Sequence as Many

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from book.study.style import PALETTE
from lib.merging import FastVGGTRule, TokenLayout

ROLES = ("may be merged away", "protected", "destination", "destination, kept twice")


def fastvggt_roles(rule: FastVGGTRule, layout: TokenLayout, frame: int) -> np.ndarray:
    """Role of every patch of one frame under the released rule.

    Args:
        rule: the rule.
        layout: frames and patch grid.
        frame: which frame, 0 … S−1.

    Returns:
        (patches_high, patches_wide) int, index into `ROLES`.
    """
    destination = np.zeros(layout.tokens, dtype=int)
    destination[rule.destinations(layout).numpy()] = 2
    protected = np.zeros(layout.tokens, dtype=int)
    protected[rule.protected(layout).numpy()] = 1
    first = frame * layout.tokens_per_frame + layout.special
    roles = (destination + protected)[first : first + layout.patches]
    return roles.reshape(layout.patches_high, layout.patches_wide)


def token_roles(rule: FastVGGTRule, layouts: dict[str, TokenLayout], frame: int) -> Figure:
    """Roles of the patches of one frame, one panel per layout; lines mark the nominal 2×2 cells.

    Args:
        rule: the released rule.
        layouts: panel title -> layout.
        frame: which frame to show.
    """
    shades = ListedColormap(["#EDEDED", PALETTE["sky"], PALETTE["vermilion"], PALETTE["purple"]])
    ratios = [layout.patches_wide for layout in layouts.values()]
    figure, axes = plt.subplots(1, len(layouts), figsize=(9.6, 4.4), width_ratios=ratios, squeeze=False)
    for ax, (title, layout) in zip(axes[0], layouts.items(), strict=True):
        roles = fastvggt_roles(rule, layout, frame)
        ax.imshow(roles, cmap=shades, vmin=-0.5, vmax=3.5)
        ax.set_xticks(np.arange(-0.5, layout.patches_wide, rule.stride), minor=True)
        ax.set_yticks(np.arange(-0.5, layout.patches_high, rule.stride), minor=True)
        ax.grid(False)
        ax.grid(which="minor", color="#777777", lw=0.5, alpha=0.8)
        ax.tick_params(which="minor", length=0)
        ax.set(title=title, xlabel="patch column", ylabel="patch row")
    handles = [Patch(fc=shades(i), ec="#999999", label=role) for i, role in enumerate(ROLES)]
    figure.legend(handles=handles, loc="outside upper center", ncols=4)
    return figure


def kept_curves(asked: Many[float], curves: dict[str, Many[float]], largest: dict[str, float]) -> Figure:
    """Fraction of tokens (or of query–key pairs) that really remains, against the m that was asked for.

    Args:
        asked: values of m.
        curves: rule -> kept fraction at each m.
        largest: rule -> largest m it can reach, marked on its curve; leave out rules that reach every m.
    """
    figure, ax = plt.subplots()
    ax.plot(asked, 1 - np.asarray(asked), color=PALETTE["grey"], ls="--", label="1 − m, what was asked for")
    marks = ["o", "s", "^", "D"]
    for (name, kept), colour, mark in zip(curves.items(), list(PALETTE.values()), marks, strict=False):
        ax.plot(asked, kept, color=colour, marker=mark, ms=5, label=name)
        if name in largest:
            ax.axvline(largest[name], color=colour, lw=1, ls=":")
            label = f"nothing more\nto merge\n(m = {largest[name]:.4f})"
            ax.annotate(label, (largest[name], 0.9), xytext=(4, 0), textcoords="offset points", fontsize=8)
    ax.set(xlabel="fusion strength asked for, m", ylabel="kept fraction of keys", ylim=(0, 1.03))
    ax.legend(loc="lower left")
    return figure
