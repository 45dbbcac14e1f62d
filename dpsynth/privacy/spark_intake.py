"""From rows on a Spark cluster to a curator: the unit bound and the hold-out, enforced there before anything is counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpsynth.encoding import Encoding
from dpsynth.engines.coins import RUN_KEY_BYTES, check_split
from dpsynth.engines.keeping import Sketch
from dpsynth.engines.memory import bound_and_split
from dpsynth.engines.spark import Chunks, SparkEngine, sorted_names
from dpsynth.engines.spark_chunks import (
    CHUNK,
    NOTED,
    SAMPLE,
    SEEN,
    SKETCH,
    WRONG,
    CutUnits,
    EncodeRows,
    Reader,
    SendUnits,
    Split,
    chunk_columns,
    meeting_columns,
)
from dpsynth.engines.spark_notes import Seen, Some, alike, as_error, offered
from dpsynth.engines.spark_tasks import FACTS, named
from dpsynth.engines.spark_words import Layout
from dpsynth.engines.unknown import MOST_TEXTS, too_many_texts
from dpsynth.entropy import Stream, system
from dpsynth.errors import DataError
from dpsynth.privacy.sampled_intake import SampledIntake
from dpsynth.privacy.stream_intake import SKETCH as DIFFERENT
from dpsynth.spark_jobs import Jobs
from dpsynth.table import Table, joined
from dpsynth.unit_names import UnitNames
from dpsynth.unit_names import joined as joined_names

BUCKETS = 16
"""Buckets in which units meet, for each partition."""
FEW = 16
"""Up to so many partitions each offers as many units as the whole sample has."""


@dataclass(frozen=True, eq=False, kw_only=True)
class SparkIntake(SampledIntake[SparkEngine]):
    """Private: the engine over bounded training records that executors keep. `chunks`: SHA-256 of what lay where, if every
    row is a unit, whose coin is thrown by its place."""

    chunks: bytes | None

    def note(self, holdout: float) -> dict[str, Any]:
        chunks = None if self.chunks is None else self.chunks.hex()
        return {**super().note(holdout), "engine": "spark", "chunks_sha256": chunks}


@dataclass(frozen=True, eq=False)
class _Sketch:
    """All rows of a table whose keyed hash is below a ceiling."""

    rows: Table
    ceiling: float
    by: Sketch

    def thinned(self, rows: Table) -> Table:
        return rows.take(self.by.hashes(rows) < self.ceiling)


@dataclass(frozen=True)
class Asked:
    """How rows on a cluster are bounded and split. `by_unit`: rows of a unit may stand anywhere; else each row is a unit.
    `keep`: about how many units of each part come to the driver as a sample; `compared`: also rows to compare another table
    with. `again`: the run key of an earlier intake, to see what it has seen."""

    rows_per_unit: int
    by_unit: bool
    holdout: float
    keep: int
    compared: bool = False
    again: bytes | None = field(default=None, repr=False)


def take_in_spark(
    frames: Sequence[Any], reader: Reader, jobs: Jobs, asked: Asked, *, stream: Stream | None = None
) -> SparkIntake:
    """As `take_in_stream`, for one table in DataFrames, which differ in their types: `reader` turns their rows into checked
    tables and names their units, on the executors.

    Raises what `reader` raises, D180 for a table without rows, C172 for a column with more different texts than could be
    discovered, and what `Jobs` raises.
    """
    source = stream if stream is not None else system()
    run_key = source.bytes(RUN_KEY_BYTES) if asked.again is None else asked.again
    check_split(run_key, asked.holdout)
    if asked.rows_per_unit != 1 and not asked.by_unit:
        raise ValueError("without a unit column every row is a unit: rows_per_unit is 1")
    partitions = jobs.run(lambda: sum(map(_partitions, frames)), "reading on the cluster", {})
    if asked.by_unit:  # rows of a unit meet: there is work for everybody, wherever they come from
        partitions = max(partitions, int(jobs.session.sparkContext.defaultParallelism))
    split = _split(asked, run_key, partitions)
    # what a frame is made of is fixed when it is first used: the settings of the session are as they were
    make = _meeting if asked.by_unit else _alone
    encoded = make(frames, reader, split, partitions).persist()
    try:
        table = jobs.collected(encoded.select("kind", *FACTS, "note"), "reading on the cluster", {})
        names, seen = _accepted(table)
        some = [side for side, _ in _smallest(table, SAMPLE, asked.keep)]
        sketch = _sketched(table, reader, run_key) if asked.compared else None
    except BaseException:
        encoded.unpersist()
        raise
    training, held = (_bounded(reader, part, asked.rows_per_unit, run_key) for part in some)
    chunks = Chunks(encoded, Layout.of(reader.schema).domain, names, partitions, jobs)
    schema = reader.schema if reader.schema.unknown else None
    return SparkIntake(
        engine=SparkEngine(chunks, asked.rows_per_unit, asked.by_unit, unknown=schema),
        training=training,
        holdout=held,
        fingerprint=seen.fingerprint,
        rows=seen.rows,
        stream=source,
        run_key=run_key,
        keep=asked.keep,
        sketch=sketch,
        planned=None if schema is None else schema.domain,
        chunks=None if asked.by_unit else chunks.digest,
    )


def _split(asked: Asked, run_key: bytes, partitions: int) -> Split:
    return Split(
        asked.rows_per_unit,
        asked.holdout,
        run_key,
        offer=_offer(asked.keep, partitions, asked.rows_per_unit),
        buckets=BUCKETS * partitions,
        sketch=min(DIFFERENT, max(400, 4 * DIFFERENT // partitions)) if asked.compared else 0,
    )


def _alone(frames: Sequence[Any], reader: Reader, split: Split, partitions: int) -> Any:
    return _each(frames, EncodeRows(reader, split), chunk_columns(Layout.of(reader.schema).domain))


def _each(frames: Sequence[Any], task: Any, columns: str) -> Any:
    """Each frame by its own types: what Spark would turn into one type before a union could be rounded."""
    return reduce(lambda one, other: one.union(other), (frame.mapInArrow(task, columns) for frame in frames))


def _meeting(frames: Sequence[Any], reader: Reader, split: Split, partitions: int) -> Any:
    sent = _each(frames, SendUnits(reader, split), meeting_columns())
    met = sent.repartition(partitions, "bucket").sortWithinPartitions("bucket")
    layout = Layout.of(reader.schema)
    return met.mapInArrow(CutUnits(layout, split.rows_per_unit), chunk_columns(layout.domain))


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
    for name in seen.texts:
        if seen.different_texts(name) > MOST_TEXTS:
            raise too_many_texts(name)
    chunks = table.filter(np.asarray(table.column("kind").to_pylist()) == CHUNK)
    return sorted_names(b"".join(map(named, chunks.select(FACTS).to_batches()))), seen


def _smallest(table: Any, kind: str, keep: int) -> list[tuple[list[Some], float]]:
    """Of what notes of a kind offer, those `keep` with the smallest coins, as far as all partitions have offered theirs:
    all below a ceiling. Of training and of held-out units, each set of types by itself."""
    notes = [row for row in table.select(["kind", "part", "note"]).to_pylist() if row["kind"] == kind]
    found = [offered(row["note"]) for row in sorted(notes, key=lambda row: int(row["part"])) if row["note"]]
    sides = []
    for side in (False, True):
        ceiling = min(ceilings[side] for _, ceilings in found)
        mine = [some.take((some.held == side) & (some.coins < ceiling)) for some, _ in found]
        coins = np.unique(np.concatenate([some.coins for some in mine]))
        if len(coins) > keep:
            ceiling = float(coins[keep])
        sides.append((alike([some.take(some.coins < ceiling) for some in mine]), ceiling))
    return sides


def _sketched(table: Any, reader: Reader, run_key: bytes) -> _Sketch:
    some, ceiling = _smallest(table, SKETCH, DIFFERENT)[0]
    return _Sketch(_read(reader, some, "sketch"), ceiling, Sketch(DIFFERENT, run_key))


def _read(reader: Reader, some: Sequence[Some], what: str) -> Table:
    return joined([reader.table(part.rows, lambda row: f"row {row + 1} of a {what}") for part in some])


def _bounded(reader: Reader, some: Sequence[Some], rows_per_unit: int, run_key: bytes) -> Table:
    """The sampled rows as a table, cut to the bound as the engine has cut them."""
    table = _read(reader, some, "sample")
    named = [part.units for part in some if part.units is not None]
    if not named:
        return table
    units, ranked = joined_names(named), reader.ranked(table)
    records = Encoding(table.schema).encode(table) if ranked is None else ranked
    cut = bound_and_split(records, units, rows_per_unit=rows_per_unit, holdout=0.0, run_key=run_key)
    return _with_units(table, units).take(cut.training)


def _with_units(table: Table, names: UnitNames) -> Table:
    """Numbers for units as they are in this sample."""
    if table.units is None or table.unit_labels is None:
        return table
    codes = names.numbers()
    labels = np.empty(int(codes.max(initial=-1)) + 1, dtype=object)
    labels[codes] = table.unit_labels[table.units]
    return replace(table, units=codes, unit_labels=labels)
