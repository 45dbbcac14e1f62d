"""A sample of the rows of a stream, with all rows of each unit in it: what attacks and evaluation look at. Private."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpsynth.encoding import Encoding
from dpsynth.engines.coins import coins_of, row_coins, unit_words
from dpsynth.engines.memory import bound_and_split
from dpsynth.records import Records
from dpsynth.table import Table, joined
from dpsynth.unit_names import UnitNames
from dpsynth.unit_names import joined as joined_names

Coins = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class _Some:
    """Rows with the sampling coin and the name of each one's unit."""

    rows: Table
    coins: Coins
    units: UnitNames | None

    def below(self, ceiling: float) -> _Some:
        kept = np.flatnonzero(self.coins < ceiling)
        if len(kept) == len(self.coins):
            return self
        if self.units is None:
            return _Some(self.rows.take(kept), self.coins[kept], None)
        units = self.units.take(kept).compact()
        return _Some(_numbered(self.rows.take(kept), units), self.coins[kept], units)


class Kept:
    """Of the training and of the held-out units of a stream those `most` with the smallest secret coins.

    Whether a unit is kept depends on its own coin and on how many others have a smaller one.
    """

    def __init__(
        self, most: int, *, holdout: float, run_key: bytes, ranked: Callable[[Table], Records] | None = None
    ) -> None:
        """`ranked`: by which the rows of a unit are ranked, where it is not by their encoded records."""
        self._most, self._holdout, self._run_key, self._ranked = most, holdout, run_key, ranked
        self._sampling_key = hashlib.sha256(run_key + b"sample").digest()
        self._sides = (_Side(most), _Side(most))

    def take(self, rows: Table, units: UnitNames | None, first: int) -> None:
        """The next rows of the stream; row 0 of them has the number `first`, counted from 0."""
        held, coins = self._coins(len(rows), units, first)
        for side, mine in zip(self._sides, (~held, held), strict=True):
            side.take(_Some(rows, np.where(mine, coins, np.inf), units))

    def _coins(self, rows: int, units: UnitNames | None, first: int) -> tuple[NDArray[np.bool_], Coins]:
        if units is None:
            return (
                row_coins(first, rows, self._run_key) < self._holdout,
                row_coins(first, rows, self._sampling_key),
            )
        words = units.once(self._run_key, unit_words)
        held, sampled = coins_of(words[:, 0]) < self._holdout, coins_of(words[:, 3])
        return held[units.codes], sampled[units.codes]

    def tables(self) -> tuple[Table, Table]:
        """Training and held-out rows, cut to the schema's bound as the engine has cut them."""
        training, holdout = (self._bounded(side.rows()) for side in self._sides)
        return training, holdout

    def _bounded(self, some: _Some) -> Table:
        if some.units is None:
            return some.rows
        ranked = Encoding(some.rows.schema).encode if self._ranked is None else self._ranked
        records = ranked(some.rows)
        bound = some.rows.schema.unit.rows_per_unit
        cut = bound_and_split(records, some.units, rows_per_unit=bound, holdout=0.0, run_key=self._run_key)
        return some.rows.take(cut.training)

    def __reduce__(self) -> str:
        raise TypeError("kept rows are private: they cannot be pickled or copied")


class Sketch:
    """Rows of a stream chosen by what is in them: all that have one of the `most` smallest keyed hashes of their known
    columns. Whether two tables hold the same rows, and how often, shows in their sketches under one key."""

    def __init__(self, most: int, run_key: bytes) -> None:
        words = np.frombuffer(hashlib.shake_256(run_key + b"sketch").digest(16), dtype="<u8")
        self._first, self._odd = words[:1].astype(np.uint64), words[1:].astype(np.uint64) | np.uint64(1)
        self._side = _Side(most)

    def take(self, rows: Table) -> None:
        self._side.take(_Some(rows, self.hashes(rows), None))

    @property
    def rows(self) -> Table:
        return self._side.rows().rows

    def thinned(self, rows: Table) -> Table:
        """Of another table the rows that this sketch would have kept."""
        return rows.take(self.hashes(rows) < self._side.ceiling)

    def hashes(self, rows: Table) -> Coins:
        """A uniform in [0, 1) for each row, shape (rows,), equal for equal rows."""
        found = np.broadcast_to(self._first, len(rows)).copy()
        for name in rows.schema.modelled:
            if name not in rows.schema.unknown:
                values = rows.values[name].astype(np.float64) + 0.0  # one zero
                cell = np.where(rows.missing[name], np.nan, values).view(np.uint64)
                found = (found ^ cell) * self._odd
                found ^= found >> np.uint64(32)
                found *= np.uint64(0xD6E8FEB86659FD93)
                found ^= found >> np.uint64(32)
        return np.asarray((found >> np.uint64(11)) / 2.0**53)

    def __reduce__(self) -> str:
        raise TypeError("kept rows are private: they cannot be pickled or copied")


class _Side:
    """The units with the smallest coins so far."""

    def __init__(self, most: int) -> None:
        self._most, self.ceiling = most, 1.0
        self._parts: list[_Some] = []
        self._enough = 4 * most

    def take(self, some: _Some) -> None:
        kept = some.below(self.ceiling)
        self._kinds = {name: values.dtype for name, values in some.rows.values.items()}
        if len(kept.rows) or not self._parts:
            self._parts.append(replace(kept, rows=_narrow(kept.rows)))
        if sum(len(part.rows) for part in self._parts) > self._enough:
            self._prune()
            self._enough = max(4 * self._most, len(self._parts[0].rows) * 3 // 2)

    def _prune(self) -> None:
        coins = np.unique(np.concatenate([part.coins for part in self._parts]))
        if len(coins) > self._most:
            self.ceiling = float(coins[self._most])
        whole = _together([part.below(self.ceiling) for part in self._parts])
        self._parts = [whole]

    def rows(self) -> _Some:
        """All that are kept, as they came."""
        self._prune()
        some = self._parts[0]
        values = {
            name: array.astype(self._kinds[name], copy=False) for name, array in some.rows.values.items()
        }
        return replace(some, rows=replace(some.rows, values=values))


def _narrow(table: Table) -> Table:
    """Whole numbers in the smallest signed type that holds a column's: most of these rows are let go of again."""
    return replace(table, values={name: _narrowed(array) for name, array in table.values.items()})


def _narrowed(array: NDArray[Any]) -> NDArray[Any]:
    if array.dtype.kind != "i" or not len(array):
        return array
    widest = min(int(array.min()), -1 - int(array.max()))
    return array.astype(np.min_scalar_type(widest), copy=False)


def _together(parts: Sequence[_Some]) -> _Some:
    named = [part.units for part in parts if part.units is not None]
    units = joined_names(named) if named else None
    rows = _numbered(joined([part.rows for part in parts]), units)
    return _Some(rows, np.concatenate([part.coins for part in parts]), units)


def _numbered(rows: Table, units: UnitNames | None) -> Table:
    """The rows with one number for each unit that is among them, wherever in the stream its rows were."""
    if units is None or rows.units is None or rows.unit_labels is None:
        return rows
    codes = units.numbers()
    labels = np.empty(int(codes.max()) + 1 if len(codes) else 0, dtype=object)
    labels[codes] = rows.unit_labels[rows.units]
    return replace(rows, units=codes, unit_labels=labels)
