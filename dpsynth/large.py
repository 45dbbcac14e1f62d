"""Tables larger than memory: streamed once through DuckDB, encoded to disk, and fitted behind the same door."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dpsynth.constraining import BrokenBySource, refusal
from dpsynth.constraints import Rules
from dpsynth.encoding import Encoding
from dpsynth.errors import SchemaError
from dpsynth.model import FittedModel
from dpsynth.privacy.ledger import Run
from dpsynth.privacy.stream_intake import StreamIntake, take_in_stream
from dpsynth.progress import Progress, silent
from dpsynth.schema import Schema
from dpsynth.synthesis import Plan, fit_behind, unit_keys, unit_of
from dpsynth.table import Table
from dpsynth.table.fingerprint import digest
from dpsynth.table.scanning import scan

SAMPLE = 30_000
"""About how many units of the training part, and of the held-out part, attacks and evaluation look at."""


def take_in_large(
    source: Any,
    schema: Schema,
    *,
    holdout: float,
    despite: bool = False,
    keep: int = SAMPLE,
    folder: Path | None = None,
    progress: Progress = silent,
) -> StreamIntake:
    """The source, checked row by row, bounded and split; releases nothing and costs nothing.

    `source`: csv or parquet files or a DuckDB relation. `despite`: rows may break the schema's constraints. `folder`: for
    the encoded rows, about one byte for each value (and four times as much, for a while, where units have several rows).

    Raises DataError for rows that do not fit or break a constraint, SchemaError for a column that is still to be
    discovered (S153), CapacityError when the disk is full.
    """
    if schema.unknown:
        raise SchemaError(
            "S153",
            f"column '{next(iter(schema.unknown))}' is to be discovered, which a streamed table cannot be yet",
            "declare its values or bounds, or discover them in a part of the table that fits into memory",
        )
    nameless = itertools.count()
    return take_in_stream(
        _told(_kept_rules(scan(source, schema), schema, despite), progress),
        Encoding(schema).domain,
        rows_per_unit=schema.unit.rows_per_unit,
        holdout=holdout,
        units_of=lambda table: unit_keys(table, nameless),
        digest=digest,
        keep=keep,
        folder=folder,
    )


def fit_large_reserved(
    intake: StreamIntake, schema: Schema, preview: Plan, run: Run, *, progress: Progress = silent
) -> FittedModel:
    """As `fit_reserved`, for rows that were taken in before. ValueError when the plan is for another unit."""
    if unit_of(schema) != preview.unit:
        raise ValueError("the table's unit is not the plan's")
    return fit_behind(intake.curator(run), schema, preview, run, progress=progress)


def _kept_rules(tables: Iterator[Table], schema: Schema, despite: bool) -> Iterator[Table]:
    """The tables; DataError (D212) at the first of them that breaks a constraint."""
    rules, first = Rules.of(schema), 0
    for table in tables:
        broken = {} if despite else rules.broken(table)
        if broken:
            raise refusal(
                [
                    BrokenBySource(
                        n, schema.constraints[n - 1].words, len(rows), f"row {first + int(rows[0]) + 1}"
                    )
                    for n, rows in broken.items()
                ]
            )
        yield table
        first += len(table)


def _told(tables: Iterator[Table], progress: Progress) -> Iterator[Table]:
    """How many rows have been read; how many there are is not known before the end."""
    rows = 0
    for table in tables:
        yield table
        rows += len(table)
        progress(f"reading ({rows:,} rows)", 0.0)
    progress("reading", 1.0)
