"""What a film holds beside its picture: kept, or its loss said."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from lipsmith.media import VideoWriter, open_sound, probe
from lipsmith.media.container import Chapter, chapters_between, kept_metadata, libav_chapter
from video_samples import film, pictures, with_sounds

RICH = {
    "title": "An interview",
    "artist": "A. Person",
    "copyright": "(c) 2026",
    "location": "+48.1+011.5/",
    "make": "X",
}


def test_title_and_author_are_kept_but_not_location_and_device() -> None:
    assert kept_metadata(RICH | {"make": "X", "comment": "private", "date": ""}) == {
        "title": "An interview",
        "artist": "A. Person",
        "copyright": "(c) 2026",
    }
    apple = {"com.apple.quicktime.creationdate": "2026-11-25", "creation_time": "2026-11-26"}
    assert kept_metadata(apple) == {"date": "2026-11-25"}
    assert kept_metadata({"creation_time": "2026-11-26"}) == {"date": "2026-11-26"}


def test_a_chapter_track_is_not_reported_as_omitted(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "a.mp4", 64, 48, 25, chapters=[Chapter(0, 0.1, "One")]) as writer:
        for image in pictures(3):
            writer.write(image)
    info = probe(tmp_path / "a.mp4")
    assert (info.remarks, len(info.chapters)) == ((), 1)


def test_chapters_of_libav_begin_at_their_millisecond() -> None:
    found = libav_chapter(3, Chapter(3600.0, 3600.2504, "Four"))
    assert found == {
        "id": 3,
        "start": 3_600_000,
        "end": 3_600_250,
        "time_base": Fraction(1, 1000),
        "metadata": {"title": "Four"},
    }


def test_chapters_of_a_part_start_at_its_start() -> None:
    chapters = [Chapter(0, 10, "One"), Chapter(10, 20, "Two"), Chapter(20, 30, "Three")]
    assert chapters_between(chapters, 5, 12) == [Chapter(0, 5, "One"), Chapter(5, 7, "Two")]


def test_a_plain_film_has_no_remarks(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", pictures(3), audio=np.zeros(4000, np.float32))
    assert probe(path).remarks == ()


@pytest.mark.parametrize(("default", "omitted"), [(0, "deu"), (1, "fra")])
@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_omitted_streams_are_listed(tmp_path: Path, suffix: str, default: int, omitted: str) -> None:
    said = " ".join(probe(with_sounds(tmp_path / f"a{suffix}", ("fra", "deu"), default, RICH)).remarks)
    assert f"besides the replaced sound: audio ({omitted})." in said
    assert "its location and device metadata" in said


def test_a_declared_language_cannot_control_a_terminal(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    forged = "\x1b]0;title\x07\nforged"
    path = with_sounds(tmp_path / "a.mkv", (forged, forged))
    with caplog.at_level("INFO", "lipsmith"):
        open_sound(path)
    said = " ".join([*caplog.messages, *probe(path).remarks])
    assert "stream 1 is used" in said
    assert said.isprintable()
