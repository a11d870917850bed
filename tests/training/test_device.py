"""The device of a training."""

from __future__ import annotations

import pytest
import torch

from lipsmith.errors import UsageError
from lipsmith.training.device import make_fabric


@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_a_gpu_that_is_not_there_is_told_as_by_a_dub(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UsageError, match=f"Device {device}: torch finds no such GPU here; use cpu"):
        make_fabric(device)
