"""The private rows of one run, checked before anything is spent, wherever they are: in memory, or on disk."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from dpsynth.auditing import Private, held_out, require_enough
from dpsynth.constraining import require_source
from dpsynth.errors import UsageError
from dpsynth.large import fit_large_reserved, sample_again, take_in_large
from dpsynth.model import FittedModel
from dpsynth.prior import Prior, PriorFile
from dpsynth.privacy.curator import Curator
from dpsynth.privacy.ledger import Run
from dpsynth.privacy.sampled_intake import SampledIntake
from dpsynth.progress import Progress
from dpsynth.schema import Schema
from dpsynth.spark import sample_there_again, take_in_cluster
from dpsynth.synthesis import Plan, fit_reserved
from dpsynth.table import Source, Table, read_table
from dpsynth.table.fingerprint import digest

MEMORY, DUCKDB, SPARK = "memory", "duckdb", "spark"
ENGINES = (MEMORY, DUCKDB, SPARK)


@dataclass(frozen=True, eq=False)
class Behind:
    """A fitted model with what is private about its fit: the door to its rows, the rows of both parts (or a sample of
    them), and a note of who was held out."""

    model: FittedModel
    door: Callable[[Run], Curator]
    private: Private
    held_out: dict[str, Any]


class Taken(Protocol):
    """Rows that fit their schema. Nothing of them has been released."""

    @property
    def fingerprint(self) -> bytes:
        """SHA-256 of the table."""
        ...

    def require_enough(self, holdout: float) -> None:
        """Refuse a table so small that no attack could run: AuditError A323."""
        ...

    def about(self) -> tuple[int, int]:
        """About how many rows and units there are. Private: it decides whether a run is refused, and nothing else."""
        ...

    def prior(self, wanted: PriorFile | None) -> Prior | None:
        """A public table to begin from, compared with these rows: it must be another one."""
        ...

    def fit(
        self, preview: Plan, run: Run, holdout: float, prior: Prior | None, progress: Progress
    ) -> Behind: ...


def take(
    source: Source,
    schema: Schema,
    *,
    engine: str,
    holdout: float,
    despite: bool,
    progress: Progress,
    compared: bool = False,
) -> Taken:
    """Read and check `source`; each unit is held out with probability `holdout`. `despite`: rows may break constraints.
    `compared`: a public table will be compared with the rows.

    Raises DataError for rows that do not fit, UsageError U214 for an unknown engine, and what `scan` raises.
    """
    if engine == MEMORY:
        table = read_table(source, schema)
        require_source(table, source, schema, despite=despite)
        return InMemory(table, source)
    if engine == DUCKDB:
        intake = take_in_large(
            source, schema, holdout=holdout, despite=despite, compared=compared, progress=progress
        )
        return Streamed(schema, intake, holdout, source)
    if engine == SPARK:
        taken = take_in_cluster(
            source, schema, holdout=holdout, despite=despite, compared=compared, progress=progress
        )
        return Streamed(schema, taken, holdout, source)
    raise UsageError("U214", f"there is no engine {engine!r}", f"choose one of {', '.join(ENGINES)}")


@dataclass(frozen=True, eq=False)
class InMemory:
    """A whole table."""

    table: Table
    source: Source

    @property
    def fingerprint(self) -> bytes:
        return digest(self.table)

    def require_enough(self, holdout: float) -> None:
        require_enough(self.table, holdout)

    def about(self) -> tuple[int, int]:
        return _bounded_rows(self.table)

    def prior(self, wanted: PriorFile | None) -> Prior | None:
        return None if wanted is None else wanted.beside(self.table, self.source)

    def fit(self, preview: Plan, run: Run, holdout: float, prior: Prior | None, progress: Progress) -> Behind:
        model, intake = fit_reserved(
            self.table, preview, run, holdout=holdout, prior=prior, progress=progress
        )
        private = Private.of(self.table.under(model.schema), intake)
        return Behind(model, intake.curator, private, held_out(self.table, intake, holdout))


@dataclass(frozen=True, eq=False)
class Streamed:
    """Encoded rows on disk or on a cluster, bounded and split as they came by; of the rows themselves a sample."""

    schema: Schema
    intake: SampledIntake[Any]
    holdout: float
    source: Source

    @property
    def fingerprint(self) -> bytes:
        return self.intake.fingerprint

    def require_enough(self, holdout: float) -> None:
        require_enough(self.intake.both, holdout)

    def about(self) -> tuple[int, int]:
        sampled, units = _bounded_rows(self.intake.both)
        return self.intake.rows, math.ceil(self.intake.rows * units / max(1, sampled))

    def prior(self, wanted: PriorFile | None) -> Prior | None:
        if wanted is None:
            return None
        sketch = self.intake.sketch
        if sketch is None:
            raise ValueError("the rows were taken in without a sketch to compare a public table with")
        return wanted.beside(sketch.rows, self.source, sketch.thinned)

    def fit(self, preview: Plan, run: Run, holdout: float, prior: Prior | None, progress: Progress) -> Behind:
        if holdout != self.holdout:
            raise ValueError("the rows were split with another probability")
        model, intake = fit_large_reserved(
            self.intake, self.schema, preview, run, prior=prior, progress=progress
        )
        return Behind(
            model,
            intake.curator,
            Private(intake.training, intake.holdout, sampled=True),
            intake.note(holdout),
        )


def split_again(source: Source, schema: Schema, held_out: Mapping[str, Any]) -> Private:
    """The rows that an earlier fit's own audit compared with, as `Behind.held_out` remembers them: all, or a sample.

    Raises UsageError when it does not describe this table.
    """
    if held_out.get("engine") == SPARK:
        return Private(*sample_there_again(source, schema, held_out), sampled=True)
    if "sample_of_units" in held_out:
        return Private(*sample_again(source, schema, held_out), sampled=True)
    return Private.split_again(read_table(source, schema), held_out)


def _bounded_rows(table: Table) -> tuple[int, int]:
    """Rows that are left when no unit has more than its bound, and units."""
    if table.units is None:
        return len(table), len(table)
    held = np.unique(table.units, return_counts=True)[1]
    return int(np.minimum(held, table.schema.unit.rows_per_unit).sum()), len(held)
