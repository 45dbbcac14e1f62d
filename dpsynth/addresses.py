"""Addresses of tables in databases: ``sqlite:///claims.db#claims``, ``postgresql://user@host/database#schema.table``."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from dpsynth.errors import UsageError

SQLITE, POSTGRES = "sqlite", "postgresql"


@dataclass(frozen=True)
class Address:
    """`kind` of database, `place`: of SQLite a file, of Postgres a connection address without a password; `table`."""

    kind: str
    place: str
    table: str

    def beside(self, folder: Path) -> Address:
        """A SQLite file's path as one that begins in `folder`."""
        return replace(self, place=str(folder / self.place)) if self.kind == SQLITE else self

    def __str__(self) -> str:
        return f"sqlite:///{self.place}#{self.table}" if self.kind == SQLITE else f"{self.place}#{self.table}"


def address_of(source: object) -> Address | None:
    """None for what is no such address. UsageError U291 for one that lacks something, U292 for one with a password."""
    if isinstance(source, Address):
        return source
    text = os.fspath(source) if isinstance(source, str | os.PathLike) else ""
    found = re.match(r"(sqlite|postgres|postgresql)://", text) if isinstance(text, str) else None
    if found is None:
        return None
    place, _, table = text.partition("#")
    if found[1] == SQLITE:
        file = unquote(place.removeprefix("sqlite://")[1:])
        return _whole(Address(SQLITE, file, unquote(table)), file)
    _refuse_password(place)
    return _whole(Address(POSTGRES, place, unquote(table)), urlsplit(place).path.strip("/"))


def _refuse_password(place: str) -> None:
    """A project file is passed on, and a command line is seen by all users of a machine."""
    try:
        parts = urlsplit(place)
        secret = parts.password is not None or any("password" in name for name, _ in parse_qsl(parts.query))
    except ValueError:
        secret = True
    if secret:
        raise UsageError(
            "U292",
            "an address with a password in it is not read",
            "leave it out: Postgres takes it from PGPASSWORD, or from the file ~/.pgpass",
        )


def _whole(address: Address, database: str) -> Address:
    if not address.table or not database:
        raise UsageError(
            "U291",
            "the address of a database names no file, no database or no table",
            "write sqlite:///claims.db#claims, or postgresql://user@host/database#schema.table",
        )
    return address
