"""What is asked of chunks on Spark's executors: counts of cliques, sizes of units, units drawn by secret coins.

Every answer names the chunks that it is about, with their digests, so that the driver sees each of them once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dpsynth.counting import Tally
from dpsynth.domain import Clique, Domain
from dpsynth.measurement import Merges
from dpsynth.records import Codes, Records, code_dtype

PIECE = 1 << 18
"""Counts that travel together."""
ABOUT = np.dtype([("part", "<i4"), ("seq", "<i4"), ("rows", "<i4"), ("units", "<i4"), ("digest", "V16")])
"""A chunk's name."""
NAMES = -1
"""The piece of an answer that has the names of the chunks instead of counts."""
FACTS = ("part", "seq", "rows", "units", "digest")
_ANSWER = pa.schema([("piece", pa.int32()), ("content", pa.binary())])
ANSWER = "piece int, content binary"
_DRAWN = pa.schema(
    [("step", pa.int32()), ("part", pa.int32()), ("seq", pa.int32()), ("content", pa.binary())]
)
DRAWN = "step int, part int, seq int, content binary"


@dataclass(frozen=True)
class Cells:
    """How chunks hold the attributes that are asked for. `domain`: of the chunks; `merges`: as in `Engine.merged`."""

    domain: Domain
    attributes: tuple[str, ...]
    merges: Merges = field(default_factory=dict)

    @property
    def asked(self) -> Domain:
        """The domain of these attributes, after merges."""
        sizes = {a: self.domain[a] for a in self.attributes}
        for attribute, cells in self.merges.items():
            if attribute in sizes:
                sizes[attribute] = int(np.max(cells)) + 1
        return Domain.from_sizes(sizes)

    @property
    def columns(self) -> list[str]:
        return [f"c{self.domain.index(a)}" for a in self.attributes]

    def records(self, batch: Any, row: int) -> Records:
        """Of one chunk."""
        return Records(self.asked, tuple(self._codes(a, batch, row) for a in self.attributes))

    def _codes(self, attribute: str, batch: Any, row: int) -> Codes:
        content = batch.column(f"c{self.domain.index(attribute)}")[row].as_buffer()
        codes: Codes = np.frombuffer(content, code_dtype(self.domain[attribute]))
        if attribute not in self.merges:
            return codes
        cells = np.asarray(self.merges[attribute])
        return np.take(cells.astype(code_dtype(int(cells.max()) + 1)), codes)


@dataclass(frozen=True)
class Count:
    """Chunks of a partition -> one vector of counts, the tables of all cliques one behind the other, in pieces."""

    cells: Cells
    cliques: tuple[Clique, ...]

    def __call__(self, batches: Iterator[Any]) -> Iterator[Any]:
        domain = self.cells.asked
        ends = np.cumsum([0, *(domain.size(clique) for clique in self.cliques)])
        whole = np.zeros(int(ends[-1]), np.int64)
        tables = {c: whole[ends[i] : ends[i + 1]] for i, c in enumerate(self.cliques)}
        tally = Tally(domain, tables)
        names: list[bytes] = []
        for batch in batches:
            names.append(named(batch))
            for row in range(batch.num_rows):
                tally.add(self.cells.records(batch, row))
        if names:
            tally.close()
            yield from answered(whole, b"".join(names))


@dataclass(frozen=True)
class CountUnits:
    """Chunks of a partition -> how many units have 0, 1, 2, ... records; what is above `rows_per_unit` is one too many."""

    rows_per_unit: int

    def __call__(self, batches: Iterator[Any]) -> Iterator[Any]:
        whole = np.zeros(self.rows_per_unit + 2, np.int64)
        names: list[bytes] = []
        for batch in batches:
            names.append(named(batch))
            for row in range(batch.num_rows):
                sizes = np.frombuffer(batch.column("sizes")[row].as_buffer(), np.uint16)
                held = np.minimum(sizes, self.rows_per_unit + 1)
                whole += np.bincount(held, minlength=len(whole))
        if names:
            yield from answered(whole, b"".join(names))


class Add:
    """Pieces of several answers -> each piece once, added up. Sorted by piece."""

    def __call__(self, batches: Iterator[Any]) -> Iterator[Any]:
        yield from (piece(number, content) for number, content in sorted(added(batches).items()))


@dataclass(frozen=True)
class Draw:
    """Chunks of a partition -> for each step the records of the units whose coins fall on heads, with their places.

    ``keys[s]``: secret, of step s alone. The coin of a unit is a 64-bit word of SHAKE-256 of that key and the unit's place:
    a chunk that is computed again throws the same coins.
    """

    cells: Cells
    heads_below: int
    keys: tuple[bytes, ...] = field(repr=False)

    def __call__(self, batches: Iterator[Any]) -> Iterator[Any]:
        for batch in batches:
            for row in range(batch.num_rows):
                yield self._whole(batch, row)
                yield from self._drawn(batch, row)

    def _whole(self, batch: Any, row: int) -> Any:
        part, seq = (batch.column(name)[row].as_py() for name in ("part", "seq"))
        return _taken(NAMES, part, seq, named(batch.slice(row, 1)))

    def _drawn(self, batch: Any, row: int) -> Iterator[Any]:
        records = self.cells.records(batch, row)
        part, seq, units = (batch.column(name)[row].as_py() for name in ("part", "seq", "units"))
        sizes = np.frombuffer(batch.column("sizes")[row].as_buffer(), np.uint16)
        held = sizes.astype(np.int64) if len(sizes) else np.ones(units, np.int64)
        for step, key in enumerate(self.keys):
            heads = np.repeat(self._heads(key, part, seq, units), held)
            if heads.any():
                numbers = np.repeat(np.arange(units, dtype=np.uint32), held)[heads]
                chosen = records.take(heads)
                content = [numbers.tobytes(), *(codes.tobytes() for codes in chosen.columns)]
                yield _taken(step, part, seq, b"".join(content))

    def _heads(self, key: bytes, part: int, seq: int, units: int) -> NDArray[np.bool_]:
        if self.heads_below >> 64:
            return np.full(units, True)
        place = part.to_bytes(8, "big") + seq.to_bytes(8, "big")
        words = hashlib.shake_256(key + b"batch" + place).digest(8 * units)
        return np.frombuffer(words, "<u8") < np.uint64(self.heads_below)


def drawn_records(content: bytes, domain: Domain) -> tuple[Records, NDArray[np.int64]]:
    """What `Draw` has found in a chunk: records, and the number of each one's unit there."""
    width = 4 + sum(np.dtype(code_dtype(size)).itemsize for size in domain.sizes)
    rows, start = len(content) // width, 0
    found: list[NDArray[Any]] = []
    for kind in (np.uint32, *(code_dtype(size) for size in domain.sizes)):
        found.append(np.frombuffer(content, kind, rows, start))
        start += found[-1].nbytes
    return Records(domain, tuple(found[1:])), found[0].astype(np.int64)


def named(batch: Any) -> bytes:
    """The names of chunks, `ABOUT` each."""
    found = np.empty(batch.num_rows, ABOUT)
    for name in FACTS[:-1]:
        found[name] = batch.column(name).to_numpy()
    digests = b"".join(batch.column("digest").to_pylist())
    found["digest"] = np.frombuffer(digests, "V16")
    return found.tobytes()


def added(batches: Iterator[Any]) -> dict[int, bytes]:
    """The sum of each piece; of the names, all of them."""
    sums: dict[int, NDArray[np.int64]] = {}
    names: list[bytes] = []
    for batch in batches:
        pieces, contents = batch.column("piece").to_pylist(), batch.column("content")
        for row, piece in enumerate(pieces):
            if piece == NAMES:
                names.append(contents[row].as_py())
                continue
            counts = np.frombuffer(contents[row].as_buffer(), np.int64)
            if piece in sums:
                sums[piece] += counts
            else:
                sums[piece] = counts.copy()
    found = {piece: counts.tobytes() for piece, counts in sums.items()}
    return {**found, NAMES: b"".join(names)} if names else found


def answered(whole: NDArray[np.int64], names: bytes) -> Iterator[Any]:
    """A vector of counts of the chunks with these names, in pieces."""
    yield piece(NAMES, names)
    for number, first in enumerate(range(0, len(whole), PIECE)):
        yield piece(number, whole[first : first + PIECE].tobytes())


def pieces(cells: int) -> int:
    """Into how many pieces a vector of so many counts is cut."""
    return -(-cells // PIECE)


def piece(number: int, content: bytes) -> Any:
    """A part of an answer."""
    return pa.RecordBatch.from_arrays(
        [pa.array([number], pa.int32()), pa.array([content], pa.binary())], schema=_ANSWER
    )


def _taken(step: int, part: int, seq: int, content: bytes) -> Any:
    values: Sequence[Any] = (step, part, seq, content)
    arrays = [pa.array([value], of.type) for value, of in zip(values, _DRAWN, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=_DRAWN)
