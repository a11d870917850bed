"""Reads still pictures as viewers show them: complete, upright, with color profile, and transparency over white.

Pillow reads them, because libav ignores color profiles and returns only the first tile of a tiled HEIC. libav reads
animations and the pictures that Pillow cannot read, and the colors that a PNG or AVIF declares without a profile.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, lru_cache
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import av
import cv2
import numpy as np

from lipsmith.errors import InputError
from lipsmith.media.color import UNSPECIFIED, over_white
from lipsmith.media.container import open_input
from lipsmith.media.hdr import HDR_TRANSFERS, TO_BT709, to_sdr

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

_LOG = logging.getLogger(__name__)

TRANSPARENCY_REMARK: Final = "{path}: transparent parts become white, because films have no transparency."
FLOATS: Final = "{path} has floating-point pixels without a fixed scale; export it with 8 or 16 bits."
HDR_REMARK: Final = "{path} is HDR ({name}); it is tone-mapped, and the result is SDR (BT.709, 8 bits)."
_SIZE_REMARK: Final = "{path} is {stored}; it is scaled to {scaled}, because most players show no larger films."
PRIVACY_REMARK: Final = "{path}: the result omits its location and device metadata."
_ANIMATIONS: Final = {"PNG", "WEBP", "AVIF"}
_TILED: Final = {"HEIF", "AVIF"}
_UNPROFILED: Final = {"PNG", "AVIF"}  # these may declare colors by code points, which Pillow does not report
_ORIENTATION, _DATE, _EXIF_IFD, _ORIGINAL_DATE = 0x112, 0x132, 0x8769, 0x9003  # EXIF 2.3, tables 4 to 7
_INTEROPERABILITY_IFD, _ADOBE_RGB_FILE = 0xA005, "R03"  # DCF 2.0: cameras declare Adobe RGB by this name of a file
_LINEAR: Final = 8
_ADOBE_GAMMA: Final = 563 / 256
_ADOBE_RGB: Final = -1  # has no code point
_TO_BT709: Final = {
    _ADOBE_RGB: np.array([[1.3984, -0.3984, 0.0], [0.0, 1.0, 0.0], [0.0, -0.0429, 1.0429]]),
    **TO_BT709,
}
"""Linear light to that of BT.709."""
_LARGEST: Final = 4096 * 2304
"""Pixels of the largest picture of H.264 up to level 5.2, beyond which players fail."""
_FINE: Final = 65_535
"""Steps of linear light."""
_TURNS: Final = {3: 180, 4: 180, 5: 270, 6: 90, 7: 90, 8: 270}
_PRIVATE: Final = {0x10F, 0x110, 0x8825}
"""EXIF tags of maker, model and location."""
_TEXTS: Final = {"title": (0x10E, "Title"), "artist": (0x13B, "Author"), "copyright": (0x8298, "Copyright")}
"""EXIF tag and PNG keyword (PNG 3, section 11.3.3.1) of each text."""


@dataclass(frozen=True)
class StillPicture:
    """A still picture."""

    image: NDArray[np.uint8]
    """(H, W, 3) sRGB, upright, contiguous."""
    rotation: int
    """Degrees clockwise by which the stored pixels were rotated."""
    metadata: dict[str, str]
    """Title, artist, copyright and date, as far as present."""
    remarks: tuple[str, ...]
    """Sentences about what a film of this picture lacks or changes."""


def read_picture(path: Path, formats: tuple[str, ...]) -> StillPicture | None:
    """The picture in a file of one of Pillow's `formats`; None for animations and files that Pillow cannot read.

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


def _read(path: Path, formats: tuple[str, ...]) -> StillPicture | None:
    from PIL import Image

    if "HEIF" in formats:
        from pi_heif import register_heif_opener

        register_heif_opener()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about size and damaged metadata, which do not affect the pixels
        try:
            with Image.open(path, formats=formats) as stored:
                if stored.format in _ANIMATIONS and getattr(stored, "is_animated", False):
                    return None
                if stored.format == "PNG":
                    stored.load()  # its EXIF and texts may follow the pixels
                tags = _tags(stored)
                primaries, transfer = _declared_colors(stored, path)
                whole, transparent = shown(stored, str(path), primaries, transfer)
                image = _playable(whole)
        except Image.DecompressionBombError as error:
            raise InputError(f"{path} has too many pixels; make it smaller.") from error
    sentences = {
        HDR_REMARK: transfer in HDR_TRANSFERS,
        TRANSPARENCY_REMARK: transparent,
        PRIVACY_REMARK: not _PRIVATE.isdisjoint(tags),
        _SIZE_REMARK: image.shape != whole.shape,
    }
    told = {"path": path, "name": HDR_TRANSFERS.get(transfer), "stored": _size(whole), "scaled": _size(image)}
    return StillPicture(
        image=image,
        rotation=_TURNS.get(tags.get(_ORIENTATION, 1), 0),
        metadata=_texts(tags, stored.info),
        remarks=tuple(r.format(**told) for r, said in sentences.items() if said),
    )


def _size(image: NDArray[np.uint8]) -> str:
    return f"{image.shape[1]} x {image.shape[0]}"


def _playable(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The picture (H, W, 3), scaled to the largest even sides that players show if it is larger."""
    height, width = image.shape[:2]
    if (factor := (_LARGEST / (height * width)) ** 0.5) >= 1:
        return image
    sides = [max(2, 2 * int(factor * side / 2)) for side in (width, height)]
    return np.asarray(cv2.resize(image, sides, interpolation=cv2.INTER_AREA), np.uint8)


def shown(
    image: Image, name: str, primaries: int = UNSPECIFIED, transfer: int = UNSPECIFIED
) -> tuple[NDArray[np.uint8], bool]:
    """A Pillow image as viewers show it, (H, W, 3) sRGB, and whether it had transparent parts, which are now white.

    `primaries`, `transfer`: declared code points (ITU-T H.273), which apply to a picture without a profile.
    """
    upright = _upright(image)
    rgb, alpha = _srgb(upright, name), _alpha(upright)
    if not upright.info.get("icc_profile") and (primaries in _TO_BT709 or transfer in (_LINEAR, *HDR_TRANSFERS)):
        rgb = _converted(rgb, primaries, transfer)
    return (rgb, False) if alpha is None else (over_white(np.dstack([rgb, alpha])), True)


def _upright(image: Image) -> Image:
    """The picture turned as its EXIF says. `ImageOps.exif_transpose` writes the EXIF again, which damage prevents."""
    from PIL.Image import Transpose

    turns = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    image.load()  # turns a TIFF by itself
    turn = turns.get(_tags(image).get(_ORIENTATION, 1))
    return image if turn is None else image.transpose(turn)


def _converted(rgb: NDArray[np.uint8], primaries: int, transfer: int) -> NDArray[np.uint8]:
    if transfer in HDR_TRANSFERS:
        return to_sdr(rgb * np.uint16(257), transfer, primaries)
    codes = np.linspace(0, 1, 256)
    if primaries == _ADOBE_RGB:
        codes = codes**_ADOBE_GAMMA
    elif transfer != _LINEAR:
        codes = np.where(codes <= 0.04045, codes / 12.92, ((codes + 0.055) / 1.055) ** 2.4)
    linear = cv2.transform(codes.astype(np.float32)[rgb], _TO_BT709.get(primaries, np.eye(3)))
    return _srgb_codes()[np.clip(linear * _FINE, 0, _FINE).astype(np.uint16)]


@cache
def _srgb_codes() -> NDArray[np.uint8]:
    """The sRGB code (IEC 61966-2-1) of each step of linear light."""
    light = np.linspace(0, 1, _FINE + 1)
    codes = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.round(255 * codes).astype(np.uint8)


def _declared_colors(image: Image, path: Path) -> tuple[int, int]:
    """Primaries and transfer function, as code points of ITU-T H.273."""
    if image.format in _UNPROFILED and not image.info.get("icc_profile"):
        with suppress(av.FFmpegError, InputError, OSError, StopIteration), open_input(path) as container:
            frame = next(container.decode(video=0))
            return int(frame.color_primaries), int(frame.color_trc)
    with suppress(Exception):  # as in `_tags`
        if image.getexif().get_ifd(_INTEROPERABILITY_IFD).get(1) == _ADOBE_RGB_FILE:
            return _ADOBE_RGB, UNSPECIFIED
    declared = image.info.get("nclx_profile") or {}
    return declared.get("color_primaries", UNSPECIFIED), declared.get("transfer_characteristics", UNSPECIFIED)


def _tags(image: Image) -> dict[int, Any]:
    """The EXIF of a picture by tag, as far as it is not damaged."""
    tags: dict[int, Any] = {}
    with suppress(Exception):  # of any type in damaged EXIF
        exif = image.getexif()
        tags = dict(exif)
        tags[_ORIGINAL_DATE] = exif.get_ifd(_EXIF_IFD).get(_ORIGINAL_DATE)
    return tags


def _texts(exif: Mapping[int, Any], info: Mapping[str | tuple[int, int], Any]) -> dict[str, str]:
    found = {name: exif.get(tag) or info.get(key) for name, (tag, key) in _TEXTS.items()}
    date = str(exif.get(_ORIGINAL_DATE) or exif.get(_DATE) or "")
    found["date"] = date.replace(":", "-", 2).replace(" ", "T", 1)
    return {name: _utf8(str(text).strip("\0 ")) for name, text in found.items() if text}


def _utf8(text: str) -> str:
    """A text that Pillow read as Latin-1, although most programs write UTF-8."""
    with suppress(UnicodeError):
        return text.encode("latin-1").decode("utf-8")
    return text


def _srgb(image: Image, name: str) -> NDArray[np.uint8]:
    from PIL import ImageCms

    colors = _without_alpha(image, name)
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
            _warn_once(f"{name}: its color profile cannot be applied ({error}); its colors may be off.")
    return np.array(colors.convert("RGB"))


@lru_cache(maxsize=64)
def _warn_once(sentence: str) -> None:
    """A dub reads its picture several times."""
    _LOG.warning(sentence)


def _without_alpha(image: Image, name: str) -> Image:
    """The picture in the mode to which its color profile applies."""
    from PIL.Image import fromarray

    if image.mode.startswith("I"):
        deep = np.asarray(image).astype(np.uint32)
        return fromarray((deep >> 8 if deep.max(initial=0) > 255 else deep).astype(np.uint8))
    if image.mode == "F":
        raise InputError(FLOATS.format(path=name))
    if image.mode in ("CMYK", "LAB", "RGB", "L"):
        return image
    return image.convert("L" if image.mode in ("LA", "La", "1") else "RGB")


def _alpha(image: Image) -> NDArray[np.uint8] | None:
    """(H, W) opacity; None if the picture is opaque."""
    if image.mode.startswith("I") or not image.has_transparency_data:
        return None
    alpha = np.array(image.convert("RGBA").getchannel("A"))
    return alpha if alpha.min() < 255 else None
