"""What a client is told of an error in the worker."""

from __future__ import annotations

from pathlib import Path

from lipsmith.serve.settings import Settings
from lipsmith.serve.store import Job
from lipsmith.serve.worker import _for_client


def test_a_client_learns_no_paths_and_no_words_of_the_command(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path)
    job = Job(owner="me", kind="dub", video="a", speech="b", options={"background": "c"}, priority=4)
    told = {
        f"{settings.upload('a')}: no face; trim it.": "The film: no face; trim it.",
        f"{settings.upload('b')} has no sound.": "The speech has no sound.",
        f"{settings.upload('c')} has no sound.": "The background has no sound.",
        f"{tmp_path / 'tmp' / 'x'}: the disk is full.": "The file: the disk is full.",
        "int8 needs /opt/model/render.int8.onnx; use --precision float.": (
            "int8 needs a file of the service; use precision float."
        ),
    }
    assert {_for_client(sentence, job, settings) for sentence in told} == set(told.values())
