"""Where the rows are while they are counted, and who draws them, as the command line has it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from dpsynth.cli.common import Screen
from dpsynth.errors import UsageError
from dpsynth.model import Drawable, FittedModel
from dpsynth.project import Project

Master = Annotated[
    str | None,
    typer.Option(
        "--master", help="With --engine spark: local[2], spark://host:7077, yarn, ...", show_default=False
    ),
]
Drawer = Annotated[
    str | None,
    typer.Option("--engine", help="spark: a cluster draws the rows, into a folder.", show_default=False),
]
SPARK = "spark"


def with_engine(spec: Project, engine: str | None, master: str | None) -> Project:
    """The project with the engine of the command line, and a running session where that is Spark.

    Raises UsageError: U316 for a master without Spark, and what `dpsynth.spark_session.session` raises: before a ledger is
    opened.
    """
    wanted = engine or spec.data.engine
    if wanted == SPARK:
        from dpsynth.spark_session import session

        session(master)
    elif master is not None:
        raise UsageError("U316", "--master without Spark", "give --engine spark too")
    return replace(spec, data=spec.data.model_copy(update={"engine": wanted}))


def checked_there(spec: Project) -> int:
    """How many rows a table on a cluster has, each of which fits. DataError for one that does not. Releases nothing."""
    from dpsynth.spark import take_in_cluster

    taken = take_in_cluster(
        spec.source,
        spec.schema,
        holdout=0.0,
        despite=spec.data.violations == "allow",
        keep=1,
    )
    return taken.rows


def drawn_there(
    screen: Screen,
    source: Drawable,
    out: Path,
    rows: int | None,
    seed: int | None,
    engine: str | None,
    master: str | None,
    only_rows: bool,
) -> int:
    """Rows drawn and written by a cluster; how many. UsageError U317 for anything but rows of a model into a folder."""
    if engine != SPARK:
        raise UsageError(
            "U317", "rows are drawn here, or by Spark", "give --engine spark, with --master or without"
        )
    if not isinstance(source, FittedModel) or not only_rows:
        raise UsageError("U317", "Spark draws rows of a MODEL, by -n and --seed alone", "drop --engine spark")
    if out.suffix or "*" in out.name or out.name == "-":
        raise UsageError(
            "U317", "Spark writes a folder of parquet files", "name one with -o, without a suffix"
        )
    from dpsynth.spark_output import write_sample
    from dpsynth.spark_session import session

    with screen.progress() as progress:
        return write_sample(source, rows, out, session(master), seed=seed, progress=progress)
