"""What rules are made of: questions about one column, and weighted sums of columns, on whole steps.

A value is a number of steps: of a grid's step for numbers and moments, its place in the list for texts. Within one column
all values are exact integers; nothing is compared as a float.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dpsynth.allowed import Allowed, Stepped
from dpsynth.columns import BooleanColumn, CategoryColumn, Modelled, NumberColumn
from dpsynth.encoding import Encoding, extent, special_values
from dpsynth.errors import SchemaError
from dpsynth.table import Table

Steps = NDArray[np.int64]
Mask = NDArray[np.bool_]


FEW = 8
"""Stretches of a grid that are looked at one by one."""


@dataclass(frozen=True, eq=False)
class Axis:
    """A column's cells: `starts` and `ends` of those on the grid (none for texts), then one for each of `codes`, then the
    one of a missing value, if there is one."""

    name: str
    column: Modelled
    starts: Steps
    ends: Steps
    codes: Steps
    scale: int

    @classmethod
    def of(cls, name: str, encoding: Encoding) -> Axis:
        """Raises SchemaError (S165) for a special value that is no whole number of steps."""
        column = encoding.schema.modelled[name]
        if isinstance(column, CategoryColumn | BooleanColumn):
            nothing = np.zeros(0, dtype=np.int64)
            size = encoding.domain[name] - column.missing
            return cls(name, column, nothing, nothing, np.arange(size, dtype=np.int64), 1)
        starts, ends, scale = extent(column)
        codes = special_values(column) * scale
        if not np.array_equal(codes, np.rint(codes)):
            raise SchemaError(
                "S165",
                f"column '{name}' has a constraint and a special value with more decimals than itself",
                "declare decimals: for the column",
            )
        return cls(name, column, starts, ends, codes.astype(np.int64), scale)

    @property
    def is_grid(self) -> bool:
        return len(self.starts) > 0

    @property
    def cells(self) -> int:
        return len(self.starts) + len(self.codes) + self.column.missing

    @property
    def stepped(self) -> Stepped:
        assert not isinstance(self.column, CategoryColumn | BooleanColumn)
        return self.column

    def cell_of(self, steps: Steps, gone: Mask) -> Steps:
        """The cell of each value."""
        grid = len(self.starts)
        found = np.searchsorted(self.starts, steps, side="right") - 1 if grid else steps.copy()
        if grid:
            for i, code in enumerate(self.codes):
                found[steps == code] = grid + i
        found[gone] = self.cells - 1
        return found


@dataclass(frozen=True, eq=False)
class State:
    """Rows as steps, by column: `steps` and `gone` (missing), both shape (rows,)."""

    steps: dict[str, Steps]
    gone: dict[str, Mask]

    @classmethod
    def of(cls, table: Table, axes: Mapping[str, Axis]) -> State:
        """Numbers are rounded to the decimals that the column declares."""
        steps = {}
        for name, axis in axes.items():
            values = table.values[name]
            scaled = np.rint(values * axis.scale) if isinstance(axis.column, NumberColumn) else values
            steps[name] = scaled.astype(np.int64)
        return cls(steps, {name: table.missing[name].copy() for name in axes})

    def take(self, rows: NDArray[Any]) -> State:
        return State({n: a[rows] for n, a in self.steps.items()}, {n: a[rows] for n, a in self.gone.items()})

    def put(self, rows: NDArray[Any], other: State, names: tuple[str, ...]) -> None:
        """Take over those columns of `other`, one row for each of `rows`."""
        for name in names:
            self.steps[name][rows] = other.steps[name]
            self.gone[name][rows] = other.gone[name]

    def __len__(self) -> int:
        return len(next(iter(self.steps.values()))) if self.steps else 0


@dataclass(frozen=True, eq=False)
class Within:
    """The column's value is one of these."""

    axis: Axis
    allowed: Allowed

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.axis.name,)

    def holds(self, state: State) -> Mask:
        steps, gone = state.steps[self.axis.name], state.gone[self.axis.name]
        codes = self.axis.codes
        if not self.axis.is_grid:
            found = self.allowed.single[: len(codes)][steps]
        else:
            spans = self.allowed.spans
            if len(spans) <= FEW:  # comparing is faster than searching
                found = np.zeros(len(steps), dtype=bool)
                for first, last in spans:
                    found |= (steps >= first) & (steps <= last)
            else:
                edges = np.array([edge for a, b in spans for edge in (a, b + 1)], dtype=np.int64)
                found = np.searchsorted(edges, steps, side="right") % 2 == 1
            for i, code in enumerate(codes):
                found[steps == code] = self.allowed.single[i]
        found[gone] = bool(self.axis.column.missing and self.allowed.single[-1])
        return np.asarray(found, dtype=bool)


@dataclass(frozen=True, eq=False)
class Linear:
    """``sum of factor * steps`` stands in the relation to `bound`; never where one of the columns is missing."""

    terms: tuple[tuple[str, int], ...]
    relation: Literal["<=", "==", "!="]
    bound: int

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.terms)

    def holds(self, state: State) -> Mask:
        present = ~np.logical_or.reduce([state.gone[name] for name, _ in self.terms])
        return np.asarray(present & self.compare(self.total(state)))

    def total(self, state: State, without: str = "") -> Steps:
        parts = [factor * state.steps[name] for name, factor in self.terms if name != without]
        return sum(parts, np.zeros(len(state), dtype=np.int64))

    def compare(self, total: Steps) -> Mask:
        if self.relation == "<=":
            return np.asarray(total <= self.bound)
        return np.asarray((total == self.bound) == (self.relation == "=="))


Atom = Within | Linear


@dataclass(frozen=True, eq=False)
class Clause:
    """What no row may be: everything in it at once. At most one question about each column."""

    within: Mapping[str, Within]
    linear: tuple[Linear, ...]

    @property
    def columns(self) -> frozenset[str]:
        return frozenset(self.within).union(*(one.columns for one in self.linear))

    @property
    def atoms(self) -> tuple[Atom, ...]:
        return (*self.within.values(), *self.linear)

    def holds(self, state: State, without: str = "") -> Mask:
        """The rows that are so; `without` a column: as far as the questions tell that are not about it."""
        found = np.ones(len(state), dtype=bool)
        for atom in self.atoms:
            if without not in atom.columns:
                found &= atom.holds(state)
        return found
