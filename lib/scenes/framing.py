"""From recorded pixels to the pixels that the model sees: colour, depth and intrinsics in step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict, Unpack

import numpy as np
import torch
from jaxtyping import Float32, Float64
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from lib.scenes.consistency import check_views
from lib.scenes.pictures import ImageLoadError, opened, read_rgb
from lib.scenes.preprocessing import crop
from lib.scenes.recording_files import Matrix, RecordingError

_NO_DEPTH = 65535  # besides 0, what depth images hold where nothing was measured (7-Scenes)


@dataclass(frozen=True)
class Framing:
    """How recorded pixels become pixels of the result: new = (old + 1/2) * scale - 1/2 - offset, in x and y.

    Pixel centres lie on integers, so the edge of an image is at -1/2: hence the halves.

    Attributes:
        recorded: (width, height) of the recorded image.
        scale, offset: (x, y); offsets are cut off at the left and top, in pixels of the result.
        height, width: of the result.
        patch_size: that of VGGT's `crop` rule if the framing follows it, else None.
    """

    recorded: tuple[int, int]
    scale: tuple[float, float]
    offset: tuple[float, float]
    height: int
    width: int
    patch_size: int | None = None

    def intrinsics(self, camera: Matrix) -> Matrix:
        """Intrinsics of the result from those of the recorded image."""
        scale, offset = np.array(self.scale), np.array(self.offset)
        new = camera.copy()
        new[:2, :2] *= scale[:, None]
        new[:2, 2] = (camera[:2, 2] + 0.5) * scale - 0.5 - offset
        return new

    def recorded_pixels(
        self,
    ) -> tuple[Float64[np.ndarray, " {self.width}"], Float64[np.ndarray, " {self.height}"]]:
        """Where the pixels of the result lie in the recorded image: columns and rows."""
        columns = (np.arange(self.width) + self.offset[0] + 0.5) / self.scale[0] - 0.5
        rows = (np.arange(self.height) + self.offset[1] + 0.5) / self.scale[1] - 0.5
        return columns, rows


class Size(TypedDict, total=False):
    """The size asked for, in pixels: `target` and `patch_size` (14 if left out), or `height` and `width`."""

    target: int
    patch_size: int
    height: int
    width: int


def fit(recorded: tuple[int, int], **size: Unpack[Size]) -> Framing:
    """The framing of images of size `recorded` (width, height).

    `target`: VGGT's `crop` rule (`lib.scenes.preprocessing.crop`); `height` and `width`: the largest centred
    part of that shape, scaled to it; neither: as recorded.

    Raises:
        ValueError: another combination, or a size below 1.
    """
    target, height, width = size.get("target"), size.get("height"), size.get("width")
    patch_size = size.get("patch_size", 14)
    if (height is None) != (width is None) or (target is not None and height is not None):
        raise ValueError(f"give either target or both height and width, got {target=}, {height=}, {width=}")
    wide, high = recorded
    if height is not None and width is not None:
        if min(height, width) < 1:
            raise ValueError(f"height and width must be at least 1, got {height} and {width}")
        scale = max(width / wide, height / high)
        offset = (max(wide * scale - width, 0) / 2, max(high * scale - height, 0) / 2)
        return Framing(recorded, (scale, scale), offset, height, width)
    if target is None:
        return Framing(recorded, (1.0, 1.0), (0.0, 0.0), high, wide)
    if patch_size < 1 or target < 1 or target % patch_size:
        raise ValueError(f"target {target} must be a positive multiple of patch_size {patch_size}")
    resized = max(1, round(high * target / wide / patch_size)) * patch_size
    scales, top = (target / wide, resized / high), max(resized - target, 0) // 2
    return Framing(recorded, scales, (0, top), min(resized, target), target, patch_size)


def read_colour(
    file: Path, framing: Framing, upright: bool = False
) -> Float32[Tensor, "3 {framing.height} {framing.width}"]:
    """RGB in [0, 1]; transparent images are laid on white. `upright`: turned by its EXIF orientation.

    Raises:
        RecordingError: the image cannot be read, or is too elongated for its patches.
    """
    image = read_rgb(file, upright=upright, every_alpha=True)
    if framing.patch_size is not None:
        try:
            return crop([image], target=framing.width, patch_size=framing.patch_size)[0]
        except ImageLoadError as error:  # it knows no file
            raise RecordingError(f"{file}: {error}") from error
    left, top = (offset / scale for offset, scale in zip(framing.offset, framing.scale, strict=True))
    box = (left, top, image.width - left, image.height - top)
    size = (framing.width, framing.height)
    image = image.resize(size, Image.Resampling.BICUBIC, box=box)
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous().float() / 255


def read_depth(
    file: Path,
    framing: Framing,
    unit: float,
    colour_camera: Matrix | None = None,
    depth_camera: Callable[[int, int], Matrix] | None = None,
) -> Float32[np.ndarray, "{framing.height} {framing.width}"]:
    """Z-depth in metres at the pixels of the result, 0 where nothing was measured.

    The nearest depth pixel is taken, so that no edge is blurred. With a `depth_camera` of its own (7-Scenes,
    ScanNet) each pixel is looked up along its ray **as if both cameras stood in the same place** (zero
    baseline, same orientation). Without, the depth is registered: the same view as the colour image, in any
    size of the same shape.

    Raises:
        RecordingError: the file is unreadable, not one channel, or of another shape than the colour image.
    """
    with opened(file) as image:
        values = np.array(image)
    if values.ndim != 2 or image.mode == "P":
        raise RecordingError(f"{file} is not a one-channel depth image (its mode is {image.mode})")
    depth = np.where(values == _NO_DEPTH, 0, values / unit).astype(np.float32)
    columns, rows = framing.recorded_pixels()
    (wide, high), (colour_wide, colour_high) = image.size, framing.recorded
    if colour_camera is not None and depth_camera is not None:
        own = depth_camera(wide, high)
        check_views(file, colour_camera, framing.recorded, own, (wide, high))
        columns = (columns - colour_camera[0, 2]) / colour_camera[0, 0] * own[0, 0] + own[0, 2]
        rows = (rows - colour_camera[1, 2]) / colour_camera[1, 1] * own[1, 1] + own[1, 2]
    elif abs(wide * colour_high / (high * colour_wide) - 1) > 0.01:
        raise RecordingError(
            f"{file} is {wide}x{high}, another shape than its colour image ({colour_wide}x{colour_high}), "
            "and the recording has no depth intrinsics to relate them"
        )
    else:
        columns = (columns + 0.5) * (wide / colour_wide) - 0.5
        rows = (rows + 0.5) * (high / colour_high) - 0.5
    return _nearest(depth, rows, columns)


def _nearest(depth: NDArray[Any], rows: NDArray[Any], columns: NDArray[Any]) -> NDArray[Any]:
    """`depth` at rows x columns, 0 outside of it."""
    high, wide = depth.shape
    row, column = np.rint(rows).astype(int), np.rint(columns).astype(int)
    inside = ((row >= 0) & (row < high))[:, None] & ((column >= 0) & (column < wide))[None]
    looked_up = depth[np.clip(row, 0, high - 1)[:, None], np.clip(column, 0, wide - 1)[None]]
    return np.where(inside, looked_up, np.float32(0))
