"""Which values one column may take in a row whose other columns stay, and one of them drawn.

For each row the forbidden values of the column are stretches of its grid and single cells: one stretch for each clause that
the rest of the row makes bite. What remains is exact, so a value drawn from it breaks no clause about the column.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dpsynth.allowed import Allowed
from dpsynth.constraints.atoms import Axis, Clause, Linear, State
from dpsynth.encoding import special_steps

Steps = NDArray[np.int64]
Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]

_FAR = np.int64(1) << 60


@dataclass(frozen=True, eq=False)
class Choices:
    """`low`, `high`: forbidden stretches of the grid, shape (rows, stretches), empty ones with high < low; `single`: which
    of the cells beside the grid are free, shape (rows, codes and missing)."""

    axis: Axis
    low: Steps
    high: Steps
    single: Mask

    @classmethod
    def of(cls, axis: Axis, clauses: Sequence[Clause], state: State, guard: Allowed | None) -> Choices:
        """For every row of `state`, by the clauses about the column; `guard`: all that it may be in any case."""
        rows = len(state)
        single = np.ones((rows, len(axis.codes) + axis.column.missing), dtype=bool)
        low: list[Steps] = []
        high: list[Steps] = []
        for clause in clauses:
            active = clause.holds(state, without=axis.name)
            if not active.any():
                continue
            single &= ~(active[:, None] & _singles(axis, clause, state))
            for begin, end in _stretches(axis, clause, state) if axis.is_grid else ():
                low.append(np.where(active, begin, _FAR))
                high.append(np.where(active, np.maximum(end, begin - 1), _FAR))
        constant = [(step, step) for step in special_steps(axis.stepped)] if axis.is_grid else []
        if guard is not None:
            single &= guard.single
            constant += _between(axis, guard) if axis.is_grid else []
        for first, last in constant:
            low.append(np.full(rows, first, dtype=np.int64))
            high.append(np.full(rows, last, dtype=np.int64))
        order = np.argsort(np.stack(low, axis=1), axis=1) if low else np.zeros((rows, 0), dtype=np.int64)
        stacked = [np.stack(a, axis=1) if a else np.zeros((rows, 0), dtype=np.int64) for a in (low, high)]
        starts, ends = (np.take_along_axis(a, order, axis=1) for a in stacked)
        # ends so far, so that what lies between two stretches is free
        return cls(axis, starts, np.maximum.accumulate(ends, axis=1), single)

    def blocked(self, state: State) -> Mask:
        """The rows whose value is forbidden."""
        steps, gone = state.steps[self.axis.name], state.gone[self.axis.name]
        grid = len(self.axis.starts)
        cell = self.axis.cell_of(steps, gone)
        found = np.zeros(len(state), dtype=bool)
        beside = cell >= grid
        found[beside] = ~self.single[beside, cell[beside] - grid]
        inside = ~beside
        taken = self.free(steps[inside], steps[inside], inside).sum(axis=1) == 0
        found[inside] = taken
        return found

    def free(self, first: Steps, last: Steps, rows: NDArray[np.bool_] | NDArray[np.int64]) -> Steps:
        """Lengths of the free gaps from `first` to `last` in those rows, shape (rows, stretches + 1)."""
        start, end = self._gaps(first, last, rows)
        return np.asarray(np.maximum(end - start + 1, 0), dtype=np.int64)

    def _gaps(
        self, first: Steps, last: Steps, rows: NDArray[np.bool_] | NDArray[np.int64]
    ) -> tuple[Steps, Steps]:
        low, high = self.low[rows], self.high[rows]
        a, b = first[:, None], last[:, None]
        start = np.maximum(np.concatenate([a, np.maximum(high + 1, a)], axis=1), a)
        end = np.minimum(np.concatenate([np.minimum(low - 1, b), b], axis=1), b)
        return start, end

    def drawn(self, cell: Steps, rows: Steps, rng: np.random.Generator) -> Steps:
        """A free step of each row's cell of the grid, all equally likely; there is one."""
        first, last = self.axis.starts[cell], self.axis.ends[cell]
        start, _ = self._gaps(first, last, rows)
        upto = np.cumsum(self.free(first, last, rows), axis=1)
        place = rng.integers(0, upto[:, -1])
        gap = (upto <= place[:, None]).sum(axis=1)
        before = np.where(gap > 0, np.take_along_axis(upto, np.maximum(gap - 1, 0)[:, None], 1)[:, 0], 0)
        return np.asarray(np.take_along_axis(start, gap[:, None], 1)[:, 0] + place - before, dtype=np.int64)

    def shares(self, rows: Steps) -> Floats:
        """The share of each cell that is free, shape (rows, cells)."""
        grid = len(self.axis.starts)
        found = np.empty((len(rows), self.axis.cells))
        found[:, grid:] = self.single[rows]
        for cell in range(grid):
            first = np.full(len(rows), self.axis.starts[cell])
            last = np.full(len(rows), self.axis.ends[cell])
            found[:, cell] = self.free(first, last, rows).sum(axis=1) / (last - first + 1)
        return found


def _between(axis: Axis, guard: Allowed) -> list[tuple[int, int]]:
    """Stretches of the grid that the guard leaves out."""
    edges = [int(axis.starts[0]), *(n for a, b in guard.spans for n in (a - 1, b + 1)), int(axis.ends[-1])]
    return [(a, b) for a, b in zip(edges[::2], edges[1::2], strict=True) if a <= b]


def _singles(axis: Axis, clause: Clause, state: State) -> Mask:
    """Of the cells beside the grid: those with which the clause's questions about the column are met, (rows, cells)."""
    rows, cells = len(state), len(axis.codes) + axis.column.missing
    within = clause.within.get(axis.name)
    found = np.ones((rows, cells), dtype=bool)
    if within is not None:
        found &= within.allowed.single
    for linear in _about(axis, clause):
        factor, rest = _rest(axis, linear, state)
        met = linear.compare(rest[:, None] + factor * axis.codes[None, :])
        found[:, : len(axis.codes)] &= met & _present(axis, linear, state)[:, None]
        found[:, len(axis.codes) :] = False
    return found


def _about(axis: Axis, clause: Clause) -> list[Linear]:
    return [linear for linear in clause.linear if axis.name in linear.columns]


def _rest(axis: Axis, linear: Linear, state: State) -> tuple[int, Steps]:
    """The column's factor, and the sum of the others (of no use where one of them is missing)."""
    return dict(linear.terms)[axis.name], linear.total(state, without=axis.name)


def _present(axis: Axis, linear: Linear, state: State) -> Mask:
    """The rows in which all other columns of the sum have a value."""
    gone = np.zeros(len(state), dtype=bool)
    for name in linear.columns:
        gone |= state.gone[name] if name != axis.name else False
    return ~gone


def _stretches(axis: Axis, clause: Clause, state: State) -> list[tuple[Steps, Steps]]:
    """Stretches of the grid within which the clause's questions about the column are met, each (rows,) long."""
    within = clause.within.get(axis.name)
    whole = ((int(axis.starts[0]), int(axis.ends[-1])),)
    rows = len(state)
    found = [
        (np.full(rows, a, dtype=np.int64), np.full(rows, b, dtype=np.int64))
        for a, b in (whole if within is None else within.allowed.spans)
    ]
    for linear in _about(axis, clause):
        factor, rest = _rest(axis, linear, state)
        present = _present(axis, linear, state)
        found = [part for span in found for part in _cut(span, linear, factor, linear.bound - rest, present)]
    return found


def _cut(
    span: tuple[Steps, Steps], linear: Linear, factor: int, room: Steps, present: Mask
) -> list[tuple[Steps, Steps]]:
    """What is left of a span by ``factor * step`` beside `room`; nothing where a column of the sum is missing."""
    low, high = span
    if linear.relation == "<=":
        if factor > 0:
            high = np.minimum(high, room // factor)
        else:
            low = np.maximum(low, -(room // -factor))
        return [(low, np.where(present, high, low - 1))]
    whole = room % factor == 0
    step = room // factor
    if linear.relation == "==":
        inside = whole & (low <= step) & (step <= high) & present
        return [(step, np.where(inside, step, step - 1))]
    below = np.where(whole, np.minimum(high, step - 1), high)
    above = np.where(whole, np.maximum(low, step + 1), high + 1)
    return [(low, np.where(present, below, low - 1)), (above, np.where(present, high, above - 1))]
