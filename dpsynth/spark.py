"""Tables on a Spark cluster: taken in there, to be fitted behind the same door (`dpsynth.large.fit_large_reserved`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dpsynth.errors import UsageError
from dpsynth.large import SAMPLE
from dpsynth.privacy.spark_intake import Asked, SparkIntake, take_in_spark
from dpsynth.progress import Progress, silent
from dpsynth.schema import Schema
from dpsynth.spark_jobs import Jobs
from dpsynth.spark_session import is_frame, session, session_of
from dpsynth.spark_source import find
from dpsynth.table import Table

__all__ = [
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
    compared: bool = False,
    progress: Progress = silent,
) -> SparkIntake:
    """The source, checked row by row, bounded and split by the executors of a Spark session: a DataFrame's own, else the
    running one, else a new one. Releases nothing and costs nothing.

    `source`: as for `dpsynth.spark_source.find`. `despite`: rows may break the schema's constraints. `compared`: a public
    table will be compared with these rows. The encoded rows stay with the executors, about one byte for each value, until
    the result is let go of.

    Raises DataError for rows that do not fit or break a constraint, UsageError and CapacityError where Spark cannot do it.
    """
    unit = schema.unit
    asked = Asked(unit.rows_per_unit, unit.column is not None, holdout, keep, compared)
    return _taken(source, schema, asked, despite, progress)


def _taken(source: Any, schema: Schema, asked: Asked, despite: bool, progress: Progress) -> SparkIntake:
    there = session_of(source) if is_frame(source) else session()
    jobs = Jobs(there, progress)
    # Spark reads the columns of parquet files by a job
    found = jobs.run(lambda: find(source, schema, there, despite=despite), "reading on the cluster", {})
    return take_in_spark(found.frames, found.reader, jobs, asked)


def sample_there_again(
    source: Any, schema: Schema, note: Mapping[str, Any], *, progress: Progress = silent
) -> tuple[Table, Table]:
    """Training and held-out rows of the sample that an intake's `note` tells of.

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
    unit = schema.unit
    asked = Asked(unit.rows_per_unit, unit.column is not None, probability, keep, again=run_key)
    taken = _taken(source, schema, asked, True, progress)
    if taken.fingerprint.hex() != note.get("table_sha256"):
        raise UsageError(
            "U321", "the hold-out file is about another table on a cluster", "give the table that was fitted"
        )
    if note.get("chunks_sha256") not in (None, taken.note(probability)["chunks_sha256"]):
        raise UsageError(
            "U322",
            "the rows lie in other partitions than when they were fitted, and their coins were thrown by place",
            "use the same cluster and settings; a declared unit does not depend on them",
        )
    return taken.training, taken.holdout
