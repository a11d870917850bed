"""How a service is set up, and what it refuses."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final

from lipsmith.errors import UsageError

_BYTES: Final = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_SECONDS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_SHORTEST_TOKEN: Final = 8


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Where the service listens, what it keeps and for how long, and the bounds of what it takes."""

    data: Path
    """The only folder that is written to."""
    host: str = "127.0.0.1"
    port: int = 7860
    token: str | None = None
    max_upload: int = 2 * 10**9
    """Bytes."""
    max_minutes: float = 30.0
    """Of a film, a speech and a result."""
    keep: float = 86_400.0
    """Seconds from the last use of an upload and from the end of a job to their removal."""
    model: str = "fast"
    device: str = "auto"
    threads: int | None = None
    max_pixels: int = 4096 * 4096
    """Of one picture."""
    jobs_per_client: int = 20
    """Waiting and running, searches for faces included."""
    jobs: int = 400
    """Waiting and running, of all clients."""
    uploads_per_client: int = 50
    spare_disk: int = 10**9
    """Bytes of the data folder's disk that stay free."""
    memory: int = 6 * 2**30
    """Bytes that the worker may hold."""

    def __post_init__(self) -> None:
        if not self.loopback and not self.token:
            raise UsageError(
                f"--host {self.host} can be reached by other machines; give --token, or $LIPSMITH_TOKEN, as well."
            )
        if self.token is not None and len(self.token) < _SHORTEST_TOKEN:
            raise UsageError(f"The token is shorter than {_SHORTEST_TOKEN} characters and can be guessed; use more.")
        for name in ("max_upload", "max_minutes", "keep"):
            if not getattr(self, name) > 0:
                raise UsageError(f"--{name.replace('_', '-')} must be above 0.")

    @property
    def loopback(self) -> bool:
        """Whether only this machine can connect."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def database(self) -> Path:
        """The file of jobs and uploads."""
        return self.data / "jobs.sqlite"

    def upload(self, name: str) -> Path:
        """The file of an upload."""
        return self.data / "uploads" / name

    def job(self, name: str) -> Path:
        """The folder of a job."""
        return self.data / "jobs" / name

    def for_worker(self) -> dict[str, Any]:
        """What `from_plain` reads, without the token: the worker's words can be seen in the list of processes."""
        return asdict(self) | {"data": str(self.data), "host": "127.0.0.1", "token": None}

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Settings:
        """The inverse of `for_worker`."""
        known = {field.name for field in fields(cls)}
        return cls(**{key: value for key, value in plain.items() if key in known} | {"data": Path(plain["data"])})


def read_bytes(text: str) -> int:
    """Bytes in "2GB", "500 MB" or "1000000"; raises `UsageError` for anything else."""
    return round(_amount(text, {key.upper(): value for key, value in _BYTES.items()}, text.upper(), "2GB"))


def read_seconds(text: str) -> float:
    """Seconds in "24h", "30m", "7d" or "90"; raises `UsageError` for anything else."""
    return _amount(text, _SECONDS, text.lower(), "24h")


def _amount(text: str, units: dict[str, int], words: str, example: str) -> float:
    match = re.fullmatch(r"(\d{1,15}(?:\.\d{1,9})?) ?([A-Za-z]{0,2})", words.strip())
    if match is None or match[2] not in units:
        raise UsageError(f"{text} is not an amount such as {example}.")
    return float(match[1]) * units[match[2]]
