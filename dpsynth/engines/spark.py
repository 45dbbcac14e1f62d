"""The engine on a Spark cluster: chunks of encoded records that the executors keep, counted there, the same integers.

All cliques of a question are one job: each partition counts its chunks into one vector, and the driver adds these up;
where they are large the executors add them first, each some of the cells.
"""

from __future__ import annotations

import hashlib
import itertools
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpsynth.domain import Clique, Domain
from dpsynth.engines import spark_open
from dpsynth.engines.base import Counts, Drawn
from dpsynth.engines.spark_chunks import CHUNK, chunk_columns
from dpsynth.engines.spark_open import Open
from dpsynth.engines.spark_tasks import (
    ABOUT,
    ANSWER,
    DRAWN,
    FACTS,
    NAMES,
    Add,
    Cells,
    Count,
    CountUnits,
    Draw,
    added,
    drawn_records,
    named,
    pieces,
)
from dpsynth.engines.spark_words import Layout
from dpsynth.entropy import Stream
from dpsynth.errors import DataError
from dpsynth.measurement import Merges
from dpsynth.records import Records, code_dtype
from dpsynth.schema import Schema
from dpsynth.spark_jobs import Jobs

DIRECT_BYTES = 1 << 27
"""Up to so many bytes of counts the driver adds up by itself."""
DRAWN_BYTES = 1 << 26
"""About so many bytes of batches are drawn by one job."""
KEY_BYTES = 32
FEW = 16
"""So many partitions send the texts that they have met to the driver; of more the executors add them up first."""
TEXT_PIECES = 64
EVERY = slice(None)


@dataclass(frozen=True, eq=False)
class Chunks:
    """Encoded records that executors hold, in memory or on their disks; let go of when nobody asks any more.

    `names`: all chunks, sorted, as `ABOUT` says. An answer is used only if it is about each of them, once, as it was when
    the rows were taken in: whatever Spark computes again, loses or tries twice, no record counts twice and none changes
    sides.
    """

    frame: Any
    domain: Domain
    names: NDArray[Any]
    partitions: int
    jobs: Jobs

    def __post_init__(self) -> None:
        # when the program ends, what executors keep ends with it
        weakref.finalize(self, _let_go, self.frame).atexit = False

    @property
    def rows(self) -> int:
        return int(self.names["rows"].sum())

    @property
    def digest(self) -> bytes:
        """SHA-256 of the names of all chunks, and so of what is in them."""
        return hashlib.sha256(self.names.tobytes()).digest()

    def select(self, columns: Sequence[str], some: slice = EVERY) -> Any:
        """The chunks, or `some` of them by their place among the names."""
        chosen = self.frame.where(f"kind = '{CHUNK}'")
        if some != EVERY:
            (low, early), (high, late) = self.names[some][["part", "seq"]][[0, -1]].tolist()
            chosen = chosen.where(f"(part > {low} or (part = {low} and seq >= {early}))").where(
                f"(part < {high} or (part = {high} and seq <= {late}))"
            )
        return chosen.select(*FACTS, *columns)

    def require_all(self, names: bytes, some: slice = EVERY) -> None:
        """DataError D184 when an answer is not about all of these chunks as they were, each once."""
        if sorted_names(names).tobytes() != self.names[some].tobytes():
            raise DataError(
                "D184",
                "the table gave other rows, or in another order, when a lost part of it was read again",
                "write it to parquet first, and keep that as it is until the run has ended",
            )

    def let_go(self) -> None:
        """What executors keep of them; an answer would read the source again."""
        _let_go(self.frame)

    def __reduce__(self) -> str:
        raise TypeError("encoded rows are private: they cannot be pickled or copied")


def sorted_names(names: bytes) -> NDArray[Any]:
    """Names of chunks by their places."""
    return np.sort(np.frombuffer(names, ABOUT), order=list(ABOUT.names or ())[:-1])


def _let_go(frame: Any) -> None:
    with suppress(Exception):  # the session may be gone, and the rows with it
        frame.unpersist()


@dataclass(frozen=True, eq=False)
class SparkEngine:
    """Counts over bounded training records on a cluster. Counts are remembered, as in memory.

    `by_unit`: units have several records, which stand together in their chunk; else every record is a unit. `unknown`: the
    schema, where columns of the chunks are still to be discovered.
    """

    chunks: Chunks
    rows_per_unit: int
    by_unit: bool
    merges: Merges = field(default_factory=dict)
    unknown: Schema | None = None
    _known: dict[Clique, Counts] = field(default_factory=dict, repr=False)

    @cached_property
    def domain(self) -> Domain:
        return Cells(self.chunks.domain, self.chunks.domain.attributes, self.merges).asked

    def marginals(self, cliques: Sequence[Clique]) -> Mapping[Clique, Counts]:
        """As the protocol says, in one job. DPSynthError when the cluster does not answer."""
        asked = tuple(dict.fromkeys(clique for clique in cliques if clique not in self._known))
        if asked:
            self._known.update(self._counted(asked))
        return {clique: self._known[clique] for clique in cliques}

    def _counted(self, cliques: tuple[Clique, ...]) -> dict[Clique, Counts]:
        read = self.domain.ordered({a for clique in cliques for a in clique}) or self.domain.attributes[:1]
        cells = Cells(self.chunks.domain, read, {a: m for a, m in self.merges.items() if a in read})
        ends = np.cumsum([0, *(self.domain.size(clique) for clique in cliques)])
        whole = self._summed(Count(cells, cliques), cells.columns, int(ends[-1]))
        found = {}
        for i, clique in enumerate(cliques):
            found[clique] = whole[ends[i] : ends[i + 1]].reshape(self.domain.shape(clique))
            found[clique].setflags(write=False)
        return found

    def _summed(self, task: Any, columns: Sequence[str], size: int) -> Counts:
        """The sum of the partitions' vectors of counts, shape (size,)."""
        answers = self.chunks.select(columns).mapInArrow(task, ANSWER)
        if pieces(size) > 1 and 8 * size * self.chunks.partitions > DIRECT_BYTES:
            apart = answers.repartition(min(self.chunks.partitions, pieces(size)), "piece")
            answers = apart.mapInArrow(Add(), ANSWER)
        table = self.chunks.jobs.collected(answers, "counting on the cluster")
        found = added(iter(table.to_batches()))
        self.chunks.require_all(found.pop(NAMES, b""))
        parts = [np.frombuffer(found[piece], np.int64) for piece in sorted(found)]
        return np.concatenate(parts) if parts else np.zeros(size, np.int64)

    def units_with(self, column: str) -> Mapping[str, int]:
        asked = self._open(column)
        wanted = self.chunks.select([*spark_open.FACTS, *asked.cells.columns])
        answers = wanted.mapInArrow(spark_open.CountTexts(asked, TEXT_PIECES), ANSWER)
        if self.chunks.partitions > FEW:
            apart = answers.repartition(min(self.chunks.partitions, TEXT_PIECES), "piece")
            answers = apart.mapInArrow(spark_open.AddTexts(), ANSWER)
        table = self.chunks.jobs.collected(answers, "counting on the cluster")
        names, found = spark_open.added_texts(iter(table.to_batches()))
        self.chunks.require_all(names)
        return {text: units for piece in found.values() for text, units in piece.items()}

    def units_between(self, column: str, edges: Sequence[float]) -> Counts:
        asked = self._open(column)
        task = spark_open.CountBetween(asked, tuple(edges))
        return self._summed(task, [*spark_open.FACTS, *asked.cells.columns], max(0, len(edges) - 2) + 1)

    def _open(self, column: str) -> Open:
        if self.unknown is None:
            raise ValueError("nothing is to be discovered")
        return Open(self.unknown, column)

    def recoded(self, schema: Schema) -> SparkEngine:
        """The same records under a schema that knows what was to be discovered, encoded where they are.

        DataError D184 as for counts."""
        if self.unknown is None or self.merges:
            raise ValueError("nothing is to be discovered, or cells are merged already")
        before, domain = self.chunks, Layout.of(schema).domain
        every = [*spark_open.FACTS, *(f"c{i}" for i in range(len(before.domain)))]
        task = spark_open.EncodeAgain(self.unknown, schema)
        made = before.select(every).mapInArrow(task, chunk_columns(domain))

        def asked() -> Any:
            return made.persist().select("note", *FACTS).toArrow()

        try:
            table = before.jobs.run(asked, "encoding on the cluster")
            before.require_all(b"".join(table.column("note").to_pylist()))
        except BaseException:
            _let_go(made)
            raise
        names = sorted_names(b"".join(map(named, table.select(FACTS).to_batches())))
        before.let_go()
        after = Chunks(made, domain, names, before.partitions, before.jobs)
        return SparkEngine(after, self.rows_per_unit, self.by_unit)

    def merged(self, merges: Merges) -> SparkEngine:
        """ValueError for a second merging."""
        if self.merges:
            raise ValueError("already merged: merge the original cells")
        return SparkEngine(self.chunks, self.rows_per_unit, self.by_unit, dict(merges))

    def unit_sizes(self) -> Counts:
        """As the protocol says. ValueError for a unit with more records than the bound that this engine states."""
        if not self.by_unit:
            found = np.zeros(self.rows_per_unit, np.int64)
            found[0] = self.chunks.rows
            return found
        held = self._summed(CountUnits(self.rows_per_unit), ["sizes"], self.rows_per_unit + 2)
        if held[-1]:
            raise ValueError("a unit has more records than its bound")
        return held[1:-1].copy()

    def poisson_batches(self, rate: float, steps: int, stream: Stream) -> Iterator[Iterator[Drawn]]:
        """As the protocol says, several steps by one job, and a large batch by several; exact coins: a 64-bit word below
        ``rate * 2**64``, rounded down."""
        if not 0 < rate <= 1:
            raise ValueError("a rate lies in (0, 1]")
        return self._batches(int(Fraction(rate) * 2**64), rate, steps, stream)

    def _batches(self, below: int, rate: float, steps: int, stream: Stream) -> Iterator[Iterator[Drawn]]:
        width = 4 + sum(np.dtype(code_dtype(size)).itemsize for size in self.domain.sizes)
        expected = rate * width * self.chunks.names["rows"].astype(np.float64)
        at_once = max(1, min(1000, int(DRAWN_BYTES / max(1.0, expected.sum()))))
        for first in range(0, steps, at_once):
            keys = tuple(stream.bytes(KEY_BYTES) for _ in range(min(at_once, steps - first)))
            if expected.sum() > DRAWN_BYTES:
                yield self._in_parts(below, keys, _shares(expected))
            else:
                rows = self._drawn(below, keys, EVERY)
                for step in range(len(keys)):
                    yield self._batch([row for row in rows if row["step"] == step])

    def _drawn(self, below: int, keys: tuple[bytes, ...], some: slice) -> list[Mapping[str, Any]]:
        """What `Draw` finds in some of the chunks, in their order."""
        cells = Cells(self.chunks.domain, self.chunks.domain.attributes, self.merges)
        frame = self.chunks.select(["sizes", *cells.columns], some).mapInArrow(
            Draw(cells, below, keys), DRAWN
        )
        table = self.chunks.jobs.collected(frame, "drawing batches on the cluster")
        rows = sorted(table.to_pylist(), key=lambda row: (row["step"], row["part"], row["seq"]))
        self.chunks.require_all(b"".join(row["content"] for row in rows if row["step"] == NAMES), some)
        return rows

    def _in_parts(self, below: int, keys: tuple[bytes, ...], shares: Sequence[slice]) -> Iterator[Drawn]:
        """A batch that is larger than the driver should hold."""
        for some in shares:
            yield from self._batch([row for row in self._drawn(below, keys, some) if row["step"] == 0])

    def _batch(self, rows: Sequence[Mapping[str, Any]]) -> Iterator[Drawn]:
        first = dict(zip(map(tuple, self.chunks.names[["part", "seq"]].tolist()), self._firsts, strict=True))
        for row in rows:
            records, units = drawn_records(row["content"], self.domain)
            yield Drawn(records, units + first[row["part"], row["seq"]])
        if not rows:
            empty = Records.of(self.domain, {a: np.zeros(0, np.int64) for a in self.domain.attributes})
            yield Drawn(empty, np.zeros(0, np.int64))

    @cached_property
    def _firsts(self) -> list[int]:
        """How many units there are before each chunk."""
        units = self.chunks.names["units"].astype(np.int64)
        return [int(n) for n in np.cumsum(units) - units]

    def __reduce__(self) -> str:
        raise TypeError("an engine holds private rows: it cannot be pickled or copied")


def _shares(expected: NDArray[np.float64]) -> list[slice]:
    """Consecutive chunks from which about `DRAWN_BYTES` are drawn."""
    share = (np.cumsum(expected) - expected) // DRAWN_BYTES
    begins = [*np.flatnonzero(np.diff(share, prepend=-1.0)).tolist(), len(expected)]
    return [slice(first, last) for first, last in itertools.pairwise(begins)]
