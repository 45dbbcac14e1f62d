"""A sample of the rows of a stream, with all rows of each unit in it: what attacks and evaluation look at. Private."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dpsynth.encoding import Encoding
from dpsynth.engines.coins import coins_of, row_coins, unit_words
from dpsynth.engines.memory import bound_and_split
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
        if self.units is None:
            return _Some(self.rows.take(kept), self.coins[kept], None)
        units = self.units.take(kept)
        return _Some(_numbered(self.rows.take(kept), units), self.coins[kept], units)


class Kept:
    """Of the training and of the held-out units of a stream those `most` with the smallest secret coins.

    Whether a unit is kept depends on its own coin and on how many others have a smaller one.
    """

    def __init__(self, most: int, *, holdout: float, run_key: bytes) -> None:
        self._most, self._holdout, self._run_key = most, holdout, run_key
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
        records = Encoding(some.rows.schema).encode(some.rows)
        bound = some.rows.schema.unit.rows_per_unit
        cut = bound_and_split(records, some.units, rows_per_unit=bound, holdout=0.0, run_key=self._run_key)
        return some.rows.take(cut.training)

    def __reduce__(self) -> str:
        raise TypeError("kept rows are private: they cannot be pickled or copied")


class _Side:
    """The units with the smallest coins so far."""

    def __init__(self, most: int) -> None:
        self._most, self._ceiling = most, 1.0
        self._parts: list[_Some] = []

    def take(self, some: _Some) -> None:
        kept = some.below(self._ceiling)
        if len(kept.rows) or not self._parts:
            self._parts.append(kept)
        if sum(len(part.rows) for part in self._parts) > 4 * self._most:
            self._prune()

    def _prune(self) -> None:
        coins = np.unique(np.concatenate([part.coins for part in self._parts]))
        if len(coins) > self._most:
            self._ceiling = float(coins[self._most])
        whole = _together([part.below(self._ceiling) for part in self._parts])
        self._parts = [whole]

    def rows(self) -> _Some:
        self._prune()
        return self._parts[0]


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
