"""Checkpoints, random states and weights on disk."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from lipsmith.errors import LipsmithError, WeightsError
from lipsmith.training.checkpoint import (
    checkpoint_errors,
    load_checkpoint,
    rng_state,
    save_checkpoint,
    save_weights,
    set_rng_state,
)


def test_a_checkpoint_is_loaded_as_it_was_saved(tmp_path: Path) -> None:
    path = tmp_path / "run" / "checkpoint.pt"
    assert load_checkpoint(path) is None
    save_checkpoint(path, {"step": 3, "weights": {"a": torch.arange(3.0)}})
    saved = load_checkpoint(path)
    assert saved is not None
    assert saved["step"] == 3
    assert saved["weights"]["a"].tolist() == [0, 1, 2]
    assert [item.name for item in path.parent.iterdir()] == ["checkpoint.pt"]


@pytest.mark.parametrize("size", [0, 100, 700])
def test_a_damaged_checkpoint_is_refused(tmp_path: Path, size: int) -> None:
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, {"step": 3, "weights": {"a": torch.arange(3.0)}})
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(WeightsError, match="is damaged, or of another version; remove it"):
        load_checkpoint(path)


def test_an_interrupted_save_keeps_the_previous_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, {"step": 1})

    def half(target: Path, content: bytes) -> None:
        with target.open("wb") as file:
            file.write(bytes(content)[:9])
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(path, {"step": 2})
    assert load_checkpoint(path) == {"step": 1}


def test_a_checkpoint_does_not_count_as_damaged_where_a_gpu_is_too_small(tmp_path: Path) -> None:
    with pytest.raises(torch.cuda.OutOfMemoryError), checkpoint_errors(tmp_path / "checkpoint.pt"):
        raise torch.cuda.OutOfMemoryError


def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(target: Path, content: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(LipsmithError, match=r"checkpoint\.pt was not written: the disk is full"):
        save_checkpoint(tmp_path / "checkpoint.pt", {"step": 2})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_weights_have_the_permissions_of_the_umask(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        save_weights(tmp_path / "renderer", {"a": torch.arange(3.0)}, {})
    finally:
        os.umask(before)
    path = tmp_path / "renderer.safetensors"
    assert path.stat().st_mode & 0o777 == 0o666 & ~mask
    assert load_file(path)["a"].tolist() == [0, 1, 2]


def test_random_numbers_continue_after_loading() -> None:
    generator = torch.Generator().manual_seed(3)
    saved = rng_state(generator)
    drawn = torch.rand(2, generator=generator), torch.rand(2)
    set_rng_state(generator, saved)
    again = torch.rand(2, generator=generator), torch.rand(2)
    assert all(torch.equal(a, b) for a, b in zip(drawn, again, strict=True))
