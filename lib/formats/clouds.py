"""Coloured points as PLY, which MeshLab, CloudCompare, Blender and Open3D open."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8


def write_cloud(
    path: Path,
    points: Float[np.ndarray, "points 3"],
    colours: UInt8[np.ndarray, "points 3"],
    confidence: Float[np.ndarray, " points"],
) -> None:
    """Binary PLY: x, y, z and confidence as float32, red, green and blue as bytes.

    Raises:
        ValueError: the lengths differ, or a coordinate is not finite.
    """
    if not len(points) == len(colours) == len(confidence):
        raise ValueError(f"{len(points)} points, {len(colours)} colours and {len(confidence)} confidences")
    if not np.isfinite(points).all():
        raise ValueError(f"{int((~np.isfinite(points)).any(1).sum())} points are not finite; leave them out")
    layout = [(axis, "<f4") for axis in "xyz"] + [(name, "u1") for name in ("red", "green", "blue")]
    rows = np.empty(len(points), dtype=[*layout, ("confidence", "<f4")])
    for place, axis in enumerate("xyz"):
        rows[axis] = points[:, place]
    for place, name in enumerate(("red", "green", "blue")):
        rows[name] = colours[:, place]
    rows["confidence"] = confidence
    kinds = {"<f4": "float", "|u1": "uchar"}
    listed = "".join(f"property {kinds[rows.dtype[name].str]} {name}\n" for name in rows.dtype.names or ())
    head = f"ply\nformat binary_little_endian 1.0\nelement vertex {len(rows)}\n{listed}end_header\n"
    path.write_bytes(head.encode("ascii") + rows.tobytes())
