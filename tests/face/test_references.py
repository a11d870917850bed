import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from lipsmith.face.landmarks import NUM_POINTS, distances, ranks, turn
from lipsmith.face.references import (
    choose_pool,
    costs,
    in_view,
    nearest,
    paper_pool_size,
    sharpness_of,
    undercut,
)

UPPER, LOWER = ranks((0, 17))


def mouths(openings: list[float]) -> NDArray[np.float64]:
    """Return frontal faces that differ only in lip opening."""
    points = np.full((len(openings), NUM_POINTS, 2), 0.5)
    points[:, ranks((234,))[0], 0] = 0.2
    points[:, ranks((454,))[0], 0] = 0.8
    points[:, LOWER, 1] += openings
    return points


def test_the_pool_of_the_paper_is_a_fifth_of_the_frames_within_bounds() -> None:
    assert [paper_pool_size(frames) for frames in (1, 3, 20, 60, 500)] == [1, 3, 5, 12, 25]


def test_pool_is_at_even_ranks_of_opening() -> None:
    openings = [0.1 * rank for rank in (4, 0, 8, 2, 6, 1, 3, 5, 7)]
    chosen = choose_pool(mouths(openings), count=5)
    assert np.allclose(np.array(openings)[chosen], [0, 0.2, 0.4, 0.6, 0.8])


def test_the_sharpest_frame_near_a_rank_is_chosen() -> None:
    sharpness = np.full(9, 10.0)
    sharpness[[3, 5]] = 20
    assert choose_pool(mouths(list(np.linspace(0, 0.3, 9))), sharpness, 3).tolist()[1] in (3, 5)


def test_blurred_and_turned_frames_are_skipped_if_others_suffice() -> None:
    points = mouths(list(np.linspace(0, 0.3, 20)))
    points[0, ranks((4,))[0], 0] = 0.79
    assert turn(points)[0] > 0.9 > 0.1 > turn(points)[1]
    sharpness = np.full(20, 10.0)
    sharpness[19] = 1
    chosen = choose_pool(points, sharpness, 5)
    assert not {0, 19} & set(chosen.tolist())
    assert set(choose_pool(points[[0, 19]], sharpness[[0, 19]], 2).tolist()) == {0, 1}


@given(st.integers(1, 40), st.integers(1, 25))
def test_the_pool_has_the_requested_size_for_any_number_of_frames(frames: int, count: int) -> None:
    rng = np.random.default_rng(frames)
    points = mouths(rng.random(frames).tolist())
    chosen = choose_pool(points, rng.random(frames) + 0.5, count)
    assert len(chosen) == count
    opening = points[chosen, LOWER, 1]
    assert (np.diff(opening) >= 0).all()
    assert len(set(chosen.tolist())) == min(frames, count)
    assert set(chosen.tolist()) <= set(range(frames))


def test_distance_of_a_uniform_shift_is_the_weighted_shift() -> None:
    still = mouths([0.1])
    assert distances(still + np.array((0.03, 0.04)), still)[0, 0] == pytest.approx(0.05 * np.sqrt(3.5), rel=1e-4)


def test_references_at_the_same_position_cost_less() -> None:
    target, pool = mouths([0.1]), mouths([0.1, 0.1, 0.1])
    at = np.array([[[-1.25, 0.25], [-0.75, 0.25]]], np.float32)
    cost = costs(target, pool, at, at + np.array([0, 0.02, 0.7], np.float32)[:, None, None])
    np.testing.assert_allclose(cost - distances(target, pool), [[0, 0.4 * 0.02 * 2**0.5, 0.4 * 0.05]], atol=2e-3)


def test_the_pool_holds_all_frames_up_to_60() -> None:
    assert [len(choose_pool(mouths([0.1] * frames))) for frames in (1, 20, 500)] == [1, 20, 60]


def test_nearest_returns_the_same_mouth_first() -> None:
    pool = mouths([0.0, 0.1, 0.2, 0.3])
    assert nearest(distances(mouths([0.21]), pool), 2).tolist() == [[2, 3]]


def test_a_small_pool_is_used_completely() -> None:
    pool = mouths([0.2, 0.1])
    assert nearest(distances(mouths([0.1]), pool), 3).tolist() == [[1, 0]]
    assert nearest(distances(mouths([0.1, 0.1, 0.1]), pool), 3).tolist() == [[1, 0]] * 3


def test_choice_does_not_flicker_between_equal_references() -> None:
    pool = mouths([0.0, 0.1, 0.9])
    trembling = mouths([0.05 + 0.004 * (-1) ** frame for frame in range(30)])
    chosen = nearest(distances(trembling, pool), 1)
    assert len(np.unique(chosen)) == 1


def test_one_frame_alone_does_not_change_the_choice() -> None:
    cost = np.tile(np.array([0.2, 0.3], np.float32), (9, 1))
    cost[4, 0] = 0.5
    assert nearest(cost, 1).tolist() == [[0]] * 9


def test_a_reference_is_replaced_only_by_one_that_is_clearly_nearer() -> None:
    chosen = np.array([[0, 1]])
    assert undercut(np.array([[0.30, 0.20, 0.25, 0.40]], np.float32), chosen).tolist() == [[0, 1]]
    assert undercut(np.array([[0.35, 0.20, 0.25, 0.40]], np.float32), chosen).tolist() == [[2, 1]]


def test_a_replacement_is_kept_until_the_chosen_one_is_clearly_nearer() -> None:
    worse, alike, better = [0.35, 0.20, 0.25, 0.40], [0.30, 0.20, 0.30, 0.40], [0.20, 0.20, 0.35, 0.40]
    chosen = np.array([[0, 1]] * 3)
    assert undercut(np.array([worse, [0.30, 0.20, 0.25, 0.40], better], np.float32), chosen).tolist() == [
        [2, 1],
        [2, 1],
        [0, 1],
    ]
    assert undercut(np.array([worse, alike, worse], np.float32), chosen).tolist() == [[2, 1], [0, 1], [2, 1]]


def test_choice_follows_an_opening_mouth() -> None:
    pool = mouths([0.0, 0.15, 0.3])
    opening = np.linspace(0, 0.3, 40).tolist()
    chosen = nearest(distances(mouths(opening), pool), 1)[:, 0]
    assert chosen[0] == 0
    assert chosen[-1] == 2
    assert (np.diff(chosen) >= 0).all()


def test_references_in_use_keep_their_slots() -> None:
    pool = mouths([0.0, 0.1, 0.2, 0.3])
    chosen = nearest(distances(mouths(np.linspace(0, 0.3, 60).tolist()), pool), 2)
    changes = (np.diff(chosen, axis=0) != 0).sum(1)
    assert changes.max() <= 1
    assert all(len(set(row)) == 2 for row in chosen.tolist())


def test_a_soft_part_of_a_film_keeps_its_references_and_a_blurred_frame_does_not() -> None:
    sharpness = np.where(np.arange(60) < 25, 100.0, 900.0)
    sharpness[[10, 40]] /= 5
    chosen = choose_pool(mouths(np.linspace(0, 0.3, 60).tolist()), sharpness)
    assert set(chosen.tolist()) == set(range(60)) - {10, 40}


@pytest.mark.parametrize(("whole", "kept"), [(5, [0, 1, 2, 3, 4]), (2, [0, 1]), (1, [0, 1, 2, 3, 4])])
def test_mouths_beyond_the_picture_are_no_references_unless_most_are(whole: int, kept: list[int]) -> None:
    points = mouths([0.1] * 5) * 100
    points[whole:, LOWER, 1] = 101
    assert in_view(points, (100, 100)).tolist() == kept


def test_a_caption_does_not_make_a_crop_sharp() -> None:
    random = np.random.default_rng(0)
    crop = (128 + random.normal(0, 5, (64, 128, 3))).astype(np.uint8)
    written = crop.copy()
    written[40:52, 30:90] = 255 * random.integers(0, 2, (12, 60, 1))
    assert sharpness_of(written) < 1.2 * sharpness_of(crop)


def test_blur_reduces_sharpness() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3)).astype(np.uint8)
    smooth = ((noise[:-1].astype(int) + noise[1:]) // 2).astype(np.uint8)
    assert sharpness_of(noise) > 2 * sharpness_of(smooth)
