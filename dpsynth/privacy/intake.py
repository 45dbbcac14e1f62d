"""From encoded rows to a curator: the unit bound and the hold-out, enforced before anything is counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dpsynth.domain import Domain
from dpsynth.engines.coins import RUN_KEY_BYTES
from dpsynth.engines.memory import MemoryEngine, bound_and_split
from dpsynth.engines.raw import RawColumn
from dpsynth.entropy import Stream, system
from dpsynth.privacy.curator import Curator
from dpsynth.privacy.ledger import Run
from dpsynth.records import Records
from dpsynth.unit_names import UnitNames


@dataclass(frozen=True, eq=False)
class Intake:
    """Private: the engine over the bounded training records, and the raw row numbers of both parts.

    `training` and `holdout` are for internal comparisons (attacks, evaluation); nothing computed from them
    may be released.
    """

    engine: MemoryEngine
    training: NDArray[np.int64]
    holdout: NDArray[np.int64]
    stream: Stream
    planned: Domain | None = None
    """The sizes that the plan was made with, where they were discovered since."""

    def curator(self, run: Run) -> Curator:
        """The door to the training records; a seeded stream taints the run for ever."""
        if self.stream.seeded:
            run.taint()
        return Curator(self.engine, run, self.stream, planned=self.planned)

    def recoded(self, records: Records) -> Intake:
        """The same split with `records` of the same rows, encoded for a domain that was discovered since."""
        engine = MemoryEngine(records.take(self.training), self.engine.rows_per_unit, self.engine.units)
        return Intake(engine, self.training, self.holdout, self.stream, self.planned)

    def __reduce__(self) -> str:
        raise TypeError("an intake holds private rows: it cannot be pickled or copied")


def take_in(
    records: Records,
    units: Sequence[bytes] | None,
    *,
    rows_per_unit: int,
    holdout: float,
    stream: Stream | None = None,
    raw: Mapping[str, RawColumn] | None = None,
    planned: Domain | None = None,
) -> Intake:
    """Bound the records of each unit and hold out each unit with probability `holdout`.

    `units[i]` names row i's unit (None: every row is one). The run key is fresh from the operating system;
    tests may pass a seeded stream, which taints the fitted model. `raw`: columns of these rows whose domain is
    still unknown; `planned`: the sizes that the plan makes room for.
    """
    source = stream if stream is not None else system()
    split = bound_and_split(
        records, units, rows_per_unit=rows_per_unit, holdout=holdout, run_key=source.bytes(RUN_KEY_BYTES)
    )
    numbers = None if units is None else UnitNames.of(units).take(split.training).numbers()
    columns = {name: column.take(split.training) for name, column in (raw or {}).items()}
    engine = MemoryEngine(records.take(split.training), rows_per_unit, numbers, columns)
    return Intake(engine, split.training, split.holdout, source, planned)
