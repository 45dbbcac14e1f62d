"""What SQLite and the operating system report, in words that say what happened to the ledger."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dpsynth.errors import BudgetError, CapacityError, DPSynthError, VerifyError


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """What SQLite and the operating system report, in the words of this package."""
    try:
        yield
    except DPSynthError:
        raise
    except sqlite3.Error as error:
        raise _sqlite_problem(path, error) from error
    except UnicodeDecodeError as error:
        # The driver fails so on the text of SQLite's own complaint about a damaged layout.
        raise _damaged(path) from error
    except OSError as error:
        raise _disk_problem(path, error) from error


def _sqlite_problem(path: Path, error: sqlite3.Error) -> DPSynthError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return BudgetError(
            "B204",
            f"another process is using the ledger {path}",
            "nothing was recorded; try again when it has finished",
        )
    if code == sqlite3.SQLITE_FULL:
        return _full(path)
    if code == sqlite3.SQLITE_IOERR:
        return _failing(path)
    if code in {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH}:
        return _closed(path)
    return _damaged(path)


def _damaged(path: Path) -> VerifyError:
    return VerifyError(
        "V309",
        f"the ledger {path} is damaged: SQLite cannot read it",
        "restore the ledger and its head file from the newest backup of both",
    )


def _disk_problem(path: Path, error: OSError) -> DPSynthError:
    if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
        return _full(path)
    return _failing(path) if error.errno == errno.EIO else _closed(path)


def _full(path: Path) -> CapacityError:
    return CapacityError(
        "C201",
        f"the disk that holds the ledger {path} is full",
        "nothing was recorded; make room and try again",
    )


def _failing(path: Path) -> CapacityError:
    return CapacityError(
        "C204",
        f"the disk refuses to write the ledger {path}",
        "what was asked for must not start; make room or mend the disk, look at the ledger, and try again",
    )


def _closed(path: Path) -> CapacityError:
    return CapacityError(
        "C202",
        f"the ledger {path} or its folder cannot be opened or written",
        "nothing was recorded; check that the folder exists and may be written",
    )


def no_ledger(path: Path) -> BudgetError:
    return BudgetError(
        "B205", f"there is no ledger at {path}", "check the path, or open one with a promise (epsilon, delta)"
    )
