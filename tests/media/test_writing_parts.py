"""Parts of a film are joined as they were encoded, and equal frames are encoded equally."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from lipsmith.errors import LipsmithError
from lipsmith.media import VideoWriter, read_frames
from lipsmith.media.sound import sound_of
from lipsmith.speech.mel import read_audio
from video_samples import click, loudest, picture

CONTAINERS = [".mp4", ".m4v", ".mov", ".mkv"]


@pytest.mark.parametrize("suffix", CONTAINERS)
def test_parts_are_joined_without_encoding(tmp_path: Path, suffix: str) -> None:
    """Of any rate, the last frame to the end that is given, the sound where it belongs."""
    images = [np.roll(picture(64, 48), 3 * i, axis=1) for i in range(60)]
    times = np.concatenate([np.arange(30) / 25, 1.2 + np.cumsum(np.random.default_rng(0).uniform(0.01, 0.2, 30))])
    out, parts = tmp_path / f"a{suffix}", []
    for begin in range(0, 60, 25):
        parts.append((tmp_path / f"{begin}.nut", float(times[begin])))
        with VideoWriter(parts[-1][0], 64, 48, 25, part_of=out) as writer:
            for image, time in zip(images[begin : begin + 25], times[begin:], strict=False):
                writer.write(image, time - parts[-1][1])
    end = float(times[-1]) + 0.5
    with VideoWriter(out, 64, 48, 25, sound=sound_of(click(0.61, 1.1, 16000), 16000), end=end) as writer:
        for part, begins in parts:
            writer.append(part, begins)
    frames = list(read_frames(out))
    assert [frame.time for frame in frames] == pytest.approx(times, abs=1e-3)
    encoded = [frame.image for part, _ in parts for frame in read_frames(part)]
    assert all(np.array_equal(frame.image, image) for frame, image in zip(frames, encoded, strict=True))
    assert loudest(read_audio(out), 16000) == pytest.approx(0.61, abs=2e-3)
    with av.open(str(out)) as container:
        assert container.duration == pytest.approx(end * 1e6, abs=2e3)


def test_a_part_with_other_settings_is_rejected(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "0.nut", 32, 32, 25, part_of=tmp_path / "a.mp4") as part:
        part.write(picture(32, 32))
    with pytest.raises(LipsmithError, match="differently"), VideoWriter(tmp_path / "a.mp4", 64, 48, 25) as writer:
        writer.append(tmp_path / "0.nut", 0.0)
    assert [path.name for path in tmp_path.iterdir()] == ["0.nut"]


def test_messages_about_a_part_name_its_film(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with (
        pytest.raises(LipsmithError, match=r"a\.mp4 was not written"),
        VideoWriter(tmp_path / "0.nut", 33, 32, 25, part_of=tmp_path / "a.mp4"),
    ):
        pass
    assert not caplog.text


ENCODED_TWICE = """
import hashlib, sys
from pathlib import Path
from lipsmith.media import VideoWriter
from video_samples import pictures
with VideoWriter(Path(sys.argv[1]), 160, 120, 25) as film:
    for image in pictures(40, 160, 120):
        film.write(image)
print(hashlib.sha256(Path(sys.argv[1]).read_bytes()).hexdigest())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc fills memory with what is asked for")
def test_equal_frames_give_equal_films(tmp_path: Path) -> None:
    words = [sys.executable, "-c", ENCODED_TWICE, str(tmp_path / "a.mp4")]
    path = os.pathsep.join([str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])])
    hashes = {
        subprocess.run(
            words,
            env={**os.environ, "PYTHONPATH": path, "MALLOC_PERTURB_": filled},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for filled in ("0", "85", "165")
    }
    assert len(hashes) == 1
