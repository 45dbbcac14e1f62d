"""From rows on a Spark cluster to a curator: the unit bound and the hold-out, enforced there before anything is counted."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpsynth.encoding import Encoding
from dpsynth.engines.coins import RUN_KEY_BYTES, check_split
from dpsynth.engines.memory import bound_and_split
from dpsynth.engines.spark import Chunks, SparkEngine
from dpsynth.engines.spark_chunks import (
    CHUNK,
    NOTED,
    SAMPLE,
    SEEN,
    WRONG,
    CutUnits,
    EncodeRows,
    Reader,
    SendUnits,
    Split,
    chunk_columns,
    meeting_columns,
)
from dpsynth.engines.spark_notes import Seen, Some, as_error, offered, together
from dpsynth.engines.spark_tasks import ABOUT, FACTS, named
from dpsynth.entropy import Stream, system
from dpsynth.errors import DataError
from dpsynth.privacy.curator import Curator
from dpsynth.privacy.ledger import Run
from dpsynth.spark_jobs import Jobs
from dpsynth.table import Table, joined
from dpsynth.unit_names import UnitNames

BUCKETS = 16
"""Buckets in which units meet, for each partition."""
FEW = 16
"""Up to so many partitions each offers as many units as the whole sample has."""


@dataclass(frozen=True, eq=False)
class SparkIntake:
    """Private: the engine over the bounded training records, and a sample of the rows of both parts.

    `training`, `holdout`: rows of some units, drawn by secret coins, for internal comparisons. `fingerprint`: SHA-256 of
    sums over all rows, whatever their order and partitions. `run_key`: by which all of it was chosen. `keep`: how many units
    of each part the sample was to have.
    """

    engine: SparkEngine
    training: Table
    holdout: Table
    fingerprint: bytes
    rows: int
    stream: Stream
    run_key: bytes = field(repr=False)
    keep: int

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


def take_in_spark(
    frame: Any,
    reader: Reader,
    jobs: Jobs,
    *,
    rows_per_unit: int,
    by_unit: bool,
    holdout: float,
    keep: int,
    stream: Stream | None = None,
    again: bytes | None = None,
) -> SparkIntake:
    """As `take_in`, for a DataFrame: `reader` turns its rows into checked tables and names their units, on the executors.

    `by_unit`: rows of a unit may stand anywhere; else each row is a unit. `keep`: about how many units of each part come
    to the driver as a sample. `again`: the run key of an earlier intake, to see what it has seen. Raises what `reader`
    raises, D180 for a table without rows, and what `Jobs` raises.
    """
    source = stream if stream is not None else system()
    run_key = source.bytes(RUN_KEY_BYTES) if again is None else again
    check_split(run_key, holdout)
    if rows_per_unit != 1 and not by_unit:
        raise ValueError("without a unit column every row is a unit: rows_per_unit is 1")
    partitions = jobs.run(lambda: _partitions(frame), "reading on the cluster", {})
    if by_unit:  # rows of a unit meet: there is work for everybody, wherever they come from
        partitions = max(partitions, int(jobs.session.sparkContext.defaultParallelism))
    offer = _offer(keep, partitions, rows_per_unit)
    split = Split(rows_per_unit, holdout, run_key, offer, BUCKETS * partitions)
    # what a frame is made of is fixed when it is first used: the settings of the session are as they were
    encoded = (
        _meeting(frame, reader, split, partitions) if by_unit else _alone(frame, reader, split)
    ).persist()
    try:
        table = jobs.collected(encoded.select("kind", *FACTS, "note"), "reading on the cluster", {})
        names, seen = _accepted(table)
        some = _sample(table, keep)
    except BaseException:
        encoded.unpersist()
        raise
    chunks = Chunks(encoded, reader.domain, names, partitions, jobs)
    training, held = (_bounded(reader, part, rows_per_unit, run_key) for part in some)
    fingerprint = hashlib.sha256(seen.note()).digest()
    engine = SparkEngine(chunks, rows_per_unit, by_unit)
    return SparkIntake(engine, training, held, fingerprint, seen.rows, source, run_key, keep)


def _alone(frame: Any, reader: Reader, split: Split) -> Any:
    return frame.mapInArrow(EncodeRows(reader, split), chunk_columns(reader.domain))


def _meeting(frame: Any, reader: Reader, split: Split, partitions: int) -> Any:
    sent = frame.mapInArrow(SendUnits(reader, split), meeting_columns())
    met = sent.repartition(partitions, "bucket").sortWithinPartitions("bucket")
    return met.mapInArrow(CutUnits(reader.domain, split.rows_per_unit), chunk_columns(reader.domain))


def _partitions(frame: Any) -> int:
    """Of a frame; where it is made by a shuffle, as many as Spark plans for."""
    # asking for the RDD would compute a shuffle: the plan is asked first, which does not know it for files
    planned = int(frame._jdf.queryExecution().executedPlan().outputPartitioning().numPartitions())
    return max(1, planned or int(frame._jdf.rdd().getNumPartitions()))


def _offer(keep: int, partitions: int, rows_per_unit: int) -> int:
    """How many units of each part a partition offers. The smallest coins of all are wanted: a few times its share, if a
    unit's rows may be in as many partitions as it has rows."""
    share = 4 * keep * min(rows_per_unit, partitions) // partitions
    return keep if partitions <= FEW else min(keep, max(400, share))


def _accepted(table: Any) -> tuple[NDArray[Any], Seen]:
    """The names of all chunks, and what all partitions have seen. Raises what a partition has found wrong."""
    rows = [row for row in table.select(["kind", "part", "note"]).to_pylist() if row["kind"] in NOTED]
    for row in sorted(rows, key=lambda row: int(row["part"])):
        if row["kind"] == WRONG:
            raise as_error(row["note"])
    seen = Seen()
    for row in rows:
        if row["kind"] == SEEN:
            seen.add(Seen.of(row["note"]))
    if not seen.rows:
        raise DataError("D180", "the table has no rows", "is it the right one?")
    chunks = table.filter(np.asarray(table.column("kind").to_pylist()) == CHUNK)
    names = np.frombuffer(b"".join(map(named, chunks.select(FACTS).to_batches())), ABOUT)
    return np.sort(names, order=list(ABOUT.names or ())[:-1]), seen


def _sample(table: Any, keep: int) -> tuple[Some, Some]:
    """Of training and held-out units those `keep` with the smallest coins, as far as all partitions have offered theirs."""
    notes = [row for row in table.select(["kind", "part", "note"]).to_pylist() if row["kind"] == SAMPLE]
    found = [offered(row["note"]) for row in sorted(notes, key=lambda row: int(row["part"])) if row["note"]]
    whole = together([some for some, _ in found])
    sides = []
    for side in (False, True):
        ceiling = min(ceilings[side] for _, ceilings in found)
        coins = np.unique(whole.coins[(whole.held == side) & (whole.coins < ceiling)])
        if len(coins) > keep:
            ceiling = float(coins[keep])
        sides.append(whole.take((whole.held == side) & (whole.coins < ceiling)))
    return sides[0], sides[1]


def _bounded(reader: Reader, some: Some, rows_per_unit: int, run_key: bytes) -> Table:
    """The sampled rows as a table, cut to the bound as the engine has cut them."""
    table = reader.table(some.rows, lambda row: f"row {row + 1} of a sample")
    if some.units is None:
        return table
    records = Encoding(table.schema).encode(table)
    cut = bound_and_split(records, some.units, rows_per_unit=rows_per_unit, holdout=0.0, run_key=run_key)
    return _with_units(table, some.units).take(cut.training)


def _with_units(table: Table, names: UnitNames) -> Table:
    """Numbers for units as they are in this sample."""
    if table.units is None or table.unit_labels is None:
        return table
    codes = names.numbers()
    labels = np.empty(int(codes.max(initial=-1)) + 1, dtype=object)
    labels[codes] = table.unit_labels[table.units]
    return replace(table, units=codes, unit_labels=labels)
