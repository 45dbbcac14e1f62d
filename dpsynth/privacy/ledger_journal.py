"""The verified journal of one ledger: rows from a store, chained, held against the head, read into a book."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from dpsynth.errors import VerifyError
from dpsynth.privacy.ledger_book import Book
from dpsynth.privacy.ledger_chain import Entry, Row, check_rows, seal
from dpsynth.privacy.ledger_store import EXCLUSION, Mark, Store, Transaction

BACKUP = "restore the ledger and its head file from the newest backup of both"


class Journal:
    """All entries known so far. Every reading goes back to the store and checks what is new, and that what
    was known is still there; every append does so under the store's lock."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._entries: list[Entry] = []
        self._book: Book | None = None

    @property
    def entries(self) -> tuple[Entry, ...]:
        return tuple(self._entries)

    @property
    def book(self) -> Book:
        if self._book is None:
            raise ValueError("the journal was not read yet")
        return self._book

    def create(self, body: Mapping[str, Any], key: bytes) -> None:
        """Write the first entry, unless another process was faster; then its entry stands."""
        with EXCLUSION, self.store.writing() as transaction:
            if transaction.empty():
                transaction.create(key)
                transaction.add(seal("open", body, None), body["ledger"])

    def refresh(self) -> None:
        """Take in what other handles and processes appended. VerifyError V3xx for anything that does not
        fit."""
        with EXCLUSION:
            mark = self._read()
            if mark is None and len(self._entries) > 1:
                # The first head may have been written just after this one look for it.
                mark = self._read()
            self._check_mark(mark)

    def append(self, kind: str, decide: Callable[[Book], Mapping[str, Any]]) -> Entry:
        """Append one durable entry. `decide` sees the newest book under the lock, gives the entry's body, or
        raises: then nothing is written."""
        with EXCLUSION:
            with self.store.writing() as transaction:
                self._absorb(transaction)
                self._check_mark(self.store.mark())
                row = self._add(transaction, kind, decide(self.book))
            self._take([row])
            return self._entries[-1]

    def restore_mark(self, head: str) -> None:
        """Write a lost head file anew by an entry that names the head it was restored from."""
        with EXCLUSION, self.store.writing() as transaction:
            self._absorb(transaction)
            if not self.contains(head):
                raise unknown_head()
            self._add(transaction, "head restored", {"head": head})

    def contains(self, head: str) -> bool:
        return any(entry.hash == head for entry in self._entries)

    def key(self) -> bytes:
        """The secret of the source fingerprints, as the first entry vouches for it."""
        with EXCLUSION, self.store.reading() as transaction:
            return self._key(transaction)

    def _add(self, transaction: Transaction, kind: str, body: Mapping[str, Any]) -> Row:
        row = seal(kind, body, self._entries[-1])
        transaction.add(row, self.book.opening.ledger)
        return row

    def _read(self) -> Mark | None:
        mark = self.store.mark()
        with self.store.reading() as transaction:
            self._absorb(transaction)
        return mark

    def _absorb(self, transaction: Transaction) -> None:
        known = self._entries[-1:]
        rows = transaction.rows(known[0].sequence if known else 0)
        if known:
            if not rows or (rows[0].sequence, rows[0].hash) != (known[0].sequence, known[0].hash):
                raise VerifyError("V315", "the ledger was replaced while it was in use", BACKUP)
            rows = rows[1:]
        self._take(rows)
        self._key(transaction)

    def _take(self, rows: list[Row]) -> None:
        for entry in check_rows(rows, self._entries[-1] if self._entries else None):
            if self._book is None:
                self._book = Book.begin(entry)
            else:
                self._book.post(entry)
            self._entries.append(entry)
        if self._book is None:
            raise VerifyError("V318", "the ledger has no entries", BACKUP)

    def _key(self, transaction: Transaction) -> bytes:
        key = transaction.key()
        if key is None or hashlib.sha256(key).hexdigest() != self.book.opening.key_hash:
            raise VerifyError("V314", "the ledger's fingerprint key was changed", BACKUP)
        return key

    def _check_mark(self, mark: Mark | None) -> None:
        if not self.store.releasable:
            return
        last = self._entries[-1].sequence
        if mark is None:
            # Crashed between its first entry and its first head.
            if last == 0:
                return
            raise VerifyError(
                "V312",
                "the ledger's head file is missing",
                "keep both files together; if it is lost: Ledger.restore_head, with the newest bundle's head",
            )
        if mark.ledger != self.book.opening.ledger:
            raise VerifyError("V313", "the head file belongs to another ledger", "keep both files together")
        if mark.sequence > last:
            raise VerifyError(
                "V310",
                f"the ledger ends at entry {last}, but entry {mark.sequence} was written: its tail was cut, "
                "or an old backup was restored",
                BACKUP,
            )
        if self._entries[mark.sequence].hash != mark.hash:
            raise VerifyError(
                "V317", f"ledger entry {mark.sequence} is not the one that the head file names", BACKUP
            )


def unknown_head() -> VerifyError:
    return VerifyError(
        "V316",
        "the ledger does not contain the stated head",
        "it is another ledger's, or ledger and head file were both replaced by an old backup",
    )
