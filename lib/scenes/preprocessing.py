"""From image files to the model's input: the `crop`, `pad` and `square` loaders of VGGT.

All three give float32 RGB in [0, 1], channel first, stacked over images. The ImageNet normalisation is
part of the model, not of the loaders. The rounding is that of VGGT's own loaders: Python's ``round``,
half to even, decides the number of patches; offsets of padding and cropping are floored.
"""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float32
from PIL import Image
from torch import Tensor

from lib.scenes.pictures import ImageLoadError, as_rgb, read_rgb

ImageSource = str | Path | Image.Image
WHITE = 1.0  # padding of the crop and pad loaders; the square loader pads with black


def load_images(
    images: Sequence[ImageSource], mode: str = "crop", *, target: int = 518, patch_size: int = 14
) -> Float32[Tensor, "frames 3 height width"]:
    """Load ``images`` with the loader named by ``mode``: "crop", "pad" or "square".

    The boxes of `square` are dropped; call it directly to keep them.

    Raises:
        ValueError: for another mode, no images, or a target that is not a multiple of the patch size.
        ImageLoadError: for a file that is not a readable image.
    """
    if mode == "square":
        return square(images, target=target)[0]
    if mode not in ("crop", "pad"):
        raise ValueError(f"mode is {mode!r}; choose 'crop', 'pad' or 'square'")
    loader = crop if mode == "crop" else pad
    return loader(images, target=target, patch_size=patch_size)


def crop(
    images: Sequence[ImageSource], *, target: int = 518, patch_size: int = 14
) -> Float32[Tensor, "frames 3 height {target}"]:
    """Resize each image to width ``target`` and keep at most the middle ``target`` rows.

    The height becomes the multiple of ``patch_size`` nearest to the true aspect ratio. Images that end up
    with different heights are centre-padded with white to the highest one, with a warning.
    Returns RGB in [0, 1], height <= target.

    Raises:
        ValueError: as `load_images`.

    Source: VGGT, `load_and_preprocess_images`.
    """
    _check_sizes(target, patch_size)
    loaded = []
    for name, image in _open_all(images):
        height = _whole_patches(image.height * target / image.width, patch_size, name)
        pixels = _to_tensor(image.resize((target, height), Image.Resampling.BICUBIC))
        top = max(height - target, 0) // 2
        loaded.append(pixels[:, top : top + target])
    return _stack(loaded)


def pad(
    images: Sequence[ImageSource], *, target: int = 518, patch_size: int = 14
) -> Float32[Tensor, "frames 3 {target} {target}"]:
    """Resize each image so that its longer side is ``target`` and pad the other side with white.

    Returns RGB in [0, 1]; the content is centred, top and left get the smaller
    half of an odd padding.

    Raises:
        ValueError: as `load_images`.

    Source: VGGT, `load_and_preprocess_images`.
    """
    _check_sizes(target, patch_size)
    loaded = []
    for name, image in _open_all(images):
        width, height = target, target
        if image.width >= image.height:
            height = _whole_patches(image.height * target / image.width, patch_size, name)
        else:
            width = _whole_patches(image.width * target / image.height, patch_size, name)
        pixels = _to_tensor(image.resize((width, height), Image.Resampling.BICUBIC))
        loaded.append(pad_centred(pixels, target, target, WHITE))
    return torch.stack(loaded)


def square(
    images: Sequence[ImageSource], *, target: int = 1024
) -> tuple[Float32[Tensor, "frames 3 {target} {target}"], Float32[Tensor, "frames 6"]]:
    """Pad each image to a centred black square, then resize the square to ``target``.

    Returns RGB in [0, 1] and boxes: x1, y1, x2, y2 of the
    original content on the target canvas, then the original width and height, all in pixels.

    Raises:
        ValueError: as `load_images`.

    Source: VGGT, `load_and_preprocess_images_square`.
    """
    _check_sizes(target, 1)
    loaded, boxes = [], []
    for _, image in _open_all(images):
        width, height = image.size
        side = max(width, height)
        left, top = (side - width) // 2, (side - height) // 2
        canvas = Image.new("RGB", (side, side), (0, 0, 0))
        canvas.paste(image, (left, top))
        loaded.append(_to_tensor(canvas.resize((target, target), Image.Resampling.BICUBIC)))
        scale = target / side
        corners = (left, top, left + width, top + height)
        boxes.append([corner * scale for corner in corners] + [width, height])
    return torch.stack(loaded), torch.tensor(boxes, dtype=torch.float32)


def pad_centred(
    pixels: Float[Tensor, "*batch high wide"], height: int, width: int, value: float
) -> Float[Tensor, "*batch {height} {width}"]:
    """Centre ``pixels`` on a canvas of ``value``; floor at top/left.

    Raises:
        ValueError: the canvas is smaller than the image.
    """
    high, wide = height - pixels.shape[-2], width - pixels.shape[-1]
    if high < 0 or wide < 0:
        raise ValueError(f"cannot pad {tuple(pixels.shape[-2:])} to the smaller canvas {(height, width)}")
    top, left = high // 2, wide // 2
    margins = (left, wide - left, top, high - top)
    return torch.nn.functional.pad(pixels, margins, value=value)


def _check_sizes(target: int, patch_size: int) -> None:
    if patch_size < 1 or target < patch_size or target % patch_size:
        raise ValueError(
            f"target {target} must be a positive multiple of the patch size {patch_size}; "
            f"the nearest below is {max(target // max(patch_size, 1), 1) * patch_size}"
        )


def _open_all(images: Sequence[ImageSource]) -> list[tuple[str, Image.Image]]:
    """Name and RGB image of every source: not turned by EXIF, only RGBA laid on white, as in VGGT's own."""
    if isinstance(images, (str, Path, Image.Image)):
        raise ValueError(f"images is a single {type(images).__name__}; give a list, e.g. [image]")
    if len(images) == 0:
        raise ValueError("no images: give at least one path or PIL image")
    return [_open(source, number) for number, source in enumerate(images)]


def _open(source: ImageSource, number: int) -> tuple[str, Image.Image]:
    if isinstance(source, Image.Image):
        return f"image {number}", as_rgb(source, f"image {number}")
    if not isinstance(source, (str, Path)):
        raise ImageLoadError(f"image {number} is a {type(source).__name__}; give a path or a PIL image")
    try:
        return str(source), read_rgb(source)
    except ImageLoadError as error:
        raise ImageLoadError(f"image {number}: {error}") from error


def _whole_patches(side: float, patch_size: int, name: str) -> int:
    patches = round(side / patch_size)  # half to even, on a float
    if patches < 1:
        raise ImageLoadError(
            f"{name} is too elongated: its shorter side would be {side:.1f} pixels, at most half a patch of "
            f"{patch_size}; crop it or use a larger target"
        )
    return patches * patch_size


def _to_tensor(image: Image.Image) -> Float32[Tensor, "3 height width"]:
    pixels = torch.from_numpy(np.array(image, dtype=np.uint8))  # (H, W, 3)
    return pixels.permute(2, 0, 1).contiguous().to(torch.float32) / 255.0


def _stack(loaded: list[Tensor]) -> Tensor:
    shapes = sorted({(pixels.shape[1], pixels.shape[2]) for pixels in loaded})
    if len(shapes) == 1:
        return torch.stack(loaded)
    height, width = max(h for h, _ in shapes), max(w for _, w in shapes)
    warnings.warn(
        f"images have different shapes {shapes}; all are padded with white to {(height, width)}", stacklevel=3
    )
    return torch.stack([pad_centred(pixels, height, width, WHITE) for pixels in loaded])
