"""Embeddings over whole clips."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lipsmith.models.sync.syncnet import SyncNet, SyncNetConfig, windows
from lipsmith.training.sync import embeddings
from lipsmith.training.sync.sampler import SyncFootage
from sync_clips import write_clips

SMALL = SyncNetConfig(height=16, width=32, mouth_widths=(4, 8), mel_widths=(4, 8), blocks=1, embedding=8, dropout=0.0)


def test_clips_are_embedded_in_pieces_that_never_cross_clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_clips(tmp_path, {"train": [0, 0, 4]})
    footage = SyncFootage(tmp_path, "train", torch.device("cpu"), 16)
    net = SyncNet(replace(SMALL, height=footage.mouths.shape[1], width=footage.mouths.shape[2])).eval()
    pictures = (footage.mouths / 255).movedim(-1, 1).split(footage.frames.length.tolist())
    looked: list[int] = []
    net.mouth.register_forward_pre_hook(lambda _, given: looked.append(len(given[0])))
    with torch.no_grad():
        expected = torch.cat([net.mouth(windows(clip)) for clip in pictures])
        looked.clear()
        monkeypatch.setattr(embeddings, "_MOUTH_BATCH", 7)
        found = embeddings._mouth_embeddings(net, footage, None)
    torch.testing.assert_close(found, expected)
    assert max(looked) == 7


@torch.no_grad()
def test_a_limit_takes_the_first_clips(tmp_path: Path) -> None:
    write_clips(tmp_path, {"train": [0, 0, 4]})
    footage = SyncFootage(tmp_path, "train", torch.device("cpu"), 16)
    net = SyncNet(SMALL).eval()
    few, every = embeddings.clip_distances(net, footage, 2), embeddings.clip_distances(net, footage)
    assert (len(few), len(every)) == (2, 3)
    assert few[1].shape == (46, 31)
    torch.testing.assert_close(torch.from_numpy(few[1]), torch.from_numpy(every[1]), equal_nan=True)
