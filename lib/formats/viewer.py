"""One page of HTML with points and cameras, of one estimate or several; it needs nothing beside itself."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template

import numpy as np
from jaxtyping import Float, UInt8

TEMPLATE = Path(__file__).with_name("viewer.html")
MOST = 60_000  # points; a page of a megabyte that still turns smoothly
LARGE = 0.06  # length of a drawn camera, in radii of the scene


@dataclass(frozen=True)
class View:
    """One estimate of a scene, or the truth.

    cameras: camera-to-world, the first is drawn in another colour.
    fields: half the width and height of each image at depth 1.
    """

    name: str
    points: Float[np.ndarray, "points 3"]
    colours: UInt8[np.ndarray, "points 3"]
    cameras: Float[np.ndarray, "frames 4 4"]
    fields: Float[np.ndarray, "frames 2"]


def viewer_page(title: str, views: Sequence[View], most: int = MOST) -> str:
    """The page as text; several views are seen one at a time, with the cameras of the first in each.

    Args:
        views: in one world and unit of length; middle and size are those of the first.
        most: points of each that are kept.
    """
    first = views[0]
    some = [np.linspace(0, len(v.points) - 1, min(most, len(v.points))).astype(int) for v in views]
    seen = np.concatenate([first.points[some[0]], first.cameras[:, :3, 3]]).astype("<f4")
    middle = np.median(seen, axis=0)
    distances = np.linalg.norm(seen - middle, axis=1)  # most points are to be seen at first, and every camera
    radius = float(max(np.quantile(distances, 0.9), distances[len(some[0]) :].max())) or 1.0
    data = {
        "views": [
            {
                "name": view.name,
                "points": _packed(view.points[kept].astype("<f4")),
                "colours": _packed(view.colours[kept]),
                "cameras": np.round(_pyramids(view.cameras, view.fields, LARGE * radius), 6).tolist(),
            }
            for view, kept in zip(views, some, strict=True)
        ],
        "middle": middle.tolist(),
        "radius": radius,
    }
    summary = f"{len(first.cameras)} cameras, {len(some[0]):,} of {len(first.points):,} points."
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        title=html.escape(title),
        summary=summary,
        label=html.escape(f"Points and cameras of {title}. {summary}", quote=True),
        data=json.dumps(data, allow_nan=False).replace("</", "<\\/"),
    )


def _packed(values: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode("ascii")


def _pyramids(
    cameras: Float[np.ndarray, "frames 4 4"], fields: Float[np.ndarray, "frames 2"], length: float
) -> Float[np.ndarray, "frames 5 3"]:
    """Centre and the four corners of each image, in the world."""
    signs = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    corners = np.concatenate([fields[:, None] * signs, np.ones((len(fields), 4, 1))], -1) * length
    local = np.concatenate([np.zeros((len(fields), 1, 3)), corners], 1)
    moved = local @ cameras[:, :3, :3].transpose(0, 2, 1) + cameras[:, None, :3, 3]
    return np.asarray(moved)
