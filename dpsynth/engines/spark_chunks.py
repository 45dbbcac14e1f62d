"""Raw rows -> chunks of encoded records, on Spark's executors: checked, held out and bounded as in memory.

A chunk is one row of a DataFrame: its place (`part`, `seq`), how many records and units it has, a digest of them, and one
binary column for each attribute. Everything in it is a function of the source's rows and the run key alone. Where every row
is a unit, its coin is that of its place in its partition; where units have rows all over the source, their rows meet by a
keyed hash of the unit's name and the choice is by content. A lost partition that is computed again gives the same chunk, or
another digest, which the driver refuses.
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
from dpsynth.encoding import Encoding
from dpsynth.engines.bounding import first_of_each
from dpsynth.engines.coins import coins_of, ranks, row_coins, unit_words
from dpsynth.engines.spark_notes import Offer, Seen, Some, wrong
from dpsynth.records import Records, code_dtype
from dpsynth.table import Table
from dpsynth.unit_names import UnitNames

ROWS = 1 << 16
"""Rows that are checked and encoded together: a chunk, where every row is a unit."""
FLUSH = 1 << 19
"""Records that a partition holds before it sends them to where those of their unit meet."""
PART_BITS = 40
"""A partition has fewer than ``2**PART_BITS`` rows: row i of partition p has the number ``p << PART_BITS | i``."""
CHUNK, SAMPLE, SEEN, WRONG = "chunk", "sample", "seen", "wrong"
NOTED = (SAMPLE, SEEN, WRONG)
_UNIT, _RANK = ("unit 0", "unit 1"), ("rank 0", "rank 1")
_FACTS = [
    ("kind", pa.string()),
    ("part", pa.int32()),
    ("seq", pa.int32()),
    ("rows", pa.int32()),
    ("units", pa.int32()),
    ("digest", pa.binary()),
    ("note", pa.binary()),
    ("sizes", pa.binary()),
]
_MEETING = [("kind", pa.string()), ("part", pa.int32()), ("bucket", pa.int32()), ("note", pa.binary())]


class Reader(Protocol):
    """How raw rows become a checked table and the names of its units; the same code as everywhere."""

    @property
    def domain(self) -> Domain: ...

    def table(self, rows: Any, place: Callable[[int], str]) -> Table:
        """Of an Arrow table with the source's columns by place. DataError for rows that do not fit."""
        ...

    def units(self, table: Table, nameless: Iterator[int]) -> UnitNames | None: ...


@dataclass(frozen=True)
class Split:
    """How rows are bounded and held out. `offer`: how many units of each part a partition offers as a sample; `buckets`:
    where the rows of units meet."""

    rows_per_unit: int
    holdout: float
    run_key: bytes = field(repr=False)
    offer: int = 1
    buckets: int = 1


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
        domain, part, seq = self.reader.domain, partition(), itertools.count()
        for note in _reading(self.reader, self.split, batches, part):
            if isinstance(note, _Read):
                training = note.records.take(~note.held)
                yield _chunk(domain, part, next(seq), training, None)
            else:
                kind, content = note
                yield _row(domain, kind, part, next(seq), note=content)


@dataclass(frozen=True)
class SendUnits:
    """Rows of a partition -> training records with keys of unit and rank, by the bucket where those of a unit meet."""

    reader: Reader
    split: Split

    def __call__(self, batches: Iterator[Any]) -> Iterator[Any]:
        part, kind = partition(), _kept_kind(self.reader.domain)
        waiting: list[NDArray[Any]] = []
        for note in _reading(self.reader, self.split, batches, part):
            if isinstance(note, _Read):
                waiting.append(_keyed(note, kind, self.split.run_key))
                if sum(map(len, waiting)) >= FLUSH:
                    yield from self._sent(waiting, part)
                    waiting = []
            else:
                yield _meeting(note[0], part, -1 - part, note[1])
        if waiting:
            yield from self._sent(waiting, part)

    def _sent(self, waiting: list[NDArray[Any]], part: int) -> Iterator[Any]:
        rows = np.concatenate(waiting)
        bucket = (rows["unit 0"] % np.uint64(self.split.buckets)).astype(np.int64)
        order = np.argsort(bucket, kind="stable")
        ends = np.cumsum(np.bincount(bucket, minlength=self.split.buckets))
        for number, some in enumerate(np.split(rows[order], ends[:-1])):
            if len(some):
                yield _meeting(CHUNK, part, number, some.tobytes())


@dataclass(frozen=True)
class CutUnits:
    """Records that have met, sorted by bucket -> chunks: a bucket each, at most `rows_per_unit` records of a unit."""

    domain: Domain
    rows_per_unit: int

    def __call__(self, batches: Iterator[Any]) -> Iterator[Any]:
        rows = (row for batch in batches for row in batch.to_pylist())
        for bucket, met in itertools.groupby(rows, key=lambda row: int(row["bucket"])):
            if bucket < 0:
                for seq, row in enumerate(sorted(met, key=lambda row: str(row["kind"]))):
                    yield _row(self.domain, row["kind"], row["part"], seq, note=row["note"])
                continue
            kind = _kept_kind(self.domain)
            together = np.frombuffer(b"".join(row["note"] for row in met), kind)
            kept, sizes = _bounded(together, self.rows_per_unit)
            names = b"".join(kept[key].tobytes() for key in _UNIT)
            columns = tuple(np.ascontiguousarray(kept[str(i)]) for i in range(len(self.domain)))
            yield _chunk(self.domain, bucket, 0, Records(self.domain, columns), sizes, names)


def partition() -> int:
    """The number of the partition that this task computes."""
    from pyspark import TaskContext

    context = TaskContext.get()
    if context is None:
        raise RuntimeError("not on a worker of Spark")
    return int(context.partitionId())


@dataclass(frozen=True, eq=False)
class _Read:
    """Some rows of a partition, checked and encoded."""

    records: Records
    held: NDArray[np.bool_]
    units: UnitNames | None


def _reading(
    reader: Reader, split: Split, batches: Iterator[Any], part: int
) -> Iterator[_Read | tuple[str, bytes]]:
    """The rows of a partition, `ROWS` at a time; then what there is to tell, or what is wrong instead."""
    offer, seen, nameless = Offer(split.offer), Seen(), itertools.count(part << PART_BITS)
    try:
        for rows in _even(batches):
            first = seen.rows
            table = reader.table(rows, lambda row, first=first: _place(part, first + row))  # type: ignore[misc]
            units = reader.units(table, nameless)
            held, coins = _coins(part << PART_BITS | first, len(table), units, split)
            offer.take(Some(rows, coins, held, units))
            seen.take(table)
            yield _Read(Encoding(table.schema).encode(table), held, units)
        yield SAMPLE, offer.note()
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


def _kept_kind(domain: Domain) -> np.dtype[Any]:
    cells = [(str(i), code_dtype(size)) for i, size in enumerate(domain.sizes)]
    return np.dtype([(key, "<u8") for key in (*_UNIT, *_RANK)] + cells)


def _keyed(read: _Read, kind: np.dtype[Any], run_key: bytes) -> NDArray[Any]:
    """The training records with 128 bits of their unit and of their rank."""
    if read.units is None:
        raise ValueError("rows without the names of their units")
    training = np.flatnonzero(~read.held)
    words = read.units.once(run_key, unit_words)[read.units.codes[training]]
    ranked = ranks(read.units, read.records, training, run_key)
    found = np.empty(len(training), kind)
    for i in range(2):
        found[_UNIT[i]], found[_RANK[i]] = words[:, 1 + i], ranked[:, i]
    for i, codes in enumerate(read.records.columns):
        found[str(i)] = codes[training]
    return found


def _bounded(rows: NDArray[Any], bound: int) -> tuple[NDArray[Any], NDArray[np.uint16]]:
    """The first `bound` rows of each unit by rank, a unit's rows together, and how many each unit has."""
    units, found = (
        (np.ascontiguousarray(rows[one]), np.ascontiguousarray(rows[two])) for one, two in (_UNIT, _RANK)
    )
    kept, sizes = first_of_each(units, found, bound)
    return rows[kept], sizes.astype(np.uint16)


def _chunk(
    domain: Domain,
    part: int,
    seq: int,
    records: Records,
    sizes: NDArray[np.uint16] | None,
    names: bytes = b"",
) -> Any:
    """`sizes`: how many records each unit has; None: one. `names`: keys of the units, which the digest covers as well."""
    columns = [np.ascontiguousarray(codes).tobytes() for codes in records.columns]
    held = b"" if sizes is None else sizes.tobytes()
    digest = hashlib.blake2b(digest_size=16)
    for content in (held, names, *columns):
        digest.update(len(content).to_bytes(8, "big") + content)
    units = len(records) if sizes is None else len(sizes)
    facts = {"rows": len(records), "units": units, "digest": digest.digest(), "sizes": held}
    return _row(domain, CHUNK, part, seq, columns=columns, **facts)


def _row(domain: Domain, kind: str, part: int, seq: int, columns: Sequence[bytes] = (), **facts: Any) -> Any:
    known = {"kind": kind, "part": part, "seq": seq, "rows": 0, "units": 0, **facts}
    cells = [(f"c{i}", pa.binary()) for i in range(len(domain))]
    arrays = [pa.array([known.get(name)], of) for name, of in _FACTS]
    arrays += [pa.array([columns[i] if columns else None], of) for i, (_, of) in enumerate(cells)]
    return pa.RecordBatch.from_arrays(arrays, schema=pa.schema([*_FACTS, *cells]))


def _meeting(kind: str, part: int, bucket: int, note: bytes) -> Any:
    content = (kind, part, bucket, note)
    arrays = [pa.array([value], of) for value, (_, of) in zip(content, _MEETING, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(_MEETING))
