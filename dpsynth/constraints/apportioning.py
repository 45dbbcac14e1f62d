"""Whole numbers of rows for combinations of cells, with margins that are exactly those declared.

Margins are joined one after another. Each step is a table of two sides: the combinations so far, and the cells that the
next margin adds, within each cell that both know. It is raked to its margins from what the model says (Deming and Stephan
1940), and rounded to whole numbers that keep the margins, without bias (controlled rounding; Cox 1987).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_flow

from dpsynth.domain import Clique, Domain

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
Margin = tuple[Clique, Counts]

RAKED, CLOSE = 500, 1e-9
NEAR = 1e-6
"""A number so near to a whole one is that one."""


class Infeasible(ValueError):
    """No table has these margins and is zero where it must be."""


class Tangled(ValueError):
    """Margins that cannot be joined one after another: they run in a circle."""


def joined_margins(
    margins: Sequence[Margin], seed: Floats, domain: Domain, names: Clique, rng: np.random.Generator
) -> Counts:
    """A table of whole numbers over `names`, axes in that order, with exactly these margins (which agree where they share
    columns), near to `seed` (not negative, zero where nothing can be). Raises `Infeasible`, `Tangled`."""
    known: list[Clique] = []
    have: Clique = ()
    found = np.asarray(margins[0][1].sum(), dtype=np.int64)
    for clique, rows in sorted(margins, key=lambda m: -len(m[0])):
        shared = tuple(c for c in clique if c in have)
        if shared and not any(set(shared) <= set(other) for other in known):
            raise Tangled
        known.append(clique)
        if new := tuple(c for c in clique if c not in have):
            found = _step(found, have, rows, clique, shared, new, _onto(seed, names, (*have, *new)), rng)
            have = (*have, *new)
    return np.asarray(found.transpose([have.index(c) for c in names]), dtype=np.int64)


def _onto(seed: Floats, names: Clique, wanted: Clique) -> Floats:
    """Summed over all other columns, axes in the order of `wanted`."""
    rest = tuple(k for k, c in enumerate(names) if c not in wanted)
    left = tuple(c for c in names if c in wanted)
    return np.asarray(seed.sum(axis=rest).transpose([left.index(c) for c in wanted]), dtype=np.float64)


def _step(
    found: Counts,
    have: Clique,
    rows: Counts,
    clique: Clique,
    shared: Clique,
    new: Clique,
    seed: Floats,
    rng: np.random.Generator,
) -> Counts:
    """The table over `have` and then `new`."""
    own = tuple(c for c in have if c not in shared)
    size = dict(zip((*have, *new), seed.shape, strict=True))
    numbers = [math.prod(size[c] for c in part) for part in (shared, own, new)]
    left = found.transpose([have.index(c) for c in (*shared, *own)]).reshape(numbers[0], numbers[1])
    right = rows.transpose([clique.index(c) for c in (*shared, *new)]).reshape(numbers[0], numbers[2])
    order = (*shared, *own, *new)
    wanted = seed.transpose([(*have, *new).index(c) for c in order]).reshape(numbers)
    table = np.stack([two_sided(left[k], right[k], wanted[k], rng) for k in range(numbers[0])])
    table = table.reshape([size[c] for c in order])
    return np.asarray(table.transpose([order.index(c) for c in (*have, *new)]), dtype=np.int64)


def two_sided(rows: Counts, columns: Counts, seed: Floats, rng: np.random.Generator) -> Counts:
    """A table of whole numbers with these sums of rows and columns, near to `seed` raked to them. Raises `Infeasible`."""
    if rows.sum() != columns.sum():
        raise Infeasible
    found = np.zeros(seed.shape, dtype=np.int64)
    some = np.ix_(rows > 0, columns > 0)
    inner = seed[some]
    if inner.size:
        top, side = rows[rows > 0], columns[columns > 0]
        table = rounded(raked(top, side, inner), rng)
        exact = np.array_equal(table.sum(axis=1), top) and np.array_equal(table.sum(axis=0), side)
        found[some] = table if exact else _any_table(top, side, inner > 0)
    return found


def raked(rows: Counts, columns: Counts, seed: Floats) -> Floats:
    """`seed` times a factor for each row and each column, so that the sums are these, as nearly as its zeros allow."""
    table = seed * (rows.sum() / max(float(seed.sum()), 1e-300))
    for _ in range(RAKED):
        for axis, wanted in ((1, rows), (0, columns)):
            sums = table.sum(axis=axis, keepdims=True)
            factor = np.divide(np.expand_dims(wanted, axis), sums, out=np.zeros_like(sums), where=sums > 0)
            table = table * factor
        if np.abs(table.sum(axis=1) - rows).max() <= CLOSE * max(1, int(rows.max())):
            break
    return np.asarray(table, dtype=np.float64)


def rounded(table: Floats, rng: np.random.Generator) -> Counts:
    """Each number rounded up or down, in expectation itself, so that sums of rows and columns that are whole stay what they
    are. Along a circle of fractions numbers are raised and lowered in turn until one is whole."""
    base = np.floor(table + NEAR)
    part = table - base
    part[part < NEAR] = 0.0
    beside: list[list[set[int]]] = [
        [set(np.flatnonzero(row).tolist()) for row in part],
        [set(np.flatnonzero(column).tolist()) for column in part.T],
    ]
    waiting = [row for row, cells in enumerate(beside[0]) if cells]
    while waiting:
        row = waiting[-1]
        if not beside[0][row]:
            waiting.pop()
            continue
        circle = _circle(row, beside)
        if len(circle) > 1:
            _pushed(circle, part, rng)
        for i, j in circle:
            if len(circle) == 1 or part[i, j] < NEAR or part[i, j] > 1 - NEAR:
                base[i, j] += part[i, j] >= 0.5
                beside[0][i].discard(j)
                beside[1][j].discard(i)
    return np.asarray(base, dtype=np.int64)


def _circle(row: int, beside: list[list[set[int]]]) -> list[tuple[int, int]]:
    """Cells of which each next one shares a row, or a column, with the one before, by turns; a single cell where a row or
    column has no other."""
    path: list[tuple[int, int]] = []
    seen = {(0, row): 0}
    side, here = 0, row
    last = -1
    while True:
        following = next((cell for cell in beside[side][here] if cell != last), None)
        if following is None:
            return [path[-1]]
        path.append((here, following) if side == 0 else (following, here))
        last, here, side = here, following, 1 - side
        if (side, here) in seen:
            return path[seen[(side, here)] :]
        seen[(side, here)] = len(path)


def _pushed(circle: list[tuple[int, int]], part: Floats, rng: np.random.Generator) -> None:
    values = np.array([part[cell] for cell in circle])
    up = np.arange(len(values)) % 2 == 0
    more = float(np.where(up, 1 - values, values).min())
    less = float(np.where(up, values, 1 - values).min())
    by = more if rng.random() < less / (more + less) else -less
    for cell, sign in zip(circle, np.where(up, by, -by), strict=True):
        part[cell] = min(1.0, max(0.0, part[cell] + sign))


def _any_table(rows: Counts, columns: Counts, possible: NDArray[np.bool_]) -> Counts:
    """Some table with these sums, by a largest flow. Raises `Infeasible` where there is none."""
    m, n = possible.shape
    source, sink = m + n, m + n + 1
    i, j = np.nonzero(possible)
    start = np.concatenate([np.full(m, source), i, m + np.arange(n)])
    end = np.concatenate([np.arange(m), m + j, np.full(n, sink)])
    room = np.concatenate([rows, np.minimum(rows[i], columns[j]), columns])
    if rows.sum() >= np.iinfo(np.int32).max:
        raise Infeasible
    graph = csr_array((room.astype(np.int32), (start, end)), shape=(m + n + 2, m + n + 2))
    flow = maximum_flow(graph, source, sink)
    if flow.flow_value != rows.sum():
        raise Infeasible
    return np.asarray(flow.flow[:m, :][:, m : m + n].toarray(), dtype=np.int64)
