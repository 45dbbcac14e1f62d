"""What an intake leaves that does not hold all rows in memory: the engine over the bounded training records, a sample of
the rows, and the door. One for rows on this machine's disk and on a cluster."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Generic, Protocol, Self, TypeVar

from dpsynth.domain import Domain
from dpsynth.engines.base import Engine
from dpsynth.entropy import Stream
from dpsynth.privacy.curator import Curator
from dpsynth.privacy.ledger import Run
from dpsynth.schema import Schema
from dpsynth.table import Table, joined


class Sketched(Protocol):
    """Rows chosen by a keyed hash of what is in them."""

    @property
    def rows(self) -> Table: ...

    def thinned(self, rows: Table) -> Table:
        """Of another table the rows that would have been chosen."""
        ...


class Recodable(Engine, Protocol):
    """An engine whose columns may still be to be discovered."""

    def recoded(self, schema: Schema) -> Self:
        """The same records under a schema that knows them."""
        ...


Behind = TypeVar("Behind", bound=Recodable)


@dataclass(frozen=True, eq=False, kw_only=True)
class SampledIntake(Generic[Behind]):
    """Private: the engine over the bounded training records, and a sample of the rows of both parts.

    `training`, `holdout`: rows of some units, drawn by secret coins, for internal comparisons (attacks, evaluation); nothing
    computed from them may be released. `fingerprint`: 32 bytes by which the whole table is known again. `run_key`: by which
    all of it was chosen. `keep`: how many units of each part the sample was to have. `sketch`: rows to compare another table
    with, if asked for. `planned`: the sizes that the plan was made with, where they were to be discovered.
    """

    engine: Behind
    training: Table
    holdout: Table
    fingerprint: bytes
    rows: int
    stream: Stream
    run_key: bytes = field(repr=False)
    keep: int
    sketch: Sketched | None = None
    planned: Domain | None = None

    @property
    def both(self) -> Table:
        """The sample of both parts."""
        return joined([self.training, self.holdout])

    def curator(self, run: Run) -> Curator:
        """The door to the training records; a seeded stream taints the run for ever."""
        if self.stream.seeded:
            run.taint()
        return Curator(self.engine, run, self.stream, planned=self.planned)

    def recoded(self, schema: Schema) -> Self:
        """The same split under a schema that knows what was to be discovered."""
        training, holdout = self.training.under(schema), self.holdout.under(schema)
        return replace(self, engine=self.engine.recoded(schema), training=training, holdout=holdout)

    def note(self, holdout: float) -> dict[str, Any]:
        """What finds the same sample in the same table again, for an audit later. Private: it says who was held out.

        `probability`: of each unit's coin; `run_key`: by which coins fell; `keep`: how many units were asked for.
        """
        return {
            "probability": holdout,
            "table_sha256": self.fingerprint.hex(),
            "run_key": self.run_key.hex(),
            "keep": self.keep,
            "sample_of_units": {"training": units_in(self.training), "holdout": units_in(self.holdout)},
        }

    def __reduce__(self) -> str:
        raise TypeError("an intake holds private rows: it cannot be pickled or copied")


def units_in(rows: Table) -> int:
    return len(rows) if rows.units is None or rows.unit_labels is None else len(rows.unit_labels)
