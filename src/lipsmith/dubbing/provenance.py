"""Signs results with C2PA metadata, which states that they are synthetic and detects later changes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from lipsmith import __version__
from lipsmith.config import path_of
from lipsmith.errors import InputError, UsageError, missing_extra
from lipsmith.files import write_whole
from lipsmith.media.completeness import require_whole_boxes
from lipsmith.media.container import SOURCE_TYPE, check_readable

if TYPE_CHECKING:
    import c2pa

ALGORITHMS = ("es256", "es384", "es512", "ps256", "ps384", "ps512", "ed25519")


def sign(
    video: Path | str,
    signed: Path | str,
    certificate: Path | str,
    key: Path | str,
    algorithm: str = "es256",
    overwrite: bool = False,
) -> None:
    """Write `video` to `signed` with a C2PA manifest that declares it a composite with trained algorithmic media.

    `certificate` is a PEM chain, the signer's own certificate first, that fits C2PA's profile; `key` its PEM private
    key (PKCS #8, without a password). Needs `pip install ".[provenance]"`. Raises InputError if either is unusable, or
    if the video is cut off or its format does not support manifests, UsageError if `signed` exists, unless `overwrite`
    is true, or has another suffix than `video`.
    """
    video, signed = path_of(video, "The video"), path_of(signed, "The signed copy")
    certificate, key = path_of(certificate, "The certificate"), path_of(key, "The key")
    if algorithm not in ALGORITHMS:
        raise UsageError(f"Unknown signature algorithm {algorithm}; choose one of {', '.join(ALGORITHMS)}.")
    if signed.suffix.lower() != video.suffix.lower():
        raise UsageError(f"{signed}: the signed copy has the format of {video}; its name must end in {video.suffix}.")
    check_readable(video)
    require_whole_boxes(video)  # c2pa signs what is left of a film that was cut off
    try:
        import c2pa
    except ModuleNotFoundError as missing:
        raise missing_extra("A signature", "provenance", missing) from missing

    with _signer(certificate, key, algorithm) as signer, c2pa.Builder(_manifest(signed.name)) as builder:
        try:
            with write_whole(signed, overwrite) as beside:
                builder.sign_file(str(video), str(beside), signer)
        except c2pa.C2paError.NotSupported as error:
            raise InputError(f"{video} could not be signed: C2PA does not support {video.suffix}; use .mp4.") from error
        except (c2pa.C2paError, OSError) as error:
            raise InputError(f"{video} could not be signed: {error}") from error


def _signer(certificate: Path, key: Path, algorithm: str) -> c2pa.Signer:
    import c2pa

    try:
        info = c2pa.C2paSignerInfo(algorithm, certificate.read_bytes(), key.read_bytes(), ta_url=None)
        return c2pa.Signer.from_info(info)
    except (c2pa.C2paError, OSError, ValueError) as error:
        remedy = "give a PEM chain, and its key as PKCS #8 without a password"
        raise InputError(f"{certificate} and {key} cannot sign with {algorithm} ({error}); {remedy}.") from error


def _manifest(title: str) -> str:
    created = {"action": "c2pa.created", "digitalSourceType": SOURCE_TYPE}
    return json.dumps(
        {
            "claim_generator_info": [{"name": "lipsmith", "version": __version__}],
            "title": title.encode(errors="replace").decode(),  # a name may have bytes that are not UTF-8
            "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [created]}}],
        }
    )
