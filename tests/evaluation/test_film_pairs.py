"""Comparison of films: pairing by name, alignment by frame, crops at the face, and the audio-video offset."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from lipsmith.cli import main
from lipsmith.cli.results import read_figures
from lipsmith.errors import InputError
from lipsmith.evaluation import films as film
from lipsmith.evaluation.film_pairs import SYSTEM, Pair, _joined, find_pairs, score_pairs
from lipsmith.evaluation.films import Film, find_face, pieces
from lipsmith.evaluation.listening import Listener
from lipsmith.evaluation.metrics.judge import OwnJudge
from lipsmith.evaluation.metrics.lse import sync_figures
from lipsmith.evaluation.scoring import Crops, Lips, Networks, RealStretch, Scorer
from lipsmith.face import FaceMesh
from lipsmith.face.crop import apply, invert
from lipsmith.media import VideoWriter, read_frames
from lipsmith.media.sound import sound_of
from lipsmith.models.sync.syncnet import SyncNet, SyncNetConfig
from scripted import scripted_dissolve
from synthetic import STILL, Motion, large_face_enters, make_film, speech
from video_samples import with_empty_sound

NOTHING = Networks(FaceMesh(), None, None, None, None, {})
LISTENER = Listener(lambda wave: [("m", 0.2), ("b", 0.6)], lambda wave: [(0.4, 0.8)])  # type: ignore[arg-type]
BEST_PSNR = 10 * np.log10(255**2 * 128 * 128 * 3)
SMALL = SyncNetConfig(height=16, width=32, mouth_widths=(4, 8), mel_widths=(4, 8), blocks=1, embedding=8)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("real") / "a.mp4"
    return make_film(path, 0.8, size=(256, 256), motion=Motion(turn=4), audio=speech(0.8))


def remade(real: Path, path: Path, size: tuple[int, int] = (256, 256), blur: float = 0.0) -> Path:
    def change(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        soft = cv2.GaussianBlur(image, (0, 0), blur) if blur else image
        return np.asarray(cv2.resize(soft, size, interpolation=cv2.INTER_AREA), np.uint8)

    with VideoWriter(path, *size, 25, sound=sound_of(speech(0.8), 16000)) as made:
        for frame in read_frames(real):
            made.write(change(frame.image), frame.time)
    return path


def test_a_film_against_itself_is_perfect(real: Path) -> None:
    found, failed = score_pairs([Pair("a", real, real)], Scorer(NOTHING))
    figures = found.totals["generated"]
    assert failed == []
    assert figures["psnr"] == pytest.approx(BEST_PSNR)
    assert figures["ssim"] == pytest.approx(1)
    assert figures["lip_lmd"] == 0
    assert found.rows[0]["frames"] == 20


def test_a_film_with_the_real_lips_has_the_real_articulation(real: Path) -> None:
    found, _ = score_pairs([Pair("a", real, real)], Scorer(NOTHING), listener=LISTENER)
    figures, truth = found.totals["generated"], found.totals["real"]
    assert figures["opening_r"] == pytest.approx(1)
    assert figures["closure"] == truth["closure"]
    assert figures["theval.silent_stability"] == figures["theval.lip_sync"] == figures["theval.lip_dynamics"] == 1
    assert "opening_r" not in truth
    assert found.rows[0]["closure_events"] == 2


def test_with_other_speech_the_real_film_is_measured_with_its_own_sound(real: Path, wide: Path) -> None:
    found, _ = score_pairs([Pair("a", wide, real)], Scorer(NOTHING), is_truth=False, listener=LISTENER)
    truth, made = found.rows
    assert "theval.loudness_gap" in made
    assert "theval.loudness_gap" not in truth  # that film has no sound
    assert {"opening_r", "amplitude"}.isdisjoint(made)


def test_without_speech_recognition_only_lips_are_compared(real: Path) -> None:
    (_, made) = score_pairs([Pair("a", real, real)], Scorer(NOTHING))[0].rows
    assert {"opening_r", "theval.shape_variance"} <= made.keys()
    assert {"closure", "theval.silent_deviation"}.isdisjoint(made)


def test_blurred_and_resized_films_score_lower(real: Path, tmp_path: Path) -> None:
    same = remade(real, tmp_path / "same.mp4")
    small = remade(real, tmp_path / "small.mp4", (192, 192))
    soft = remade(real, tmp_path / "soft.mp4", blur=3)
    figures = [
        score_pairs([Pair("a", real, path)], Scorer(NOTHING))[0].totals["generated"] for path in (same, small, soft)
    ]
    assert figures[0]["psnr"] > figures[1]["psnr"] > figures[2]["psnr"] > 20
    assert figures[0]["sharpness"] > figures[2]["sharpness"]
    assert figures[1]["lip_lmd"] < 1


def test_pieces_joined_equal_the_whole(real: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    film_of = Film(real)
    stretches = find_face(film_of)
    whole = np.concatenate([piece.crops for piece in pieces(film_of, stretches)])
    monkeypatch.setattr(film, "AT_ONCE", 7)
    parts = list(pieces(film_of, stretches))
    assert [len(part.crops) for part in parts] == [7, 7, 6]
    np.testing.assert_array_equal(np.concatenate([part.crops for part in parts]), whole)


def test_the_largest_face_is_measured_even_if_it_appears_last(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    with VideoWriter(path, 440, 240, 25) as made:
        for image in large_face_enters():
            made.write(image)
    (stretch,) = find_face(Film(path))
    assert stretch.first > 0
    in_film = apply(invert(stretch.transforms), stretch.points)
    assert np.ptp(in_film[..., 0], axis=1).min() > 60


def test_frames_of_a_dissolve_are_not_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lipsmith.face.tracker.DissolveDetector", scripted_dissolve)
    film = Film(make_film(tmp_path / "film.mp4", 2.4, motion=STILL))
    assert [(stretch.first, len(stretch)) for stretch in find_face(film)] == [(0, 18), (29, 31)]


@pytest.fixture(scope="module")
def wide(real: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The film with margins on both sides, and without its sound."""
    path = tmp_path_factory.mktemp("wide") / "wide.mp4"
    with VideoWriter(path, 384, 256, 25) as made:
        for frame in read_frames(real):
            made.write(cv2.copyMakeBorder(frame.image, 0, 0, 64, 64, cv2.BORDER_REPLICATE), frame.time)  # type: ignore[arg-type]
    return path


def test_a_film_without_sound_is_measured_without_sync(
    real: Path, wide: Path, caplog: pytest.LogCaptureFixture
) -> None:
    networks = replace(NOTHING, judge=OwnJudge(SyncNet(SMALL)))
    found, failed = score_pairs([Pair("mute", wide, wide), Pair("heard", wide, real)], Scorer(networks))
    assert failed == []
    mute, heard = [row for row in found.rows if row["system"] == "generated"]
    assert mute["psnr"] == pytest.approx(BEST_PSNR)
    assert heard.keys() - mute.keys() == {"lse_d", "lse_c", "curve", "offset"}
    assert found.totals["generated"]["lse_d"] == heard["lse_d"]
    assert "wide.mp4 has no sound" in caplog.text


def test_folders_are_matched_by_name(tmp_path: Path) -> None:
    for name in ("real/x/a.mp4", "real/b.mp4", "made/x/a.avi", "made/c.mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    pairs = find_pairs(tmp_path / "real", tmp_path / "made")
    assert [(pair.name, pair.generated.suffix) for pair in pairs] == [("x/a", ".avi")]
    with pytest.raises(InputError, match="two films or two folders"):
        find_pairs(tmp_path / "real", tmp_path / "made" / "c.mp4")
    with pytest.raises(InputError, match="no films with the same name"):
        find_pairs(tmp_path / "real" / "x", tmp_path / "made")


def test_a_failed_pair_does_not_affect_the_others(
    real: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIPSMITH_HOME", str(tmp_path))
    for folder in ("real", "made"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "good.mp4").write_bytes(real.read_bytes())
        (tmp_path / folder / "bad.mp4").write_bytes(b"no film")
    results = tmp_path / "r.json"
    assert main(["score", str(tmp_path / "real"), str(tmp_path / "made"), "--json", str(results)]) == 1
    assert "bad" in capsys.readouterr().err
    found = read_figures(results)
    assert found.figures["failed"] == 1
    assert found.settings["about"]["generated"].startswith("Films in made.")
    assert found.figures["frames"] == 20
    assert found.figures["psnr"] == pytest.approx(BEST_PSNR)


def test_progress_counts_pairs_that_fail_and_the_first_reason_is_told(tmp_path: Path) -> None:
    counted: list[tuple[int, int]] = []
    for name in ("a", "b"):
        (tmp_path / f"{name}.mp4").write_bytes(b"no film")
    pairs = [Pair(name, tmp_path / f"{name}.mp4", tmp_path / f"{name}.mp4") for name in "ab"]
    with pytest.raises(InputError, match=r"a\.mp4"):
        score_pairs(pairs, Scorer(NOTHING), progress=lambda done, total: counted.append((done, total)))
    assert counted == [(1, 2), (2, 2)]


def test_two_films_are_a_pair_with_the_name_of_the_real_one(tmp_path: Path) -> None:
    for name in ("real.mp4", "made.mp4"):
        (tmp_path / name).touch()
    assert find_pairs(tmp_path / "real.mp4", tmp_path / "made.mp4") == [
        Pair("real", tmp_path / "real.mp4", tmp_path / "made.mp4")
    ]


def test_of_each_pair_the_first_piece_is_watched(real: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(film, "AT_ONCE", 7)
    watched: list[str] = []

    def watch(name: str, shown: Crops, systems: Mapping[str, Crops], is_truth: bool) -> None:
        assert is_truth
        assert shown.shape == systems[SYSTEM].shape == (7, 64, 64, 3)
        watched.append(name)

    score_pairs([Pair("a", real, real), Pair("b", real, real)], Scorer(NOTHING), size=64, watch=watch)
    assert watched == ["a", "b"]


def test_a_film_whose_lips_hardly_move_has_a_small_amplitude(
    real: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A quarter of that of the real film."""
    own = Scorer.find_lips

    def find_lips(scorer: Scorer, shown: RealStretch, systems: dict[str, Crops]) -> dict[str, Lips]:
        found = own(scorer, shown, systems)
        swing = np.sin(np.arange(len(shown.crops)))[:, None]
        for name, share in (("real", 1.0), ("generated", 0.25)):
            found[name] = np.repeat(found[name][:1], len(shown.crops), axis=0)
            middle = found[name][..., 1].mean()
            found[name][..., 1] = middle + (found[name][..., 1] - middle) * (3 + 2 * share * swing)
        return found

    monkeypatch.setattr(Scorer, "find_lips", find_lips)
    found, _ = score_pairs([Pair("a", real, real)], Scorer(NOTHING))
    assert found.totals["generated"]["amplitude"] == pytest.approx(0.25, abs=0.05)


def shortened(real: Path, path: Path, frames: int, sound: NDArray[np.float32] | None = None) -> Path:
    """The first frames of the film, with another sound."""
    with VideoWriter(path, 256, 256, 25, sound=None if sound is None else sound_of(sound, 16000)) as made:
        for frame in list(read_frames(real))[:frames]:
            made.write(frame.image, frame.time)
    return path


def test_of_a_film_that_ends_early_the_common_part_is_measured(real: Path, tmp_path: Path) -> None:
    found, failed = score_pairs([Pair("a", real, shortened(real, tmp_path / "short.mp4", 12))], Scorer(NOTHING))
    assert failed == []
    assert [row["frames"] for row in found.rows] == [12, 12]


@pytest.mark.parametrize("is_truth", [True, False])
def test_a_film_that_says_something_else_causes_a_warning_unless_it_is_meant(
    real: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, is_truth: bool
) -> None:
    made = shortened(real, tmp_path / "made.mp4", 20, np.ascontiguousarray(speech()[40_000:52_800]))
    score_pairs([Pair("a", real, made)], Scorer(NOTHING), is_truth=is_truth)
    assert ("does not say the same" in caplog.text) == is_truth


@pytest.mark.parametrize(("is_truth", "told"), [(True, "LSE uses that of"), (False, "has no sound: LSE is omitted")])
def test_silence_is_no_speech(
    real: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, is_truth: bool, told: str
) -> None:
    """The real film is heard instead, unless the other one is meant to say something else."""
    made = shortened(real, tmp_path / "made.mp4", 20, np.zeros(12_800, np.float32))
    networks = replace(NOTHING, judge=OwnJudge(SyncNet(SMALL)))
    found, _ = score_pairs([Pair("a", real, made)], Scorer(networks), is_truth=is_truth)
    assert told in caplog.text
    assert ("lse_d" in found.rows[1]) == is_truth


def test_an_empty_sound_stream_is_no_sound(real: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    found, failed = score_pairs([Pair("a", real, with_empty_sound(real, tmp_path / "empty.mkv"))], Scorer(NOTHING))
    assert not failed
    assert len(found.rows) == 2
    assert "empty.mkv has no sound: LSE uses that of" in caplog.text


def test_films_without_a_partner_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for folder, names in (("real", "ab"), ("made", "bc")):
        (tmp_path / folder).mkdir()
        for name in names:
            (tmp_path / folder / f"{name}.mp4").touch()
    assert [pair.name for pair in find_pairs(tmp_path / "real", tmp_path / "made")] == ["b"]
    assert caplog.messages == [f"{name} is skipped: only one of the folders has it" for name in "ac"]


def test_folders_without_pairs_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "bad.mp4").write_bytes(b"no film")
    with pytest.raises(InputError):
        score_pairs([Pair("bad", tmp_path / "bad.mp4", tmp_path / "bad.mp4")], Scorer(NOTHING))


def test_figures_of_pieces_are_weighted_by_their_frames_and_unknown_ones_left_out() -> None:
    rows = [
        {"frames": 100, "psnr": 30.0, "closure": float("nan"), "regions": [1.0, float("nan")]},
        {"frames": 300, "psnr": 40.0, "closure": 0.5, "regions": [2.0, 4.0]},
        {"frames": 100, "psnr": 20.0, "closure": 0.9, "regions": [3.0, 8.0]},
    ]
    joined = _joined(rows)
    assert joined == {
        "frames": 500,
        "psnr": pytest.approx(34.0),
        "closure": pytest.approx(0.6),
        "regions": pytest.approx([2.0, 5.0]),
    }


def test_pieces_of_a_film_share_one_offset() -> None:
    away = np.linspace(1.4, 1.2, 31)
    curves = [away.copy() for _ in range(3)]
    curves[0][3], curves[1][20], curves[2][20] = 0.9, 1.0, 1.0
    rows = [
        {"frames": 100, "curve": curve.tolist(), "lse_d": curve.min(), "lse_c": 0.3, "offset": 0} for curve in curves
    ]
    joined = _joined(rows)
    expected = sync_figures(np.repeat(np.array(curves, np.float32), 100, axis=0))
    assert joined["offset"] == expected.offset == 5
    assert joined["lse_d"] == pytest.approx(expected.lse_d)
    assert joined["lse_c"] == pytest.approx(expected.lse_c)
