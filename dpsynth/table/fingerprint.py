"""One number for all values of a table, by which a ledger knows it again, in however many batches it was read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from dpsynth.table.core import Table


def digest(table: Table) -> bytes:
    """SHA-256 of a table's values; of private rows it goes into the ledger under a secret key only."""
    whole = Fingerprint()
    whole.update(table)
    return whole.digest()


class Fingerprint:
    """The `digest` of a table that comes batch by batch: each column's values, one batch behind the other."""

    def __init__(self) -> None:
        self._columns: dict[str, Any] = {}

    def update(self, table: Table) -> None:
        """The next rows."""
        for name, values in _columns(table):
            own = self._columns.setdefault(name, hashlib.sha256())
            own.update(np.ascontiguousarray(values).view(np.uint8).data)

    def digest(self) -> bytes:
        """Of all rows so far, 32 bytes."""
        total = hashlib.sha256()
        for name, own in self._columns.items():
            total.update(hashlib.sha256(name.encode()).digest() + own.digest())
        return total.digest()


def _columns(table: Table) -> Iterator[tuple[str, Any]]:
    """Arrays that say everything of each row by itself, under names that differ."""
    for name, values in table.values.items():
        gone = table.missing.get(name)
        if name in table.words:
            yield from _texts(name, table.words[name][values])
        elif values.dtype == object:
            yield from _texts(name, values)
        else:
            yield f"={name}", values if gone is None else np.where(gone, 0, values).astype(values.dtype)
        if gone is not None:
            yield f"?{name}", gone
    if table.units is not None and table.unit_labels is not None:
        column = table.schema.unit.column
        if column not in table.values:
            yield from _texts(f"unit {column}", table.unit_labels[table.units])


def _texts(name: str, texts: Any) -> Iterator[tuple[str, Any]]:
    """Their lengths (-1 for none) and their bytes."""
    array = pa.array(texts, pa.large_string(), from_pandas=True)
    ends = np.frombuffer(array.buffers()[1], dtype=np.int64)[: len(array) + 1]
    data = array.buffers()[2]
    lengths = np.where(np.asarray(array.is_null()), -1, np.diff(ends))
    yield f"#{name}", lengths
    yield f'"{name}', np.frombuffer(data or b"", dtype=np.uint8)[: int(ends[-1])]
