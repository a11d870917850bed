"""Parsing of sizes and times, unsafe settings, and messages without paths."""

from __future__ import annotations

from pathlib import Path

import pytest

from lipsmith.cli import main
from lipsmith.errors import UsageError
from lipsmith.files import LOCKS
from lipsmith.serve.settings import Settings, read_bytes, read_seconds


@pytest.mark.parametrize(
    ("text", "amount"), [("2GB", 2 * 10**9), ("1.5 mb", 1_500_000), ("100", 100), ("7B", 7), ("1kB", 1000)]
)
def test_sizes_are_parsed(text: str, amount: int) -> None:
    assert read_bytes(text) == amount


@pytest.mark.parametrize(
    ("text", "amount"), [("24h", 86_400), ("30m", 1800), ("7d", 604_800), ("90", 90), ("0.5s", 0.5)]
)
def test_times_are_parsed(text: str, amount: float) -> None:
    assert read_seconds(text) == amount


@pytest.mark.parametrize("text", ["", "GB", "-1GB", "2 giga", "1e9", "nan", "1" * 30])
def test_invalid_amounts_are_rejected(text: str) -> None:
    with pytest.raises(UsageError, match="valid amount"):
        read_bytes(text)


def test_messages_contain_no_paths_and_no_options(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path)
    roles = {"a": "film", "b": "speech", "c": "background"}
    expected = {
        f"{settings.upload('a')}: no face; trim it.": "The film: no face; trim it.",
        f"{settings.upload('b')} has no sound.": "The speech has no sound.",
        f"{settings.upload('c')} has no sound.": "The background has no sound.",
        f"{tmp_path / 'tmp' / 'x'}: the disk is full.": "The file: the disk is full.",
        "int8 needs /opt/model/paint.int8.onnx; use --precision float.": (
            "int8 needs a file of the service; use precision float."
        ),
        r"int8 needs C:\Users\anna\paint.int8.onnx; use --precision float.": (
            "int8 needs a file of the service; use precision float."
        ),
    }
    assert {sentence: settings.client_message(sentence, roles) for sentence in expected} == expected


def test_a_public_host_needs_a_token(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--token"):
        Settings(data=tmp_path, host="0.0.0.0")
    with pytest.raises(UsageError, match="guessed"):
        Settings(data=tmp_path, host="0.0.0.0", token="short")
    assert not Settings(data=tmp_path, host="0.0.0.0", token="long enough").loopback
    for host in ("127.0.0.1", "127.8.8.8", "::1", "localhost"):
        assert Settings(data=tmp_path, host=host).loopback


@pytest.mark.parametrize("token", ["Schlüsselwort", "secret-word ", "secret\nword"])
def test_a_token_that_no_header_can_hold_is_refused(tmp_path: Path, token: str) -> None:
    with pytest.raises(UsageError, match="header"):
        Settings(data=tmp_path, token=token)
    Settings(data=tmp_path, token="correct horse battery staple")


def test_a_proxy_needs_a_token(tmp_path: Path) -> None:
    from lipsmith.serve.run import access_summary

    with pytest.raises(UsageError, match="lets other machines connect"):
        Settings(data=tmp_path, proxy="127.0.0.1")
    settings = Settings(data=tmp_path, proxy="127.0.0.1", token="long enough")
    assert settings.public
    summary = dict(access_summary(settings))
    assert "through the proxy" in summary["reached from"]
    assert "Host" not in summary["pages of other sites"]
    assert not Settings.from_json(settings.for_process()).public


@pytest.mark.parametrize("proxy", ["", "localhost", "127.0.0.1:80", "10.0.0.0/33", "10.0.0.1/8", "*", "0.0.0.0/0"])
def test_a_proxy_is_an_address_or_a_network(tmp_path: Path, proxy: str) -> None:
    with pytest.raises(UsageError, match="is not the address"):
        Settings(data=tmp_path, proxy=proxy, token="long enough")
    for valid in ("::1", "10.0.0.0/24"):
        assert Settings(data=tmp_path, proxy=valid, token="long enough").public


def test_the_token_is_not_passed_to_the_worker(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path, host="0.0.0.0", token="long enough", max_minutes=5)
    values = settings.for_process()
    assert "long enough" not in str(values)
    assert Settings.from_json(values).max_minutes == 5


def test_check_prints_the_access_summary(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["serve", "--check", "--data", str(tmp_path / "data"), "--keep", "2h"]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert "this machine only" in printed
    assert "2 hours" in printed
    assert not (tmp_path / "data").exists()
    assert main([*arguments, "--host", "0.0.0.0"]) == 2
    assert "--token" in capsys.readouterr().err
    assert main([*arguments, "--host", "0.0.0.0", "--token", "long enough"]) == 0
    assert "long enough" not in capsys.readouterr().out


def test_an_empty_token_is_said_to_be_empty(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["serve", "--check", "--data", str(tmp_path / "data")]
    assert main([*arguments, "--token", ""]) == 2  # as of an unset variable: without a token, anyone may use it
    monkeypatch.setenv("LIPSMITH_TOKEN", "")
    assert main(arguments) == 2
    assert capsys.readouterr().err.count("The token is empty; set one, or leave out --token and $LIPSMITH_TOKEN") == 2


@pytest.mark.skipif(not LOCKS, reason="this system locks no files")
def test_two_services_cannot_share_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from lipsmith.serve.housekeeping import data_folder

    with data_folder(Settings(data=tmp_path)):
        assert main(["serve", "--port", "0", "--data", str(tmp_path)]) == 2
    assert "another service" in capsys.readouterr().err
