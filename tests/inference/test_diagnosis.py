"""What a report of a problem says about an installation."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from lipsmith import __version__, cli
from lipsmith.errors import WeightsError
from lipsmith.inference import diagnosis


def test_versions_list_installed_and_missing_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnosis, "_PACKAGES", ("numpy", "no-such-package"))
    found = dict(diagnosis.versions())
    assert found["lipsmith"] == __version__
    assert platform.python_version() in found["system"]
    assert found["numpy"][0].isdigit()
    assert found["no-such-package"] == "absent"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("processor: 0\nflags\t\t: fpu sse2 avx2 avx512f avx512_vnni\n", "avx2 avx512f avx512_vnni"),
        ("processor: 0\nFeatures\t: fp asimd asimddp crc32\n", "asimd asimddp"),
    ],
)
def test_instruction_sets_are_read_as_linux_lists_them(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "cpuinfo").write_text(text)
    assert diagnosis.instructions(tmp_path / "cpuinfo") == said


def test_without_cpuinfo_opencv_lists_instruction_sets(tmp_path: Path) -> None:
    assert diagnosis.instructions(tmp_path / "none")


def test_a_machine_has_cores_and_encoders() -> None:
    found = dict(diagnosis.machine())
    assert int(found["cores"].split()[0]) >= 1
    assert found["encoders"] == "libx264, aac"


def test_the_shipped_model_runs_or_reports_a_reason(capsys: pytest.CaptureFixture[str]) -> None:
    assert diagnosis.backend_of()[1].startswith("ONNX Runtime")
    assert cli.main(["doctor"]) == 0
    shown = capsys.readouterr().out
    assert all(word in shown for word in ("onnxruntime", "cores", "backend", "fast", "vgg19"))


def test_a_model_that_cannot_run_is_exit_code_4(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> None:
        raise WeightsError("no model here.")

    monkeypatch.setattr(diagnosis, "find_model", missing)
    assert cli.main(["doctor"]) == 4
    told = capsys.readouterr()
    assert "none: no model here." in told.out
    assert "cannot run here" in told.err
