"""Where a ledger's rows live: a SQLite file with its head beside it, or memory.

Durability. SQLite in rollback-journal mode (one file at rest: a copy of it is whole) with
``synchronous=EXTRA``: when a commit returns it has reached the disk, its folder included. Every operation
opens a connection of its own, takes the exclusive lock before it reads (``BEGIN EXCLUSIVE`` in exclusive
locking mode) and keeps it until the head file is in place; nothing stays open in between, so handles survive
forks and threads. The lock is SQLite's file lock: it holds between the processes of one machine. A ledger on
a network drive is only as safe as that drive's locks.

Two files. ``<ledger>.head`` holds number and hash of the last entry. One append, all under the lock:

1. insert the row; 2. write the new head to ``<ledger>.head.new`` and fsync it; 3. commit the row;
4. rename the new head over the old one and fsync the folder.

A crash before 3 leaves at most a stale ``.head.new``, overwritten next time; a crash between 3 and 4 leaves
the head behind the rows. So a head *behind* the rows is a crash and harmless: the entry counts. A head
*ahead* of the rows can only be a cut tail or a restored backup, and is refused. A full or read-only disk
fails in 1 to 3, and nothing is recorded.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

from dpsynth.errors import CapacityError, VerifyError
from dpsynth.privacy.ledger_chain import Row, canonical
from dpsynth.privacy.ledger_faults import no_ledger, translated

APPLICATION = 0x64707331
_TABLES = {
    "entries": "CREATE TABLE entries (sequence INTEGER PRIMARY KEY, line TEXT NOT NULL, hash TEXT NOT NULL)",
    "secret": "CREATE TABLE secret (key BLOB NOT NULL)",
    "no_update": "CREATE TRIGGER no_update BEFORE UPDATE ON entries "
    "BEGIN SELECT RAISE(ABORT, 'append only'); END",
    "no_delete": "CREATE TRIGGER no_delete BEFORE DELETE ON entries "
    "BEGIN SELECT RAISE(ABORT, 'append only'); END",
}

# One operation at a time in a process, and none across a fork: the forked copy of a connection in the middle
# of a transaction would roll the parent's journal back.
EXCLUSION = threading.RLock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=EXCLUSION.acquire, after_in_parent=EXCLUSION.release, after_in_child=EXCLUSION.release
    )


@dataclass(frozen=True)
class Mark:
    """The last entry as the head file names it."""

    ledger: str
    sequence: int
    hash: str


class Transaction(Protocol):
    """The ledger under its lock; an added row is durable once the block has ended without an error."""

    def empty(self) -> bool: ...
    def rows(self, start: int) -> list[Row]: ...
    def key(self) -> bytes | None: ...
    def create(self, key: bytes) -> None: ...
    def add(self, row: Row, ledger: str) -> None: ...


class Store(Protocol):
    """A place for rows."""

    @property
    def releasable(self) -> bool:
        """Whether what is spent here outlives the process."""
        ...

    def exists(self) -> bool: ...
    def mark(self) -> Mark | None:
        """The head as kept beside the rows; None where there is none. Read it *before* rows are read, or
        under the lock of `writing`: otherwise it may be newer than the rows seen."""
        ...

    def reading(self) -> AbstractContextManager[Transaction]: ...
    def writing(self) -> AbstractContextManager[Transaction]: ...


class FileStore:
    """Rows in a SQLite file. `patience`: seconds to wait for another process before BudgetError B204."""

    releasable = True

    def __init__(self, path: str | os.PathLike[str], patience: float = 30.0) -> None:
        # One file, one head: a second name (a link) must not get a second head.
        self.path = Path(os.path.realpath(path))
        self.head_path = self.path.with_name(self.path.name + ".head")
        self._patience = patience

    def exists(self) -> bool:
        """Whether there is a ledger (an empty file is none); VerifyError when only its head is left."""
        # The head first: it appears after the rows, so that one seen now has rows that can be seen now.
        head = self.head_path.exists()
        there = self.path.is_file() and self.path.stat().st_size > 0
        if head and not there:
            raise self._gone()
        return there

    @contextmanager
    def reading(self) -> Iterator[Transaction]:
        with EXCLUSION, translated(self.path):
            connection = self._connect()
            try:
                connection.execute("BEGIN")
                session = _Session(connection)
                if session.empty():
                    raise self._gone() if self.head_path.exists() else no_ledger(self.path)
                yield session
            finally:
                connection.close()

    @contextmanager
    def writing(self) -> Iterator[Transaction]:
        if not self.exists():
            self._create_empty()
        with EXCLUSION, translated(self.path):
            connection = self._connect()
            try:
                connection.execute("BEGIN EXCLUSIVE")
                # Keeps the lock beyond the commit, until the head is in place. Set before BEGIN it would keep
                # a shared lock while waiting, and two writers would wait for each other.
                connection.execute("PRAGMA locking_mode=EXCLUSIVE")
                session = _Session(connection)
                yield session
                if session.last is not None:
                    new = self._prepare_head(session.last)
                    connection.execute("COMMIT")
                    self._place_head(new)
            finally:
                # Closing rolls back what was not committed, and drops the lock.
                connection.close()

    def _connect(self) -> sqlite3.Connection:
        uri = f"file:{quote(str(self.path))}?mode=rw"
        connection = sqlite3.connect(
            uri, uri=True, timeout=self._patience, isolation_level=None, check_same_thread=False
        )
        connection.text_factory = bytes
        connection.execute("PRAGMA synchronous=EXTRA")
        connection.execute("PRAGMA trusted_schema=OFF")
        return connection

    def _create_empty(self) -> None:
        with translated(self.path), suppress(FileExistsError):
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))

    def mark(self) -> Mark | None:
        with translated(self.path):
            try:
                text = self.head_path.read_bytes()
            except FileNotFoundError:
                return None
        try:
            fields = json.loads(text)
            mark = Mark(fields["ledger"], fields["sequence"], fields["hash"])
            if _head_text(mark) != text or not isinstance(mark.sequence, int):
                raise ValueError
        except (ValueError, TypeError, KeyError) as error:
            raise VerifyError(
                "V307",
                f"the head file {self.head_path} cannot be read",
                "restore it, or write it anew from the head in the newest bundle (Ledger.restore_head)",
            ) from error
        return mark

    def _prepare_head(self, mark: Mark) -> Path:
        new = self.head_path.with_name(self.head_path.name + ".new")
        descriptor = os.open(new, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
        try:
            text = _head_text(mark)
            while text:
                text = text[os.write(descriptor, text) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        return new

    def _gone(self) -> VerifyError:
        return VerifyError(
            "V306",
            f"the ledger {self.path} is gone, but its head file is there",
            "restore the ledger from the newest backup; what it spent cannot be forgotten",
        )

    def _place_head(self, new: Path) -> None:
        try:
            os.replace(new, self.head_path)
            _sync_folder(self.path.parent)
        except OSError as error:
            raise CapacityError(
                "C203",
                f"an entry was recorded in the ledger {self.path}, but its head file was not replaced",
                "the entry counts; mend the folder, the next entry writes the head anew",
            ) from error


class _Session:
    """One connection with an open transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self.last: Mark | None = None
        self._empty = _check_layout(connection)

    def empty(self) -> bool:
        return self._empty

    def rows(self, start: int) -> list[Row]:
        found = self.connection.execute(
            "SELECT sequence, line, hash FROM entries WHERE sequence >= ? ORDER BY sequence", (start,)
        )
        return [_row(*fields) for fields in found]

    def key(self) -> bytes | None:
        found = self.connection.execute("SELECT key FROM secret").fetchall()
        return bytes(found[0][0]) if len(found) == 1 and isinstance(found[0][0], bytes) else None

    def create(self, key: bytes) -> None:
        self.connection.execute(f"PRAGMA application_id={APPLICATION}")
        for statement in _TABLES.values():
            self.connection.execute(statement)
        self.connection.execute("INSERT INTO secret VALUES (?)", (key,))

    def add(self, row: Row, ledger: str) -> None:
        self.connection.execute(
            "INSERT INTO entries VALUES (?, ?, ?)", (row.sequence, row.line.decode(), row.hash)
        )
        self.last = Mark(ledger, row.sequence, row.hash)


class MemoryStore:
    """Rows that die with the process: for trials and tests, never for a release."""

    releasable = False

    def __init__(self) -> None:
        self._rows: list[Row] = []
        self._key: bytes | None = None

    def exists(self) -> bool:
        return bool(self._rows)

    @contextmanager
    def reading(self) -> Iterator[Transaction]:
        with EXCLUSION:
            yield self

    @contextmanager
    def writing(self) -> Iterator[Transaction]:
        with EXCLUSION:
            before = list(self._rows)
            try:
                yield self
            except BaseException:
                self._rows = before
                raise

    def mark(self) -> Mark | None:
        return None

    def empty(self) -> bool:
        return not self._rows

    def rows(self, start: int) -> list[Row]:
        return self._rows[start:]

    def key(self) -> bytes | None:
        return self._key

    def create(self, key: bytes) -> None:
        self._key = key

    def add(self, row: Row, ledger: str) -> None:
        self._rows.append(row)


def _row(sequence: object, line: object, digest: object) -> Row:
    if not (isinstance(sequence, int) and isinstance(line, bytes) and isinstance(digest, bytes)):
        raise VerifyError("V319", "a ledger row is not a ledger entry", "restore the newest backup")
    return Row(sequence, line, digest.decode("ascii", "replace"))


def _head_text(mark: Mark) -> bytes:
    return (
        canonical({"format": 1, "ledger": mark.ledger, "sequence": mark.sequence, "hash": mark.hash}).encode()
        + b"\n"
    )


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _check_layout(connection: sqlite3.Connection) -> bool:
    """Exactly our tables and triggers, in rollback-journal mode (a crafted file could hide a view there), or
    nothing at all: then True."""
    found = {
        bytes(name).decode("utf-8", "replace"): bytes(sql or b"").decode("utf-8", "replace")
        for name, sql in connection.execute("SELECT name, sql FROM sqlite_master")
    }
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    mode = connection.execute("PRAGMA journal_mode").fetchone()[0]
    fresh = not found and application == 0
    if bytes(mode) != b"delete" or not (fresh or (found == _TABLES and application == APPLICATION)):
        raise VerifyError(
            "V308",
            "this file is not a dpsynth ledger, or its layout was changed",
            "check the path; restore the newest backup",
        )
    return fresh
