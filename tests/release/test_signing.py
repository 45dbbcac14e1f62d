"""Keys and signatures: whose bundle it is, and nobody else's."""

from __future__ import annotations

import base64
import json
import os
import pickle
import shutil
from pathlib import Path

import pytest
from release_parts import HUMAN, Parts, reseal

from dpsynth import release
from dpsynth.errors import UsageError, VerifyError
from dpsynth.release import attestation, keys
from dpsynth.release.files import canonical


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    for name in ("own", "other"):
        release.generate(folder / f"{name}.key", folder / f"{name}.pub")
    return folder


@pytest.fixture(scope="module")
def signed(parts: Parts, pair: Path, tmp_path_factory: pytest.TempPathFactory) -> release.Bundle:
    signer = release.load_signer(pair / "own.key")
    return parts.write(tmp_path_factory.mktemp("signed") / "release", signer=signer)


@pytest.fixture
def sent(signed: release.Bundle, tmp_path: Path) -> Path:
    return Path(shutil.copytree(signed.public, tmp_path / "sent"))


def refused(path: Path, code: str, key: Path | None = None, match: str | None = None) -> None:
    pinned = None if key is None else release.load_public(key)
    with pytest.raises(VerifyError, match=match) as caught:
        release.verify(path, key=pinned)
    assert caught.value.code == f"DPS-{code}"
    assert caught.value.exit_code == 7


def test_the_three_verdicts(signed: release.Bundle, bundle: release.Bundle, pair: Path) -> None:
    own = release.load_public(pair / "own.pub")
    found = release.verify(signed, key=own)
    assert (found.verdict, found.signed_by, found.pinned) == ("intact, signed by the given key", own.id, True)
    unknown = release.verify(signed)
    assert unknown.words.startswith(f"intact, signer unknown (key {own.id[:16]})")
    assert unknown.as_json()["signer"] is None
    assert release.verify(bundle).verdict == "intact, not signed"
    refused(bundle.root, "V134", pair / "own.pub", "not signed")
    refused(signed.root, "V135", pair / "other.pub", "another key")


def test_the_same_key_signs_the_same_bytes(
    parts: Parts, pair: Path, tmp_path: Path, signed: release.Bundle
) -> None:
    again = parts.write(tmp_path / "again", signer=release.load_signer(pair / "own.key"))
    for path in signed.public.iterdir():
        assert path.read_bytes() == (again.public / path.name).read_bytes(), path.name
    other = parts.write(tmp_path / "other", signer=release.load_signer(pair / "other.key"))
    assert other.bundle_id == signed.bundle_id  # the signature is about the bundle, not in it


def test_the_statement_is_in_toto_over_every_file(signed: release.Bundle) -> None:
    envelope = json.loads((signed.public / attestation.NAME).read_bytes())
    statement = json.loads(base64.b64decode(envelope["payload"]))
    assert envelope["payloadType"] == "application/vnd.in-toto+json"
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    named = {one["name"] for one in statement["subject"]}
    assert named == {path.name for path in signed.public.iterdir()} - {attestation.NAME}
    assert statement["predicate"]["bundle_id"] == signed.bundle_id
    assert statement["predicate"]["approver"] == HUMAN.approver


def test_a_signature_is_for_one_bundle_only(parts: Parts, sent: Path, pair: Path, tmp_path: Path) -> None:
    """Carried over to other files, or to other files with the manifest made right."""
    page = sent / "sign_here.md"
    page.write_bytes(page.read_bytes() + b"more\n")
    refused(sent, "V108", pair / "own.pub")
    reseal(sent)
    refused(sent, "V127", pair / "own.pub")
    other = parts.write(tmp_path / "other", human=release.ReleaseFields(**{**vars(HUMAN), "recipient": "B"}))
    shutil.copy(sent / attestation.NAME, other.public / attestation.NAME)
    refused(other.root, "V133", pair / "own.pub", "signed for other files")


def test_re_signed_by_a_stranger_needs_a_pinned_key(parts: Parts, sent: Path, pair: Path) -> None:
    from dpsynth.release import manifest

    listed, privacy = manifest.load(sent), json.loads((sent / "privacy.json").read_bytes())
    stranger = release.load_signer(pair / "other.key")
    (sent / attestation.NAME).write_bytes(attestation.attest(listed, privacy, stranger))
    assert release.verify(sent).verdict == "intact, signer unknown"
    refused(sent, "V135", pair / "own.pub", "another key")


@pytest.mark.parametrize("part", ["payloadType", "payload", "signatures", "keyid", "sig", "key"])
def test_every_part_of_the_envelope_counts(sent: Path, part: str) -> None:
    path = sent / attestation.NAME
    envelope = json.loads(path.read_bytes())
    one = envelope["signatures"][0]
    if part == "payloadType":
        envelope["payloadType"] = "text/plain"
    elif part == "payload":
        text = base64.b64decode(envelope["payload"]).replace(b"data officer", b"data offices")
        envelope["payload"] = base64.b64encode(text).decode()
    elif part == "signatures":
        envelope["signatures"] = [one, one]
    elif part == "keyid":
        one["keyid"] = "0" * 64
    elif part == "key":
        text = base64.b64decode(envelope["payload"]).replace(b'"public_key": "', b'"public_key": "00')
        envelope["payload"] = base64.b64encode(text).decode()
    else:
        one["sig"] = base64.b64encode(b"\0" * 64).decode()
    path.write_bytes(canonical(envelope))
    with pytest.raises(VerifyError) as caught:
        release.verify(sent)
    assert caught.value.code in {"DPS-V131", "DPS-V132"}


def test_a_taken_off_signature_is_noticed_with_a_key(sent: Path, pair: Path) -> None:
    (sent / attestation.NAME).unlink()
    assert release.verify(sent).verdict == "intact, not signed"
    refused(sent, "V134", pair / "own.pub")


def test_keys_are_private_and_never_overwritten(tmp_path: Path) -> None:
    private, public = tmp_path / "a.key", tmp_path / "a.pub"
    made = release.generate(private, public)
    assert (private.stat().st_mode & 0o777, public.stat().st_mode & 0o777) == (0o600, 0o644)
    assert release.load_signer(private).public == made == release.load_public(public)
    before = private.read_bytes()
    for clash in ((private, tmp_path / "b.pub"), (tmp_path / "b.key", public)):
        with pytest.raises(UsageError, match="exists already"):
            release.generate(*clash)
    assert private.read_bytes() == before
    assert not (tmp_path / "b.key").exists()
    private.chmod(0o644)
    with pytest.raises(UsageError, match="others may read"):
        release.load_signer(private)


def test_an_encrypted_key_wants_its_passphrase(tmp_path: Path) -> None:
    private = tmp_path / "a.key"
    made = release.generate(private, tmp_path / "a.pub", b"correct horse")
    assert b"ENCRYPTED" in private.read_bytes()
    assert release.load_signer(private, lambda: b"correct horse").public == made
    for wrong in (None, b"", b"wrong"):
        with pytest.raises(UsageError) as caught:
            release.load_signer(private, lambda wrong=wrong: wrong)  # type: ignore[misc]
        assert caught.value.code == "DPS-U168"


def test_what_is_no_key_is_refused(tmp_path: Path, pair: Path) -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import x25519

    junk, wrong = tmp_path / "junk", tmp_path / "wrong"
    junk.write_bytes(os.urandom(200))
    pem = x25519.X25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    wrong.write_bytes(pem)
    for path in (junk, wrong, pair / "own.pub"):
        path.chmod(0o600)
        with pytest.raises(UsageError, match="no private Ed25519 key"):
            release.load_signer(path)
    (pair / "own.pub").chmod(0o644)  # it may be read by all: the advice must not be to hide it
    with pytest.raises(UsageError, match="no private Ed25519 key"):
        release.load_signer(pair / "own.pub")
    for path in (junk, pair / "own.key"):
        with pytest.raises(UsageError, match="no public Ed25519 key"):
            release.load_public(path)
    with pytest.raises(UsageError, match="cannot be read"):
        release.load_public(tmp_path / "nowhere")
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(release.load_signer(pair / "own.key"))
    assert keys.MAX_KEY_BYTES < 1 << 20
