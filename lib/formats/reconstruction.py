"""Everything that a run says about a scene, written as files that other programs open."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt16
from PIL import Image
from scipy.spatial.transform import Rotation

from lib.formats.clouds import write_cloud
from lib.formats.trajectories import tum_text
from lib.formats.viewer import View, viewer_page

Maps = Float[np.ndarray, "frames height width"]
MILLI = 1000  # steps of a depth image in one unit of length, as ScanNet, 7-Scenes and Open3D have them
SPARSE = 100_000  # points in COLMAP's text, which is for seeding, not for the whole cloud


class ExportError(ValueError):
    """Results that cannot be written where they were asked for; the message says what to do."""


@dataclass(frozen=True)
class Reconstruction:
    """Cameras and points of one scene, in the world and the unit of the prediction.

    Attributes:
        names: of the pictures.
        times: seconds where a recording has time stamps, else numbers of frames.
        sizes: (width, height) of the pictures as they are on disk, upright.
        cameras: camera-to-world.
        intrinsics: in pixels of those pictures; pixel centres are integers.
        images: RGB in [0, 1], at the size of the model.
        points: one for each pixel.
        depth: z-depth.
        confidence: 1 where the network knows nothing.
    """

    title: str
    names: tuple[str, ...]
    times: Float[np.ndarray, " frames"]
    sizes: tuple[tuple[int, int], ...]
    cameras: Float[np.ndarray, "frames 4 4"]
    intrinsics: Float[np.ndarray, "frames 3 3"]
    images: Float[np.ndarray, "frames 3 height width"]
    points: Float[np.ndarray, "frames height width 3"]
    depth: Maps
    confidence: Maps

    def cloud(self, share: float = 1.0) -> tuple[Any, Any, Any]:
        """Points, colours as bytes and confidence of the `share` of pixels with the highest confidence."""
        points, confidence = self.points.reshape(-1, 3), self.confidence.reshape(-1)
        colours = np.rint(self.images.transpose(0, 2, 3, 1).reshape(-1, 3) * 255).astype(np.uint8)
        known = np.flatnonzero(np.isfinite(points).all(1) & np.isfinite(confidence))
        best = np.argsort(-confidence[known], kind="stable")[: max(1, round(share * len(known)))]
        kept = np.sort(known[best])
        return points[kept], colours[kept], confidence[kept]


def write(found: Reconstruction, folder: Path, share: float = 0.5) -> list[Path]:
    """Write all files to a folder that is not there yet; it appears complete or not at all.

    trajectory.txt (TUM), colmap/cameras.txt, images.txt, points3D.txt (COLMAP), points.ply, maps.npz (depth,
    confidence, intrinsics at the size of the pictures, cameras), depth/000000.png and on (`depth_image`),
    view.html.

    Args:
        share: of the pixels that become points, those of highest confidence.

    Raises:
        ExportError: the folder holds something, or cannot be written; a share outside (0, 1].
    """
    if not 0 < share <= 1:
        raise ExportError(f"share of points is {share}; it must lie in (0, 1]")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ExportError(f"{folder} holds something already; give another folder, or remove it first")
    aside = folder.with_name(f".{folder.name}.{os.getpid()}")
    try:
        for inner in ("colmap", "depth"):
            (aside / inner).mkdir(parents=True)
        _fill(found, aside, share)
        os.replace(aside, folder)
    except OSError as error:
        raise ExportError(f"{folder} cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _fill(found: Reconstruction, folder: Path, share: float) -> None:
    points, colours, confidence = found.cloud(share)
    text = {"trajectory.txt": tum_text(found.cameras, found.times)}
    text |= {f"colmap/{name}": content for name, content in colmap_texts(found, share).items()}
    sizes, intrinsics = np.array(found.sizes, dtype=float), found.intrinsics
    fields = sizes / 2 / intrinsics[:, [0, 1], [0, 1]]
    text["view.html"] = viewer_page(found.title, [View("", points, colours, found.cameras, fields)])
    for name, content in text.items():
        (folder / name).write_text(content, encoding="utf-8")
    write_cloud(folder / "points.ply", points, colours, confidence)
    for place, depth in enumerate(found.depth):
        Image.fromarray(depth_image(depth)).save(folder / "depth" / f"{place:06d}.png")
    maps = {"depth": found.depth, "confidence": found.confidence, "cameras": found.cameras}
    maps |= {"intrinsics": intrinsics, "names": np.array(found.names), "sizes": np.array(found.sizes)}
    with (folder / "maps.npz").open("wb") as file:
        np.savez_compressed(file, **maps)  # type: ignore[arg-type]


def depth_image(depth: Float[np.ndarray, "height width"]) -> UInt16[np.ndarray, "height width"]:
    """Depth as 16-bit images have it: thousandths of the unit, 0 where there is none or it is beyond 65.534.

    65535 is left out: 7-Scenes has it where nothing was measured.
    """
    steps = np.rint(np.nan_to_num(depth.astype(float), nan=0, posinf=0, neginf=0) * MILLI)
    return np.where((steps > 0) & (steps < 65535), steps, 0).astype(np.uint16)


def colmap_texts(found: Reconstruction, share: float = 1.0) -> dict[str, str]:
    """COLMAP's text files; its poses are world-to-camera, its first pixel has its middle at (0.5, 0.5)."""
    cameras = ["# CAMERA_ID MODEL WIDTH HEIGHT fx fy cx cy"]
    images = ["# IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME, then a line of points, left blank"]
    world = np.linalg.inv(found.cameras)
    turns = Rotation.from_matrix(world[:, :3, :3]).as_quat(canonical=True)[:, [3, 0, 1, 2]]
    for place, (size, k) in enumerate(zip(found.sizes, found.intrinsics, strict=True)):
        lens = (k[0, 0], k[1, 1], k[0, 2] + 0.5, k[1, 2] + 0.5)
        cameras.append(f"{place + 1} PINHOLE {size[0]} {size[1]} {_digits(lens)}")
        numbers = _digits((*turns[place], *world[place, :3, 3]))
        images += [f"{place + 1} {numbers} {place + 1} {found.names[place]}", ""]
    points = ["# POINT3D_ID X Y Z R G B ERROR, no tracks"]
    where, colours, _ = found.cloud(share)
    for number, row in enumerate(np.linspace(0, len(where) - 1, min(SPARSE, len(where))).astype(int)):
        points.append(f"{number + 1} {_digits(where[row])} {' '.join(map(str, colours[row]))} 0")
    texts = {"cameras.txt": cameras, "images.txt": images, "points3D.txt": points}
    return {name: "\n".join(lines) + "\n" for name, lines in texts.items()}


def _digits(values: Any) -> str:
    return " ".join(repr(float(value)) for value in values)
