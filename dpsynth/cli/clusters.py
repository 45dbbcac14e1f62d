"""Where the rows are while they are counted, as the command line has it."""

from __future__ import annotations

from dataclasses import replace

from dpsynth.errors import UsageError
from dpsynth.project import Project


def with_engine(spec: Project, engine: str | None, master: str | None) -> Project:
    """The project with the engine of the command line, and a running session where that is Spark.

    Raises UsageError: U316 for a master without Spark, and what `dpsynth.spark_session.session` raises: before a ledger is
    opened.
    """
    wanted = engine or spec.data.engine
    if wanted == "spark":
        from dpsynth.spark_session import session

        session(master)
    elif master is not None:
        raise UsageError("U316", "--master without Spark", "give --engine spark too")
    return replace(spec, data=spec.data.model_copy(update={"engine": wanted}))
