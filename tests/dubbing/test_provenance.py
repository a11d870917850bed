"""A result is marked as synthetic, in a sentence for people and in metadata for programs."""

from __future__ import annotations

import datetime
import json
import os
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from lipsmith import __version__
from lipsmith.dubbing.provenance import sign
from lipsmith.errors import InputError, UsageError
from lipsmith.media import VideoWriter, probe
from lipsmith.media.container import SOURCE_TYPE, synthetic_metadata
from lipsmith.media.writing import CONTAINERS
from synthetic import STILL, face_at

METADATA = synthetic_metadata(f"lipsmith {__version__}", "fast")


def write_result(path: Path) -> Path:
    """Write a film of one frame with the metadata of a dub."""
    with VideoWriter(path, 64, 64, 25, metadata=METADATA) as writer:
        writer.write(face_at(0, (64, 64), STILL))
    return path


class Credentials(NamedTuple):
    certificate: Path
    key: Path


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_result(tmp_path_factory.mktemp("provenance") / "film.mp4")


@pytest.mark.parametrize("suffix", CONTAINERS)
def test_every_container_keeps_the_metadata(tmp_path: Path, suffix: str) -> None:
    told = {key.lower(): value for key, value in probe(write_result(tmp_path / f"film{suffix}")).metadata.items()}
    assert SOURCE_TYPE in " ".join(told.values())
    assert {key: told[key] for key in METADATA} == METADATA


@pytest.fixture(scope="module")
def credentials(tmp_path_factory: pytest.TempPathFactory) -> Credentials:
    """A certificate of the kind that C2PA requires, from an untrusted authority."""
    pytest.importorskip("c2pa", reason="signing needs the provenance extra")
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID

    authority, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    issuer = x509.Name([x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "Nobody")])
    subject = x509.Name([x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "A tester")])
    now = datetime.datetime.now(datetime.UTC)
    signing = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "key_cert_sign"), False
    )
    usage = x509.KeyUsage(digital_signature=True, crl_sign=False, encipher_only=False, decipher_only=False, **signing)
    certificate = (
        x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key()), critical=False)
        .sign(authority, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("credentials")
    paths = Credentials(folder / "chain.pem", folder / "key.pem")
    paths.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths.key.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return paths


def test_metadata_is_stored_and_contains_nothing_private(film: Path) -> None:
    told = probe(film).metadata
    assert told["comment"].startswith("Synthetic")
    assert f"lipsmith {__version__} (model fast)" in told["comment"]
    assert json.loads(told["description"]) == {
        "digitalSourceType": SOURCE_TYPE,
        "software": f"lipsmith {__version__}",
        "model": "fast",
    }
    assert str(film.parent) not in str(dict(told))


def test_a_signed_film_carries_a_valid_manifest(film: Path, credentials: Credentials, tmp_path: Path) -> None:
    import c2pa

    signed = tmp_path / "signed.mp4"
    sign(film, signed, *credentials)
    with c2pa.Reader(str(signed)) as reader:
        told = json.loads(reader.json())
    manifest = told["manifests"][told["active_manifest"]]
    (actions,) = (each for each in manifest["assertions"] if each["label"] == "c2pa.actions.v2")
    assert actions["data"]["actions"][0]["digitalSourceType"] == SOURCE_TYPE
    # The only failure is that the authority is unknown, hence untrusted.
    assert [status["code"] for status in told["validation_status"]] == ["signingCredential.untrusted"]
    assert probe(signed).metadata["comment"] == probe(film).metadata["comment"]


def test_a_name_that_is_not_utf8_can_be_signed(film: Path, credentials: Credentials, tmp_path: Path) -> None:
    sign(film, tmp_path / os.fsdecode(b"r\xe9sum\xe9.mp4"), *credentials)
    assert probe(next(tmp_path.iterdir())).metadata == probe(film).metadata


def test_the_form_of_the_key_is_said_where_it_is_another(film: Path, credentials: Credentials, tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization

    key, forms = serialization.load_pem_private_key(credentials.key.read_bytes(), None), serialization.PrivateFormat
    for form, secret in (
        (forms.TraditionalOpenSSL, serialization.NoEncryption()),
        (forms.PKCS8, serialization.BestAvailableEncryption(b"secret")),
    ):
        (tmp_path / "key.pem").write_bytes(key.private_bytes(serialization.Encoding.PEM, form, secret))
        with pytest.raises(InputError, match="as PKCS #8 without a password"):
            sign(film, tmp_path / "signed.mp4", credentials.certificate, tmp_path / "key.pem")


def test_a_signature_without_its_extra_names_it(film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "c2pa", None)
    with pytest.raises(ModuleNotFoundError, match="A signature needs the provenance extra: pip install") as raised:
        sign(film, tmp_path / "signed.mp4", tmp_path / "chain.pem", tmp_path / "key.pem")
    assert raised.value.name == "c2pa"


def test_a_failed_signature_leaves_no_file(film: Path, credentials: Credentials, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="could not be signed"):
        sign(credentials.key, tmp_path / "signed.pem", *credentials)
    with pytest.raises(InputError, match="cannot sign"):
        sign(film, tmp_path / "signed.mp4", credentials.certificate, tmp_path / "nowhere.pem")
    (tmp_path.parent / "film.mkv").write_bytes(film.read_bytes())
    with pytest.raises(InputError, match=r"does not support \.mkv; use \.mp4"):
        sign(tmp_path.parent / "film.mkv", tmp_path / "signed.mkv", *credentials)
    with pytest.raises(UsageError, match=r"must end in \.mp4"):
        sign(film, tmp_path / "signed.mov", *credentials)
    with pytest.raises(InputError, match="is not a file"):
        sign(Path("/dev/null"), tmp_path / "signed", *credentials)
    (tmp_path.parent / "half.mp4").write_bytes(film.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"half\.mp4 is cut off"):
        sign(tmp_path.parent / "half.mp4", tmp_path / "signed.mp4", *credentials)
    with pytest.raises(UsageError, match="es256"):
        sign(film, tmp_path / "signed.mp4", *credentials, algorithm="rot13")
    assert not list(tmp_path.iterdir())
