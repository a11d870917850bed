from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lipsmith.dubbing.paste.composite import Compositor, color_difference, likeness, outline, soft_mask
from lipsmith.face.crop import apply, crop_image, invert
from lipsmith.face.landmarks import JAW, NUM_POINTS, OUTER_LIP, ranks

SIZE = 128
JAWS = ranks(JAW)


def face(chin: float = 0.0) -> NDArray[np.float64]:
    """Return a round face in crop units, its chin lowered by `chin`."""
    points = np.full((NUM_POINTS, 2), 0.5)
    angle = np.linspace(0, np.pi, len(JAW))
    points[JAWS] = np.stack([0.5 - 0.33 * np.cos(angle), 0.58 + (0.34 + chin) * np.sin(angle)], -1)
    angle = np.linspace(np.pi, 3 * np.pi, 20, endpoint=False)
    points[ranks(OUTER_LIP)] = np.stack([0.5 + 0.12 * np.cos(angle), 0.7 + 0.06 * np.sin(angle)], -1)
    for number, place in {48: (0.43, 0.53), 278: (0.57, 0.53), 0: (0.5, 0.64), 17: (0.5, 0.76)}.items():
        points[ranks((number,))] = place
    points[ranks((61, 291))] = [(0.38, 0.7), (0.62, 0.7)]
    points[ranks((234, 454))] = [(0.17, 0.42), (0.83, 0.42)]
    return points


def smooth_picture(height: int, width: int) -> NDArray[np.uint8]:
    y, x = np.mgrid[:height, :width]
    planes = [120 + 40 * np.sin(x / 37), 110 + 40 * np.cos(y / 29), 100 + 30 * np.sin((x + y) / 41)]
    return np.stack(planes, -1).astype(np.uint8)


def placed(scale: float = 200.0, angle: float = 0.1) -> NDArray[np.float64]:
    """Return the transform from source pixels to crop units of a crop of `scale` pixels, centered at (160, 150)."""
    a, b = np.cos(angle) / scale, np.sin(angle) / scale
    linear = np.array([[a, -b], [b, a]])
    return np.column_stack([linear, 0.5 - linear @ (160, 150)])


def paste(generated: NDArray[np.uint8] | None = None, offset: int = 0, **options: Any) -> tuple[Any, ...]:  # noqa: ANN401
    frame = options.pop("frame", smooth_picture(300, 320))
    transform = options.pop("transform", placed())
    source = crop_image(frame, transform, SIZE)
    drawn = np.clip(source.astype(int) + offset, 0, 255).astype(np.uint8) if generated is None else generated
    old, new = options.pop("old", face()), options.pop("new", face())
    result = Compositor().paste(frame, drawn, source, transform, old, new, **options)
    return frame, result, transform


def test_pixels_outside_the_mask_are_unchanged() -> None:
    frame, result, transform = paste(np.zeros((SIZE, SIZE, 3), np.uint8))
    y, x = np.nonzero((frame != result).any(-1))
    places = apply(transform, np.stack([x + 0.5, y + 0.5], -1))
    assert len(places) > 2000
    assert places.min(0)[1] > 0.49
    mask = soft_mask(face(), face(), SIZE)
    columns, rows = np.clip((places * SIZE).astype(int).T, 1, SIZE - 2)
    near = np.stack([mask[rows + dy, columns + dx] for dy in (-1, 0, 1) for dx in (-1, 0, 1)])
    assert near.max(0).min() > 0


def test_a_perfect_rendering_leaves_the_picture_unchanged() -> None:
    frame, result, _ = paste()
    assert np.abs(frame.astype(int) - result).max() <= 3


@pytest.mark.parametrize("offset", [-20, 15])
def test_a_rendering_takes_the_light_of_the_source(offset: int) -> None:
    frame, result, _ = paste(offset=offset)
    changed = (frame != result).any(-1)
    assert np.abs(frame.astype(int) - result)[changed].mean() < 0.25 * abs(offset)


def test_the_input_frame_is_not_modified() -> None:
    frame, result, _ = paste(np.zeros((SIZE, SIZE, 3), np.uint8))
    assert (frame == smooth_picture(300, 320)).all()
    assert result is not frame


@pytest.mark.parametrize(("old", "new"), [(0.0, 0.05), (0.05, 0.0)])
def test_the_mask_includes_the_lower_of_both_chins(old: float, new: float) -> None:
    mask = soft_mask(face(old), face(new), SIZE)
    chin_row = int((0.58 + 0.34 + 0.05) * SIZE) - 8
    assert mask[chin_row, SIZE // 2] > 0.9
    single = soft_mask(face(), face(), SIZE)
    assert (mask >= single - 0.03).all()


@pytest.mark.parametrize(("old", "new"), [(0.0, -0.04), (-0.04, 0.0)])
def test_the_edge_of_the_lower_chin_is_hidden_or_drawn_with_a_margin(old: float, new: float) -> None:
    below = slice(int((0.58 + 0.34) * SIZE), int((0.58 + 0.34) * SIZE) + 4)
    assert (soft_mask(face(old), face(new), SIZE)[below, SIZE // 2] > 0.9).all()
    assert soft_mask(face(), face(), SIZE)[below, SIZE // 2].min() < 0.7


def test_the_mask_reaches_no_farther_out_where_a_collar_is_drawn_in_another_place() -> None:
    same, other = np.zeros((32, 32, 3), np.uint8), np.zeros((32, 32, 3), np.uint8)
    other[30:] = 90
    faces = face(0.0), face(-0.04)
    wide, narrow = (soft_mask(*faces, SIZE, change) for change in (same, other))
    assert (wide == soft_mask(*faces, SIZE)).all()
    below = int((0.58 + 0.34) * SIZE) + 3, SIZE // 2
    assert narrow[below] <= soft_mask(face(), face(), SIZE)[below] < wide[below] - 0.2


def test_the_mask_excludes_the_upper_half_and_the_nose() -> None:
    mask = soft_mask(face(), face(), SIZE)
    assert not mask[: SIZE // 2].any()
    assert mask[int(0.7 * SIZE), SIZE // 2] == pytest.approx(1, abs=1e-3)
    assert outline(face())[-1, 1] > 0.53


@pytest.mark.parametrize("place", [(-400, 0), (0, -400), (400, 400)])
def test_a_face_outside_the_frame_changes_nothing(place: tuple[int, int]) -> None:
    transform = placed()
    transform[:, 2] -= transform[:, :2] @ place
    frame, result, _ = paste(np.zeros((SIZE, SIZE, 3), np.uint8), transform=transform)
    assert (frame == result).all()


def test_opacity_blends_source_and_rendering() -> None:
    black = np.zeros((SIZE, SIZE, 3), np.uint8)
    frame, unseen, _ = paste(black, opacity=0.0)
    assert unseen is frame
    _, half, _ = paste(black, opacity=0.5)
    _, whole, _ = paste(black)
    x, y = invert(placed()) @ (0.5, 0.7, 1)
    at = (int(y), int(x))
    assert whole[at].mean() < half[at].mean() < frame[at].mean()


@settings(max_examples=25)
@given(st.floats(20, 900), st.floats(-3.1, 3.1), st.floats(-50, 370), st.floats(-50, 350))
def test_any_placement_is_pasted_without_error(scale: float, angle: float, x: float, y: float) -> None:
    a, b = np.cos(angle) / scale, np.sin(angle) / scale
    linear = np.array([[a, -b], [b, a]])
    transform = np.column_stack([linear, 0.5 - linear @ (x, y)])
    frame, result, _ = paste(transform=transform, frame=smooth_picture(90, 110))
    assert result.shape == frame.shape


def test_color_matching_does_not_follow_flicker() -> None:
    frame, transform = smooth_picture(300, 320), placed()
    source = crop_image(frame, transform, SIZE)
    compositor, levels = Compositor(), []
    for number in range(12):
        drawn = np.clip(source.astype(int) + (10 if number % 2 else -10), 0, 255).astype(np.uint8)
        result = compositor.paste(frame, drawn, source, transform, face(), face())
        levels.append(result[170:200, 150:170].mean())
    steps = np.abs(np.diff(levels[6:]))
    assert 12 < steps.mean() < 22


def test_color_matching_follows_a_change_of_light_at_once() -> None:
    frame, transform = smooth_picture(300, 320), placed()
    compositor = Compositor()
    for light in (0, 0, -50):
        source = np.clip(crop_image(frame, transform, SIZE).astype(int) + light, 0, 255).astype(np.uint8)
        lit = np.clip(frame.astype(int) + light, 0, 255).astype(np.uint8)
        drawn = np.clip(source.astype(int) + (60 if light else 0), 0, 255).astype(np.uint8)
        after = compositor.paste(lit, drawn, source, transform, face(), face())
        at_once = Compositor().paste(lit, drawn, source, transform, face(), face())
        assert np.abs(np.asarray(after, int) - at_once).mean() < 0.1


def test_colors_are_matched_beside_the_mouth_not_inside_it() -> None:
    """A mouth that is drawn lighter than it was filmed stays lighter."""
    frame = smooth_picture(300, 320)
    source = crop_image(frame, placed(), SIZE)
    lighter = source + (10 * (soft_mask(face(), face(), SIZE) > 0.5)[..., None]).astype(np.uint8)
    frame, result, transform = paste(lighter, frame=frame)
    x, y = (invert(transform) @ (0.5, 0.7, 1)).astype(int)
    assert (result[y - 3 : y + 3, x - 3 : x + 3] - frame[y - 3 : y + 3, x - 3 : x + 3].astype(int)).mean() > 7


@pytest.mark.parametrize("angle", [0.0, 0.7, 3.0])
def test_the_part_that_is_pasted_contains_all_of_the_mask(monkeypatch: pytest.MonkeyPatch, angle: float) -> None:
    white = np.full((SIZE, SIZE, 3), 255, np.uint8)
    _, part, _ = paste(white, transform=placed(150, angle))
    monkeypatch.setattr("lipsmith.dubbing.paste.composite._bounding_box", lambda *_: (0, 0, 320, 300))
    _, whole, _ = paste(white, transform=placed(150, angle))
    assert np.abs(part.astype(int) - whole).max() <= 1


def test_a_crop_that_is_reduced_does_not_alias() -> None:
    stripes = np.zeros((SIZE, SIZE, 3), np.uint8)
    stripes[:, ::3] = 255
    _, result, transform = paste(stripes, frame=np.full((300, 320, 3), 85, np.uint8), transform=placed(40, 0.02))
    x, y = (invert(transform) @ (0.5, 0.7, 1)).astype(int)
    assert result[y - 3 : y + 3, x - 6 : x + 6].astype(float).std() < 15


def test_the_mask_reaches_below_the_chin_but_not_to_the_ears() -> None:
    points = face()
    found, jaw = outline(points)[: len(JAW)], points[JAWS]
    assert found[len(JAW) // 2, 1] > jaw[len(JAW) // 2, 1] + 0.02
    assert found[0, 0] > jaw[0, 0] + 0.03
    assert found[-1, 0] < jaw[-1, 0] - 0.03


def test_differences_in_content_weigh_less_than_light() -> None:
    source = np.full((SIZE, SIZE, 3), 100, np.uint8)
    lit = source + np.uint8(10)
    lit[90:94] = 250
    weight = np.ones((SIZE, SIZE), np.float32)
    field = color_difference(lit, source, weight)
    assert field[24].mean() == pytest.approx(-10, abs=4)


def test_fine_detail_of_the_source_stays_where_nothing_changes() -> None:
    rng = np.random.default_rng(0)
    textured = np.clip(smooth_picture(300, 320) + rng.normal(0, 12, (300, 320, 1)), 0, 255).astype(np.uint8)
    transform = placed(270)
    source = crop_image(textured, transform, SIZE)
    result = np.asarray(Compositor().paste(textured, source, source, transform, face(), face()))
    assert (result != textured).any()
    x, y = (invert(transform) @ np.array([[0.32, 0.68], [0.8, 0.8], [1, 1]])).astype(int)
    for column, row in zip(x, y, strict=True):
        cheek = (slice(row - 6, row + 6), slice(column - 6, column + 6))
        assert np.abs(result[cheek].astype(int) - textured[cheek]).max() <= 2
    mouth = (invert(transform) @ (0.5, 0.7, 1)).astype(int)
    lips = (slice(mouth[1] - 6, mouth[1] + 6), slice(mouth[0] - 6, mouth[0] + 6))
    assert np.abs(result[lips].astype(int) - textured[lips]).mean() > 2


def test_likeness_is_zero_where_the_rendering_differs() -> None:
    source = np.full((SIZE, SIZE, 3), 100, np.uint8)
    drawn = source.astype(np.float32)
    drawn[:, :40] += 60
    alike = likeness(drawn, source, face(), face())
    assert alike[90, 20] < 0.01
    assert alike[100, 100] > 0.99
    assert alike[int(0.7 * SIZE), SIZE // 2] < 0.01
