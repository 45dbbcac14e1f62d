"""What a partition tells the driver beside its encoded rows: how many it has seen, some of them, and what is wrong.

Runs on Spark's executors. Errors travel as data: Spark would try a failed task again, and bury its reason.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from dpsynth import errors
from dpsynth.errors import DPSynthError
from dpsynth.table import Table
from dpsynth.unit_names import UnitNames, joined

_WORD = np.uint64(0x9E3779B97F4A7C15)
_OTHER = np.uint64(0xBF58476D1CE4E5B9)
SMALLEST = 1024
"""Hashes of texts by which their number is estimated: within about 3 %, one standard deviation; up to so many exactly."""


@dataclass
class Seen:
    """How many rows a partition has, and two sums over them, in which neither order nor partitions matter. `texts`: of each
    column of texts that are to be discovered the smallest hashes of those that occur, as fractions of 2**64."""

    rows: int = 0
    sums: tuple[int, int] = (0, 0)
    texts: dict[str, list[int]] = field(default_factory=dict)

    def take(self, table: Table) -> None:
        marks = _marks(table)
        mixed = (marks ^ (marks >> np.uint64(31))) * _OTHER
        texts = {name: pd.util.hash_array(words).tolist() for name, words in table.words.items()}
        self.add(Seen(len(table), (int(marks.sum()), int(mixed.sum())), texts))

    def add(self, other: Seen) -> None:
        self.rows += other.rows
        self.sums = ((self.sums[0] + other.sums[0]) % 2**64, (self.sums[1] + other.sums[1]) % 2**64)
        for name, hashes in other.texts.items():
            self.texts[name] = sorted({*self.texts.get(name, ()), *hashes})[:SMALLEST]

    def different_texts(self, name: str) -> int:
        """About how many different texts the column has (k smallest values: Bar-Yossef et al. 2002)."""
        hashes = self.texts[name]
        return len(hashes) if len(hashes) < SMALLEST else int((SMALLEST - 1) * 2**64 / hashes[-1])

    @property
    def fingerprint(self) -> bytes:
        """SHA-256 of what all rows are known by."""
        return hashlib.sha256(json.dumps([self.rows, *self.sums]).encode()).digest()

    def note(self) -> bytes:
        return json.dumps([self.rows, self.sums, self.texts], sort_keys=True).encode()

    @classmethod
    def of(cls, note: bytes) -> Seen:
        rows, (first, second), texts = json.loads(note)
        return cls(rows, (first, second), texts)


def _marks(table: Table) -> NDArray[np.uint64]:
    """64 bits of each row, from its values, whoever's they are. Not for secrets: they go under a secret key."""
    found = np.full(len(table), _WORD)
    columns: dict[str, NDArray[Any]] = dict(table.values)
    if table.units is not None and table.unit_labels is not None:
        columns["\0unit"] = table.unit_labels[table.units]
    for name in sorted(columns):
        values, gone = columns[name], table.missing.get(name)
        if name in table.words:
            values = table.words[name][values]
        if gone is not None:
            values = np.where(gone, np.zeros(1, values.dtype), values)
        if values.dtype == object:
            values = np.array(["\0" if value is None else f"\1{value}" for value in values], dtype=object)
        cells = pd.util.hash_array(values, categorize=True)
        if gone is not None:
            cells = cells ^ (gone * _OTHER)
        found = (found ^ (found >> np.uint64(29))) * _WORD ^ cells
    return found


def wrong(error: BaseException) -> bytes:
    """An error as a note. One that is no error of ours is a fault of the program: its text may quote a cell."""
    if isinstance(error, DPSynthError):
        return json.dumps(error.as_json()).encode()
    trace, last = error.__traceback__, "?"
    while trace is not None:
        last = f"{trace.tb_frame.f_code.co_filename.rsplit('/', 1)[-1]}:{trace.tb_lineno}"
        trace = trace.tb_next
    problem = f"internal error on a worker ({type(error).__name__} at {last})"
    return json.dumps({"code": "DPS-X002", "problem": problem, "fix": "report it"}).encode()


def as_error(note: bytes) -> DPSynthError:
    """The inverse of `wrong`: the same class, code and words."""
    told = json.loads(note)
    code = str(told["code"]).removeprefix("DPS-")
    kinds = {
        kind.letter: kind for kind in DPSynthError.__subclasses__() if kind.__module__ == errors.__name__
    }
    return kinds.get(code[:1], DPSynthError)(code, told["problem"], told["fix"])


@dataclass(frozen=True, eq=False)
class Some:
    """Raw rows with the sampling coin, the part and the name of each one's unit (None: every row is one)."""

    rows: Any
    coins: NDArray[np.float64]
    held: NDArray[np.bool_]
    units: UnitNames | None

    def take(self, chosen: NDArray[np.bool_]) -> Some:
        index = np.flatnonzero(chosen)
        units = None if self.units is None else self.units.take(index)
        return Some(self.rows.take(pa.array(index)), self.coins[index], self.held[index], units)


class Offer:
    """Of each of the two parts the `most` units of a partition with the smallest sampling coins, all their rows there."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._parts: list[Some] = []
        self.ceilings = [2.0, 2.0]
        """All units with smaller coins are offered: training, held out."""

    def take(self, some: Some) -> None:
        kept = some.take(some.coins < np.where(some.held, self.ceilings[1], self.ceilings[0]))
        self._parts.append(kept)
        if sum(len(part.coins) for part in self._parts) > 8 * self._most:
            self._prune()

    def _prune(self) -> None:
        whole = together(self._parts)
        for side in (False, True):
            coins = np.unique(whole.coins[whole.held == side])
            if len(coins) > self._most:
                self.ceilings[side] = float(coins[self._most])
        self._parts = [whole.take(whole.coins < np.where(whole.held, self.ceilings[1], self.ceilings[0]))]

    def note(self) -> bytes:
        """As bytes; empty where there were no rows."""
        if not self._parts:
            return b""
        self._prune()
        some = self._parts[0]
        # columns go by their place: names may be anything
        columns = [column.combine_chunks() for column in some.rows.columns]
        marks = [pa.array(some.coins), pa.array(some.held)]
        if some.units is not None:
            marks.append(pa.array(list(some.units), pa.large_binary()))
        whole = pa.table([*columns, *marks], names=[str(i) for i in range(len(columns) + len(marks))])
        known = {b"columns": str(len(columns)), b"ceilings": json.dumps(self.ceilings)}
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, whole.schema.with_metadata(known)) as writer:
            writer.write_table(whole)
        return bytes(sink.getvalue())


def offered(note: bytes) -> tuple[Some, list[float]]:
    """The inverse of `Offer.note`: rows whose columns are named by their places, and the ceilings."""
    with pa.ipc.open_stream(note) as reader:
        whole = reader.read_all()
    known = whole.schema.metadata
    columns = int(known[b"columns"])
    rows = whole.select(list(range(columns))).replace_schema_metadata(None)
    marks = [whole.column(i).to_numpy() for i in range(columns, whole.num_columns)]
    units = UnitNames.of(marks[2].tolist()) if len(marks) > 2 else None
    return Some(rows, marks[0], marks[1].astype(bool), units), json.loads(known[b"ceilings"])


def alike(parts: Sequence[Some]) -> list[Some]:
    """The rows of all parts, one at least, together where they have the same types."""
    kinds: list[Any] = []
    for part in parts:
        if part.rows.schema not in kinds:
            kinds.append(part.rows.schema)
    return [together([part for part in parts if part.rows.schema == kind]) for kind in kinds]


def together(parts: Sequence[Some]) -> Some:
    """The rows of all parts, one at least, of the same types."""
    units = [part.units for part in parts if part.units is not None]
    return Some(
        pa.concat_tables([part.rows for part in parts]),
        np.concatenate([part.coins for part in parts]),
        np.concatenate([part.held for part in parts]),
        joined(units) if units else None,
    )
