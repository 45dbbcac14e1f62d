"""attestation.dsse.json: who answers for these bytes.

An in-toto statement (v1) over the manifest and every file in it, in an envelope whose signature covers the type
and the exact bytes of the statement (DSSE v1: "DSSEv1", length and text of the type, length and text of the
payload, one space between). Ed25519: the same key and bundle give the same signature. The public key stands in
the statement, so that a damaged signature is noticed without knowing whose key it is; whose it is, only a key that
was received by another way can tell.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dpsynth.errors import VerifyError
from dpsynth.release import manifest
from dpsynth.release.files import Json, canonical, parse, read_small
from dpsynth.release.keys import PublicKey, Signer
from dpsynth.release.manifest import Manifest

NAME = manifest.ATTESTATION
PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "urn:dpsynth:release:1"


@dataclass(frozen=True)
class Signature:
    """A signature that fits the bundle, by this key, which nobody has vouched for yet."""

    key: PublicKey


def attest(listed: Manifest, privacy: Mapping[str, Any], signer: Signer) -> bytes:
    """The signed envelope over a manifest and what its privacy.json promises."""
    payload = canonical(_statement(listed, privacy, signer.public))
    signed = signer.sign(_encoded(payload))
    return canonical(
        {
            "payloadType": PAYLOAD_TYPE,
            "payload": _base64(payload),
            "signatures": [{"keyid": signer.public.id, "sig": _base64(signed)}],
        }
    )


def check(folder: Path, listed: Manifest, privacy: Mapping[str, Any]) -> Signature:
    """The signature in a public folder, if it covers exactly this manifest and this promise.

    Raises VerifyError: V103 or V131 for an envelope of another form, V132 for a signature that does not fit, V133
    for a statement about another bundle.
    """
    envelope = parse(read_small(folder / NAME), NAME)
    try:
        payload, signature, keyid = _opened(envelope)
        statement = parse(payload, f"the statement in {NAME}")
        key = PublicKey(bytes.fromhex(statement["predicate"]["public_key"]))
    except (KeyError, TypeError, ValueError, AttributeError, binascii.Error):
        raise VerifyError("V131", f"{NAME} is no envelope of a release", "get an unchanged copy") from None
    if keyid != key.id or not key.accepts(signature, _encoded(payload)):
        raise VerifyError("V132", f"the signature in {NAME} does not fit its statement", "rely on neither")
    if statement != _statement(listed, privacy, key):
        raise VerifyError(
            "V133",
            f"{NAME} was signed for other files than lie here, or for another promise",
            "rely on neither",
        )
    return Signature(key)


def _statement(listed: Manifest, privacy: Mapping[str, Any], key: PublicKey) -> Json:
    guarantee, ledger = privacy["guarantee"], privacy["ledger"]
    digests = [(manifest.NAME, hashlib.sha256(listed.to_bytes()).hexdigest())]
    digests += [(entry.path, entry.sha256) for entry in listed.files]
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": name, "digest": {"sha256": sha256}} for name, sha256 in digests],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "bundle_id": listed.bundle_id,
            "model_id": privacy["model"]["id"],
            "epsilon": guarantee["epsilon"],
            "delta": guarantee["delta"],
            "unit": {name: privacy["unit"][name] for name in ("entity", "column", "rows_per_unit")},
            "ledger": {"dataset": ledger["dataset"], "head": ledger["head"]},
            "approver": privacy["human"]["approver"],
            "tool": dict(listed.tool),
            "public_key": key.raw.hex(),
        },
    }


def _opened(envelope: Mapping[str, Any]) -> tuple[bytes, bytes, str]:
    """Payload, signature and the id of the key of an envelope with one signature."""
    [one] = envelope["signatures"]
    if (
        list(envelope) != ["payloadType", "payload", "signatures"]
        or list(one) != ["keyid", "sig"]
        or envelope["payloadType"] != PAYLOAD_TYPE
    ):
        raise ValueError
    return _unbase64(envelope["payload"]), _unbase64(one["sig"]), one["keyid"]


def _encoded(payload: bytes) -> bytes:
    """What is signed: type and payload with their lengths (DSSE pre-authentication encoding)."""
    kind = PAYLOAD_TYPE.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _unbase64(text: str) -> bytes:
    """ValueError for anything but the one way to write these bytes."""
    data = base64.b64decode(text.encode(), validate=True)
    if _base64(data) != text:
        raise ValueError
    return data
