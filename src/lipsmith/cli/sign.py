"""Sign a result with a C2PA manifest, which states verifiably that it is synthetic and who signed it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from lipsmith.cli import console
from lipsmith.files import refuse_outputs, require


@dataclass(frozen=True, kw_only=True)
class Options(console.OutputOptions):
    """The video, and the certificate to sign it with."""

    video: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="VIDEO")]
    """The video to sign."""

    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """The signed copy."""

    certificate: Path
    """PEM chain, your own certificate first."""

    key: Path
    """PEM private key of the certificate (PKCS #8, without a password)."""

    algorithm: str = "es256"
    """Signature algorithm of the key: es256, es384, es512, ps256, ps384, ps512 or ed25519."""


def run(options: Options) -> None:
    """Write the signed copy and print its path."""
    from lipsmith.dubbing.provenance import sign

    inputs = (options.video, options.certificate, options.key)
    require(*inputs)
    refuse_outputs([options.output], options.overwrite, inputs=inputs)
    sign(options.video, options.output, options.certificate, options.key, options.algorithm, options.overwrite)
    console.result(options.output)
