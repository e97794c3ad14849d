"""One room as the network rebuilds it, with a remedy and without, beside the truth."""

from __future__ import annotations

import html
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from book.study.long_sequences.outcome import FAILURE, Run
from book.study.style import PALETTE
from lib.formats.viewer import View, viewer_page
from lib.geometry import invert, relative_to_first, unproject
from lib.run import Outcome
from lib.run.results import reconstruction
from lib.scenes.sequence import Sequence as Frames

POINTS = 2000  # of each view
DRAWN = 8  # every so many frames a camera is drawn
SURE = 0.5  # share of pixels, the most confident, that become points


def failing_room(run: Run) -> str:
    """The first room of a run in which the plain network fails."""
    wrong = run.errors("plain")
    return next(scene for scene, error in zip(run.scenes, wrong, strict=True) if error > FAILURE)


def truth(frames: Frames) -> View:
    """Rendered points and cameras; the world is that of frame 0, in metres."""
    assert frames.depth is not None and frames.extrinsics is not None and frames.intrinsics is not None
    extrinsics, lens = relative_to_first(frames.extrinsics.double()), frames.intrinsics.double()
    depth = frames.depth.double()
    known = (depth > 0).flatten().numpy()
    colours = (frames.images.permute(0, 2, 3, 1).reshape(-1, 3) * 255).round().byte().numpy()
    size = np.array(frames.images.shape[:1:-1]) / 2
    return View(
        "truth",
        unproject(depth, extrinsics, lens).reshape(-1, 3).numpy()[known],
        colours[known],
        invert(extrinsics).numpy(),
        size / lens.numpy()[:, [0, 1], [0, 1]],
    )


def estimate(name: str, outcome: Outcome, true: View) -> View:
    """What a run found, in the world of its frame 0; only the unit of length is fitted to the truth."""
    found = reconstruction(outcome)
    to_first = np.linalg.inv(found.cameras[0])
    cameras = to_first @ found.cameras
    centres, right = cameras[:, :3, 3], true.cameras[:, :3, 3]
    unit = float((centres * right).sum() / (centres**2).sum())
    cameras[:, :3, 3] *= unit
    points, colours, _ = found.cloud(SURE)
    points = unit * (points @ to_first[:3, :3].T + to_first[:3, 3])
    fields = np.array(found.sizes) / 2 / found.intrinsics[:, [0, 1], [0, 1]]
    return View(name, points, colours, cameras, fields)


def to_turn(title: str, views: Sequence[View]) -> str:
    """The library's viewer as a frame of a page; in each view the cameras of the first stand in grey."""
    few = [View(v.name, v.points, v.colours, v.cameras[::DRAWN], v.fields[::DRAWN]) for v in views]
    page = html.escape(viewer_page(title, few, POINTS), quote=True)
    named = html.escape(title, quote=True)
    return f'<div><iframe class="viewer" title="{named}" srcdoc="{page}"></iframe></div>'


def from_above(views: Sequence[View]) -> Figure:
    """Floor plan of the first view, in grey, under each of the others: centres, and where cameras look."""
    true, *others = views
    figure, axes = plt.subplots(1, len(others), figsize=(2.4 * len(others), 3.9), sharex=True, sharey=True)
    for ax, view in zip(np.atleast_1d(axes), others, strict=True):
        for cameras, colour in ((true.cameras, "grey"), (view.cameras, "vermilion")):
            centres, ahead = cameras[:, :3, 3], cameras[:, :3, 2]
            ax.plot(centres[:, 0], centres[:, 2], color=PALETTE[colour], lw=1.3)
            some = slice(None, None, 2 * DRAWN)
            across, along = ahead[some, 0], ahead[some, 2]
            ax.quiver(
                centres[some, 0], centres[some, 2], across, along, color=PALETTE[colour], width=0.006, scale=7
            )
        ax.set(title=view.name, aspect="equal", xlabel="metres, right")
    np.atleast_1d(axes)[0].set_ylabel("metres, forward from frame 0")
    return figure
