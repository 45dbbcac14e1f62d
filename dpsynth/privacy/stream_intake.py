"""From a stream of checked tables to a curator: the unit bound and the hold-out, enforced before anything is counted."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from dpsynth.domain import Domain
from dpsynth.encoding import Encoding
from dpsynth.engines.coins import RUN_KEY_BYTES
from dpsynth.engines.keeping import Kept
from dpsynth.engines.splitting import Batch, spooled
from dpsynth.engines.spooled import SpoolEngine
from dpsynth.entropy import Stream, system
from dpsynth.privacy.curator import Curator
from dpsynth.privacy.ledger import Run
from dpsynth.table import Table, joined
from dpsynth.unit_names import UnitNames

UnitKeys = Callable[[Table], UnitNames | None]
Digest = Callable[[Table], bytes]


@dataclass(frozen=True, eq=False)
class StreamIntake:
    """Private: the engine over the bounded training records, and a sample of the rows of both parts.

    `training`, `holdout`: rows of some units, drawn by secret coins, for internal comparisons. `fingerprint`: SHA-256 of
    the whole table, batch by batch.
    """

    engine: SpoolEngine
    training: Table
    holdout: Table
    fingerprint: bytes
    stream: Stream

    @property
    def both(self) -> Table:
        """The sample of both parts."""
        return joined([self.training, self.holdout])

    def curator(self, run: Run) -> Curator:
        """The door to the training records; a seeded stream taints the run for ever."""
        if self.stream.seeded:
            run.taint()
        return Curator(self.engine, run, self.stream)

    def __reduce__(self) -> str:
        raise TypeError("an intake holds private rows: it cannot be pickled or copied")


def take_in_stream(
    tables: Iterable[Table],
    domain: Domain,
    *,
    rows_per_unit: int,
    holdout: float,
    units_of: UnitKeys,
    digest: Digest,
    keep: int,
    folder: Path | None = None,
    stream: Stream | None = None,
) -> StreamIntake:
    """As `take_in`, for batches that are let go of one after the other.

    `units_of` names the unit of each row of a batch (None: every row is one), the same unit by the same name in all of
    them. `keep`: about how many units of each part stay in memory as a sample. `folder`: for the encoded rows.
    """
    source = stream if stream is not None else system()
    run_key = source.bytes(RUN_KEY_BYTES)
    kept, whole = Kept(keep, holdout=holdout, run_key=run_key), hashlib.sha256()

    def batches() -> Iterator[Batch]:
        first = 0
        for table in tables:
            units = units_of(table)
            kept.take(table, units, first)
            whole.update(digest(table))
            yield Batch(Encoding(table.schema).encode(table), units)
            first += len(table)

    engine = spooled(
        batches(), domain, rows_per_unit=rows_per_unit, holdout=holdout, run_key=run_key, folder=folder
    )
    training, held = kept.tables()
    return StreamIntake(engine, training, held, whole.digest(), source)
