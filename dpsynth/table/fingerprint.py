"""One number for all values of a table, by which a ledger knows it again."""

from __future__ import annotations

import hashlib

import numpy as np

from dpsynth.table.core import Table


def digest(table: Table) -> bytes:
    """SHA-256 of a table's values; of private rows it goes into the ledger under a secret key only."""
    total = hashlib.sha256()
    for name, column in table.values.items():
        total.update(name.encode())
        if name in table.words:
            total.update("\x1f".join(map(str, table.words[name])).encode())
        if column.dtype == object:
            total.update("\x1f".join(map(str, column)).encode())
        else:
            filled = (
                np.where(table.missing[name], 0, column).astype(column.dtype)
                if name in table.missing
                else column
            )
            total.update(filled.tobytes())
        if name in table.missing:
            total.update(table.missing[name].tobytes())
    if (
        table.units is not None
        and table.unit_labels is not None
        and table.schema.unit.column not in table.values
    ):
        total.update("\x1f".join(str(label) for label in table.unit_labels).encode() + table.units.tobytes())
    return total.digest()
