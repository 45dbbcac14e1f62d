"""write_rows: synthetic rows to one file, or to a folder of files where one would be unwieldy; whole or not at all."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path

from dpsynth.errors import CapacityError, UsageError, is_full
from dpsynth.schema import Schema
from dpsynth.table.core import Table
from dpsynth.table.streaming import write_tables

PART = 1 << 22
"""Rows in a file of a folder, at least, but for the last one."""
UNFINISHED = ".unfinished"
_PARTS = "part-*.parquet"


def write_rows(
    tables: Iterable[Table],
    path: str | os.PathLike[str],
    schema: Schema,
    told: Callable[[int], None] = lambda rows: None,
    notes: Mapping[str, str] | None = None,
) -> int:
    """As `write_tables`; a path without a suffix, or with a star in its name, is a folder of numbered files.

    ``rows`` becomes ``rows/part-00000.parquet``, ...; ``rows/day-*.csv.gz`` becomes ``rows/day-00000.csv.gz``, ... The files
    lie in ``rows.unfinished`` until the last is complete, and the folder must be a new one.

    Raises UsageError U290 for a folder that exists, U295 for one that cannot be made, CapacityError C173 (C120 later on)
    when the disk is full; then nothing of it is left.
    """
    found = parts_of(Path(path))
    if found is None:
        return write_tables(tables, path, schema, told, notes)
    folder, pattern = found
    with _Staged(folder) as unfinished:
        return _write_parts(unfinished, pattern, iter(tables), schema, told, notes)


def parts_of(path: Path) -> tuple[Path, str] | None:
    """The folder and the pattern of its files; None for a single file."""
    if "*" in path.name:
        return path.parent, path.name
    return None if path.suffix else (path, _PARTS)


def require_new_folder(path: Path) -> None:
    """Refuse, before anything is drawn, a folder that exists already: UsageError U290."""
    found = parts_of(path)
    for folder in () if found is None else (found[0], _beside(found[0])):
        if folder.exists():
            raise UsageError(
                "U290",
                f"the folder {folder} exists already",
                "name a new one with -o, or remove it (its rows can be drawn again)",
            )


def _beside(folder: Path) -> Path:
    return folder.with_name(folder.name + UNFINISHED)


class _Staged:
    """A folder beside the wanted one, renamed to it when the block is left well; else removed with all that is in it."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._unfinished = folder, _beside(folder)

    def __enter__(self) -> Path:
        require_new_folder(self._folder / _PARTS)
        self._translated(self._unfinished.mkdir)
        return self._unfinished

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._translated(lambda: self._unfinished.rename(self._folder))
        finally:
            shutil.rmtree(self._unfinished, ignore_errors=True)

    def _translated(self, step: Callable[[], object]) -> None:
        try:
            step()
        except OSError as error:
            reason = f"{self._folder} cannot be made ({error.strerror or 'no such place'})"
            if is_full(error):
                raise CapacityError("C173", reason, "make room; nothing was left") from None
            raise UsageError("U295", reason, "check the folder that it lies in, and its rights") from None


def _write_parts(
    folder: Path,
    pattern: str,
    tables: Iterator[Table],
    schema: Schema,
    told: Callable[[int], None],
    notes: Mapping[str, str] | None,
) -> int:
    rows = 0
    for number in itertools.count():
        if (first := next(tables, None)) is None:
            break
        file = folder / pattern.replace("*", f"{number:05d}")
        rows += write_tables(_until_full(first, tables), file, schema, partial(_after, told, rows), notes)
    return rows


def _after(told: Callable[[int], None], before: int, rows: int) -> None:
    told(before + rows)


def _until_full(first: Table, more: Iterator[Table]) -> Iterator[Table]:
    yield first
    rows = len(first)
    while rows < PART:
        table = next(more, None)
        if table is None:
            return
        yield table
        rows += len(table)
