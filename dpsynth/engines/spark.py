"""The engine on a Spark cluster: chunks of encoded records that the executors keep, counted there, the same integers.

All cliques of a question are one job: each partition counts its chunks into one vector, and the driver adds these up;
where they are large the executors add them first, each some of the cells.
"""

from __future__ import annotations

import hashlib
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
from dpsynth.engines.base import Counts, Drawn
from dpsynth.engines.spark_chunks import CHUNK
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
    pieces,
)
from dpsynth.entropy import Stream
from dpsynth.errors import CapacityError, DataError
from dpsynth.measurement import Merges
from dpsynth.records import Records, code_dtype
from dpsynth.spark_jobs import Jobs

DIRECT_BYTES = 1 << 27
"""Up to so many bytes of counts the driver adds up by itself."""
DRAWN_BYTES = 1 << 26
"""About so many bytes of batches are drawn by one job."""
KEY_BYTES = 32


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

    def select(self, columns: Sequence[str]) -> Any:
        return self.frame.where(f"kind = '{CHUNK}'").select(*FACTS, *columns)

    def require_all(self, names: bytes) -> None:
        """DataError D184 when an answer is not about all of these chunks as they were, each once."""
        found = np.sort(np.frombuffer(names, ABOUT), order=list(ABOUT.names or ())[:-1])
        if found.tobytes() != self.names.tobytes():
            raise DataError(
                "D184",
                "the table gave other rows, or in another order, when a lost part of it was read again",
                "write it to parquet first, and keep that as it is until the run has ended",
            )

    def __reduce__(self) -> str:
        raise TypeError("encoded rows are private: they cannot be pickled or copied")


def _let_go(frame: Any) -> None:
    with suppress(Exception):  # the session may be gone, and the rows with it
        frame.unpersist()


@dataclass(frozen=True, eq=False)
class SparkEngine:
    """Counts over bounded training records on a cluster. Counts are remembered, as in memory.

    `by_unit`: units have several records, which stand together in their chunk; else every record is a unit.
    """

    chunks: Chunks
    rows_per_unit: int
    by_unit: bool
    merges: Merges = field(default_factory=dict)
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
        raise NotImplementedError("a table that is to be discovered is read into memory")

    def units_between(self, column: str, edges: Sequence[float]) -> Counts:
        raise NotImplementedError("a table that is to be discovered is read into memory")

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
        """As the protocol says, several steps by one job; exact coins: a 64-bit word below ``rate * 2**64``, rounded down.

        CapacityError C183 when a batch is larger than the driver may hold.
        """
        if not 0 < rate <= 1:
            raise ValueError("a rate lies in (0, 1]")
        return self._batches(int(Fraction(rate) * 2**64), rate, steps, stream)

    def _batches(self, below: int, rate: float, steps: int, stream: Stream) -> Iterator[Iterator[Drawn]]:
        cells = Cells(self.chunks.domain, self.chunks.domain.attributes, self.merges)
        width = 4 + sum(np.dtype(code_dtype(size)).itemsize for size in self.domain.sizes)
        at_once = max(1, min(1000, int(DRAWN_BYTES / max(1.0, rate * self.chunks.rows * width))))
        if rate * self.chunks.rows * width > 32 * DRAWN_BYTES:
            raise CapacityError(
                "C183", "a batch has more rows than Spark's driver may hold", "take a smaller sampling rate"
            )
        for first in range(0, steps, at_once):
            keys = tuple(stream.bytes(KEY_BYTES) for _ in range(min(at_once, steps - first)))
            task = Draw(cells, below, keys)
            frame = self.chunks.select(["sizes", *cells.columns]).mapInArrow(task, DRAWN)
            table = self.chunks.jobs.collected(frame, "drawing batches on the cluster")
            rows = sorted(table.to_pylist(), key=lambda row: (row["step"], row["part"], row["seq"]))
            self.chunks.require_all(b"".join(row["content"] for row in rows if row["step"] == NAMES))
            for step in range(len(keys)):
                yield self._batch([row for row in rows if row["step"] == step])

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
