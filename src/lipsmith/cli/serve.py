"""Serve a web page and an HTTP API for dubbing.

The command prints the address of the page; the API is under /v1, its reference at /docs. Only this machine can connect
unless you set --host or --proxy, and --token. $LIPSMITH_TOKEN replaces --token and keeps it out of the list of
processes.
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
    """Address, limits and retention."""

    host: str = "127.0.0.1"
    """Address to listen on; any address other than localhost needs --token."""

    port: int = 7860
    """Port to listen on; 0 selects a free one."""

    token: Annotated[str | None, console.by_default("$LIPSMITH_TOKEN")] = None
    """Access token for clients and users of the page."""

    proxy: Annotated[str | None, tyro.conf.arg(metavar="ADDRESS")] = None
    """Address or network of a TLS proxy; its X-Forwarded-For and X-Forwarded-Proto are believed; needs --token."""

    data: Annotated[Path | None, console.by_default("$LIPSMITH_HOME/serve")] = None
    """Folder for uploads, jobs and results."""

    max_upload: Annotated[str, tyro.conf.arg(metavar="SIZE")] = "2GB"
    """Largest upload, such as 500MB; a number alone counts bytes."""

    max_minutes: Annotated[float, tyro.conf.arg(metavar="MINUTES")] = 30.0
    """Longest film and speech."""

    keep: Annotated[str, tyro.conf.arg(metavar="TIME")] = "24h"
    """Time until unused uploads and results are removed, such as 24h or 7d; a number alone counts seconds."""

    model: str = "fast"
    """Name or folder of the model."""

    check: bool = False
    """Print who can access what, and exit."""


def run(options: Options) -> None:
    """Serve until interrupted, or print the access summary."""
    console.tune_process()  # the worker and live sessions inherit what it sets in the environment
    from lipsmith.serve.run import access_summary, serve

    settings = _settings(options)
    if options.check:
        console.table("Access", ("what", "how"), access_summary(settings), sys.stdout)
        return
    serve(settings, console.result)


def _settings(options: Options) -> Settings:
    from lipsmith.files import home
    from lipsmith.serve.settings import Settings, read_bytes, read_seconds

    return Settings(
        data=(options.data or home() / "serve").absolute(),
        host=options.host,
        port=options.port,
        token=os.environ.get("LIPSMITH_TOKEN") if options.token is None else options.token,
        proxy=options.proxy,
        max_upload=read_bytes(options.max_upload),
        max_minutes=options.max_minutes,
        keep=read_seconds(options.keep),
        model=options.model,
        device=options.device,
        threads=options.threads,
    )
