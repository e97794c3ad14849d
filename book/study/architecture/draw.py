"""The paper's Fig. 1 as our own picture, drawn from a model's real dimensions.

It shows what VGGT is and where merging sits.
"""

from dataclasses import dataclass

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from book.study.style import PALETTE

WIDTH = 15.0  # of both panels; boxes are as wide as their words at the size of type on a page


@dataclass(frozen=True)
class Dimensions:
    """What the picture says about one model and one input; nothing in it is drawn from memory.

    Attributes:
        pairs: number of (frame, global) attention pairs.
        width: token width C.
        heads: attention heads per block.
        patch_embed: name of the patch embedding.
        patch: patch side in pixels.
        image: (height, width) of a frame in pixels.
        frames: S.
        tokens_per_frame: P, special tokens included.
        special: camera and register tokens per frame.
        read_layers: 0-based layers that the dense heads read.
        camera_iterations: passes of the camera head.
        kept: N'/N inside global attention under the merging rule that is drawn, or None for no merging.
        rule: name of that rule.
    """

    pairs: int
    width: int
    heads: int
    patch_embed: str
    patch: int
    image: tuple[int, int]
    frames: int
    tokens_per_frame: int
    special: int
    read_layers: tuple[int, ...]
    camera_iterations: int
    kept: float | None = None
    rule: str = ""

    @property
    def tokens(self) -> int:
        """N = S·P, the length of the sequence that global attention sees."""
        return self.frames * self.tokens_per_frame


def _box(ax: Axes, x: float, y: float, w: float, h: float, text: str, colour: str, size: float = 9) -> None:
    patch = FancyBboxPatch(
        (x, y), w, h, boxstyle="round,pad=0.02,rounding_size=0.08", fc=colour + "22", ec=colour, lw=1.4
    )
    ax.add_patch(patch)
    ax.text(x + w / 2, y + h / 2, text, ha="center", va="center", fontsize=size, linespacing=1.35)


def _arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    ax.annotate("", xy=end, xytext=start, arrowprops={"arrowstyle": "-|>", "color": "#555555", "lw": 1.2})


def _whole_model(ax: Axes, d: Dimensions) -> None:
    """Upper panel: photographs in, cameras and geometry out."""
    rows, columns = d.image[0] // d.patch, d.image[1] // d.patch
    photographs = f"{d.frames} photographs\n{d.image[0]}×{d.image[1]} px"
    patches = f"patch embed\n{d.patch_embed}\n{rows}×{columns} patches\nof {d.patch} px"
    special = f"+ {d.special} special tokens\n1 camera, {d.special - 1} registers\n"
    special += f"P = {d.tokens_per_frame:,} per frame\nframe 0 has its own"
    frame_attention = f"frame attention\n{d.frames} sequences\nof {d.tokens_per_frame:,}"
    for x, y, w, h, text, colour in (
        (0.1, 0.9, 2.1, 1.6, photographs, "grey"),
        (2.48, 0.9, 1.98, 1.6, patches, "blue"),
        (4.7, 0.9, 2.6, 1.6, special, "sky"),
        (7.54, 0.75, 4.45, 1.9, "", "grey"),
        (7.69, 0.95, 1.9, 1.25, frame_attention, "green"),
        (9.89, 0.95, 1.95, 1.25, f"global attention\n1 sequence\nof N = {d.tokens:,}", "vermilion"),
    ):
        _box(ax, x, y, w, h, text, PALETTE[colour])
    pairs = f"× {d.pairs} pairs, width {d.width}, {d.heads} heads"
    ax.text(9.77, 2.4, pairs, ha="center", va="center", fontsize=9)
    for start, end in [(2.22, 2.46), (4.48, 4.68), (7.32, 7.52), (9.61, 9.87)]:
        y = 1.575 if start > 8 else 1.7
        _arrow(ax, (start, y), (end, y))
    _heads(ax, d)
    ax.set(xlim=(0, WIDTH), ylim=(0.4, 2.9))


def _heads(ax: Axes, d: Dimensions) -> None:
    """The heads at the right end of the upper panel."""
    layers = ", ".join(str(layer) for layer in d.read_layers)
    heads = [
        ("camera head", f"last layer, {d.camera_iterations} passes"),
        ("depth and point heads", f"layers {layers}"),
        ("track head", f"layers {layers}"),
    ]
    for i, (name, note) in enumerate(heads):
        y = 2.08 - 0.78 * i
        _box(ax, 12.32, y, 2.6, 0.62, f"{name}\n{note}", PALETTE["purple"], 8)
        _arrow(ax, (12.01, 1.7), (12.28, y + 0.31))


def _global_block(ax: Axes, d: Dimensions) -> None:
    """Lower panel: one global block; bar heights are sequence lengths, to scale."""
    kept = 1.0 if d.kept is None else d.kept
    merged = f"N′ = {round(kept * d.tokens):,}\n({kept:.1%} of N)"
    stages = [
        ("norm", 1.0, "grey", ""),
        ("q, k, v\nqk-norm\nRoPE", 1.0, "blue", f"N = {d.tokens:,}"),
        ("merge\nq, k, v", kept, "orange", ""),
        ("softmax\nattention", kept, "vermilion", merged),
        ("output\nprojection", kept, "vermilion", ""),
        ("unmerge", 1.0, "orange", f"N = {d.tokens:,}"),
        ("LayerScale\n+ residual", 1.0, "grey", ""),
        ("MLP\n+ residual", 1.0, "green", "always N"),
    ]
    if d.kept is None:
        stages = [stage for stage in stages if stage[0] not in ("merge\nq, k, v", "unmerge")]
    step = WIDTH / len(stages)
    for i, (name, length, colour, note) in enumerate(stages):
        height, x = 1.7 * length, i * step + 0.12
        ax.add_patch(
            plt.Rectangle(
                (x, 0.75), step - 0.5, height, fc=PALETTE[colour] + "33", ec=PALETTE[colour], lw=1.4
            )
        )
        ax.text(x + (step - 0.5) / 2, 0.62, name, ha="center", va="top", fontsize=8.5, linespacing=1.3)
        ax.text(x + (step - 0.5) / 2, 0.75 + height + 0.06, note, ha="center", va="bottom", fontsize=8)
        if i:
            _arrow(ax, (x - 0.42, 1.05), (x - 0.04, 1.05))
    title = "one global block" + (
        "" if d.kept is None else f", merged by {d.rule} (bar height = sequence length)"
    )
    ax.text(0.1, 2.95, title, fontsize=9.5, weight="bold", va="bottom")
    ax.set(xlim=(0, WIDTH), ylim=(-0.1, 3.2))


def architecture(d: Dimensions) -> Figure:
    """VGGT from photographs to geometry (top) and one global block with merging in place (bottom).

    Args:
        d: the dimensions to draw.

    Returns:
        The figure. Merging comes after RoPE, unmerging after the output projection, in the same block.
    """
    figure, (top, bottom) = plt.subplots(2, 1, figsize=(11.5, 5.6), height_ratios=(1, 1.15))
    for ax in (top, bottom):
        ax.set_axis_off()
    _whole_model(top, d)
    _global_block(bottom, d)
    return figure
