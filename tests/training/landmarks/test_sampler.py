"""Windows of footage: their positions, and the sources of their references."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from landmark_clips import talking_clip
from lipsmith.face.landmarks import mouth_width, outer_lip_opening, ranks
from lipsmith.speech.mel import MEL_RATE, mel_windows
from lipsmith.training.landmarks.sampler import ReferenceRules, draw, gather_footage, whole_windows


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(1)


def test_windows_contain_no_frame_without_a_face() -> None:
    tracked = np.array([True, True, False, True, True, True])
    clip = replace(talking_clip(0, "a", frames=6), tracked=tracked)
    assert whole_windows(clip, 2).tolist() == [0, 3, 4]


def test_the_pose_is_the_windows_own_or_still_or_of_a_nearby_time() -> None:
    footage = gather_footage([talking_clip(0, "a", frames=60)], 12)
    footage.points[:, 0, 0] = torch.arange(60.0)

    def pose(rules: ReferenceRules) -> torch.Tensor:
        batch = draw(footage, 32, 12, 3, rules, generator())
        return batch.other_pose[:, :, 0, 0] - batch.points[:, :, 0, 0]

    assert not pose(ReferenceRules()).any()
    still = pose(ReferenceRules(still_pose=1.0)) + torch.arange(12.0)
    assert (still == still[:, :1]).all()
    shifted = pose(ReferenceRules(shifted_pose=1.0))
    assert (shifted == shifted[:, :1]).all()
    assert len(shifted.unique()) > 10
    assert shifted.abs().max() <= 15


def test_the_nearby_time_has_a_minimum_distance() -> None:
    footage = gather_footage([talking_clip(0, "a", frames=200)], 12)
    footage.points[:, 0, 0] = torch.arange(200.0)
    batch = draw(footage, 256, 12, 3, ReferenceRules(shifted_pose=1.0, pose_shift=10, pose_apart=4), generator())
    begin = batch.points[:, 0, 0, 0]
    away = (batch.other_pose[:, 0, 0, 0] - begin)[(begin >= 10) & (begin <= 200 - 12 - 10)].abs()
    assert sorted(away.unique().tolist()) == [4, 5, 6, 7, 8, 9, 10]


def test_windows_exclude_frames_without_speech_after_a_shift() -> None:
    clip = talking_clip(0, "a", frames=60)

    def firsts(offset: float) -> list[int]:
        moved = replace(clip, record=replace(clip.record, offset=offset))
        return gather_footage([moved], 12).window_first.tolist()

    assert firsts(0.0) == list(range(49))
    assert firsts(-0.12) == list(range(3, 49))
    end = int(25 * (clip.mel.shape[1] / MEL_RATE - 0.4) + 1e-6)
    assert firsts(0.4) == list(range(end + 1 - 12 + 1))
    assert end < 59


def test_a_single_reference_is_often_an_extreme_shape() -> None:
    clip = talking_clip(0, "a", frames=200)
    clip.landmarks[:, ranks((291,)), 0] += np.linspace(0, 0.1, 200, dtype=np.float32)[:, None]
    batch = draw(gather_footage([clip], 12), 256, 12, 1, ReferenceRules(away=0.0, sibling=0.0), generator())
    width = mouth_width(batch.references[:, 0].numpy())
    assert batch.references.shape == (256, 1, 131, 2)
    # The expected maximum of four is at 0.8 of the range, that of one at 0.5.
    assert np.mean(width) > np.mean(mouth_width(clip.landmarks)) + 0.005


def test_references_may_all_be_open_alike() -> None:
    footage = gather_footage([talking_clip(0, "a", frames=200)], 12)
    rules = ReferenceRules(away=0.0, sibling=0.0, scarce=1.0)
    openings = outer_lip_opening(draw(footage, 256, 12, 15, rules, generator()).references.numpy())
    whole = outer_lip_opening(footage.points.numpy())
    ranges = np.ptp(openings, axis=1)
    assert (ranges <= 0.8 * np.ptp(whole)).all()
    assert np.mean(ranges == 0) > 0.2  # a single picture, over and over
    assert np.mean(openings.max(1) < np.quantile(whole, 0.25)) > 0.1
    assert np.mean(openings.min(1) > np.quantile(whole, 0.75)) > 0.1


def test_the_most_closed_mouth_may_be_the_only_reference() -> None:
    footage = gather_footage([talking_clip(0, "a", frames=200)], 12)
    rules = ReferenceRules(away=0.0, sibling=0.0)
    openings = outer_lip_opening(draw(footage, 1024, 12, 1, rules, generator()).references[:, 0].numpy())
    quarter = np.quantile(outer_lip_opening(footage.points.numpy()), 0.25)
    assert np.mean(openings < quarter) > 0.23  # without the most closed ones a sixth


def test_frames_carry_their_phonemes() -> None:
    known, unknown = talking_clip(0, "a"), talking_clip(1, "a")
    footage = gather_footage([known, unknown], 12, phonemes={known.record.clip: [("m", 0.41), ("s", 1.0), ("p", -0.5)]})
    assert footage.bilabial.nonzero().flatten().tolist() == [10]
    lips, hisses = footage.phonemes[:60, 0], footage.phonemes[:60, 5]
    assert (int(lips.argmax()), int(hisses.argmax())) == (10, 25)
    assert hisses[25] == pytest.approx(1.0)
    assert hisses[28] == pytest.approx(np.exp(-2), abs=1e-3)  # two deviations of a frame and a half
    assert footage.phonemes[60:].isnan().all()


def test_references_come_from_the_half_away_from_the_window() -> None:
    clips = [talking_clip(seed, name, frames=60) for seed, name in enumerate("ab")]
    for number, clip in enumerate(clips):
        clip.landmarks[:30, 0, 0] = 2 * number
        clip.landmarks[30:, 0, 0] = 2 * number + 1
    batch = draw(gather_footage(clips, 12), 64, 12, 3, ReferenceRules(away=1.0, sibling=0.0), generator())
    own = batch.points[:, :, 0, 0].mean(1)
    begin = 2 * (own >= 2)
    is_late, is_middle = own - begin > 0.5, own - begin == 0.5
    expected = (begin + ~is_late)[:, None].expand(-1, 3)
    assert torch.equal(batch.references[~is_middle, :, 0, 0].long(), expected[~is_middle])


def test_speech_is_the_windows_own_early_or_late_by_a_few_steps() -> None:
    clip = talking_clip(0, "b", frames=60)
    footage = gather_footage([talking_clip(1, "a", frames=60), clip], 12, shifts=2)
    footage.points[:, 0, 0] = torch.arange(120.0) - 60
    batch = draw(footage, 64, 12, 3, ReferenceRules(), generator())
    begins = batch.points[:, 0, 0, 0]
    steps = set()
    for begin, speech in zip(begins[begins >= 0], batch.speech[begins >= 0], strict=True):
        times = (int(begin) + np.arange(12)) / 25
        heard = {step: mel_windows(clip.mel, times + step / MEL_RATE).astype(np.float16) for step in range(-2, 3)}
        found = [step for step, windows in heard.items() if np.array_equal(windows, speech.numpy())]
        assert found
        steps.update(found)
    assert steps == {-2, -1, 0, 1, 2}


def test_references_may_come_from_other_clips_of_the_identity() -> None:
    clips = [talking_clip(0, "a"), talking_clip(1, "a"), talking_clip(2, "b")]
    for number, clip in enumerate(clips):
        clip.landmarks[:, 0, 0] = number
    batch = draw(gather_footage(clips, 12), 64, 12, 3, ReferenceRules(away=0.0, sibling=1.0), generator())
    own, lent = batch.points[:, 0, 0, 0], batch.references[:, 0, 0, 0]
    assert ((own == 2) == (lent == 2)).all()
    assert (own != lent).any()
