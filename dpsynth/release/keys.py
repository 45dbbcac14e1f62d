"""Ed25519 keys in files: PEM as `cryptography` and OpenSSL write it. A private key is never overwritten."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from dpsynth.errors import UsageError

MAX_KEY_BYTES = 1 << 16


@dataclass(frozen=True)
class PublicKey:
    """Who a signature can be checked against. `raw`: the 32 bytes of RFC 8032."""

    raw: bytes

    @property
    def id(self) -> str:
        """sha256 of the raw key, 64 hexadecimal digits."""
        return hashlib.sha256(self.raw).hexdigest()

    def accepts(self, signature: bytes, message: bytes) -> bool:
        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, message)
        except (InvalidSignature, ValueError):
            return False
        return True


class Signer:
    """A private key in use. It is not printed, compared or pickled."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public = PublicKey(key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))

    def sign(self, message: bytes) -> bytes:
        """64 bytes; the same for the same key and message (Ed25519, RFC 8032)."""
        return self._key.sign(message)

    def __repr__(self) -> str:
        return f"Signer({self.public.id[:16]})"

    def __reduce__(self) -> str:
        raise TypeError("a private key is not pickled")


def generate(private: Path, public: Path, passphrase: bytes | None = None) -> PublicKey:
    """Write a new pair of keys: `private` for its owner only (0600), `public` for everybody.

    With a passphrase the private key is encrypted. Raises UsageError (U164) when either file exists, U165 when
    one cannot be written.
    """
    for path in (private, public):
        if os.path.lexists(path):
            raise UsageError("U164", f"{path} exists already", "a key is never overwritten: name a new file")
    key = Ed25519PrivateKey.generate()
    secret: KeySerializationEncryption = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    signer = Signer(key)
    _write(private, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, secret), 0o600)
    try:
        _write(public, key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo), 0o644)
    except UsageError:
        private.unlink()
        raise
    return signer.public


def load_signer(path: Path, passphrase: Callable[[], bytes | None] = lambda: None) -> Signer:
    """The private key in a file; `passphrase` is asked only when the key is encrypted.

    Raises UsageError: U166 for no such key, U167 when others may read it, U168 for a missing or wrong passphrase.
    """
    data = _read(path)
    if b"PRIVATE KEY" not in data:
        raise _no_key(path, "private")
    if path.stat().st_mode & 0o077:
        raise UsageError("U167", f"others may read the private key {path}", f"chmod 600 {path}")
    encrypted = b"ENCRYPTED" in data
    secret = passphrase() if encrypted else None
    if encrypted and not secret:
        raise UsageError(
            "U168", f"{path} needs its passphrase", "set DPSYNTH_KEY_PASSPHRASE, or run it in a terminal"
        )
    try:
        key = load_pem_private_key(data, secret)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        if encrypted:
            raise UsageError("U168", f"the passphrase does not open {path}", "try again") from None
        raise _no_key(path, "private") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise _no_key(path, "private")
    return Signer(key)


def load_public(path: Path) -> PublicKey:
    """The public key in a file. Raises UsageError (U166)."""
    try:
        key = load_pem_public_key(_read(path))
    except (ValueError, UnsupportedAlgorithm):
        raise _no_key(path, "public") from None
    if not isinstance(key, Ed25519PublicKey):
        raise _no_key(path, "public")
    return PublicKey(key.public_bytes(Encoding.Raw, PublicFormat.Raw))


def _no_key(path: Path, kind: str) -> UsageError:
    return UsageError("U166", f"{path} is no {kind} Ed25519 key", "dpsynth keygen makes a pair of keys")


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_KEY_BYTES)
    except OSError as problem:
        reason = problem.strerror or "no such file"
        raise UsageError("U165", f"{path} cannot be read ({reason})", "name the file of a key") from None


def _write(path: Path, data: bytes, mode: int) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(descriptor, mode)
            os.fsync(descriptor)
    except OSError as problem:
        reason = problem.strerror or "no such folder"
        raise UsageError(
            "U165", f"{path} cannot be written ({reason})", "choose a folder that you may write to"
        ) from None
