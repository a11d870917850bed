"""Error messages of the worker, as clients receive them."""

from __future__ import annotations

from pathlib import Path

from lipsmith.serve.settings import Settings
from lipsmith.serve.store import Job
from lipsmith.serve.worker import _client_message


def test_messages_contain_no_paths_and_no_options(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path)
    job = Job(owner="me", kind="dub", video="a", speech="b", options={"background": "c"}, priority=4)
    expected = {
        f"{settings.upload('a')}: no face; trim it.": "The film: no face; trim it.",
        f"{settings.upload('b')} has no sound.": "The speech has no sound.",
        f"{settings.upload('c')} has no sound.": "The background has no sound.",
        f"{tmp_path / 'tmp' / 'x'}: the disk is full.": "The file: the disk is full.",
        "int8 needs /opt/model/paint.int8.onnx; use --precision float.": (
            "int8 needs a file of the service; use precision float."
        ),
    }
    assert {_client_message(sentence, job, settings) for sentence in expected} == set(expected.values())
