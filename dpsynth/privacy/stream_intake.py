"""From a stream of checked tables to a curator: the unit bound and the hold-out, enforced before anything is counted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from dpsynth.encoding import Encoding
from dpsynth.engines.coins import RUN_KEY_BYTES
from dpsynth.engines.keeping import Kept, Sketch
from dpsynth.engines.splitting import Batch, spooled
from dpsynth.engines.spooled import SpoolEngine
from dpsynth.engines.unknown import Unknown
from dpsynth.entropy import Stream, system
from dpsynth.privacy.sampled_intake import SampledIntake
from dpsynth.records import Records
from dpsynth.schema import Schema
from dpsynth.table import Table
from dpsynth.table.fingerprint import Fingerprint
from dpsynth.unit_names import UnitNames

SKETCH = 100_000
"""Different rows that are kept to see whether another table holds the same ones."""


@dataclass(frozen=True)
class Rules:
    """How rows are bounded and split. `units_of` names the unit of each row of a batch (None: every row is one), the same
    unit by the same name in all batches. `ranked`: by which the rows of a unit are ranked, where it is not by their
    encoded records. `keep`: about how many units of each part stay in memory as a sample."""

    schema: Schema
    holdout: float
    units_of: Callable[[Table], UnitNames | None]
    keep: int
    ranked: Callable[[Table], Records] | None = None

    def sampling(self, run_key: bytes) -> Kept:
        return Kept(self.keep, holdout=self.holdout, run_key=run_key, ranked=self.ranked)


class StreamIntake(SampledIntake[SpoolEngine]):
    """Private: the engine over bounded training records on disk."""


def take_in_stream(
    tables: Iterable[Table],
    rules: Rules,
    *,
    folder: Path | None = None,
    stream: Stream | None = None,
    compared: bool = False,
) -> StreamIntake:
    """As `take_in`, for batches that are let go of one after the other.

    `folder`: for the encoded rows. `compared`: keep a sketch of the rows, to compare another table with.
    """
    source = stream if stream is not None else system()
    run_key = source.bytes(RUN_KEY_BYTES)
    schema, kept, whole = rules.schema, rules.sampling(run_key), Fingerprint()
    sketch = Sketch(SKETCH, run_key) if compared else None
    unknown = Unknown(schema) if schema.unknown else None
    encode = Encoding(schema).encode if unknown is None else unknown.stored
    rows = 0

    def batches() -> Iterator[Batch]:
        nonlocal rows
        for table in tables:
            units = rules.units_of(table)
            kept.take(table, units, rows)
            whole.update(table)
            if sketch is not None:
                sketch.take(table)
            yield Batch(encode(table), units, None if rules.ranked is None else rules.ranked(table))
            rows += len(table)

    engine = spooled(
        batches(),
        schema.domain if unknown is None else unknown.domain,
        rows_per_unit=schema.unit.rows_per_unit,
        holdout=rules.holdout,
        run_key=run_key,
        folder=folder,
        unknown=unknown,
    )
    training, held = kept.tables()
    return StreamIntake(
        engine=engine,
        training=training,
        holdout=held,
        fingerprint=whole.digest(),
        rows=rows,
        stream=source,
        run_key=run_key,
        keep=rules.keep,
        sketch=sketch,
        planned=None if unknown is None else schema.domain,
    )


def sampled_again(tables: Iterable[Table], rules: Rules, run_key: bytes) -> tuple[Table, Table, bytes]:
    """The sample of both parts that an earlier run with this key drew from the same rows, and their fingerprint."""
    kept, whole, first = rules.sampling(run_key), Fingerprint(), 0
    for table in tables:
        kept.take(table, rules.units_of(table), first)
        whole.update(table)
        first += len(table)
    return *kept.tables(), whole.digest()
