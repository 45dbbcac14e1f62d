"""Tables on a Spark cluster: taken in there, fitted behind the same door."""

from __future__ import annotations

from typing import Any

from dpsynth.errors import SchemaError
from dpsynth.model import FittedModel
from dpsynth.privacy.ledger import Ledger, Run
from dpsynth.privacy.spark_intake import SparkIntake, take_in_spark
from dpsynth.progress import Progress, silent
from dpsynth.schema import Schema
from dpsynth.spark_jobs import Jobs
from dpsynth.spark_session import is_frame, session, session_of
from dpsynth.spark_source import find
from dpsynth.synthesis import Plan, fit_behind, unit_of

SAMPLE = 30_000
"""About how many units of the training part, and of the held-out part, attacks and evaluation look at."""

__all__ = ["fit_spark", "fit_spark_reserved", "session", "take_in_cluster"]


def take_in_cluster(
    source: Any,
    schema: Schema,
    *,
    holdout: float,
    despite: bool = False,
    keep: int = SAMPLE,
    progress: Progress = silent,
) -> SparkIntake:
    """The source, checked row by row, bounded and split by the executors of a Spark session: a DataFrame's own, else the
    running one, else a new one. Releases nothing and costs nothing.

    `source`: as for `dpsynth.spark_source.find`. `despite`: rows may break the schema's constraints. The encoded rows stay
    with the executors, about one byte for each value, until the result is let go of.

    Raises DataError for rows that do not fit or break a constraint, SchemaError for a column that is still to be
    discovered (S154), UsageError and CapacityError where Spark cannot do it.
    """
    if schema.unknown:
        raise SchemaError(
            "S154",
            f"column '{next(iter(schema.unknown))}' is to be discovered, which a table on a cluster cannot be yet",
            "declare its values or bounds, or discover them in a part of the table that fits into memory",
        )
    there = session_of(source) if is_frame(source) else session()
    jobs = Jobs(there, progress)
    found = find(source, schema, there, despite=despite)
    return take_in_spark(
        found.frame,
        found.reader,
        jobs,
        rows_per_unit=schema.unit.rows_per_unit,
        by_unit=schema.unit.column is not None,
        holdout=holdout,
        keep=keep,
    )


def fit_spark_reserved(
    intake: SparkIntake, schema: Schema, preview: Plan, run: Run, *, progress: Progress = silent
) -> FittedModel:
    """As `fit_reserved`, for rows that were taken in before. ValueError when the plan is for another unit."""
    if unit_of(schema) != preview.unit:
        raise ValueError("the table's unit is not the plan's")
    return fit_behind(intake.curator(run), schema, preview, run, progress=progress)


def fit_spark(
    source: Any, schema: Schema, preview: Plan, ledger: Ledger, *, despite: bool, progress: Progress
) -> FittedModel:
    """Take in, reserve, fit: what `dpsynth.fit` does with a DataFrame of Spark."""
    intake = take_in_cluster(source, schema, holdout=0.0, despite=despite, keep=1, progress=progress)
    with ledger.reserve(
        f"fit {preview.method}",
        preview.charges,
        preview.budget,
        fingerprint=intake.fingerprint,
        unit=preview.unit,
    ) as run:
        return fit_spark_reserved(intake, schema, preview, run, progress=progress)
