"""Tables with declared totals: rows drawn in fixed numbers of each kind, and columns moved to fixed sums.

Counts are kept by drawing: how many rows there are of each kind is fixed beforehand, near to what the model says, and
everything else is drawn from the model given the kind. Sums are kept by moving values a little, inside their cells as far
as these have room, and never so that a row breaks a constraint. All of it is post-processing of public numbers and of a
released model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dpsynth.columns import NumberColumn
from dpsynth.constraints import Rule, Rules
from dpsynth.constraints.apportioning import Infeasible, Tangled
from dpsynth.constraints.atoms import Axis, State
from dpsynth.constraints.totals import SumTotal, Totals
from dpsynth.encoding import Encoding, special_steps
from dpsynth.errors import DataError
from dpsynth.model.groups import Groups
from dpsynth.table import Table

Index = NDArray[np.int64]
Floats = NDArray[np.float64]

ROUNDS = 60
"""Moves of one sum, at most: each gives up on the rows that a constraint holds back, or has them go half as far."""

PASSES, ATTEMPTS = 4, 6
"""Times that all sums are looked at, and that other columns give way."""

ROOM_INSIDE = 0.5
"""Values stay in their cells while a sum needs no more than this share of the room that they have there."""


Part = tuple[SumTotal, Index, int]
"""A sum, rows, and what the column adds up to over them."""
Mend = Callable[[Table, str], Table]


class Marginals(Protocol):
    def marginal(self, clique: tuple[str, ...]) -> Floats: ...


def kinds_of(totals: Totals, model: Marginals, rng: np.random.Generator) -> Groups | None:
    """The kinds of rows and their shares; None where nothing counts rows. DataError (D214) for counts that the model, or
    the constraints on single rows, make impossible."""
    names = totals.grouping
    if not names:
        return None
    try:
        rows = totals.joint(np.asarray(model.marginal(names), dtype=np.float64), rng)
    except (Infeasible, Tangled):
        raise DataError(
            "D214",
            f"the declared numbers of rows by {', '.join(names)} cannot be had together",
            "dpsynth check says which of them contradict each other; or the model holds a combination for impossible",
        ) from None
    cells = np.argwhere(rows > 0)
    return Groups(names, cells, rows[tuple(cells.T)] / totals.size)


@dataclass(eq=False)
class Totalling:
    """The sums of one sample of `rows` rows, kept part by part: each part has its share of a sum, the last one the rest.

    It remembers what it has seen, and is of no use for a second sample. `rows_by`: how many of `totals.size` rows each
    cell of a column has that a sum is divided by.
    """

    totals: Totals
    rows: int
    rows_by: dict[str, Index]
    _done: dict[tuple[int, int | None], tuple[int, int]] = field(default_factory=dict)
    _tally: list[Any] | None = None

    @classmethod
    def of(cls, totals: Totals, rows: int, kinds: Groups | None) -> Totalling:
        by = {s.by for s in totals.sums if s.by is not None}
        counted: dict[str, Index] = {}
        for name in by:
            assert kinds is not None
            numbers = np.rint(kinds.shares * totals.size)
            cells = kinds.cells[:, kinds.columns.index(name)]
            counted[name] = np.rint(np.bincount(cells, numbers, totals.schema.domain[name])).astype(np.int64)
        return cls(totals, rows, counted)

    def settled(self, table: Table, rules: Rules, mend: Mend, rng: np.random.Generator) -> Table:
        """The rows of the next part, with each sum's share. `mend`: how rows that break a rule are made to keep it, while a
        column stays. DataError (D214) where they have no room for their share."""
        if not self.totals.sums:
            return table
        parts = self._parts(table)
        axes = {**rules.axes, **self.totals.axes}
        for _ in range(ATTEMPTS):
            state = State.of(table, axes)
            left = _all_moved(parts, state, rules.every, rng)
            if not left:
                return _written(table, state, self.totals.axes)
            # another column holds this one back: it gives way
            name = left[0][0].axis.name
            for part in left:
                if part[0].axis.name == name:
                    _moved(*part, state, (), rng)
            try:
                table = mend(_written(table, state, self.totals.axes), name)
            except DataError:
                break
        one, rows, _ = left[0]
        raise DataError(
            "D214",
            f"{len(rows):,} rows have no room for their share of constraint {one.number} ({one.words})",
            "the total is far from what is drawn, or other constraints hold the values: correct one of them",
        )

    def _parts(self, table: Table) -> list[Part]:
        """For each sum and cell that it is divided by: its rows, and what they shall add up to."""
        cells = Encoding(self.totals.schema).encode(table)
        found: list[Part] = []
        for one in self.totals.sums:
            for cell, target in one.steps.items():
                whole = one.by is None or cell is None
                rows = np.arange(len(table)) if whole else np.flatnonzero(cells[str(one.by)] == cell)
                found.append((one, rows, self._goal(one, cell, target, len(rows))))
        return found

    def _goal(self, one: SumTotal, cell: int | None, target: int, rows: int) -> int:
        """What the next `rows` rows add up to."""
        whole = self.totals.size if one.by is None else int(self.rows_by[one.by][cell])
        before, used = self._done.get((one.number, cell), (0, 0))
        upto = round(target * (before + rows) / whole) if whole else 0
        self._done[(one.number, cell)] = (before + rows, upto)
        return upto - used

    def watched(self, tables: Iterator[Table]) -> Iterator[Table]:
        """The same tables; DataError (D214) at the end where they lack a total in spite of all, and are of its size."""
        for table in tables:
            yield table
            if self.rows == self.totals.size:
                found = self.totals.tally(table)
                self._tally = found if self._tally is None else _added(self._tally, found)
        broken = {} if self._tally is None else self.totals.compared(self._tally)
        for number, words in broken.items():
            raise DataError(
                "D214",
                f"the rows miss constraint {number} ({words})",
                "this is a fault of ours: draw them again",
            )


def _added(one: list[Any], other: list[Any]) -> list[Any]:
    return [
        {k: a[k] + b[k] for k in a} if isinstance(a, dict) else a + b for a, b in zip(one, other, strict=True)
    ]


def _all_moved(
    parts: list[Part], state: State, rules: Sequence[Rule], rng: np.random.Generator
) -> list[Part]:
    """The sums that are not reached; one may have to move before another can."""
    left = parts
    for _ in range(PASSES):
        left = [part for part in parts if not _moved(*part, state, rules, rng)]
        if not left:
            break
    return left


def _moved(
    one: SumTotal, rows: Index, goal: int, state: State, rules: Sequence[Rule], rng: np.random.Generator
) -> bool:
    """Values of the column in these rows altered until they add up to `goal`; False where they come no nearer."""
    axis = one.axis
    about = [rule for rule in rules if axis.name in rule.columns]
    steps, gone = state.steps[axis.name], state.gone[axis.name]
    free = axis.cell_of(steps[rows], gone[rows]) < len(axis.starts)
    farthest = np.full(len(rows), int(axis.ends[-1]) - int(axis.starts[0]), dtype=np.int64)
    beside = np.array(special_steps(axis.stepped), dtype=np.int64)
    for _ in range(ROUNDS):
        need = goal - int(np.where(gone[rows], 0, steps[rows]).sum())
        if not need:
            return True
        some = np.flatnonzero(free)
        by = _moves(axis, steps[rows[some]], farthest[some], need, rng)
        if not by.any():
            return False
        some, by = some[by != 0], by[by != 0]
        steps[rows[some]] += by
        after = state.take(rows[some])
        bad = np.isin(after.steps[axis.name], beside)
        for rule in about:
            bad |= rule.broken(after)
        steps[rows[some[bad]]] -= by[bad]
        # what a constraint holds back may go half as far
        farthest[some[bad]] = np.abs(by[bad]) // 2
        free[some[bad]] = farthest[some[bad]] > 0
    return False


def _moves(axis: Axis, steps: Index, farthest: Index, need: int, rng: np.random.Generator) -> Index:
    """By how much each value is moved, at most `farthest`; together by `need`, or by as much of it as there is room for."""
    sign = 1 if need > 0 else -1
    cell = np.searchsorted(axis.starts, steps, side="right") - 1
    inside = np.minimum(axis.ends[cell] - steps if sign > 0 else steps - axis.starts[cell], farthest)
    low, high = int(axis.starts[0]), int(axis.ends[-1])
    within = int(inside.sum())
    if abs(need) <= ROOM_INSIDE * within:
        return sign * _shared(inside.astype(np.float64) * (abs(need) / within), inside, abs(need), rng)
    room = np.minimum(high - steps if sign > 0 else steps - low, farthest)
    if abs(need) >= int(room.sum()):
        return np.asarray(sign * room, dtype=np.int64)
    # in proportion to what a value is above the least one; those that reach the bound stay there
    weights = steps - low + float(sign > 0)
    least, most = 0.0, float(abs(need))
    for _ in range(200):
        factor = (least + most) / 2
        if float(np.minimum(weights * factor, room).sum()) < abs(need):
            least = factor
        else:
            most = factor
    return sign * _shared(np.minimum(weights * most, room), room, abs(need), rng)


def _shared(wanted: Floats, room: Index, total: int, rng: np.random.Generator) -> Index:
    """`wanted` as whole numbers that add up to `total`, none above its `room`, which suffices in all."""
    found = np.minimum(np.floor(wanted), room).astype(np.int64)
    left = total - int(found.sum())
    while left > 0:
        open_ = np.flatnonzero(found < room)
        if not len(open_):
            break
        chosen = rng.permutation(open_)[:left]
        found[chosen] += 1
        left -= len(chosen)
    while left < 0:  # a sum of floats that was a little above
        taken = np.flatnonzero(found)[:-left]
        found[taken] -= 1
        left += len(taken)
    return found


def _written(table: Table, state: State, axes: dict[str, Axis]) -> Table:
    values: dict[str, Any] = dict(table.values)
    for name, axis in axes.items():
        steps = state.steps[name]
        exact = steps / axis.scale if isinstance(axis.column, NumberColumn) else steps
        values[name] = exact.astype(table.values[name].dtype)
    return replace(table, values=values)
