"""Rows of which some columns are given: kept exactly as they are, the others drawn from the model given them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpsynth.encoding import Encoding
from dpsynth.errors import DataError, UsageError
from dpsynth.model.finishing import Finishing
from dpsynth.pgm.completing import Conditioned, Impossible, complete
from dpsynth.records import Records
from dpsynth.schema import Schema
from dpsynth.table import Source, Table, read_table
from dpsynth.table.sources import header

Integers = NDArray[np.int64]

BLOCK = 1 << 20
"""Rows completed together. Part of what a seed means."""

DECODED = 1 << 18
"""Rows decoded together: bounds the memory of a stream. Part of what a seed means."""


@dataclass(frozen=True, eq=False)
class Partial:
    """`given`: the rows with the columns that they have; `cells`: of its modelled columns; `unknown`: where a cell of one
    is to be drawn nevertheless (all False but where missing values are filled)."""

    given: Table
    cells: Records
    unknown: dict[str, NDArray[np.bool_]]

    @classmethod
    def read(cls, source: Source, schema: Schema, *, fill_missing: bool = False) -> Partial:
        """`fill_missing`: a missing value is one to be drawn; otherwise it is known to be missing.

        Raises DataError as `read_table`, UsageError (U235) for rows without any modelled column.
        """
        names = set(header(source, schema.csv))
        columns = {name: column for name, column in schema.columns.items() if name in names}
        if not any(column.modelled for column in columns.values()):
            raise UsageError(
                "U235",
                "no column of these rows is modelled",
                "name columns as the schema does, in a header line",
            )
        if fill_missing:
            columns = {
                name: column.model_copy(update={"missing": True}) if column.modelled else column
                for name, column in columns.items()
            }
        own = Schema(columns=columns, missing_values=schema.missing_values, csv=schema.csv)
        table = read_table(source, own, require_unit=False)
        unknown = {name: gone & fill_missing for name, gone in table.missing.items()}
        return cls(table, Encoding(own).encode(table), unknown)

    def __len__(self) -> int:
        return len(self.given)

    @property
    def filled(self) -> frozenset[str]:
        """The columns of which some values are drawn."""
        return frozenset(name for name, cells in self.unknown.items() if cells.any())

    def completed(
        self, model: Conditioned, finishing: Finishing, rng: np.random.Generator
    ) -> Iterator[Table]:
        """The rows in their order, in batches. DataError (D160) for rows that the model gives no chance."""
        first_id = 1
        for start in range(0, len(self), BLOCK):
            records = self._records(model, start, min(start + BLOCK, len(self)), rng)
            for low in range(0, len(records), DECODED):
                some = records.take(slice(low, low + DECODED))
                rows = slice(start + low, start + low + len(some))
                # given values take their place before constraints look at the row
                given = {name: ~self.unknown[name][rows] for name in self.filled}
                made = finishing.rows(some, rng, first_id, kept=partial(self._kept, rows=rows), given=given)
                yield self._kept(made, rows)
                first_id += len(some)

    def _records(self, model: Conditioned, start: int, end: int, rng: np.random.Generator) -> Records:
        """Rows that know the same columns are completed together."""
        names = self.cells.domain.attributes
        open_cells = np.stack([self.unknown[name][start:end] for name in names], axis=1)
        patterns, number = np.unique(open_cells, axis=0, return_inverse=True)
        number = number.reshape(-1)
        found: dict[str, Integers] = {a: np.zeros(end - start, np.int64) for a in model.domain.attributes}
        excluded = []
        for i, pattern in enumerate(patterns):
            rows = np.flatnonzero(number == i)
            known = {
                a: self.cells[a][start + rows] for a, gone in zip(names, pattern, strict=True) if not gone
            }
            try:
                drawn = complete(model, known, rng) if known else model.sample(len(rows), rng)
            except Impossible as error:
                excluded.append(rows[error.rows])
                continue
            for attribute, codes in found.items():
                codes[rows] = drawn[attribute]
        if excluded:
            raise _impossible(start + np.sort(np.concatenate(excluded)))
        return Records.of(model.domain, found)

    def _kept(self, table: Table, rows: slice) -> Table:
        """The drawn rows with what was given in its place."""
        values: dict[str, Any] = dict(table.values)
        missing = dict(table.missing)
        for name, array in self.given.values.items():
            if name not in self.unknown:
                values[name] = array[rows]
                continue
            kept = ~self.unknown[name][rows]
            values[name] = np.where(kept, array[rows], values[name]).astype(values[name].dtype)
            missing[name] = np.where(kept, self.given.missing[name][rows], missing[name])
        return replace(table, values=values, missing=missing)


def _impossible(rows: Integers) -> DataError:
    more = f" and {len(rows) - 1} more" if len(rows) > 1 else ""
    return DataError(
        "D160",
        f"row {int(rows[0]) + 1}{more}: the model holds these values together for impossible",
        "correct them, or leave out a column",
    )
