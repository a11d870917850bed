"""Serve a web page and an HTTP API for dubbing.

The page is at the address that is printed, the API under /v1, its description at /docs. Only this machine can connect
unless --host and --token say otherwise; $LIPSMITH_TOKEN stands for --token, out of sight of the list of processes.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from lipsmith.cli import console

if TYPE_CHECKING:
    from lipsmith.serve.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Options(console.DeviceOptions):
    """Where to listen, and the bounds of what is taken and kept."""

    host: str = "127.0.0.1"
    """Address to listen on; any address other than this machine's needs --token."""

    port: int = 7860
    """Port to listen on; 0 chooses a free one."""

    token: str | None = None
    """Token that clients and users of the page must present."""

    data: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Folder of uploads, jobs and results (default: $LIPSMITH_HOME/serve)."""

    max_upload: Annotated[str, tyro.conf.arg(metavar="SIZE")] = "2GB"
    """Largest upload."""

    max_minutes: Annotated[float, tyro.conf.arg(metavar="MINUTES")] = 30.0
    """Longest film and speech."""

    keep: Annotated[str, tyro.conf.arg(metavar="TIME")] = "24h"
    """Time for which uploads and results are kept after their last use."""

    model: str = "fast"
    """Name or folder of the model."""

    check: bool = False
    """Print who could access what, and exit."""


def run(options: Options) -> None:
    """Serve until interrupted, or print what would be open."""
    from lipsmith.serve.run import serve, what_is_open

    settings = _settings(options)
    if options.check:
        console.table("Open", ("what", "how"), what_is_open(settings), sys.stdout)
        return
    serve(settings, console.result)


def _settings(options: Options) -> Settings:
    from lipsmith.files import home
    from lipsmith.serve.settings import Settings, read_bytes, read_seconds

    return Settings(
        data=(options.data or home() / "serve").absolute(),
        host=options.host,
        port=options.port,
        token=options.token or os.environ.get("LIPSMITH_TOKEN"),
        max_upload=read_bytes(options.max_upload),
        max_minutes=options.max_minutes,
        keep=read_seconds(options.keep),
        model=options.model,
        device=options.device,
        threads=options.threads,
    )
