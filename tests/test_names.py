"""A file is found by its name in either Unicode normalization."""

from __future__ import annotations

import unicodedata
from pathlib import Path

from lipsmith.names import as_stored


def test_files_and_their_folders_are_found_in_either_normalization(tmp_path: Path) -> None:
    composed, separate = (unicodedata.normalize(form, "Zo\xeb") for form in ("NFC", "NFD"))
    found = tmp_path / composed / f"{separate}.mp4"
    found.parent.mkdir()
    found.touch()
    assert as_stored(tmp_path / separate / f"{composed}.mp4") == found
    for missing in (tmp_path / "other" / "a.mp4", tmp_path / f"{'a' * 300}.mp4"):
        assert as_stored(missing) == missing
