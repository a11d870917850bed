"""Still pictures: profiles, turns, tiles, transparency and depth, as a viewer shows them."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps, PngImagePlugin

from heic_samples import tiled_heic
from lipsmith.dubbing.array_source import ArraySource
from lipsmith.errors import InputError
from lipsmith.media import probe, read_frames
from video_samples import film, picture

Chunks = Sequence[tuple[bytes, bytes]]
# ProPhoto RGB (ISO 22028-2): gamma 1.8 and primaries, as XYZ of D50, far outside those of sRGB.
WHITE, RED, GREEN, BLUE = (0.9642, 1, 0.8249), (0.7977, 0.2880, 0), (0.1352, 0.7119, 0), (0.0313, 0.0001, 0.8249)


def shown(path: Path) -> NDArray[np.int_]:
    (frame,) = read_frames(path)
    assert probe(path).is_still
    return frame.image.astype(int)


def srgb() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def wide_gamut() -> bytes:
    def fixed(*values: float) -> bytes:
        return b"".join(struct.pack(">i", round(value * 65536)) for value in values)

    curve = b"curv" + struct.pack(">IIH", 0, 1, round(1.8 * 256)) + b"\0\0"
    named = b"desc" + struct.pack(">II", 0, 5) + b"wide\0" + bytes(12 + 67)
    tags = {b"desc": named + bytes(-len(named) % 4), b"cprt": b"text\0\0\0\0none\0\0\0\0"}
    points = ((b"wtpt", WHITE), (b"rXYZ", RED), (b"gXYZ", GREEN), (b"bXYZ", BLUE))
    tags |= {name: b"XYZ \0\0\0\0" + fixed(*xyz) for name, xyz in points}
    tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    at, table, body = 132 + 12 * len(tags), b"", b""
    for name, data in tags.items():
        table += name + struct.pack(">II", at + len(body), len(data))
        body += data
    head = struct.pack(">I4sI4s4s4s", at + len(body), b"\0\0\0\0", 0x02200000, b"mntr", b"RGB ", b"XYZ ")
    head += bytes(12) + b"acsp" + bytes(28) + fixed(*WHITE)
    return head + bytes(128 - len(head)) + struct.pack(">I", len(tags)) + table + body


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif", ".avif"])
def test_a_color_profile_is_applied(tmp_path: Path, suffix: str) -> None:
    plain = Image.fromarray(picture(64, 48)[..., [0, 1, 1]])
    wide = wide_gamut()
    converted = ImageCms.profileToProfile(plain, ImageCms.createProfile("sRGB"), io.BytesIO(wide), outputMode="RGB")
    assert converted is not None
    converted.save(tmp_path / f"a{suffix}", icc_profile=wide, quality=95)
    assert np.abs(shown(tmp_path / f"a{suffix}") - np.asarray(plain)).mean() < 3


TO_P3 = np.array([[0.8225, 0.1775, 0], [0.0332, 0.9668, 0], [0.0171, 0.0724, 0.9105]])  # linear light of BT.709


def display_p3(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    linear = np.where(image <= 10, image / 255 / 12.92, ((image / 255 + 0.055) / 1.055) ** 2.4) @ TO_P3.T
    coded = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.asarray(np.round(255 * coded), np.uint8)


def png(path: Path, image: NDArray[np.uint8], before: Chunks = (), after: Chunks = ()) -> Path:
    """Write chunks before and after the pixels, which Pillow cannot write."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", *image.shape[1::-1], 8, 2, 0, 0, 0))
    body = zlib.compress(b"".join(b"\0" + row.tobytes() for row in image))
    parts = [(b"IDAT", body), *after, (b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + head + b"".join(chunk(*part) for part in (*before, *parts)))
    return path


def test_colors_that_are_declared_without_a_profile_are_converted(tmp_path: Path) -> None:
    image = picture(128, 128)
    png(tmp_path / "a1.png", image)  # which libav takes for the first picture of the sequence a%d.png
    p3 = png(tmp_path / "a%d.png", display_p3(image), [(b"cICP", bytes([12, 13, 0, 1]))])
    assert np.abs(shown(p3) - image).mean() < 1
    assert np.abs(shown(tiled_heic(tmp_path / "a.heic", display_p3(image), 12)) - image).mean() < 2


def test_adobe_rgb_of_a_camera_is_converted(tmp_path: Path) -> None:
    """Cameras declare it in EXIF (DCF 2.0) and embed no profile."""
    to_adobe = np.array([[0.7151, 0.2849, 0], [0, 1, 0], [0, 0.0412, 0.9588]])
    image = picture(64, 48)
    linear = np.where(image <= 10, image / 255 / 12.92, ((image / 255 + 0.055) / 1.055) ** 2.4) @ to_adobe.T
    exif = Image.Exif()
    exif[0x8769] = {0xA001: 0xFFFF, 0xA005: {1: "R03"}}
    stored = Image.fromarray(np.round(255 * linear ** (256 / 563)).astype(np.uint8))
    stored.save(tmp_path / "a.jpg", exif=exif, quality=98, subsampling=0)
    assert np.abs(shown(tmp_path / "a.jpg") - image).mean() < 1.5
    stored.save(tmp_path / "plain.jpg", quality=98, subsampling=0)
    assert np.abs(shown(tmp_path / "plain.jpg") - image).mean() > 5


def test_an_hdr_picture_is_tone_mapped(tmp_path: Path) -> None:
    path = png(tmp_path / "a.png", np.full((48, 64, 3), 130, np.uint8), [(b"cICP", bytes([9, 16, 0, 1]))])
    assert np.abs(shown(path) - 190.0).max() <= 2  # 102 nits, of which diffuse white has 203
    assert "is HDR (PQ)" in " ".join(probe(path).remarks)


def test_pillow_images_are_shown_as_their_files(tmp_path: Path) -> None:
    image, wide = Image.fromarray(picture(64, 48)), wide_gamut()
    converted = ImageCms.profileToProfile(image, ImageCms.createProfile("sRGB"), io.BytesIO(wide), outputMode="RGB")
    assert converted is not None
    exif = Image.Exif()
    exif[0x112] = 6
    converted.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "a.png", icc_profile=wide, exif=exif)
    with Image.open(tmp_path / "a.png") as opened:
        (frame,) = ArraySource([opened], 25).frames()
    assert np.abs(np.asarray(frame.image).astype(int) - np.asarray(image)).mean() < 1
    (frame,) = ArraySource([Image.new("RGBA", (8, 8), (0, 0, 0, 0))], 25).frames()
    assert np.asarray(frame.image).min() == 255


def test_an_invalid_color_profile_is_ignored(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    Image.fromarray(picture(64, 48)).save(tmp_path / "a.png", icc_profile=b"none")
    assert np.array_equal(shown(tmp_path / "a.png"), picture(64, 48))
    assert "color profile" in caplog.text


def test_cmyk_is_read_with_and_without_a_profile(tmp_path: Path) -> None:
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(tmp_path / "a.tif")
    assert np.array_equal(shown(tmp_path / "a.tif")[0, 0], (255, 0, 0))


def test_frames_with_color_profiles_do_not_crash(tmp_path: Path) -> None:
    """PyAV 18.1 frees the profile's name twice, where it is asked for side data."""
    images = [Image.fromarray(picture(64, 48, level)) for level in (60, 120, 180)]
    images[0].save(tmp_path / "a.png", icc_profile=srgb(), save_all=True, append_images=images[1:], duration=40)
    content = io.BytesIO()
    images[0].save(content, "png", icc_profile=srgb())
    with av.open(str(tmp_path / "a.mov"), "w") as container:
        stream = container.add_stream("png", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "rgb24"
        for number in range(3):
            packet = av.Packet(content.getvalue())
            packet.pts = packet.dts = number
            packet.time_base, packet.stream, packet.is_keyframe = Fraction(1, 25), stream, True
            container.mux(packet)
    for name in ("a.png", "a.mov"):
        frames = list(read_frames(tmp_path / name))
        assert len(frames) == probe(tmp_path / name).frames == 3
        assert np.array_equal(frames[0].image, np.asarray(images[0]))


def exif_with_a_maker_note() -> bytes:
    """Big-endian, orientation 6, with a maker note that has a little-endian header of its own."""
    note = b"Nikon\0\2\x10\0\0" + b"II*\0" + struct.pack("<IHHHI4sI", 8, 1, 1, 7, 4, b"0210", 0)
    exif = b"MM\0*" + struct.pack(">IHHHIHH", 8, 2, 0x112, 3, 1, 6, 0) + struct.pack(">HHII", 0x8769, 4, 1, 38)
    exif += bytes(4) + struct.pack(">HHHII", 1, 0x927C, 7, len(note), 56) + bytes(4)
    return b"Exif\0\0" + exif + note


def test_the_orientation_may_follow_the_pixels(tmp_path: Path) -> None:
    turned = np.rot90(picture(64, 48)).copy()
    path = png(tmp_path / "a.png", turned, after=[(b"eXIf", exif_with_a_maker_note()[6:])])
    assert np.array_equal(shown(path), picture(64, 48))


@pytest.mark.parametrize(
    ("orientation", "rotation"), [(1, 0), (2, 0), (3, 180), (4, 180), (5, 270), (6, 90), (7, 90), (8, 270)]
)
def test_a_photograph_is_upright_however_the_camera_was_held(tmp_path: Path, orientation: int, rotation: int) -> None:
    exif = Image.Exif()
    exif[0x112] = orientation
    stored = Image.fromarray(picture(64, 48))
    stored.save(tmp_path / "a.png", exif=exif)
    with Image.open(tmp_path / "a.png") as opened:
        upright = np.asarray(ImageOps.exif_transpose(opened))
    assert np.array_equal(shown(tmp_path / "a.png"), upright)
    assert probe(tmp_path / "a.png").rotation == rotation


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_the_orientation_in_a_maker_note_is_ignored(tmp_path: Path, suffix: str) -> None:
    image = picture(64, 48)
    path = tmp_path / f"a{suffix}"
    exif = Image.Exif()
    exif[0x112] = 6
    stored = Image.fromarray(np.rot90(image).copy())
    stored.save(path, exif=exif if suffix == ".tif" else exif_with_a_maker_note(), quality=95)
    assert np.abs(shown(path) - image).max() <= 12
    info = probe(path)
    assert (info.width, info.height, info.rotation) == (64, 48, 90)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_damaged_exif_costs_neither_the_picture_nor_its_orientation(tmp_path: Path, suffix: str) -> None:
    image, path = picture(64, 48), tmp_path / f"a{suffix}"
    text_for_a_number = struct.pack(">HHI4s", 0x11A, 2, 4, b"abc")
    exif = b"Exif\0\0MM\0*" + struct.pack(">IHHHIHH", 8, 2, 0x112, 3, 1, 6, 0) + text_for_a_number + bytes(4)
    Image.fromarray(np.rot90(image).copy()).save(path, exif=exif, quality=95)
    assert np.abs(shown(path) - image).max() <= 12
    Image.fromarray(image).save(path, exif=b"Exif\0\0MM\0*", quality=95)  # cut off
    assert np.abs(shown(path) - image).max() <= 12


def test_a_tiled_heic_is_read_completely(tmp_path: Path) -> None:
    image = picture(128, 128)
    assert np.abs(shown(tiled_heic(tmp_path / "a.heic", image)) - image).max() <= 12


def test_a_damaged_heic_is_an_input_error(tmp_path: Path) -> None:
    path = tiled_heic(tmp_path / "a.heic", picture(128, 128))
    path.write_bytes(path.read_bytes()[:700])
    with pytest.raises(InputError, match=r"a\.heic cannot be read as a picture"):
        list(read_frames(path))


def test_16_bit_and_gray_pictures_are_read(tmp_path: Path) -> None:
    ramp = np.tile(np.arange(256, dtype=np.uint16) * 256 + 100, (4, 1))
    Image.fromarray(ramp).save(tmp_path / "deep.png")
    assert np.array_equal(shown(tmp_path / "deep.png")[0, :, 1], np.arange(256))
    Image.fromarray((ramp >> 8).astype(np.uint8)).convert("LA").save(tmp_path / "gray.png")
    assert np.array_equal(shown(tmp_path / "gray.png")[0, :, 1], np.arange(256))


def test_jpeg_inside_tiff_is_not_black(tmp_path: Path) -> None:
    Image.fromarray(picture(64, 48)).save(tmp_path / "a.tif", compression="jpeg", quality=95)
    assert np.abs(shown(tmp_path / "a.tif") - picture(64, 48)).mean() < 3


def test_a_transparent_palette_becomes_white(tmp_path: Path) -> None:
    indexed = Image.new("P", (8, 8), 1)
    indexed.putpalette([255, 0, 0, 0, 0, 255])
    indexed.paste(0, (0, 0, 4, 8))
    indexed.save(tmp_path / "a.png", transparency=0)
    assert np.array_equal(shown(tmp_path / "a.png")[0, [0, 7]], [(255, 255, 255), (0, 0, 255)])


def test_title_artist_and_date_are_read_from_exif(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x13B], exif[0x8298], exif[0x132] = b"A. Person", "\xa9 2026 Example".encode(), "2026:01:02 03:04:05"
    Image.fromarray(picture(64, 48)).save(tmp_path / "a.jpg", exif=exif)
    found = {"artist": "A. Person", "copyright": "\xa9 2026 Example", "date": "2026-01-02T03:04:05"}
    assert probe(tmp_path / "a.jpg").metadata == found
    assert probe(tmp_path / "a.jpg").remarks == ()


def test_title_and_author_are_read_from_png_texts(tmp_path: Path) -> None:
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Title", "A portrait")
    texts.add_itxt("Author", "A. Pers\xf6n")
    Image.fromarray(picture(64, 48)).save(tmp_path / "a.png", pnginfo=texts)
    assert probe(tmp_path / "a.png").metadata == {"title": "A portrait", "artist": "A. Pers\xf6n"}


def test_the_location_of_a_photograph_is_said_to_be_omitted(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x8825] = {1: "N", 2: (52.0, 31.0, 0.0)}
    Image.fromarray(picture(64, 48)).save(tmp_path / "a.jpg", exif=exif)
    assert "omits its location" in " ".join(probe(tmp_path / "a.jpg").remarks)


def test_floating_point_pixels_are_an_input_error(tmp_path: Path) -> None:
    """Those of OpenEXR are linear light, which would be shown too dark."""
    Image.fromarray(np.ones((8, 8), np.float32)).save(tmp_path / "a.tif")
    film(tmp_path / "a.exr", [picture(16, 16)])
    for name in ("a.tif", "a.exr"):
        with pytest.raises(InputError, match="floating-point"):
            probe(tmp_path / name)


def test_a_truncated_photograph_is_read_as_far_as_possible(tmp_path: Path) -> None:
    path = film(tmp_path / "a.jpg", [picture(256, 256)])
    path.write_bytes(path.read_bytes()[:-100])
    assert shown(path).shape == (256, 256, 3)


def test_a_picture_with_too_many_pixels_is_an_input_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(picture(64, 48)).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(InputError, match="too many pixels"):
        probe(tmp_path / "a.png")


def test_of_an_icons_sizes_the_largest_is_read(tmp_path: Path) -> None:
    image = picture(64, 64)
    Image.fromarray(image).save(tmp_path / "a.ico", sizes=[(16, 16), (64, 64), (32, 32)])
    info = probe(tmp_path / "a.ico")
    assert (info.is_still, info.width, info.height, info.rate) == (True, 64, 64, 25)
    assert (shown(tmp_path / "a.ico") == image).all()


def test_a_color_profile_that_does_not_fit_is_reported_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(picture(64, 48)).save(path, icc_profile=b"no profile")
    for _ in range(3):
        shown(path)
    assert caplog.text.count("colors may be off") == 1


def test_a_picture_larger_than_players_show_is_scaled(tmp_path: Path) -> None:
    path = tmp_path / "phone.png"
    Image.new("RGB", (3024, 4032), "gray").save(path)
    info, frame = probe(path), next(read_frames(path))
    assert (info.width, info.height) == (2660, 3546)
    assert frame.image.shape == (3546, 2660, 3)
    assert info.width * info.height <= 4096 * 2304
    assert (
        f"{path} is 3024 x 4032; it is scaled to 2660 x 3546, because most players show no larger films."
        in info.remarks
    )
