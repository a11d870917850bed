"""Unusable inputs and failures during a dub: the exit code, one sentence, no leftover files."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from double import make_dubber
from dub_samples import BAD_SPEECHES, BAD_VIDEOS, ODD_VIDEOS, SIZE, write_wav
from lipsmith import DubOptions, cli
from lipsmith.errors import InputError, LipsmithError, UsageError
from lipsmith.media import open_sound, probe, read_frames
from lipsmith.media.background import Background
from simulated import little_room
from synthetic import make_film, speech
from video_samples import with_empty_sound


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_film(tmp_path_factory.mktemp("film") / "film.mp4", 0.4, 25, SIZE)


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_wav(tmp_path_factory.mktemp("words") / "words.wav", speech(0.3))


pytestmark = pytest.mark.usefixtures("double")


Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `lipsmith dub ... -q`; return the exit code and stderr."""

    def call(*words: object) -> tuple[int, str]:
        code = cli.main(["dub", *map(str, words), "-q"])
        return code, capsys.readouterr().err

    return call


def assert_one_sentence(said: str) -> None:
    lines = [line for line in said.splitlines() if line.startswith("lipsmith: ")]
    assert len(lines) == 1, said
    assert "Traceback" not in said
    assert len(lines[0]) > 20


@pytest.mark.parametrize("kind", BAD_VIDEOS)
def test_an_unusable_video_is_refused_in_one_sentence(run: Run, tmp_path: Path, words: Path, kind: str) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    code, said = run(BAD_VIDEOS[kind](tmp_path / "in"), words, "-o", tmp_path / "out" / "out.mp4")
    assert code == 3
    assert_one_sentence(said)
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("kind", BAD_SPEECHES)
def test_unusable_speech_is_refused_in_one_sentence(run: Run, tmp_path: Path, film: Path, kind: str) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    code, said = run(film, BAD_SPEECHES[kind](tmp_path / "in"), "-o", tmp_path / "out" / "out.mp4")
    assert code == 3
    assert_one_sentence(said)
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("face", ["largest", "all"])
@pytest.mark.parametrize("kind", ODD_VIDEOS)
def test_an_unusual_video_is_dubbed(run: Run, tmp_path: Path, words: Path, kind: str, face: str) -> None:
    source, out = ODD_VIDEOS[kind](tmp_path), tmp_path / "out.mp4"
    code, said = run(source, words, "-o", out, "--face", face)
    assert (code, "lipsmith: " in said) == (0, False)
    frames = list(read_frames(out))
    step = float(1 / probe(out).rate)
    assert 0.3 <= len(frames) * step + 1e-3 < 0.3 + 2 * step
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_film_of_16_by_16_pixels_is_dubbed_or_refused(run: Run, tmp_path: Path, words: Path) -> None:
    source = make_film(tmp_path / "tiny.mp4", 0.2, 25, (16, 16))
    code, _ = run(source, words, "-o", tmp_path / "out.mp4")
    assert code in (0, 3)
    assert sorted(path.name for path in tmp_path.iterdir()) == (["out.mp4"] if code == 0 else []) + ["tiny.mp4"]


@pytest.mark.parametrize(("rate", "channels"), [(8_000, 1), (96_000, 2), (48_000, 8), (11_025, 1)])
def test_speech_of_any_rate_and_layout_is_accepted(
    run: Run, tmp_path: Path, film: Path, rate: int, channels: int
) -> None:
    source = np.interp(np.arange(round(0.3 * rate)) / rate, np.arange(4800) / 16_000, speech(0.3))
    words = write_wav(tmp_path / "words.wav", source.astype(np.float32), rate, channels)
    code, _ = run(film, words, "-o", tmp_path / "out.mp4")
    assert code == 0
    assert len(list(read_frames(tmp_path / "out.mp4"))) == 8


def test_a_silent_recording_is_dubbed(run: Run, tmp_path: Path, film: Path) -> None:
    words = write_wav(tmp_path / "hush.wav", np.zeros(4800, np.float32))
    assert run(film, words, "-o", tmp_path / "out.mp4")[0] == 0


@pytest.mark.parametrize(
    "options",
    [
        ["--face", "7"],
        ["--face", "prettiest"],
        ["--start", "0.3", "--end", "0.1"],
        ["--start", "-1"],
        ["--device", "abacus"],
        ["--tail", "wag"],
        ["--strength", "3"],
        ["--pairs", "table.csv"],
    ],
)
def test_impossible_requests_give_their_exit_code(
    run: Run, tmp_path: Path, film: Path, words: Path, options: list[str]
) -> None:
    code, _ = run(film, words, "-o", tmp_path / "out.mp4", *options)
    assert code == 2
    assert not list(tmp_path.iterdir())


def test_a_start_after_the_end_is_noticed_before_the_model_is_loaded(
    run: Run, tmp_path: Path, film: Path, words: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lipsmith.dubbing.pipeline.load_backend", None)
    code, said = run(film, words, "-o", tmp_path / "out.mp4", "--start", "9")
    assert (code, said.count("has no frame from 9 s on; choose an earlier start")) == (3, 1)
    assert_one_sentence(said)


def test_unwritable_outputs_are_refused(
    run: Run, tmp_path: Path, film: Path, words: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = tmp_path / "taken.mp4"
    taken.write_bytes(b"mine")
    (tmp_path / "folder.mp4").mkdir()
    places = {
        taken: "exists",
        tmp_path / "folder.mp4": "is a folder",
        tmp_path: f"is a folder; name the film in it, such as {tmp_path / 'dubbed.mp4'}.",
        tmp_path / "none" / "out.mp4": "does not exist",
        tmp_path / "out.doc": "must end in .mp4",
        tmp_path / f"{'o' * 300}.mp4": "choose a shorter name",
    }
    for place, reason in places.items():
        code, said = run(film, words, "-o", place)
        assert (code, reason in said) == (2, True), said
        assert_one_sentence(said)
    monkeypatch.setattr("os.access", lambda *_: False)
    assert run(film, words, "-o", tmp_path / "out.mp4")[0] == 2
    assert taken.read_bytes() == b"mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder.mp4", "taken.mp4"]


def test_a_result_never_replaces_its_source(run: Run, tmp_path: Path, words: Path) -> None:
    source = make_film(tmp_path / "film.mp4", 0.2, 25, SIZE)
    before = source.read_bytes()
    assert run(source, words, "-o", source, "--overwrite")[0] == 2
    assert source.read_bytes() == before


@pytest.mark.parametrize("step", [1, 5, 9, 13, 17, 18])
def test_an_interruption_leaves_no_files(
    run: Run, tmp_path: Path, film: Path, words: Path, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = 0

    @contextmanager
    def interrupting(title: str) -> Iterator[Callable[[int, int], None]]:
        def advance(done: int, total: int) -> None:
            nonlocal steps
            steps += 1
            if steps == step:
                raise KeyboardInterrupt

        yield advance

    monkeypatch.setattr("lipsmith.cli.console.progress", interrupting)
    assert run(film, words, "-o", tmp_path / "out.mp4")[0] == 130
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_an_error_and_leaves_no_files(film: Path, tmp_path: Path) -> None:
    result = make_dubber().prepare(film).dub(speech(2.0))
    with little_room(4_000), pytest.raises(LipsmithError, match="disk is full") as raised:
        result.save(tmp_path / "out.mp4")
    assert raised.value.exit_code == 1
    assert not list(tmp_path.iterdir())


def test_a_full_temporary_folder_is_reported(run: Run, tmp_path: Path, film: Path, words: Path) -> None:
    with little_room(4_000):
        code, said = run(film, words, "-o", tmp_path / "out.mp4")
    assert code == 1
    assert_one_sentence(said)
    assert not list(tmp_path.iterdir())


def test_no_file_is_left_open(film: Path, words: Path, tmp_path: Path) -> None:
    fds = Path("/proc/self/fd")
    if not fds.is_dir():
        pytest.skip("open files are listed on Linux only")
    make_dubber().prepare(film).dub(words).save(tmp_path / "warm.mp4")
    before = len(list(fds.iterdir()))
    for number in range(3):
        make_dubber().prepare(film).dub(words).save(tmp_path / f"{number}.mp4")
    assert len(list(fds.iterdir())) <= before + 1


@pytest.mark.parametrize(
    "samples",
    [np.zeros(0), np.full(100, np.nan), np.zeros((5, 100)), np.zeros((1, 2, 100))],
)
def test_invalid_samples_are_refused(film: Path, samples: NDArray[np.float64]) -> None:
    clip = make_dubber().prepare(film)
    with pytest.raises((InputError, UsageError)):
        clip.dub(samples)
    with pytest.raises(UsageError, match="sample rate"):
        clip.dub(speech(0.1), rate=0)


def test_a_missing_model_has_its_own_exit_code(
    run: Run, tmp_path: Path, film: Path, words: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    code, said = run(film, words, "-o", tmp_path / "out.mp4", "--model", "nobody")
    assert code == 4
    assert_one_sentence(said)


def test_a_failed_dub_does_not_stop_the_others(run: Run, tmp_path: Path, film: Path, words: Path) -> None:
    table = tmp_path / "pairs.csv"
    table.write_text(f"video,speech,output\n{film},{words},a.mp4\n{film},none.wav,b.mp4\n{film},{words},c.mp4\n")
    code, said = run("--pairs", table)
    assert code == 1
    assert "b.mp4" in said
    assert "none.wav" in said
    assert sorted(path.name for path in tmp_path.glob("*.mp4")) == ["a.mp4", "c.mp4"]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", 3),
        (b"video,speech\na,b\n", 3),
        (b"video,speech,output\n", 3),
        (b"video,speech,output\na,,c.mp4\n", 3),
        (b"video,speech,output\na,b,c.mp4\nd,e,c.mp4\n", 2),
        (b"\xff\xfe\x00", 3),
    ],
)
def test_invalid_tables_are_refused_in_one_sentence(run: Run, tmp_path: Path, content: bytes, code: int) -> None:
    (tmp_path / "pairs.csv").write_bytes(content)
    found, said = run("--pairs", tmp_path / "pairs.csv")
    assert found == code
    assert_one_sentence(said)


def test_folders_are_paired_by_name(run: Run, tmp_path: Path, film: Path, words: Path) -> None:
    (tmp_path / "films").mkdir()
    (tmp_path / "words").mkdir()
    for name in ("a", "b"):
        (tmp_path / "films" / f"{name}.mp4").write_bytes(film.read_bytes())
    for name in ("b", "c"):
        (tmp_path / "words" / f"{name}.wav").write_bytes(words.read_bytes())
    one, each, equal = (tmp_path / name for name in ("one", "each", "equal"))
    assert run(tmp_path / "films", words, "-o", one)[0] == 0
    assert run(film, tmp_path / "words", "-o", each)[0] == 0
    assert run(tmp_path / "films", tmp_path / "words", "-o", equal)[0] == 0
    assert [sorted(path.name for path in out.iterdir()) for out in (one, each, equal)] == [
        ["a.mp4", "b.mp4"],
        ["b.mp4", "c.mp4"],
        ["b.mp4"],
    ]


def test_faces_are_listed_without_a_model(capsys: pytest.CaptureFixture[str], film: Path) -> None:
    assert cli.main(["dub", str(film), "--list-faces", "-q"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split()[0] == "face"
    assert lines[2].split()[:2] == ["1", "0"]


def test_faces_of_a_table_cannot_be_listed(run: Run, film: Path) -> None:
    code, said = run(film, "--list-faces", "--pairs", "jobs.csv")
    assert (code, said.count("lists the faces of VIDEO; leave out --pairs")) == (2, 1)


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_a_film_whose_sound_stream_is_empty_is_dubbed_but_says_nothing(
    run: Run, tmp_path: Path, film: Path, words: Path, suffix: str
) -> None:
    empty, out = with_empty_sound(film, tmp_path / f"empty{suffix}"), tmp_path / "out.mp4"
    assert probe(empty).has_audio
    assert run(empty, words, "-o", out)[0] == 0
    assert probe(out).frames == 8
    code, said = run(film, empty, "-o", out, "--overwrite")
    assert (code, said.count("has an empty sound track; give a recording with speech")) == (3, 1)


def test_music_is_mixed_under_the_speech_to_the_end_of_the_film(
    run: Run, tmp_path: Path, film: Path, words: Path
) -> None:
    music = write_wav(tmp_path / "music.wav", np.full(32_000, 0.5, np.float32))
    out = tmp_path / "out.mp4"
    code, _ = run(film, words, "-o", out, "--background", music, "--gain", "-6", "--tail", "keep")
    assert code == 0
    heard = np.concatenate(list(open_sound(out).blocks), axis=1)[0]
    assert len(heard) == pytest.approx(0.4 * 16_000, abs=1)
    assert heard[-1200:-400].mean() == pytest.approx(0.5 * 10 ** (-6 / 20), abs=0.03)


@pytest.mark.parametrize(("music", "code"), [("none.wav", 3), ("notes.txt", 3), ("empty.wav", 3), ("out.mp4", 2)])
def test_unusable_music_is_refused(run: Run, tmp_path: Path, film: Path, words: Path, music: str, code: int) -> None:
    (tmp_path / "notes.txt").write_text("no music")
    write_wav(tmp_path / "empty.wav", np.zeros(0, np.float32))
    if music == "out.mp4":
        (tmp_path / music).write_bytes(film.read_bytes())
    got, said = run(film, words, "-o", tmp_path / "out.mp4", "--overwrite", "--background", tmp_path / music)
    assert got == code
    assert_one_sentence(said)


def test_a_gain_out_of_range_is_refused(tmp_path: Path, film: Path, words: Path) -> None:
    result = make_dubber().prepare(film).dub(words)
    for gain in (np.nan, np.inf, 41, -101):
        with pytest.raises(UsageError, match="dB"):
            DubOptions(gain=gain)
        with pytest.raises(UsageError, match="dB"):
            result.save(tmp_path / "out.mp4", background=Background(words, gain))


@pytest.mark.parametrize("kind", [str, Path])
def test_the_background_of_a_result_may_be_a_file(
    kind: Callable[[Path], str | Path], tmp_path: Path, film: Path, words: Path
) -> None:
    result = make_dubber().prepare(film).dub(words)
    given = result.save(tmp_path / "given.mp4", background=kind(words))
    wanted = result.save(tmp_path / "wanted.mp4", background=Background(words))
    heard, expected = (np.concatenate(list(open_sound(made).blocks), axis=1) for made in (given, wanted))
    np.testing.assert_array_equal(heard, expected)
    with pytest.raises(UsageError, match="The background is of type int; give a path"):
        result.save(tmp_path / "none.mp4", background=5)  # type: ignore[arg-type]
