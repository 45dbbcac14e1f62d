"""What the tests on a Spark session have in common."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from click.testing import Result
from typer.testing import CliRunner

from dpsynth.cli.app import app
from dpsynth.encoding import Encoding
from dpsynth.entropy import Stream
from dpsynth.privacy.spark_intake import Asked, SparkIntake, take_in_spark
from dpsynth.schema import Schema
from dpsynth.spark_jobs import Jobs
from dpsynth.spark_source import find
from dpsynth.table import Table


def on_cluster(
    source: Any, schema: Schema, spark: Any, keep: int = 10_000, holdout: float = 0.25
) -> SparkIntake:
    found = find(source, schema, spark)
    asked = Asked(schema.unit.rows_per_unit, schema.unit.column is not None, holdout, keep)
    return take_in_spark(found.frames, found.reader, Jobs(spark), asked, stream=Stream.for_tests(b"split"))


def rows_of(table: Table) -> Counter[tuple[Any, ...]]:
    """Encoded rows with the name of their unit."""
    records = Encoding(table.schema).encode(table).matrix().tolist()
    if table.units is None or table.unit_labels is None:
        return Counter(map(tuple, records))
    return Counter((table.unit_labels[unit], *row) for unit, row in zip(table.units, records, strict=True))


def run_there(project: Path, out: Path) -> Result:
    """`dpsynth run` on the session of the tests."""
    words = ["run", str(project), "-o", str(out), "--engine", "spark", "--master", "local[2]", "--json"]
    return CliRunner().invoke(app, words)
