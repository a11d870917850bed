"""The container and the unit of systemd start the service with options that it takes."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from lipsmith.cli import main

ROOT = Path(__file__).resolve().parents[2]


def instructions(name: str) -> list[str]:
    """What follows each `name` in the Dockerfile."""
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    return [line.split(maxsplit=1)[1] for line in lines if line.startswith(f"{name} ")]


def unit() -> str:
    """The unit of systemd in the docs."""
    (found,) = re.findall(r"```ini\n(.*?)```", (ROOT / "docs" / "serve.md").read_text(encoding="utf-8"), re.DOTALL)
    return str(found)


def exit_codes(words: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Those of `lipsmith WORDS --check`, without and with a token."""
    pytest.importorskip("fastapi", reason="the service needs the serve extra")
    monkeypatch.setenv("LIPSMITH_HOME", str(folder))
    monkeypatch.delenv("LIPSMITH_TOKEN", raising=False)
    without = main([*words, "--check"])
    monkeypatch.setenv("LIPSMITH_TOKEN", "a long secret")
    return [without, main([*words, "--check"])]


def test_the_container_gets_all_files_that_the_package_is_built_from() -> None:
    copied = {word for line in instructions("COPY") for word in line.split()[:-1]}
    assert [name for name in copied if not (ROOT / name).exists()] == []
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert copied >= {"pyproject.toml", "src", project["readme"], *project["license-files"]}


def test_the_container_serves_with_a_token_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (entry,), (words,) = instructions("ENTRYPOINT"), instructions("CMD")
    assert json.loads(entry) == ["lipsmith"]
    assert exit_codes(json.loads(words), tmp_path, monkeypatch) == [2, 0]


def test_the_unit_serves_with_a_token_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (words,) = re.findall(r"ExecStart=\S+/lipsmith (.*)", unit())
    assert exit_codes(words.split(), tmp_path, monkeypatch) == [2, 0]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="this machine has no systemd")
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    path = tmp_path / "lipsmith.service"
    path.write_text(unit().replace("/opt/lipsmith/bin/lipsmith", sys.executable))
    verified = subprocess.run(["systemd-analyze", "verify", path], capture_output=True, text=True, check=False)
    assert (verified.returncode, verified.stderr) == (0, "")
