"""Decoded frames that become RGB in part: as the whole does, and back into a film without changing what nobody drew."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from lipsmith.media import probe, read_frames
from lipsmith.media.color import ColorTags, FilmedPicture, FrameToRGB, RGBToFrame, channels, over_white
from synthetic import make_film

SIZE = (96, 64)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_film(tmp_path_factory.mktemp("color") / "film.mp4", 0.12, 25, SIZE)


@pytest.fixture(scope="module")
def whole(film: Path) -> NDArray[np.uint8]:
    return np.asarray(next(read_frames(film)).image)


@pytest.fixture(scope="module")
def picture(film: Path) -> FilmedPicture:
    image = next(read_frames(film, as_filmed=True)).image
    assert isinstance(image, FilmedPicture)
    return image


def checkered(height: int, width: int) -> NDArray[np.uint8]:
    """Cells of 8 pixels, so that chroma, at half the resolution, can hold it."""
    rows, columns = np.mgrid[:height, :width] // 8 % 2
    return np.stack([60 + 120 * rows, 200 - 90 * columns, 80 + 50 * (rows ^ columns)], -1).astype(np.uint8)


def with_patch(picture: FilmedPicture, x: int, y: int, image: NDArray[np.uint8]) -> FilmedPicture:
    """Return a picture with `image` in the place of what it shows there."""
    return picture.with_patch(x, y, image, picture[y : y + len(image), x : x + image.shape[1]])


def test_a_filmed_picture_as_an_array_equals_the_converted_frame(
    picture: FilmedPicture, whole: NDArray[np.uint8]
) -> None:
    assert picture.shape == whole.shape
    assert np.array_equal(np.asarray(picture), whole)


@pytest.mark.parametrize(
    "part",
    [np.s_[:, :], np.s_[3:31, 7:50], np.s_[0:1, 95:96], np.s_[63:64, 0:5], np.s_[-9:-2, 10:], np.s_[20:99, 5:6]],
)
def test_a_slice_equals_that_of_the_whole(
    picture: FilmedPicture, whole: NDArray[np.uint8], part: tuple[slice, slice]
) -> None:
    apart = np.abs(picture[part].astype(int) - whole[part])
    assert picture[part].shape == whole[part].shape
    assert apart.max() <= 3
    assert apart.mean() < 1


def test_an_empty_slice_is_empty(picture: FilmedPicture) -> None:
    assert picture[5:5, 2:9].shape == (0, 7, 3)
    assert picture[9:5, 2:9].shape == (0, 7, 3)


def test_later_patches_cover_earlier_ones(picture: FilmedPicture, whole: NDArray[np.uint8]) -> None:
    first, second = checkered(20, 30), 255 - checkered(16, 16)
    patched = with_patch(with_patch(picture, 11, 5, first), 33, 17, second)
    expected = whole.copy()
    expected[5:25, 11:41] = first
    expected[17:33, 33:49] = second
    assert np.array_equal(np.asarray(patched), expected)
    assert np.array_equal(patched[10:20, 15:30], first[5:15, 4:19])
    assert np.abs(patched[2:40, 8:60].astype(int) - expected[2:40, 8:60]).max() <= 3
    assert np.array_equal(np.asarray(picture), whole)


def test_pixels_without_a_patch_keep_their_codes(picture: FilmedPicture) -> None:
    to_frame = RGBToFrame(ColorTags(matrix=picture.frame.colorspace), *SIZE)
    filmed = picture.frame.to_ndarray()
    assert np.array_equal(to_frame(picture).to_ndarray(), filmed)
    written = to_frame(with_patch(picture, 12, 20, checkered(24, 40))).to_ndarray()
    changed = written != filmed
    rows, columns = np.nonzero(changed[: SIZE[1]])
    assert 20 <= rows.min() <= rows.max() < 44
    assert 12 <= columns.min() <= columns.max() < 52
    chroma = changed[SIZE[1] :].reshape(2, SIZE[1] // 2, SIZE[0] // 2)
    assert chroma[:, 10:22, 6:26].any()
    chroma[:, 10:22, 6:26] = False
    assert not chroma.any()


def test_where_a_patch_shows_what_was_filmed_nothing_changes(picture: FilmedPicture) -> None:
    """Not by way of RGB, either, which clips colors that codes hold."""
    vivid = FilmedPicture(av.VideoFrame.from_ndarray(picture.frame.to_ndarray(), format="yuv420p"))
    for number, code in enumerate((60, 240, 240)):
        vivid.plane(number)[:, : vivid.plane(number).shape[1] // 2] = code
    box = np.s_[10:40, 20:60]
    patch = vivid[box].copy()
    patch[12:18, 14:20] //= 2
    patched, whole = vivid.with_patch(20, 10, patch, vivid[box]), np.asarray(vivid)
    changed = (np.asarray(patched) != whole).any(-1)
    assert changed[22:28, 34:40].all()
    assert changed.sum() == 36
    codes = [
        RGBToFrame(ColorTags(matrix=picture.frame.colorspace), *SIZE)(one).to_ndarray() for one in (patched, vivid)
    ]
    rows, columns = np.nonzero((codes[0] != codes[1])[: SIZE[1]])
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (22, 27, 34, 39)
    chroma = (codes[0] != codes[1])[SIZE[1] :].reshape(2, SIZE[1] // 2, SIZE[0] // 2).any(0)
    chroma[10:14, 16:21] = False
    assert not chroma.any()


@pytest.mark.parametrize(("x", "y"), [(12, 20), (13, 21), (0, 0), (56, 40)])
def test_a_patch_is_encoded_like_a_whole_picture(
    picture: FilmedPicture, whole: NDArray[np.uint8], x: int, y: int
) -> None:
    to_frame = RGBToFrame(ColorTags(matrix=picture.frame.colorspace), *SIZE)
    patch, expected = checkered(24, 40), whole.copy()
    expected[y : y + 24, x : x + 40] = patch
    inner = np.s_[y + 2 : y + 22, x + 2 : x + 38]
    pictures = (with_patch(picture, x, y, patch), expected)
    patched, plain = (to_frame(image).to_ndarray()[: SIZE[1]][inner] for image in pictures)
    assert np.array_equal(patched, plain)


def test_other_color_tags_convert_the_whole_picture(picture: FilmedPicture, whole: NDArray[np.uint8]) -> None:
    to_frame = RGBToFrame(ColorTags(range=2, matrix=5), *SIZE)
    assert np.array_equal(to_frame(picture).to_ndarray(), to_frame(whole).to_ndarray())


@pytest.mark.parametrize(
    ("size", "matrix"), [((720, 576), 5), ((768, 578), 1), ((1280, 534), 1), ((578, 1024), 1), ((640, 480), 5)]
)
def test_undeclared_colors_are_those_of_the_picture_s_size(size: tuple[int, int], matrix: int) -> None:
    image = np.full((size[1], size[0], 3), (200, 60, 90), np.uint8)
    frame = RGBToFrame(ColorTags(matrix=matrix), *size)(image)
    frame.colorspace = 2
    assert np.abs(FrameToRGB()(frame).astype(int) - image).max() <= 3


def test_undeclared_colors_are_those_of_the_size_to_which_odd_sides_grow() -> None:
    """Of 1280 pixels, from which on a film is of high definition."""
    image = np.full((500, 1279, 3), (200, 60, 90), np.uint8)
    frame = RGBToFrame(ColorTags(matrix=2), 1279, 500)(image)
    assert np.abs(FrameToRGB()(frame)[:, :1279].astype(int) - image).max() <= 3


def test_transparency_is_rounded_to_the_nearest_level() -> None:
    rgba = np.random.default_rng(0).integers(0, 256, (40, 40, 4)).astype(np.uint8)
    share = rgba[..., 3:] / 255
    assert np.array_equal(over_white(rgba), np.rint(rgba[..., :3] * share + 255 * (1 - share)))


def test_rgb_film_keeps_the_primaries_that_it_declares(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mov"), "w") as container:
        stream = container.add_stream("png", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "rgb24"
        stream.codec_context.color_primaries, stream.codec_context.color_trc = 12, 13
        for _ in range(2):
            frame = av.VideoFrame.from_ndarray(checkered(48, 64), format="rgb24")
            frame.color_primaries, frame.color_trc = 12, 13
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert probe(tmp_path / "a.mov").tags == ColorTags(primaries=12, transfer=13)


@pytest.mark.parametrize("count", [2, 3, 4])
@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_channels_are_what_slices_are(count: int, kind: type[np.generic]) -> None:
    image = (255 * np.random.default_rng(0).random((7, 5, count))).astype(kind)
    assert channels(image).dtype == kind
    for part in (image, image[1:6, 1:4]):
        assert np.array_equal(channels(part), np.moveaxis(part, -1, 0))
