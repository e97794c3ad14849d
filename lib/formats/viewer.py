"""One page of HTML with the points and cameras of a reconstruction; it needs nothing beside itself."""

from __future__ import annotations

import base64
import html
import json
from pathlib import Path
from string import Template

import numpy as np
from jaxtyping import Float, UInt8

TEMPLATE = Path(__file__).with_name("viewer.html")
MOST = 60_000  # points; a page of a megabyte that still turns smoothly
LARGE = 0.06  # length of a drawn camera, in radii of the scene


def viewer_page(
    title: str,
    points: Float[np.ndarray, "points 3"],
    colours: UInt8[np.ndarray, "points 3"],
    cameras: Float[np.ndarray, "frames 4 4"],
    fields: Float[np.ndarray, "frames 2"],
) -> str:
    """The page as text.

    Args:
        cameras: camera-to-world; the first is drawn in another colour.
        fields: half the width and height of each image at depth 1.
    """
    some = np.linspace(0, len(points) - 1, min(MOST, len(points))).astype(int)
    shown = np.asarray(points[some], dtype="<f4")
    seen = np.concatenate([shown, cameras[:, :3, 3]])
    middle = np.median(seen, axis=0)
    radius = float(np.quantile(np.linalg.norm(seen - middle, axis=1), 0.9)) or 1.0
    data = {
        "points": base64.b64encode(shown.tobytes()).decode("ascii"),
        "colours": base64.b64encode(np.ascontiguousarray(colours[some]).tobytes()).decode("ascii"),
        "cameras": np.round(_pyramids(cameras, fields, LARGE * radius), 6).tolist(),
        "middle": middle.tolist(),
        "radius": radius,
    }
    summary = f"{len(cameras)} cameras, {len(some):,} of {len(points):,} points."
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        title=html.escape(title),
        summary=summary,
        label=html.escape(f"Points and cameras of {title}. {summary}", quote=True),
        data=json.dumps(data, allow_nan=False),
    )


def _pyramids(
    cameras: Float[np.ndarray, "frames 4 4"], fields: Float[np.ndarray, "frames 2"], length: float
) -> Float[np.ndarray, "frames 5 3"]:
    """Centre and the four corners of each image, in the world."""
    signs = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    corners = np.concatenate([fields[:, None] * signs, np.ones((len(fields), 4, 1))], -1) * length
    local = np.concatenate([np.zeros((len(fields), 1, 3)), corners], 1)
    moved = local @ cameras[:, :3, :3].transpose(0, 2, 1) + cameras[:, None, :3, 3]
    return np.asarray(moved)
