"""Tables on a Spark cluster: taken in there, fitted behind the same door."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dpsynth.errors import SchemaError, UsageError
from dpsynth.large import units_in
from dpsynth.model import FittedModel
from dpsynth.privacy.ledger import Ledger, Run
from dpsynth.privacy.spark_intake import SparkIntake, take_in_spark
from dpsynth.progress import Progress, silent
from dpsynth.schema import Schema
from dpsynth.spark_jobs import Jobs
from dpsynth.spark_session import is_frame, session, session_of
from dpsynth.spark_source import find
from dpsynth.synthesis import Plan, fit_behind, unit_of
from dpsynth.table import Table

SAMPLE = 30_000
"""About how many units of the training part, and of the held-out part, attacks and evaluation look at."""

__all__ = [
    "fit_spark",
    "fit_spark_reserved",
    "noted_there",
    "sample_there_again",
    "session",
    "take_in_cluster",
]


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
    return _taken(source, schema, holdout, despite, keep, progress)


def _taken(
    source: Any,
    schema: Schema,
    holdout: float,
    despite: bool,
    keep: int,
    progress: Progress,
    again: bytes | None = None,
) -> SparkIntake:
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
        again=again,
    )


def noted_there(intake: SparkIntake, holdout: float) -> dict[str, Any]:
    """What finds the same sample in the same table again, for an audit later. Private: it says who was held out.

    As `dpsynth.large.noted`. `chunks_sha256`: of what lay where, if every row is a unit, whose coin is thrown by its place.
    """
    engine = intake.engine
    return {
        "engine": "spark",
        "probability": holdout,
        "table_sha256": intake.fingerprint.hex(),
        "run_key": intake.run_key.hex(),
        "keep": intake.keep,
        "chunks_sha256": None if engine.by_unit else engine.chunks.digest.hex(),
        "sample_of_units": {"training": units_in(intake.training), "holdout": units_in(intake.holdout)},
    }


def sample_there_again(
    source: Any, schema: Schema, note: Mapping[str, Any], *, progress: Progress = silent
) -> tuple[Table, Table]:
    """Training and held-out rows of the sample that a `noted_there` run has looked at.

    Raises UsageError: U320 for a note that does not say how rows were chosen, U321 for another table, U322 for rows that
    are units and lie in other partitions than they did.
    """
    try:
        run_key, keep, probability = (
            bytes.fromhex(note["run_key"]),
            int(note["keep"]),
            float(note["probability"]),
        )
    except (KeyError, ValueError, TypeError):
        raise UsageError(
            "U320",
            "the hold-out file does not say how a cluster chose its rows",
            "give --train and --holdout",
        ) from None
    taken = _taken(source, schema, probability, True, keep, progress, run_key)
    if taken.fingerprint.hex() != note.get("table_sha256"):
        raise UsageError(
            "U321", "the hold-out file is about another table on a cluster", "give the table that was fitted"
        )
    if note.get("chunks_sha256") not in (None, taken.engine.chunks.digest.hex()):
        raise UsageError(
            "U322",
            "the rows lie in other partitions than when they were fitted, and their coins were thrown by place",
            "use the same cluster and settings; a declared unit does not depend on them",
        )
    return taken.training, taken.holdout


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
