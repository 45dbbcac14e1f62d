"""What an operator should know about the source of a run: new data under an old name, old data under a new
one.

Neither is an error. The same people's data changes every month, and the promise still covers them; other
people's data needs an account of its own; and the same data in two accounts has two budgets, which protects
nobody. Only the owner knows which it is, so he is told.
"""

from __future__ import annotations

import hashlib
import hmac
from itertools import islice, pairwise
from pathlib import Path

from dpsynth.errors import DPSynthError
from dpsynth.privacy.ledger_book import Book
from dpsynth.privacy.ledger_journal import Journal
from dpsynth.privacy.ledger_run import Notice
from dpsynth.privacy.ledger_store import FileStore

MAX_NEIGHBOURS = 200
"""Ledgers of the same folder that are looked at."""


def keyed(key: bytes, fingerprint: bytes) -> str:
    """HMAC-SHA-256 of what identifies a source: whoever lacks the ledger cannot confirm a guess of the
    source."""
    return hmac.new(key, b"dpsynth source\n" + fingerprint, hashlib.sha256).hexdigest()


def new_data(book: Book) -> tuple[Notice, ...]:
    """A notice for each run that read another source than the fingerprinted run before it."""
    known = [run for run in book.runs.values() if run.fingerprint is not None]
    return tuple(
        Notice(
            "new data",
            f"run {run.id} ({run.at}) read other data than run {before.id} ({before.at}) under the same name "
            f"{book.opening.dataset!r}: right if these are the same people, whom the one promise covers; "
            "data about other people belongs into a ledger of its own",
        )
        for before, run in pairwise(known)
        if run.fingerprint != before.fingerprint
    )


def overspent(is_so: bool) -> tuple[Notice, ...]:
    """A notice when releases that were entered as facts have broken the promise."""
    words = "releases entered here cost more than was promised: no further run fits"
    return (Notice("overspent", words),) if is_so else ()


def same_data(path: Path | None, fingerprint: bytes) -> tuple[Notice, ...]:
    """A notice for each other ledger in the same folder that has a run on the same source."""
    if path is None:
        return ()
    others = (other for other in sorted(path.parent.glob("*.ledger")) if other.resolve() != path)
    names = [name for other in islice(others, MAX_NEIGHBOURS) if (name := _holds(other, fingerprint))]
    return tuple(
        Notice(
            "same data",
            f"the same data was already used under the name {name}: the same people now have two budgets, "
            "and neither promise holds for both together; keep one ledger for them",
        )
        for name in names
    )


def _holds(path: Path, fingerprint: bytes) -> str | None:
    journal = Journal(FileStore(path, patience=1.0))
    try:
        journal.refresh()
        sought = keyed(journal.key(), fingerprint)
    except DPSynthError:
        # Not a ledger, or a damaged one: whoever opens it will hear of that; it is not this run's error.
        return None
    if all(run.fingerprint != sought for run in journal.book.runs.values()):
        return None
    return f"{journal.book.opening.dataset!r} in {path.name}"
