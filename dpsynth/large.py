"""Tables larger than memory: streamed once through DuckDB, encoded to disk, and fitted behind the same door."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from dpsynth import discovering
from dpsynth.constraining import BrokenBySource, refusal
from dpsynth.constraints import Rules
from dpsynth.errors import UsageError
from dpsynth.model import FittedModel
from dpsynth.prior import Prior
from dpsynth.privacy.ledger import Run
from dpsynth.privacy.sampled_intake import SampledIntake
from dpsynth.privacy.stream_intake import Rules as Split
from dpsynth.privacy.stream_intake import StreamIntake, sampled_again, take_in_stream
from dpsynth.progress import Progress, silent
from dpsynth.schema import Schema
from dpsynth.synthesis import Plan, fit_behind, unit_keys, unit_of
from dpsynth.table import Table
from dpsynth.table.scanning import scan

SAMPLE = 30_000
"""About how many units of the training part, and of the held-out part, attacks and evaluation look at."""

Sampled = TypeVar("Sampled", bound=SampledIntake[Any])


def take_in_large(
    source: Any,
    schema: Schema,
    *,
    holdout: float,
    despite: bool = False,
    keep: int = SAMPLE,
    folder: Path | None = None,
    compared: bool = False,
    progress: Progress = silent,
) -> StreamIntake:
    """The source, checked row by row, bounded and split; releases nothing and costs nothing.

    `source`: csv or parquet files, the address of a table in a database, or a DuckDB relation. `despite`: rows may break
    the schema's constraints. `folder`: for the encoded rows, about one byte for each value (and four times as much, for a
    while, where units have several rows). `compared`: a public table will be compared with these rows.

    Raises DataError for rows that do not fit or break a constraint, CapacityError when the disk is full.
    """
    tables = _told(_kept_rules(scan(source, schema), schema, despite), progress)
    return take_in_stream(tables, _rules(schema, holdout, keep), folder=folder, compared=compared)


def _rules(schema: Schema, holdout: float, keep: int) -> Split:
    nameless = itertools.count()
    ranked = discovering.ranked if schema.unknown else None
    return Split(schema, holdout, lambda table: unit_keys(table, nameless), keep, ranked)


def fit_large_reserved(
    intake: Sampled,
    schema: Schema,
    preview: Plan,
    run: Run,
    *,
    prior: Prior | None = None,
    progress: Progress = silent,
) -> tuple[FittedModel, Sampled]:
    """As `fit_reserved`, for rows that were taken in before, here or on a cluster. ValueError when the plan is for another
    unit."""
    if unit_of(schema) != preview.unit:
        raise ValueError("the table's unit is not the plan's")
    if preview.searches:
        schema = discovering.answered(schema, intake.curator(run), preview.searches)
        intake = intake.recoded(schema)
    model = fit_behind(intake.curator(run), schema, preview, run, prior=prior, progress=progress)
    return model, intake


def sample_again(
    source: Any, schema: Schema, note: Mapping[str, Any], *, progress: Progress = silent
) -> tuple[Table, Table]:
    """Training and held-out rows of the sample that an intake's `note` tells of, in one pass over its table.

    Raises UsageError U294 for another table, U213 for a note that does not say how rows were chosen.
    """
    try:
        run_key, keep = bytes.fromhex(note["run_key"]), int(note["keep"])
    except (KeyError, ValueError, TypeError):
        raise UsageError(
            "U213",
            "the fit left no note by which its sample of units could be found again",
            "dpsynth run attacks with that sample; or give --train and --holdout",
        ) from None
    rules = _rules(schema, note["probability"], keep)
    training, holdout, fingerprint = sampled_again(_told(scan(source, schema), progress), rules, run_key)
    if fingerprint.hex() != note.get("table_sha256"):
        raise UsageError(
            "U294", "the hold-out file belongs to another table", "give the table that was fitted, unchanged"
        )
    return training, holdout


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
