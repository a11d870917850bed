"""Reads still pictures as viewers show them: complete, upright, with color profile, and transparency over white.

Pillow reads them, because libav ignores color profiles and returns only the first tile of a tiled HEIC. libav reads
animations and the pictures that Pillow cannot read.
"""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

import numpy as np

from lipsmith.errors import InputError
from lipsmith.media.color import over_white

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

_LOG = logging.getLogger(__name__)

_ANIMATIONS: Final = {"PNG", "WEBP", "AVIF"}
_TILED: Final = {"HEIF", "AVIF"}
_ORIENTATION, _DESCRIPTION, _ARTIST, _COPYRIGHT = 0x112, 0x10E, 0x13B, 0x8298  # EXIF 2.3, table 4
_TURNS: Final = {3: 180, 4: 180, 5: 270, 6: 90, 7: 90, 8: 270}


@dataclass(frozen=True)
class Picture:
    """A still picture."""

    image: NDArray[np.uint8]
    """(H, W, 3) sRGB, upright, contiguous."""
    rotation: int
    """Degrees clockwise by which the stored pixels were rotated."""
    transparent: bool
    """Whether the picture had transparent parts, which are now white."""
    metadata: dict[str, str]
    """Title, artist and copyright, as far as present."""


def read_picture(path: Path, formats: tuple[str, ...]) -> Picture | None:
    """The picture in a file of one of `picture_formats`; None for animations and files that Pillow cannot read.

    Raises:
        InputError: the picture has too many pixels for memory, or is a damaged HEIC or AVIF.
    """
    try:
        return _read(path, formats)
    except (OSError, ValueError, SyntaxError, EOFError, KeyError, RuntimeError, MemoryError) as error:
        if _TILED.intersection(formats):  # libav would return the first tile only
            raise InputError(f"{path} cannot be read as a picture ({error}); export it as JPEG or PNG.") from error
        _LOG.debug("%s is read by libav instead: %s", path, error)
        return None


def _read(path: Path, formats: tuple[str, ...]) -> Picture | None:
    from PIL import Image, ImageOps

    if "HEIF" in formats:
        from pi_heif import register_heif_opener

        register_heif_opener()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about size and damaged metadata, which do not affect the pixels
        try:
            with Image.open(path, formats=formats) as stored:
                if stored.format in _ANIMATIONS and getattr(stored, "is_animated", False):
                    return None
                exif = dict(stored.getexif())  # a copy, because loading a picture may rotate it and change its EXIF
                shown = ImageOps.exif_transpose(stored)
        except Image.DecompressionBombError as error:
            raise InputError(f"{path} has too many pixels; make it smaller.") from error
    image, alpha = _srgb(shown, path), _alpha(shown)
    texts = {"title": _DESCRIPTION, "artist": _ARTIST, "copyright": _COPYRIGHT}
    return Picture(
        image=image if alpha is None else over_white(np.dstack([image, alpha])),
        rotation=_TURNS.get(int(exif.get(_ORIENTATION, 1)), 0),
        transparent=alpha is not None,
        metadata={key: str(exif[tag]).strip("\0 ") for key, tag in texts.items() if exif.get(tag)},
    )


def _srgb(image: Image, path: Path) -> NDArray[np.uint8]:
    from PIL import ImageCms

    colors = _without_alpha(image)
    profile = image.info.get("icc_profile")
    if profile or colors.mode == "LAB":
        try:
            source = ImageCms.ImageCmsProfile(BytesIO(profile)) if profile else ImageCms.createProfile("LAB")
            converted = ImageCms.profileToProfile(
                colors,
                source,
                ImageCms.createProfile("sRGB"),
                ImageCms.Intent.RELATIVE_COLORIMETRIC,
                "RGB",
                flags=ImageCms.Flags.BLACKPOINTCOMPENSATION | ImageCms.Flags.HIGHRESPRECALC,
            )
            return np.array(cast("Image", converted))
        except (ImageCms.PyCMSError, OSError) as error:
            _LOG.warning("%s: its color profile cannot be applied (%s); its colors may be off.", path, error)
    return np.array(colors.convert("RGB"))


def _without_alpha(image: Image) -> Image:
    """The picture in the mode to which its color profile applies."""
    from PIL.Image import fromarray

    if image.mode.startswith("I"):
        deep = np.asarray(image).astype(np.uint32)
        return fromarray((deep >> 8 if deep.max(initial=0) > 255 else deep).astype(np.uint8))
    if image.mode == "F":
        raise ValueError("floating-point pixels have no fixed scale")
    if image.mode in ("CMYK", "LAB", "RGB", "L"):
        return image
    return image.convert("L" if image.mode in ("LA", "La", "1") else "RGB")


def _alpha(image: Image) -> NDArray[np.uint8] | None:
    """(H, W) opacity; None if the picture is opaque."""
    if image.mode.startswith("I") or not image.has_transparency_data:
        return None
    alpha = np.array(image.convert("RGBA").getchannel("A"))
    return alpha if alpha.min() < 255 else None
