"""Image files as people have them: opened here and nowhere else, or refused with one clear message."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from lib.scenes.recording_files import RecordingError

_ORIENTATION = 0x0112  # the EXIF tag, and what turns each of its values upright
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class ImageLoadError(RecordingError):
    """An image that cannot be read or has no sensible size; the message names it."""


@contextmanager
def opened(file: str | Path) -> Iterator[Image.Image]:
    """An image file as Pillow opens it, for the length of a ``with``.

    Raises:
        ImageLoadError: no such file, not an image, damaged, or HEIC without the package that reads it.
    """
    try:
        _learn_heic(Path(file))
        with Image.open(file) as image:
            yield image
    except ImageLoadError:
        raise
    except FileNotFoundError as error:
        raise ImageLoadError(f"no file at {file}") from error
    except UnidentifiedImageError as error:
        raise ImageLoadError(f"{file} is not a readable image: Pillow does not know its format") from error
    except Exception as error:  # of damaged files decoders make every kind of error
        raise ImageLoadError(f"{file} is not a readable image: it cannot be decoded ({error})") from error


def image_size(file: Path, upright: bool = False) -> tuple[int, int]:
    """(width, height) from the header of an image file; `upright` and errors as in `read_rgb`."""
    with opened(file) as image:
        turned = upright and _orientation(image) >= 5
        return image.size[::-1] if turned else image.size


def read_rgb(file: str | Path, *, upright: bool = False, every_alpha: bool = False) -> Image.Image:
    """An image file in RGB, 8 bits a channel.

    Args:
        upright: turned as its EXIF orientation says, as every viewer shows it.
        every_alpha: see `as_rgb`.

    Raises:
        ImageLoadError: it cannot be read.
    """
    with opened(file) as image:
        rgb = as_rgb(image, str(file), every_alpha)
        turn = _UPRIGHT.get(_orientation(image)) if upright else None
        return rgb if turn is None else rgb.transpose(turn)


def as_rgb(image: Image.Image, name: str, every_alpha: bool = False) -> Image.Image:
    """An image in RGB; 16-bit grey is scaled to 8 bits, RGBA is laid on white.

    `every_alpha`: transparent palettes and grey images are laid on white too; else they lose their alpha, as
    in VGGT's own loaders.

    Raises:
        ImageLoadError: numbers of unknown range (modes I and F), or a mode that has no way to RGB.
    """
    if image.mode.startswith("I;16") or (image.mode, image.format) == ("I", "PPM"):
        image = Image.fromarray(np.rint(np.asarray(image) / 257).astype(np.uint8))
    elif image.mode in ("I", "F"):
        raise ImageLoadError(
            f"{name} has mode {image.mode}, 32-bit numbers whose range is unknown; save it with 8 or 16 bits"
        )
    try:
        if image.mode == "RGBA" or (every_alpha and image.has_transparency_data):
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, (255, 255, 255, 255)), image)
        return image.convert("RGB")
    except ValueError as error:
        raise ImageLoadError(f"{name} has mode {image.mode} ({error}); save it as RGB") from error


def _orientation(image: Image.Image) -> int:
    with suppress(Exception):  # viewers show an image with damaged EXIF as it is stored
        return 1 if image.format == "TIFF" else int(image.getexif().get(_ORIENTATION, 1))  # Pillow turns TIFF
    return 1


def _learn_heic(file: Path) -> None:
    """Register the optional reader where a file's content, whatever its name, is HEIC."""
    with file.open("rb") as stream:
        head = stream.read(12)
    if head[4:8] != b"ftyp" or head[8:12] not in (
        b"heic",
        b"heix",
        b"heim",
        b"heis",
        b"hevc",
        b"mif1",
        b"msf1",
    ):
        return
    try:
        from pillow_heif import register_heif_opener
    except ImportError as error:
        raise ImageLoadError(
            f"{file} is an HEIC photograph: pip install pillow-heif reads it, or export it as JPEG"
        ) from error
    register_heif_opener()
