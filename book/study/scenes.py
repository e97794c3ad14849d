"""What one run saw and predicted: photographs, depth, cameras in space, attention laid over the frames."""

from collections.abc import Iterable
from collections.abc import Sequence as Many

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from mpl_toolkits.mplot3d.axes3d import Axes3D

from book.study.style import PALETTE, own_pixels
from lib.geometry import camera_centres, invert
from lib.merging import TokenLayout
from lib.metrics import camera_errors
from lib.probe import LayerReading
from lib.run import Outcome


def _bare(ax: plt.Axes) -> None:
    ax.set_xticks([])
    ax.set_yticks([])
    ax.grid(False)
    for spine in ax.spines.values():
        spine.set_visible(False)


def photographs(
    images: np.ndarray, indices: Many[int], depths: dict[str, np.ndarray] | None = None
) -> Figure:
    """Chosen frames in a row, and under them one row for each kind of depth, on a common colour scale.

    Args:
        images: (S, 3, H, W) in [0, 1].
        indices: which frames to show.
        depths: label -> (S, H, W) z-depth in one common unit; zeros are drawn as missing.

    Returns:
        The figure.
    """
    depths = depths or {}
    shown = (
        np.concatenate([depth[list(indices)].ravel() for depth in depths.values()]) if depths else np.ones(1)
    )
    low, high = np.percentile(shown[shown > 0], (2, 98)) if (shown > 0).any() else (0.0, 1.0)
    own, aspect = own_pixels(images[0, 0]), images.shape[2] / images.shape[3]
    width = 1.55 * len(indices)
    figure, axes = plt.subplots(
        1 + len(depths),
        len(indices),
        figsize=(width + 0.9, (1.5 * aspect + 0.06) * (1 + len(depths)) + 0.3),
        squeeze=False,
    )
    for column, frame in enumerate(indices):
        axes[0, column].imshow(np.clip(images[frame].transpose(1, 2, 0), 0, 1), interpolation=own)
        axes[0, column].set_title(f"frame {frame}", fontsize=9)
        for row, depth in enumerate(depths.values(), start=1):
            picture = np.where(depth[frame] > 0, depth[frame], np.nan)
            mappable = axes[row, column].imshow(picture, vmin=low, vmax=high, interpolation=own)
    for ax in axes.ravel():
        _bare(ax)
    for row, label in enumerate(["image", *depths]):
        axes[row, 0].set_ylabel(label, fontsize=9)
    if depths:
        figure.colorbar(mappable, ax=axes[1:].ravel().tolist(), label="z-depth (m)", shrink=0.8)
    return figure


def _draw_path(ax: Axes3D, extrinsics: np.ndarray, colour: str, label: str, arrow: float) -> None:
    centres = camera_centres(torch.from_numpy(extrinsics)).numpy()
    forward = extrinsics[:, 2, :3] * arrow  # the camera's z axis in world coordinates
    x, y, z = centres.T
    ax.plot(x, y, z, color=colour, lw=1.5, marker="o", ms=3, label=label)
    ax.quiver(x, y, z, *forward.T, color=colour, lw=0.9, arrow_length_ratio=0.3)


def cameras(paths: dict[str, np.ndarray]) -> Figure:
    """Camera paths in space, each pose a dot with an arrow where the camera looks.

    Args:
        paths: label -> (S, 3, 4) camera-from-world extrinsics in one frame and unit (align first).

    Returns:
        The figure; all axes have the same scale.
    """
    figure = plt.figure(figsize=(6.4, 5.2))
    ax = figure.add_subplot(projection="3d")
    everything = np.concatenate([camera_centres(torch.from_numpy(e)).numpy() for e in paths.values()])
    middle, reach = (everything.max(0) + everything.min(0)) / 2, float(np.ptp(everything, axis=0).max()) / 2
    reach = max(reach, 1e-6)
    colours = [PALETTE["black"], PALETTE["vermilion"], PALETTE["blue"], PALETTE["green"]]
    for (label, extrinsics), colour in zip(paths.items(), colours, strict=False):
        _draw_path(ax, extrinsics, colour, label, 0.35 * reach)
    ax.set(xlabel="x (m)", ylabel="y (m)", zlabel="z (m)")
    for axis in (ax.xaxis, ax.yaxis, ax.zaxis):
        axis.set_pane_color((1, 1, 1, 0))  # the page's own ground, in either theme
    ax.set_xlim(middle[0] - reach, middle[0] + reach)
    ax.set_ylim(middle[1] - reach, middle[1] + reach)
    ax.set_zlim(middle[2] - reach, middle[2] + reach)
    ax.legend(loc="upper left")
    return figure


def attention_maps(
    images: np.ndarray, maps: np.ndarray, query: tuple[int, int, int], layers: Many[int], indices: Many[int]
) -> Figure:
    """Where one query token looks: softmax probabilities over the frames, one row per layer.

    Args:
        images: (S, 3, H, W) in [0, 1].
        maps: (layers, S, h, w) probabilities of one query, averaged over heads.
        query: (frame, patch row, patch column) of the query token.
        layers: the layer index of each row of `maps`.
        indices: frames to show.

    Returns:
        The figure. Each row has its own colour scale, at its right, in multiples of uniform attention.
    """
    height, width = images.shape[2:]
    size = (1.5 * len(indices) + 1.3, (1.5 * height / width + 0.12) * len(layers) + 0.5)
    figure, axes = plt.subplots(len(layers), len(indices), figsize=size, squeeze=False)
    for row, layer in enumerate(layers):
        ratio = maps[row] * maps[row].size  # uniform attention is 1
        top = float(np.percentile(ratio[list(indices)], 99.5))
        for column, frame in enumerate(indices):
            mappable = _laid_over(axes[row, column], images[frame], ratio[frame], top)
            if row == 0:
                axes[row, column].set_title(f"frame {frame}", fontsize=9)
            if frame == query[0]:
                y, x = (np.array(query[1:]) + 0.5) * images.shape[2:] / maps.shape[2:]
                axes[row, column].plot(x, y, "c+", ms=9, mew=2)
        axes[row, 0].set_ylabel(f"layer {layer}", fontsize=9)
        figure.colorbar(mappable, ax=axes[row].tolist(), shrink=0.85, label="× uniform")
    return figure


def _laid_over(ax: plt.Axes, image: np.ndarray, ratio: np.ndarray, top: float) -> AxesImage:
    """One map (h, w) in colour over its frame (3, H, W) in grey."""
    height, width = image.shape[1:]
    ax.imshow(image.mean(0), cmap="gray", vmin=0, vmax=1.3)
    _bare(ax)
    return ax.imshow(ratio, cmap="magma", alpha=0.72, vmin=0, vmax=top, extent=(0, width, height, 0))


def attention_over_frames(
    readings: Iterable[LayerReading], layout: TokenLayout, query: int = 0
) -> np.ndarray:
    """Where one probed query looks, layer by layer, averaged over heads.

    Args:
        readings: of global layers, made by a probe with `queries`.
        layout: of the run.
        query: which of the probe's queries.

    Returns:
        (layers, S, h, w) softmax probabilities of the patch tokens; special tokens are left out, so the sum
        over one layer is below one.
    """
    shape = (layout.frames, layout.tokens_per_frame)
    grid = (layout.frames, layout.patches_high, layout.patches_wide)
    maps = []
    for reading in readings:
        rows = torch.stack([head.heatmaps[query] for head in reading.heads if head.heatmaps is not None])
        maps.append(rows.mean(0).view(shape)[:, layout.special :].reshape(grid).numpy())
    return np.stack(maps)


def aligned_extrinsics(outcome: Outcome) -> np.ndarray:
    """Predicted cameras moved onto the true ones by the Sim(3) of the textbook convention.

    Returns:
        (S, 3, 4) camera-from-world, metres. Without a truth, the prediction as it is (unit: the model's own).

    Raises:
        DegenerateAlignmentError: the path is too short or straight to align.
    """
    assert outcome.prediction.extrinsics is not None
    estimate = outcome.prediction.extrinsics[0].double()
    if outcome.setup.sequence.extrinsics is None:
        return estimate.numpy()
    alignment = camera_errors(estimate, outcome.setup.sequence.extrinsics).alignment
    moved = alignment.poses(invert(estimate).numpy())
    return invert(torch.from_numpy(moved))[:, :3].numpy()
