"""Native detail: the flow places detail of the references, and the rendering limits it."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from lipsmith.dubbing.mouth import nearby
from lipsmith.dubbing.paste.detail import Detail, Region, details, extent, with_detail
from lipsmith.dubbing.paste.native import with_amplitude
from lipsmith.face.landmarks import INNER_LIP, NUM_POINTS, mouth_box, ranks
from lipsmith.inference.render import Drawing, Placed

SIZE, NATIVE, ROWS = 128, 256, 80
ENLARGED = Region(np.array([[0.5, 0.0, -0.25], [0.0, 0.5, -0.25]]), NATIVE, NATIVE, SIZE)
"""A region that is the whole crop at 256 pixels."""


def texture(seed: int = 0) -> NDArray[np.uint8]:
    """Return a native crop of fine stripes on a gradient."""
    x = np.arange(NATIVE)
    stripes = 20 * np.sin(2 * np.pi * x / 3 + seed)
    picture = np.broadcast_to((60 + x / 2 + stripes)[None, :, None], (NATIVE, NATIVE, 3))
    return np.ascontiguousarray(picture).astype(np.uint8)


SHUT = np.zeros((SIZE, SIZE), np.float32)
"""The inside of a closed mouth."""


def detail(
    flow: NDArray[np.float32],
    share: NDArray[np.float32],
    pictures: list[NDArray[np.uint8]],
    inside: NDArray[np.float32] = SHUT,
    leader: int = 0,
) -> Detail:
    y, x = (np.mgrid[SIZE - ROWS : SIZE, :SIZE] + 0.5) / SIZE
    positions = flow + np.stack([x, y]).astype(np.float32)
    upper = positions[(..., *mouth_box(ROWS, SIZE))]
    placed = Placed(flow, flow, positions, upper, np.ones(upper.shape[2:], np.float32), share)
    ranks = np.arange(len(pictures))
    return Detail(
        [with_amplitude(picture) for picture in pictures],
        placed,
        share,
        inside,
        ranks,
        np.ones(len(pictures), np.float32),
        leader,
        None,
    )


def still(count: int) -> NDArray[np.float32]:
    return np.zeros((count, 2, ROWS, SIZE), np.float32)


def believed(*levels: float) -> NDArray[np.float32]:
    return np.stack([np.full((ROWS // 4, SIZE // 4), level, np.float32) for level in levels])


@pytest.fixture
def mask() -> NDArray[np.float32]:
    mask = np.zeros((SIZE, SIZE), np.float32)
    mask[72:120, 30:98] = 1
    return mask


@pytest.fixture
def open_mouth() -> NDArray[np.float32]:
    inside = np.zeros((SIZE, SIZE), np.float32)
    inside[80:110, 50:80] = 1
    return inside


def drawn(level: float = 100.0) -> NDArray[np.float32]:
    return np.full((SIZE, SIZE, 3), level, np.float32)


INSIDE = np.s_[150:230, 70:190]


def test_low_frequencies_come_from_the_rendering_and_detail_from_the_references(mask: NDArray[np.float32]) -> None:
    lent = with_detail(drawn(), detail(still(1), believed(1.0), [texture()]), ENLARGED, mask)[INSIDE]
    assert abs(lent.mean() - 100) < 0.5
    assert lent.std() == pytest.approx(1.2 * 20 / 2**0.5, abs=2)
    faded = replace(detail(still(1), believed(1.0), [texture()]), contrast=0.5)
    assert with_detail(drawn(), faded, ENLARGED, mask)[INSIDE].std() == pytest.approx(1.2 * 10 / 2**0.5, abs=1)


def test_detail_moves_with_the_flow(mask: NDArray[np.float32]) -> None:
    """A flow of two native pixels to the right shows the reference two pixels further right."""
    flow = still(1)
    flow[:, 0] = 2 / NATIVE
    before = with_detail(drawn(), detail(still(1), believed(1.0), [texture()]), ENLARGED, mask)
    after = with_detail(drawn(), detail(flow, believed(1.0), [texture()]), ENLARGED, mask)
    assert np.abs(after[150:230, 70:190] - before[150:230, 72:192]).mean() < 3
    assert np.abs(after - before)[INSIDE].mean() > 10


def test_without_detail_the_rendering_is_unchanged(mask: NDArray[np.float32]) -> None:
    plain = np.full((NATIVE, NATIVE, 3), 30, np.uint8)
    rows = np.arange(NATIVE, dtype=np.float32)[:, None, None]
    slope = drawn() + 0.4 * (np.arange(SIZE, dtype=np.float32)[:, None, None] + 0.25)
    lent = with_detail(slope, detail(still(2), believed(0.5, 0.5), [plain, plain]), ENLARGED, mask)
    assert np.abs(lent - (100 + 0.2 * rows))[INSIDE].max() < 0.5


def test_the_last_rows_of_a_rendering_are_enough(mask: NDArray[np.float32], open_mouth: NDArray[np.float32]) -> None:
    given = detail(still(1), believed(1.0), [texture()], open_mouth)
    slopes = drawn() + np.arange(SIZE, dtype=np.float32)[:, None, None] + np.arange(SIZE)[:, None]
    whole = with_detail(slopes.astype(np.float32), given, ENLARGED, mask)
    part = with_detail(slopes[56:].astype(np.float32), given, ENLARGED, mask)
    assert np.abs(whole - part)[INSIDE].max() < 1e-3


def test_the_references_with_the_highest_share_are_used(mask: NDArray[np.float32]) -> None:
    pictures = [texture(seed) for seed in range(5)]
    alone = with_detail(drawn(), detail(still(1), believed(1.0), [pictures[4]]), ENLARGED, mask)
    among = with_detail(drawn(), detail(still(5), believed(0, 0, 0, 0, 1.0), pictures), ENLARGED, mask)
    assert np.abs(alone - among)[INSIDE].max() < 0.1  # the others have a thousandth of the weight


def test_a_share_outside_the_mask_does_not_count(mask: NDArray[np.float32]) -> None:
    """Else a reference would lend nothing where it is seen, and one that is seen would not be asked."""
    share = believed(0.1, 0.1, 0.1, 0.2)
    share[:3, :, :7] = 1.0
    plain = np.full_like(texture(), 90)
    lent = with_detail(drawn(), detail(still(4), share, [plain, plain, plain, texture()]), ENLARGED, mask)[INSIDE]
    assert lent.std() > 5


def test_the_detail_of_three_references_is_weighted_by_their_shares(mask: NDArray[np.float32]) -> None:
    pictures = [texture(seed) for seed in (0, 1, 2)]
    lent = [detail(still(1), believed(1.0), [picture]) for picture in pictures]
    each = [with_detail(drawn(), one, ENLARGED, mask) for one in lent]
    found = with_detail(drawn(), detail(still(3), believed(0.6, 0.2, 0.2), pictures), ENLARGED, mask)
    mean = 0.6 * each[0] + 0.2 * each[1] + 0.2 * each[2]
    assert np.abs(found - mean)[INSIDE].max() < 3


WITHIN, BESIDE = np.s_[176:204, 118:142], np.s_[176:204, 66:90]


def test_inside_the_mouth_one_reference_leads(mask: NDArray[np.float32], open_mouth: NDArray[np.float32]) -> None:
    """A mean of several would merge their teeth."""
    pictures = [texture(seed) for seed in range(5)]
    share = believed(0.3, 0.25, 0.2, 0.15, 0.1)
    found = with_detail(drawn(), detail(still(5), share, pictures, open_mouth, 4), ENLARGED, mask)
    alone = with_detail(drawn(), detail(still(1), believed(1.0), [pictures[4]], open_mouth), ENLARGED, mask)
    assert np.abs(found - alone)[WITHIN].max() < 1
    assert np.abs(found - alone)[BESIDE].mean() > 5


def test_inside_the_mouth_coarser_detail_is_the_leaders(
    mask: NDArray[np.float32], open_mouth: NDArray[np.float32]
) -> None:
    """Stripes of 6 pixels of 128, which the networks draw flat: a row of teeth that they merge, say."""
    x = np.arange(NATIVE)
    stripes = np.broadcast_to((100 + 20 * np.sin(2 * np.pi * x / 12))[None, :, None], (NATIVE, NATIVE, 3))
    teeth = np.ascontiguousarray(stripes).astype(np.uint8)
    lent = detail(still(1), believed(1.0), [teeth], open_mouth)
    found = with_detail(drawn(), lent, ENLARGED, mask)
    assert found[WITHIN].std() > 8
    assert found[BESIDE].std() < 3
    assert found[WITHIN].mean() == pytest.approx(100, abs=1)
    assert with_detail(drawn(), replace(lent, inside=SHUT), ENLARGED, mask)[WITHIN].std() < 3


def opened(width: float) -> NDArray[np.float32]:
    """Return points `(131, 2)` whose inner lips are an ellipse of that `width` in the middle of the mouth's box."""
    points, angles = np.full((NUM_POINTS, 2), 0.5), np.linspace(0, 2 * np.pi, len(INNER_LIP), endpoint=False)
    points[ranks(INNER_LIP)] = np.stack([0.5 + width / 2 * np.cos(angles), 0.7 + 0.08 * np.sin(angles)], 1)
    return points.astype(np.float32)


def leaders(weights: NDArray[np.float32], references: list[list[int]], begins: list[int]) -> list[int]:
    """Return which reference leads in each frame, of those whose `weights` `(n, k)` are equal in the whole crop."""
    count = len(references)
    flow = still(weights.shape[1])[None].repeat(count, 0)
    placed = Placed(flow, flow, flow, flow, flow, flow)
    share = np.ones((1, 1, ROWS // 4, SIZE // 4), np.float32) * weights[..., None, None]
    drawing = Drawing(np.zeros((count, SIZE, SIZE, 3), np.uint8), placed, share)
    chosen, points = np.array(references), np.stack([opened(0.3)] * count)
    found = details(texture, drawing, chosen, points, nearby(np.arange(count), np.array(begins)), None)
    assert all((one.pictures[0] == texture(row[0])).all() for one, row in zip(found, references, strict=True))
    return [row[one.leader] for one, row in zip(found, references, strict=True)]


def test_the_reference_with_most_weight_inside_the_mouth_leads() -> None:
    weights = np.full((1, 3), 0.5, np.float32)
    share = np.ones((1, 3, ROWS // 4, SIZE // 4), np.float32) * weights[..., None, None]
    share[0, 1, :, :10] = share[0, 1, :, -10:] = 1  # beside it
    share[0, 2, :, 14:18] = 0.7
    flow = still(3)[None]
    drawing = Drawing(np.zeros((1, SIZE, SIZE, 3), np.uint8), Placed(flow, flow, flow, flow, flow, flow), share)
    (found,) = details(texture, drawing, np.array([[4, 8, 6]]), opened(0.2)[None], np.ones((1, 1), np.float32), None)
    assert found.leader == 2
    assert found.inside[round(0.7 * SIZE), SIZE // 2] > 0.9


def test_no_reference_leads_in_a_single_frame() -> None:
    """Its teeth would flash. What counts is the reference, not its rank among those of the frame."""
    weights = np.array([[0.6, 0.5], [0.6, 0.5], [0.55, 0.6], [0.6, 0.5], [0.6, 0.5]], np.float32)
    assert leaders(weights, [[3, 7]] * 5, [0] * 5) == [3] * 5
    assert leaders(weights, [[3, 7]] * 5, [0, 0, 2, 3, 3]) == [3, 3, 7, 3, 3]  # between two cuts
    assert leaders(weights, [[3, 7]] * 2 + [[7, 3]] + [[3, 7]] * 2, [0] * 5) == [3] * 5
    rising = np.array([[0.6, 0.4], [0.6, 0.4], [0.4, 0.6], [0.4, 0.6], [0.4, 0.6]], np.float32)
    assert leaders(rising, [[3, 7]] * 5, [0] * 5) == [3, 3, 7, 7, 7]


def test_a_mean_of_textures_at_different_places_has_their_amplitude(mask: NDArray[np.float32]) -> None:
    noise = [
        np.random.default_rng(n).normal(100, 5, (NATIVE, NATIVE, 1)).repeat(3, axis=2).astype(np.uint8)
        for n in range(3)
    ]

    def amplitude(pictures: list[NDArray[np.uint8]]) -> float:
        count = len(pictures)
        lent = with_detail(drawn(), detail(still(count), believed(*count * [1.0]), pictures), ENLARGED, mask)
        return float((lent - cv2.GaussianBlur(lent, (0, 0), 2))[INSIDE].std())

    assert amplitude(noise[:1]) == pytest.approx(5, rel=0.25)
    assert amplitude(noise) == pytest.approx(amplitude(noise[:1]), rel=0.15)  # their plain mean: 3**-0.5 of it


def test_where_the_lips_meet_the_detail_is_the_mean_of_both(mask: NDArray[np.float32]) -> None:
    """Both flows lead 24 native pixels away from a bright row between the lips, whose mean would lead into it."""
    picture = np.full((NATIVE, NATIVE, 3), 60, np.uint8)
    picture[188:196] = 250
    given = detail(still(1), believed(1.0), [picture])
    away = np.array([0, 24 / NATIVE], np.float32)[:, None, None]
    placed = given.placed._replace(lower=given.placed.lower + away, upper=given.placed.upper - away)
    placed.above[:] = 0.5
    lent = with_detail(drawn(), replace(given, placed=placed), ENLARGED, mask)
    assert np.abs(lent[186:198, 100:156] - 100).max() < 2


@pytest.mark.parametrize("width", [60, 100, 255, 257, 513])
@pytest.mark.parametrize("angle", [0.0, 0.4])
def test_a_region_samples_the_crop_where_its_pixels_lie(width: int, angle: float) -> None:
    """A slope over the crop's last rows has at each pixel the value of its position, computed in full or every other
    pixel; beyond the crop it goes on as at the border."""
    scale = SIZE / width
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    region = Region(np.column_stack([turn, (SIZE / 2 - 0.5) - turn @ (width / 2, width / 2)]), width - 1, width, SIZE)
    y, x = np.mgrid[: width - 1, :width].astype(np.float64)
    across, down = np.einsum("ij,jyx->iyx", turn, np.stack([x, y])) + region.to_crop[:, 2, None, None]
    inside = (across > 4) & (across < SIZE - 5) & (down > SIZE - ROWS + 4) & (down < SIZE - 5)
    for cell in (1, 4):
        rows, columns = np.mgrid[SIZE - ROWS : SIZE : cell, 0:SIZE:cell] + (cell - 1) / 2
        found = region.smooth((2 * columns + rows).astype(np.float32))
        assert found.shape == (width - 1, width)
        assert np.abs(found - (2 * across + down))[inside].max() < 0.1


def test_an_extent_contains_all_above_zero() -> None:
    values = np.full((9, 12), -1, np.float32)
    assert extent(values) is None
    values[3, 5] = 1e-9
    assert extent(values) == np.s_[3:4, 5:6]
    values[8, 0] = 1
    assert extent(values) == np.s_[3:9, 0:6]
    assert extent(values[:, 1:]) == np.s_[3:4, 4:5]
