"""A real table with synthetic rows added, so that rare classes become frequent. The result holds private rows.

It is for internal use only: whoever gets it gets every real row. Each row says in a column of its own where it comes from.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dpsynth.columns import CategoryColumn, IdColumn
from dpsynth.encoding import Encoding
from dpsynth.errors import CapacityError, UsageError
from dpsynth.model import Drawable
from dpsynth.model.drawing import decoded
from dpsynth.model.finishing import Finishing
from dpsynth.model.groups import Balance, Groups
from dpsynth.records import Records
from dpsynth.schema import Schema
from dpsynth.table import Source, Table, joined, read_table

Integers = NDArray[np.int64]

LABEL = "row_origin"
REAL, SYNTHETIC = "real (private)", "synthetic"
NOTE = "internal: holds private rows, must not be shared"

MOST_TIMES = 100
"""At most so many times as many rows as the real table has are added."""

BATCH = 1 << 18


@dataclass(frozen=True, eq=False)
class Augmented:
    """A real table and what is to be drawn beside it. Private."""

    real: Table
    source: Drawable
    groups: Groups | None
    """Which rows are added, with shares among the added rows; None for none."""
    added: int
    schema: Schema
    """The model's, with the column `label`."""
    label: str

    @classmethod
    def of(cls, data: Source, source: Drawable, balance: Balance, label: str = LABEL) -> Augmented:
        """All real rows, and as few synthetic ones as give the groups their shares in the whole.

        Real rows that are in no group stay and count for nothing. Raises DataError for rows that do not fit the
        schema, UsageError for groups (U231 to U234) and for a label that is a column (U246), CapacityError (C161) for
        more than `MOST_TIMES` times as many rows.
        """
        if label in source.schema.columns:
            raise UsageError(
                "U246", f"there is a column {label!r} already", "name the label otherwise (--label)"
            )
        encoding = Encoding(source.schema)
        real = read_table(data, source.schema, require_unit=False)
        groups = Groups.of(balance, encoding)
        lacking = _lacking(_counts(encoding.encode(real), groups), groups.shares)
        added = int(lacking.sum())
        if added > MOST_TIMES * len(real):
            raise CapacityError(
                "C161",
                f"{added:,} rows would have to be added to a table, more than {MOST_TIMES} times as many as it has",
                "ask for milder shares",
            )
        some = groups.only(lacking) if added else None
        if some is not None:
            some.require_mass(source.generator, encoding)
        columns = {**source.schema.columns, label: CategoryColumn(values=(REAL, SYNTHETIC))}
        return cls(real, source, some, added, Schema(columns=columns, **_forms(source.schema)), label)

    def tables(self, rng: np.random.Generator | None = None) -> Iterator[Table]:
        """The real rows in their order, then the synthetic ones in random order, in batches."""
        for start in range(0, len(self.real), BATCH):
            yield self._labelled(self.real.take(slice(start, start + BATCH)), 0)
        if self.groups is None:
            return
        source = np.random.default_rng() if rng is None else rng
        finishing = Finishing(Encoding(self.source.schema))
        records = self.groups.records(self.source.generator, self.added, source)
        first_id = _free_id(self.source.schema, self.real)
        for table in decoded(finishing, records, source, first_id):
            yield self._labelled(table, 1)

    def _labelled(self, table: Table, origin: int) -> Table:
        rows = len(table)
        return replace(
            table,
            schema=self.schema,
            values={**table.values, self.label: np.full(rows, origin, np.int32)},
            missing={**table.missing, self.label: np.zeros(rows, bool)},
            units=None,
            unit_labels=None,
        )


def augment(
    data: Source,
    source: Drawable,
    balance: Balance,
    *,
    rng: np.random.Generator | None = None,
    label: str = LABEL,
) -> pd.DataFrame:
    """The rows of `data` and, drawn from `source`, as few synthetic ones as give the groups of `balance` (as in
    `FittedModel.sample`) their shares in the whole. Costs nothing.

    The column `label` says of each row whether it is real. The result holds every private row: it must not be shared.
    Errors as `Augmented.of`.
    """
    return joined(list(Augmented.of(data, source, balance, label).tables(rng))).to_frame()


def require_internal(out: Path) -> None:
    """Raises UsageError (U247) for a place from which files are shared: the public part of a release, or a folder
    of that name."""
    folder = out.resolve().parent
    if "public" in folder.parts or (folder / "manifest.json").exists():
        raise UsageError(
            "U247", f"{folder} is a place for public files, and these rows are private", "write it elsewhere"
        )


def _forms(schema: Schema) -> Mapping[str, Any]:
    return {"missing_values": schema.missing_values, "csv": schema.csv}


def _counts(records: Records, groups: Groups) -> Integers:
    """How many records each group has."""
    sizes = [records.domain[a] for a in groups.columns]
    whole = np.bincount(
        np.ravel_multi_index([records[a].astype(np.intp) for a in groups.columns], sizes),
        minlength=math.prod(sizes),
    )
    return np.asarray(whole[np.ravel_multi_index(tuple(groups.cells.T), sizes)], dtype=np.int64)


def _lacking(there: Integers, shares: NDArray[np.float64]) -> Integers:
    """The fewest rows to add to each group so that each has its share: the group that is most frequent already, beside
    its share, gets none."""
    total = float((there / shares).max())
    wanted: Integers = np.rint(total * shares).astype(np.int64)
    lacking: Integers = np.maximum(wanted - there, 0)
    return lacking


def _free_id(schema: Schema, real: Table) -> int:
    """The first number from which on no made-up id is a real one."""
    highest = 0
    for name, column in schema.columns.items():
        if isinstance(column, IdColumn) and name in real.values:
            before, after = re.split("#+", column.format)
            form = re.compile(re.escape(before) + r"(\d{1,18})" + re.escape(after))
            found = (form.fullmatch(text) for text in real.values[name].tolist() if text is not None)
            highest = max([highest, *(int(match[1]) for match in found if match)])
    return highest + 1
