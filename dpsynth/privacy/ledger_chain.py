"""Entries of a ledger and the chain of hashes that ties them together. Text only; no file, no arithmetic.

An entry is one line of canonical JSON with the fields at, body, kind, previous, salt and sequence; its hash
is SHA-256 over a fixed prefix and that line. `previous` is the hash of the entry before, so that no entry can
be changed, dropped, added in the middle or moved without changing every later hash. `salt` holds 16 random
bytes from the operating system: the head of a ledger is printed in public bundles, and without the salt
anybody could guess an entry ("a second run was discarded") and confirm the guess by hashing it.
"""

from __future__ import annotations

import hashlib
import json
import os
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from dpsynth.errors import BudgetError, VerifyError

GENESIS = "0" * 64
MAX_TEXT = 200
KINDS = frozenset(
    {"open", "reserve", "commit", "external", "audit", "block", "release", "withdraw", "head restored"}
)
"""Every kind this version understands; another one may have spent in a way that we cannot price."""

_PREFIX = b"dpsynth ledger entry 1\n"
_FIELDS = {"at", "body", "kind", "previous", "salt", "sequence"}


class Row(NamedTuple):
    """An entry as stored: its number, its line (UTF-8) and the hash of the line (hex)."""

    sequence: int
    line: bytes
    hash: str


@dataclass(frozen=True)
class Entry:
    """One verified entry. `body` is what was recorded; treat it as read-only."""

    sequence: int
    kind: str
    at: str
    body: Mapping[str, Any]
    salt: str
    previous: str
    hash: str

    def as_json(self) -> dict[str, Any]:
        return {
            "sequence": self.sequence,
            "kind": self.kind,
            "at": self.at,
            "body": dict(self.body),
            "salt": self.salt,
            "previous": self.previous,
            "hash": self.hash,
        }


def canonical(value: object) -> str:
    """JSON with one spelling for each value; floats round-trip exactly; NaN and infinities are refused."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def digest(line: bytes) -> str:
    return hashlib.sha256(_PREFIX + line).hexdigest()


def seal(kind: str, body: Mapping[str, Any], last: Entry | None) -> Row:
    """A new row behind `last` (None for the first), stamped with UTC time and 16 fresh random bytes."""
    if kind not in KINDS:
        raise ValueError(f"unknown kind of ledger entry: {kind}")
    sequence = 0 if last is None else last.sequence + 1
    line = canonical(
        {
            "sequence": sequence,
            "kind": kind,
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "body": body,
            "salt": os.urandom(16).hex(),
            "previous": GENESIS if last is None else last.hash,
        }
    ).encode()
    return Row(sequence, line, digest(line))


def check_rows(rows: Iterable[Row], last: Entry | None) -> list[Entry]:
    """The rows as entries, each proven to follow the one before; VerifyError names the first that fails."""
    entries = []
    for row in rows:
        last = _check_row(row, last)
        entries.append(last)
    return entries


def _check_row(row: Row, last: Entry | None) -> Entry:
    expected = 0 if last is None else last.sequence + 1
    if row.sequence != expected:
        raise VerifyError(
            "V301",
            f"ledger entry {expected} is missing: the next one stored is number {row.sequence}",
            "an entry was dropped; restore the ledger and its head file from the newest backup of both",
        )
    if digest(row.line) != row.hash:
        raise VerifyError(
            "V302",
            f"ledger entry {row.sequence} was changed after it was written: its text does not match its hash",
            "restore the ledger and its head file from the newest backup of both",
        )
    entry = _parse(row)
    if entry.sequence != expected or entry.previous != (GENESIS if last is None else last.hash):
        raise VerifyError(
            "V303",
            f"ledger entry {row.sequence} does not follow the entry before it",
            "entries were re-ordered, replaced or mixed from two ledgers; restore the newest backup",
        )
    return entry


def _parse(row: Row) -> Entry:
    try:
        fields = json.loads(row.line)
        if canonical(fields).encode() != row.line or set(fields) != _FIELDS:
            raise ValueError
        entry = Entry(hash=row.hash, **fields)
        texts = (entry.kind, entry.at, entry.salt, entry.previous)
        if (
            not isinstance(entry.body, dict)
            or type(entry.sequence) is not int
            or not all(isinstance(text, str) for text in texts)
        ):
            raise ValueError
    except (ValueError, TypeError) as error:
        raise VerifyError(
            "V304", f"ledger entry {row.sequence} is not a ledger entry", "restore the newest backup"
        ) from error
    if entry.kind not in KINDS:
        raise VerifyError(
            "V305",
            f"ledger entry {row.sequence} is of a kind this version does not know",
            "it may spend budget that this version cannot price: use the newer dpsynth that wrote it",
        )
    return entry


def clean_text(what: str, text: object) -> str:
    """`text` normalised (NFC), if it is one visible line of at most 200 characters; otherwise BudgetError.

    Names and purposes reach terminals, reports and logs: no control characters, no line breaks, no invisible
    or direction-changing characters.
    """
    if not isinstance(text, str) or not text.strip():
        raise BudgetError("B201", f"{what} is empty", f"give {what} as a short line of text")
    if len(text) > MAX_TEXT:
        raise BudgetError("B202", f"{what} has {len(text)} characters", f"use at most {MAX_TEXT}")
    if any(unicodedata.category(c)[0] == "C" or unicodedata.category(c) in {"Zl", "Zp"} for c in text):
        raise BudgetError(
            "B203", f"{what} contains a line break, a control or an invisible character", "use one plain line"
        )
    return unicodedata.normalize("NFC", text.strip())
