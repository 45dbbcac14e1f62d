"""Units that cannot keep the rules are drawn again: others of the same sizes stand in their place.

What is the unit's own stays as it is in all of its rows, and a rule may leave it no values for the rest. Such a unit is
none that the rules let be, so another is drawn, from the same model and by the same steps; every other one stays. So the
units have the model's distribution given that the rules can be kept, and there are as many of each size as before. All of
it is post-processing of a released model.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from dpsynth.columns import IdColumn
from dpsynth.constraints.repair import Hopeless
from dpsynth.errors import DataError
from dpsynth.model.units import Drawn
from dpsynth.table import Table

Index = NDArray[np.int64]

IN_VAIN = 1_000
"""Units drawn one after another of which none can keep the rules, before that is an error."""
IN_ALL = 50
"""Units drawn again, at most, for each one that there is."""

Finish = Callable[[Drawn, np.random.Generator], tuple[Table, Sequence[Hopeless]]]
"""Rows of whole units, with those that cannot be made to keep the rules."""


def redrawn(
    table: Table, drawn: Drawn, lost: Sequence[Hopeless], finish: Finish, rng: np.random.Generator
) -> Table:
    """`table`, the rows of `drawn`, with other units for those of the rows that are `lost`; each has the id of the one in
    whose place it stands. Raises DataError (D210) where hardly any unit keeps the rules."""
    if drawn.again is None:
        raise lost[0].error
    unit = drawn.unit - drawn.unit[0]
    sizes = np.bincount(unit)
    left = units_of(lost, unit)
    pieces, share = _Pieces(table, sizes), 1 - len(left) / len(sizes)
    seen, vain, words = 0, 0, lost[0]
    while len(left):
        if vain > IN_VAIN or seen > IN_VAIN + IN_ALL * len(sizes):
            raise words.of_units(len(left), len(sizes))
        wanted = _wanted(sizes, left, share, rng)
        good = np.zeros(0, dtype=np.int64)
        others = _others(drawn.again, wanted, rng)
        if others is not None:
            made, lost = finish(others, rng)
            good = np.setdiff1d(np.arange(len(wanted)), units_of(lost, others.unit))
            left = pieces.put(made, np.bincount(others.unit, minlength=len(wanted)), good, left)
        share, seen = len(good) / len(wanted), seen + len(wanted)
        vain = 0 if len(good) else vain + len(wanted)
    return pieces.table


def _others(
    again: Callable[[Index, np.random.Generator], Drawn], wanted: Index, rng: np.random.Generator
) -> Drawn | None:
    """Units of these sizes; None where so few of them have none whose rows follow each other, or lie apart, as they must."""
    try:
        return again(wanted, rng)
    except DataError:
        return None


def units_of(lost: Sequence[Hopeless], unit: Index) -> Index:
    """The units of these rows; `unit`: of each row."""
    return (
        np.unique(unit[np.concatenate([one.rows for one in lost])]) if lost else np.zeros(0, dtype=np.int64)
    )


def _wanted(sizes: Index, left: Index, share: float, rng: np.random.Generator) -> Index:
    """Sizes of the units to be drawn, of which about `share` will do: no more units, and no more rows, than the whole has,
    so that ids have digits for them."""
    number = min(len(sizes), math.ceil(len(left) / max(share, 1 / IN_ALL)))
    found = np.resize(sizes[rng.permutation(left)], number)
    fitting = int(np.searchsorted(np.cumsum(found), sizes.sum(), side="right"))
    return np.asarray(found[: max(1, fitting)], dtype=np.int64)


class _Pieces:
    """A table whose units are replaced one by one; `sizes`: rows of each, one after another."""

    def __init__(self, table: Table, sizes: Index) -> None:
        ids = {name for name, column in table.schema.columns.items() if isinstance(column, IdColumn)}
        values = {name: array if name in ids else array.copy() for name, array in table.values.items()}
        missing = {name: array.copy() for name, array in table.missing.items()}
        self.table = Table(table.schema, values, missing, table.units, table.unit_labels, table.words)
        self._sizes, self._ids = sizes, ids

    def put(self, made: Table, sizes: Index, good: Index, left: Index) -> Index:
        """The `good` units of `made`, whose units have `sizes` rows, in the place of those that are `left`. Returns
        those for which there was none."""
        into, source = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        for size in np.unique(self._sizes[left]).tolist():
            there = left[self._sizes[left] == size]
            found = good[sizes[good] == size]
            number = min(len(there), len(found))
            into.append(there[:number])
            source.append(found[:number])
        taken, given = np.concatenate(into), np.concatenate(source)
        rows, from_rows = _rows(self._sizes, taken), _rows(sizes, given)
        for arrays, others in ((self.table.values, made.values), (self.table.missing, made.missing)):
            for name, array in arrays.items():
                if name not in self._ids:
                    array[rows] = others[name][from_rows]
        return np.setdiff1d(left, taken)


def _rows(sizes: Index, units: Index) -> Index:
    """The rows of these units, one unit after another."""
    begin = np.cumsum(sizes) - sizes
    own = sizes[units]
    before = np.repeat(np.cumsum(own) - own, own)
    return np.asarray(np.repeat(begin[units], own) + np.arange(len(before)) - before, dtype=np.int64)
