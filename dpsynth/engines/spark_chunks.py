"""Raw rows -> chunks of encoded records, on Spark's executors: checked, held out and bounded as in memory.

A chunk is one row of a DataFrame: its place (`part`, `seq`), how many records and units it has, a digest of them, and one
binary column for each attribute. Everything in it is a function of the source's rows and the run key alone. Where every row
is a unit, its coin is that of its place in its partition; where units have rows all over the source, their rows meet by a
keyed hash of the unit's name and the choice is by content. A lost partition that is computed again gives the same chunk, or
another digest, which the driver refuses.

Columns whose values are still to be discovered are kept as they were read, in the chunk of their unit, until the answer is
released; then the chunks are encoded again where they lie.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dpsynth.domain import Domain
from dpsynth.engines.bounding import first_of_each
from dpsynth.engines.coins import coins_of, ranks, row_coins, unit_words
from dpsynth.engines.keeping import Sketch
from dpsynth.engines.spark_notes import Offer, Seen, Some, wrong
from dpsynth.engines.spark_words import Layout, Stored, packed, together, unpacked, words_of
from dpsynth.records import Records
from dpsynth.schema import Schema
from dpsynth.table import Table
from dpsynth.unit_names import UnitNames

ROWS = 1 << 16
"""Rows that are checked and encoded together: a chunk, where every row is a unit."""
FLUSH = 1 << 19
"""Records that a partition holds before it sends them to where those of their unit meet."""
PART_BITS = 40
"""A partition has fewer than ``2**PART_BITS`` rows: row i of partition p has the number ``p << PART_BITS | i``."""
CHUNK, SAMPLE, SKETCH, SEEN, WRONG = "chunk", "sample", "sketch", "seen", "wrong"
NOTED = (SAMPLE, SKETCH, SEEN, WRONG)
_FACTS = [
    ("kind", pa.string()),
    ("part", pa.int32()),
    ("seq", pa.int32()),
    ("rows", pa.int32()),
    ("units", pa.int32()),
    ("digest", pa.binary()),
    ("note", pa.binary()),
    ("sizes", pa.binary()),
    ("words", pa.binary()),
]
_MEETING = [
    ("kind", pa.string()),
    ("part", pa.int32()),
    ("bucket", pa.int32()),
    ("note", pa.binary()),
    ("words", pa.binary()),
]


class Reader(Protocol):
    """How raw rows become a checked table and the names of its units; the same code as everywhere."""

    @property
    def schema(self) -> Schema: ...

    def table(self, rows: Any, place: Callable[[int], str]) -> Table:
        """Of an Arrow table with the source's columns by place. DataError for rows that do not fit."""
        ...

    def units(self, table: Table, nameless: Iterator[int]) -> UnitNames | None: ...

    def ranked(self, table: Table) -> Records | None:
        """By which the rows of a unit are ranked, where it is not by their encoded records."""
        ...


@dataclass(frozen=True)
class Split:
    """How rows are bounded and held out. `offer`: how many units of each part a partition offers as a sample; `buckets`:
    where the rows of units meet; `sketch`: how many different rows a partition offers to compare another table with."""

    rows_per_unit: int
    holdout: float
    run_key: bytes = field(repr=False)
    offer: int = 1
    buckets: int = 1
    sketch: int = 0


def chunk_columns(domain: Domain) -> str:
    """The columns of chunks, as Spark declares them."""
    return _declared([*_FACTS, *[(f"c{i}", pa.binary()) for i in range(len(domain))]])


def meeting_columns() -> str:
    return _declared(_MEETING)


def _declared(columns: Sequence[tuple[str, Any]]) -> str:
    names = {pa.string(): "string", pa.int32(): "int", pa.binary(): "binary"}
    return ", ".join(f"{name} {names[kind]}" for name, kind in columns)


@dataclass(frozen=True)
class EncodeRows:
    """Every row is a unit: rows of a partition -> chunks of the training records among them."""

    reader: Reader
    split: Split

    def __call__(self, batches: Iterator[Any]) -> Iterator[Any]:
        domain, part, seq = Layout.of(self.reader.schema).domain, partition(), itertools.count()
        for note in _reading(self.reader, self.split, batches, part):
            if isinstance(note, _Read):
                yield chunk(part, next(seq), note.stored.take(~note.held), None)
            else:
                kind, content = note
                yield _row(domain, kind, part, next(seq), note=content)


@dataclass(frozen=True)
class SendUnits:
    """Rows of a partition -> training records with keys of unit and rank, by the bucket where those of a unit meet."""

    reader: Reader
    split: Split

    def __call__(self, batches: Iterator[Any]) -> Iterator[Any]:
        part = partition()
        waiting: list[tuple[NDArray[np.uint64], Stored]] = []
        for note in _reading(self.reader, self.split, batches, part):
            if isinstance(note, _Read):
                waiting.append(_keyed(note, self.split.run_key))
                if sum(len(keys) for keys, _ in waiting) >= FLUSH:
                    yield from self._sent(waiting, part)
                    waiting = []
            else:
                yield _meeting(note[0], part, -1 - part, note[1])
        if waiting:
            yield from self._sent(waiting, part)

    def _sent(self, waiting: list[tuple[NDArray[np.uint64], Stored]], part: int) -> Iterator[Any]:
        keys, rows = np.concatenate([k for k, _ in waiting]), together([stored for _, stored in waiting])
        bucket = (keys[:, 0] % np.uint64(self.split.buckets)).astype(np.int64)
        order = np.argsort(bucket, kind="stable")
        keys, rows = keys[order], rows.take(order)
        ends = np.cumsum([0, *np.bincount(bucket, minlength=self.split.buckets)])
        for number, (first, last) in enumerate(itertools.pairwise(ends.tolist())):
            if last > first:
                sent = rows.take(slice(first, last))
                content = packed(keys[first:last], sent.records)
                yield _meeting(CHUNK, part, number, content, sent.packed_words())


@dataclass(frozen=True)
class CutUnits:
    """Records that have met, sorted by bucket -> chunks: a bucket each, at most `rows_per_unit` records of a unit."""

    layout: Layout
    rows_per_unit: int

    def __call__(self, batches: Iterator[Any]) -> Iterator[Any]:
        domain = self.layout.domain
        rows = (row for batch in batches for row in batch.to_pylist())
        for bucket, met in itertools.groupby(rows, key=lambda row: int(row["bucket"])):
            if bucket < 0:
                for seq, row in enumerate(sorted(met, key=lambda row: str(row["kind"]))):
                    yield _row(domain, row["kind"], row["part"], seq, note=row["note"])
                continue
            keys, rows_of_units = self._together([(row["note"], row["words"]) for row in met])
            kept, sizes = _bounded(keys, self.rows_per_unit)
            names = np.ascontiguousarray(keys[kept, :2]).tobytes()
            yield chunk(bucket, 0, rows_of_units.take(kept), sizes, names)

    def _together(self, sent: Sequence[tuple[bytes, bytes]]) -> tuple[NDArray[np.uint64], Stored]:
        parts = []
        for content, words in sent:
            keys, records = unpacked(content, self.layout.domain)
            parts.append((keys, Stored(records, words_of(words))))
        return np.concatenate([keys for keys, _ in parts]), together([stored for _, stored in parts])


def partition() -> int:
    """The number of the partition that this task computes."""
    from pyspark import TaskContext

    context = TaskContext.get()
    if context is None:
        raise RuntimeError("not on a worker of Spark")
    return int(context.partitionId())


@dataclass(frozen=True, eq=False)
class _Read:
    """Some rows of a partition, checked and encoded. `ranked`: by which those of a unit are ranked."""

    stored: Stored
    ranked: Records
    held: NDArray[np.bool_]
    units: UnitNames | None


def _reading(
    reader: Reader, split: Split, batches: Iterator[Any], part: int
) -> Iterator[_Read | tuple[str, bytes]]:
    """The rows of a partition, `ROWS` at a time; then what there is to tell, or what is wrong instead."""
    offer, seen, nameless = Offer(split.offer), Seen(), itertools.count(part << PART_BITS)
    compared = Compared(split) if split.sketch else None
    try:
        for rows in _even(batches):
            first = seen.rows
            table = reader.table(rows, lambda row, first=first: _place(part, first + row))  # type: ignore[misc]
            units = reader.units(table, nameless)
            held, coins = _coins(part << PART_BITS | first, len(table), units, split)
            offer.take(Some(rows, coins, held, units))
            seen.take(table)
            if compared is not None:
                compared.take(rows, table)
            stored, ranked = Stored.of(table), reader.ranked(table)
            yield _Read(stored, stored.records if ranked is None else ranked, held, units)
        yield SAMPLE, offer.note()
        if compared is not None:
            yield SKETCH, compared.offer.note()
        yield SEEN, seen.note()
    except Exception as error:
        yield WRONG, wrong(error)


def _place(part: int, row: int) -> str:
    return f"row {row + 1} of partition {part + 1}"


def _even(batches: Iterator[Any]) -> Iterator[Any]:
    """The rows of all batches in Arrow tables of `ROWS`, whatever sizes they come in: chunks must not depend on these."""
    waiting: list[Any] = []
    count = 0
    for batch in batches:
        waiting.append(batch)
        count += batch.num_rows
        while count >= ROWS:
            whole = pa.Table.from_batches(waiting)
            yield whole.slice(0, ROWS)
            waiting, count = whole.slice(ROWS).to_batches(), count - ROWS
    if count:
        yield pa.Table.from_batches(waiting)


def _coins(
    first: int, rows: int, units: UnitNames | None, split: Split
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Who is held out, and the sampling coin, of each row."""
    if units is None:
        sampling = hashlib.sha256(split.run_key + b"sample").digest()
        return row_coins(first, rows, split.run_key) < split.holdout, row_coins(first, rows, sampling)
    words = units.once(split.run_key, unit_words)
    held, sampled = coins_of(words[:, 0]) < split.holdout, coins_of(words[:, 3])
    return held[units.codes], sampled[units.codes]


class Compared:
    """The rows of a partition that a comparison with another table sees: chosen by a keyed hash of what is in them."""

    def __init__(self, split: Split) -> None:
        self._by, self.offer = Sketch(split.sketch, split.run_key), Offer(split.sketch)

    def take(self, rows: Any, table: Table) -> None:
        self.offer.take(Some(rows, self._by.hashes(table), np.zeros(len(table), dtype=bool), None))


def _keyed(read: _Read, run_key: bytes) -> tuple[NDArray[np.uint64], Stored]:
    """128 bits of the unit and of the rank of each training record, and the records."""
    if read.units is None:
        raise ValueError("rows without the names of their units")
    training = np.flatnonzero(~read.held)
    words = read.units.once(run_key, unit_words)[read.units.codes[training]]
    ranked = ranks(read.units, read.ranked, training, run_key)
    return np.concatenate([words[:, 1:3], ranked[:, :2]], axis=1), read.stored.take(training)


def _bounded(keys: NDArray[np.uint64], bound: int) -> tuple[NDArray[np.int64], NDArray[np.uint16]]:
    """The first `bound` rows of each unit by rank, a unit's rows together, and how many each unit has."""
    words = [np.ascontiguousarray(word) for word in keys.T]
    kept, sizes = first_of_each((words[0], words[1]), (words[2], words[3]), bound)
    return kept, sizes.astype(np.uint16)


def chunk(
    part: int,
    seq: int,
    stored: Stored,
    sizes: NDArray[np.uint16] | None,
    names: bytes = b"",
    note: bytes | None = None,
) -> Any:
    """`sizes`: how many records each unit has; None: one. `names`: keys of the units, which the digest covers as well;
    `note` goes with the chunk."""
    records, words = stored.records, stored.packed_words()
    columns = [np.ascontiguousarray(codes).tobytes() for codes in records.columns]
    held = b"" if sizes is None else sizes.tobytes()
    digest = hashlib.blake2b(digest_size=16)
    for content in (held, names, words, *columns):
        digest.update(len(content).to_bytes(8, "big") + content)
    units = len(records) if sizes is None else len(sizes)
    facts = {"rows": len(records), "units": units, "digest": digest.digest(), "sizes": held}
    return _row(records.domain, CHUNK, part, seq, columns=columns, words=words, note=note, **facts)


def _row(domain: Domain, kind: str, part: int, seq: int, columns: Sequence[bytes] = (), **facts: Any) -> Any:
    known = {"kind": kind, "part": part, "seq": seq, "rows": 0, "units": 0, **facts}
    cells = [(f"c{i}", pa.binary()) for i in range(len(domain))]
    arrays = [pa.array([known.get(name)], of) for name, of in _FACTS]
    arrays += [pa.array([columns[i] if columns else None], of) for i, (_, of) in enumerate(cells)]
    return pa.RecordBatch.from_arrays(arrays, schema=pa.schema([*_FACTS, *cells]))


def _meeting(kind: str, part: int, bucket: int, note: bytes, words: bytes = b"") -> Any:
    content = (kind, part, bucket, note, words)
    arrays = [pa.array([value], of) for value, (_, of) in zip(content, _MEETING, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(_MEETING))
