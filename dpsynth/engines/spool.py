"""Encoded records on disk: written once while the source streams by, read in chunks as often as marginals are asked for.

One file per attribute, of its smallest integer type. The files have no name (they are unlinked as soon as they are open),
so that a killed process leaves no private bytes behind, and nobody else can open them.
"""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from dpsynth.domain import Domain
from dpsynth.errors import CapacityError, is_full
from dpsynth.records import Records, code_dtype

CHUNK = 1 << 19
"""Records that are read and counted at once."""


class Column:
    """A file of numbers of one type, without a name. `folder`: where it lies (the system's temporary folder); `paid`: what
    it is written for has been reserved."""

    def __init__(self, kind: Any, folder: Path | None = None, *, paid: bool = False) -> None:
        self.kind = np.dtype(kind)
        self.rows = 0
        self._folder, self._paid = folder, paid
        try:
            self._file: IO[bytes] = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115
        except OSError as error:
            raise self._no_room(error) from None

    def append(self, values: NDArray[Any]) -> None:
        """CapacityError C170 when the disk is full."""
        data = np.ascontiguousarray(values, dtype=self.kind).view(np.uint8).data
        try:
            while len(data):
                data = data[self._file.write(data) :]
        except OSError as error:
            raise self._no_room(error) from None
        self.rows += len(values)

    def read(self, first: int, rows: int) -> NDArray[Any]:
        """The numbers from `first` on, at most `rows`, shape (rows,). Private memory, not a map of the file: what is read
        is let go of again."""
        found = np.empty(max(0, min(rows, self.rows - first)), dtype=self.kind)
        if not len(found):
            return found
        self._file.seek(first * self.kind.itemsize)
        left = found.view(np.uint8).data
        while len(left):
            read = self._file.readinto(left)  # type: ignore[attr-defined]
            if not read:
                raise OSError("a spooled column is shorter than was written")
            left = left[read:]
        return found

    def _no_room(self, error: OSError) -> CapacityError:
        why = "the disk is full" if is_full(error) else error.strerror or "it cannot be written to"
        # a file for each column
        more = "allow more open files with ulimit -n 4096, or " if error.errno == errno.EMFILE else ""
        spent = "what was reserved stays spent" if self._paid else "nothing was spent"
        return CapacityError(
            "C170",
            f"no room for the encoded rows in {self._folder or tempfile.gettempdir()} ({why})",
            f"{more}free some space, or set TMPDIR to a folder on a larger disk; {spent}",
        )

    def __len__(self) -> int:
        return self.rows

    def __reduce__(self) -> str:
        raise TypeError("spooled columns are private: they cannot be pickled or copied")


class Spool:
    """Records of one domain, column by column."""

    def __init__(
        self,
        domain: Domain,
        folder: Path | None = None,
        columns: Mapping[str, Column] | None = None,
        *,
        paid: bool = False,
    ) -> None:
        """`columns`: those of some attributes, where they are on disk already; `paid`: as for these."""
        self.domain, self.folder, there = domain, folder, columns or {}
        sizes = zip(domain.attributes, domain.sizes, strict=True)
        self._columns = tuple(
            there.get(a) or Column(code_dtype(size), folder, paid=paid) for a, size in sizes
        )

    def column(self, attribute: str) -> Column:
        return self._columns[self.domain.index(attribute)]

    def append(self, records: Records) -> None:
        """ValueError for records of another domain; CapacityError C170 when the disk is full."""
        if records.domain != self.domain:
            raise ValueError("the records are of another domain")
        for column, codes in zip(self._columns, records.columns, strict=True):
            column.append(codes)

    def __len__(self) -> int:
        return self._columns[0].rows if self._columns else 0

    def chunks(self, attributes: Sequence[str], rows: int = CHUNK) -> Iterator[Records]:
        """All records, at most `rows` at a time, with these attributes only."""
        for first in range(0, len(self), rows):
            yield self.part(attributes, first, rows)

    def part(self, attributes: Sequence[str], first: int, rows: int) -> Records:
        """Records `first`, `first` + 1, ..., at most `rows`."""
        found = tuple(self._columns[self.domain.index(a)].read(first, rows) for a in attributes)
        return Records(self.domain.project(attributes), found)
