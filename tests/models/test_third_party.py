"""Third-party weights are found where they belong, and other files are never used."""

from __future__ import annotations

from pathlib import Path

import pytest

from lipsmith.errors import WeightsError
from lipsmith.models.third_party import THIRD_PARTY, third_party


@pytest.fixture
def user_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LIPSMITH_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_missing_third_party_weights_name_their_source(user_home: Path) -> None:
    with pytest.raises(WeightsError, match=r"syncnet_v2\.model.*robots\.ox\.ac\.uk"):
        third_party("syncnet_v2")


def test_third_party_weights_with_another_hash_prefix_are_refused(user_home: Path) -> None:
    folder = user_home / "weights"
    folder.mkdir(parents=True)
    (folder / THIRD_PARTY["vgg19"].file).write_bytes(b"not it")
    with pytest.raises(WeightsError, match="not with dcbb9e9d"):
        third_party("vgg19")


def test_available_third_party_weights_match_the_registry(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIPSMITH_HOME", str(shared))
    for name in ("lpips_vgg16", "lpips_alexnet", "sface"):
        assert third_party(name).parent == shared / "weights"
