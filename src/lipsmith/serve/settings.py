"""Settings of a service, with its limits."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, Literal

from lipsmith.errors import UsageError

Film = Literal["result", "before", "side-by-side"]
"""The films of a job, by their names in files and routes."""
_BYTES: Final = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
_SECONDS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_MIN_TOKEN: Final = 8


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Address, data folder, retention and limits of a service. Raises `UsageError` for unsafe settings."""

    data: Path
    """The only folder that the service writes to."""
    host: str = "127.0.0.1"
    port: int = 7860
    token: str | None = None
    proxy: str | None = None
    """Address or network of a proxy in front, which says who a client is and whether it uses TLS."""
    max_upload: int = 2 * 10**9
    """Bytes."""
    max_minutes: float = 30.0
    """Longest film, speech and result, in minutes."""
    keep: float = 86_400.0
    """Seconds until an unused upload or a finished job expires."""
    model: str = "fast"
    device: str = "auto"
    threads: int | None = None
    max_pixels: int = 4096 * 4096
    """Largest picture or frame, in pixels."""
    jobs_per_client: int = 20
    """Most active jobs of one client, analysis of uploads included."""
    jobs: int = 400
    """Most active jobs of all clients."""
    uploads_per_client: int = 50
    """Most uploads of one client."""
    spare_disk: int = 10**9
    """Bytes that must stay free on the disk of the data folder."""
    memory: int = 6 * 2**30
    """Memory limit of the worker, in bytes."""

    def __post_init__(self) -> None:
        if self.proxy is not None and not _is_network(self.proxy):
            raise UsageError(
                f"--proxy {self.proxy!r} is not the address or network of a proxy; use one like 127.0.0.1."
            )
        if self.token == "":
            raise UsageError("The token is empty; set one, or leave out --token and $LIPSMITH_TOKEN.")
        if self.public and self.token is None:
            option = f"--host {self.host}" if self.proxy is None else f"--proxy {self.proxy}"
            raise UsageError(f"{option} lets other machines connect; set --token or $LIPSMITH_TOKEN as well.")
        if self.token is not None and len(self.token) < _MIN_TOKEN:
            raise UsageError(f"The token has fewer than {_MIN_TOKEN} characters and can be guessed; use a longer one.")
        if self.token is not None and re.fullmatch(r"[!-~]([ -~]*[!-~])?", self.token) is None:
            raise UsageError("The token cannot be sent in a header; use ASCII characters without spaces at the ends.")
        for name in ("max_upload", "max_minutes", "keep"):
            if not getattr(self, name) > 0:
                raise UsageError(f"--{name.replace('_', '-')} must be above 0.")

    @property
    def loopback(self) -> bool:
        """Whether only this machine can connect directly."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def public(self) -> bool:
        """Whether other machines can connect, directly or through the proxy."""
        return not self.loopback or self.proxy is not None

    @property
    def expiry_interval(self) -> float:
        """Seconds between removals of expired files, so that nothing stays more than 10 % longer than `keep`."""
        return min(60.0, self.keep / 10)

    @property
    def database(self) -> Path:
        """Path of the database."""
        return self.data / "jobs.sqlite"

    def upload(self, name: str) -> Path:
        """Path of an upload."""
        return self.data / "uploads" / name

    def job(self, name: str) -> Path:
        """Folder of a job."""
        return self.data / "jobs" / name

    def film(self, job: str, name: Film) -> Path:
        """Path of a film of a job."""
        return self.job(job) / f"{name}.mp4"

    def clips(self, sha256: str) -> Path:
        """Folder of the clips that live sessions saved of an upload with this content."""
        return self.data / "clips" / sha256

    def client_message(self, sentence: str, roles: dict[str, str]) -> str:
        """An error message without local paths and without command-line options. `roles`: what each upload is."""
        for upload, role in roles.items():
            sentence = sentence.replace(str(self.upload(upload)), f"The {role}")
        sentence = re.sub(re.escape(str(self.data)) + r"[^\s:;,]*", "The file", sentence)
        sentence = re.sub(r"(?<!\S)(/|[A-Za-z]:[\\/])[^\s:;,]+", "a file of the service", sentence)
        return re.sub(r"--(?=[a-z])", "", sentence)

    def for_process(self) -> dict[str, Any]:
        """Values for `from_json`, without the token: other users can see the arguments of a process."""
        return asdict(self) | {"data": str(self.data), "host": "127.0.0.1", "proxy": None, "token": None}

    def environment(self) -> dict[str, str]:
        """The environment of a process: its temporary files stay in the data folder, and the token in the server."""
        own = {name: value for name, value in os.environ.items() if name != "LIPSMITH_TOKEN"}
        return own | {"TMPDIR": str(self.data / "tmp")}

    @contextmanager
    def temporary_folder(self) -> Iterator[Path]:
        """A folder for the temporary files of one process, which is removed at the end, whatever becomes of it."""
        with TemporaryDirectory(dir=self.data / "tmp", ignore_cleanup_errors=True) as folder:
            yield Path(folder)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Settings:
        """Settings from the values of `for_process`."""
        return cls(**values | {"data": Path(values["data"])})


def _is_network(text: str) -> bool:
    """Whether `text` is an IP address or a network of some, but not all addresses."""
    try:
        return ipaddress.ip_network(text).prefixlen > 0
    except ValueError:
        return False


def read_bytes(text: str) -> int:
    """Parse a size such as "2GB", "500 MB" or "1000000" into bytes; raises `UsageError` for other text."""
    return round(_amount(text, _BYTES, "2GB"))


def read_seconds(text: str) -> float:
    """Parse a time such as "24h", "30m", "7d" or "90" into seconds; raises `UsageError` for other text."""
    return _amount(text, _SECONDS, "24h")


def _amount(text: str, units: dict[str, int], example: str) -> float:
    match = re.fullmatch(r"(\d{1,15}(?:\.\d{1,9})?) ?([a-z]{0,2})", text.strip().lower())
    if match is None or match[2] not in units:
        raise UsageError(f"{text} is not a valid amount; write it like {example}.")
    return float(match[1]) * units[match[2]]
