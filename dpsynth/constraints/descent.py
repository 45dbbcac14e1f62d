"""Rows that no single value mends, and that no other row can lend values: one value after another is moved as long as that
brings the row nearer to its rules.

How far a row is from a rule is graded: a sum by how much it misses, anything else by 1. So twelve parts that add up to six
times their total shrink together, until one of them, or the total, can take up what is left.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from dpsynth.allowed import Allowed
from dpsynth.constraints.atoms import Atom, Axis, Clause, Linear, State, Within
from dpsynth.encoding import special_steps

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


def distance(clauses: Sequence[Clause], state: State, axes: Mapping[str, Axis]) -> Floats:
    """How far each row is from keeping all clauses, shape (rows,); 0 where it does."""
    found = np.zeros(len(state))
    for clause in clauses:
        grades = [_grade(atom, state, axes) for atom in clause.atoms]
        found += np.minimum.reduce([np.ones(len(state)), *grades])
    return found


def _grade(atom: Atom, state: State, axes: Mapping[str, Axis]) -> Floats:
    """How far a row is from not being what the atom asks: 0 to 1, and 0 where it is not."""
    if isinstance(atom, Within):
        return atom.holds(state).astype(np.float64)
    most = sum(abs(factor) * _width(axes[name]) for name, factor in atom.terms) + 1.0
    return np.where(atom.holds(state), np.minimum(_missed(atom, state) / most, 1.0), 0.0)


def _missed(linear: Linear, state: State) -> Floats:
    total = linear.total(state).astype(np.float64)
    if linear.relation == "<=":
        return linear.bound + 1 - total
    return np.abs(total - linear.bound) if linear.relation == "!=" else np.ones(len(state))


def _width(axis: Axis) -> float:
    ends = np.concatenate([axis.starts, axis.ends, axis.codes])
    return float(ends.max() - ends.min()) if len(ends) else 0.0


def descended(
    state: State,
    clauses: Sequence[Clause],
    axes: Mapping[str, Axis],
    likely: Callable[[str], Floats],
    inside: frozenset[str],
    may: Mapping[str, Mask],
    guards: Mapping[str, Allowed],
    rng: np.random.Generator,
) -> None:
    """One pass over the columns of `may`, in random order: each row in which a column may be altered is offered another
    value, of the same cell or as likely as the model finds its cell, and takes it where it is as near to the clauses then,
    or nearer. `inside`: columns that stay in their cells."""
    for name in rng.permutation(list(may)).tolist():
        about = [clause for clause in clauses if name in clause.columns]
        rows = np.flatnonzero(may[name] & (distance(clauses, state, axes) > 0))
        if not len(rows):
            continue
        now = state.take(rows)
        offer = _offered(axes[name], now, likely(name), name in inside, rng)
        good = distance(about, offer, axes) <= distance(about, now, axes)
        good &= _possible(axes[name], offer, guards.get(name))
        state.put(rows[good], offer.take(good), (name,))


def _offered(axis: Axis, state: State, likely: Floats, inside: bool, rng: np.random.Generator) -> State:
    name, grid = axis.name, len(axis.starts)
    cells = axis.cell_of(state.steps[name], state.gone[name])
    if not inside:
        sums = np.cumsum(likely if likely.sum() > 0 else np.ones(axis.cells))
        drawn = np.searchsorted(sums, rng.random(len(cells)) * sums[-1], side="right")
        cells = np.where(rng.random(len(cells)) < 0.5, cells, np.minimum(drawn, axis.cells - 1))
    steps = np.append(axis.codes, axis.starts[0] if grid else 0)[np.maximum(cells - grid, 0)]
    if grid:
        within = np.minimum(cells, grid - 1)
        values = rng.integers(axis.starts[within], axis.ends[within], endpoint=True)
        steps = np.where(cells < grid, values, steps)
    gone = cells >= grid + len(axis.codes)
    return State({**state.steps, name: steps}, {**state.gone, name: gone})


def _possible(axis: Axis, state: State, guard: Allowed | None) -> Mask:
    """Rows whose value the column can have: no step on the grid that means something else, none that a guard forbids."""
    steps, gone = state.steps[axis.name], state.gone[axis.name]
    found = np.ones(len(steps), dtype=bool)
    if axis.is_grid:
        special = np.array(special_steps(axis.stepped), dtype=np.int64)
        found &= gone | ~np.isin(steps, special) | np.isin(steps, axis.codes)
    return found if guard is None else found & Within(axis, guard).holds(state)
