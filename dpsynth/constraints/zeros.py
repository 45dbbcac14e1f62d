"""Which combinations of cells no row may have: structural zeros of a model.

A cell of a grid holds many values. It is cut into pieces within which every question of a rule about one column has one
answer; a weighted sum of columns is always, sometimes or never what it is compared with, by its least and largest value. A
combination of cells is impossible when each combination of its pieces is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from dpsynth.constraints.atoms import Axis, Clause, Linear, Within
from dpsynth.constraints.rules import Rules
from dpsynth.domain import Clique, Domain
from dpsynth.encoding import special_steps

Mask = NDArray[np.bool_]
Steps = NDArray[np.int64]

MOST_CELLS = 1_000_000
"""Of one table of zeros: rules over more are kept by repairing rows."""
MOST_PIECES = 16_000_000
MOST_CLASSES = 64
"""An attribute whose cells differ in more ways than this may be merged across them."""


@dataclass(frozen=True, eq=False)
class Pieces:
    """Pieces of an attribute's cells, in their order: the cell, and the first and last step (the same one for a single
    value); `gone`: the piece that is a missing value."""

    cell: Steps
    low: Steps
    high: Steps
    gone: Mask

    @classmethod
    def of(cls, axis: Axis, asked: Iterable[Within]) -> Pieces:
        """Cut where one of the questions changes its answer."""
        cuts = {cut for one in asked for a, b in one.allowed.spans for cut in (a, b + 1)}
        special = np.array(special_steps(axis.stepped) if axis.is_grid else [], dtype=np.int64)
        cell, low, high = [], [], []
        for number, (start, end) in enumerate(zip(axis.starts.tolist(), axis.ends.tolist(), strict=True)):
            edges = [start, *sorted(cut for cut in cuts if start < cut <= end), end + 1]
            for first, after in pairwise(edges):
                if ((special >= first) & (special < after)).sum() < after - first:
                    cell.append(number)
                    low.append(first)
                    high.append(after - 1)
        singles = axis.codes.tolist() + [0] * axis.column.missing
        cell += range(len(axis.starts), axis.cells)
        gone = np.arange(len(cell)) >= len(cell) - axis.column.missing
        return cls(np.array(cell), np.array(low + singles), np.array(high + singles), gone)

    def meeting(self, asked: Within) -> Mask:
        """The pieces whose values are what is asked."""
        grid = len(asked.axis.starts)
        edges = np.array([edge for a, b in asked.allowed.spans for edge in (a, b + 1)], dtype=np.int64)
        found = np.searchsorted(edges, self.low, side="right") % 2 == 1
        single = self.cell >= grid
        found[single] = asked.allowed.single[self.cell[single] - grid]
        return np.asarray(found, dtype=bool)


@dataclass(frozen=True, eq=False)
class Verdict:
    """Over combinations of cells, axes as in `clique`: those that cannot be, and those whose values may be wrong."""

    clique: Clique
    impossible: Mask
    doubtful: Mask


def judged(clauses: Sequence[Clause], clique: Clique, axes: Mapping[str, Axis]) -> Verdict | None:
    """What the clauses, all about columns of the clique, leave of its cells; None when that takes too many pieces."""
    pieces = {
        name: Pieces.of(axes[name], [c.within[name] for c in clauses if name in c.within]) for name in clique
    }
    found = marked(clauses, clique, pieces)
    if found is None:
        return None
    impossible, doubtful = found
    for axis, name in enumerate(clique):
        begins = np.flatnonzero(np.diff(pieces[name].cell, prepend=-1))
        impossible = np.logical_and.reduceat(impossible, begins, axis=axis)
        doubtful = np.logical_or.reduceat(doubtful, begins, axis=axis)
    return Verdict(clique, impossible, doubtful)


def marked(
    clauses: Sequence[Clause], clique: Clique, pieces: Mapping[str, Pieces]
) -> tuple[Mask, Mask] | None:
    """(always, sometimes): combinations of pieces that the clauses forbid whatever the values in them, and those that they
    may forbid; None when there are too many. The pieces are cut where the clauses' questions change their answers."""
    shape = tuple(len(pieces[name].cell) for name in clique)
    if np.prod(shape, dtype=np.float64) > MOST_PIECES:
        return None
    always, sometimes = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool)
    for clause in clauses:
        chosen = [
            np.flatnonzero(pieces[n].meeting(clause.within[n])) if n in clause.within else np.arange(size)
            for n, size in zip(clique, shape, strict=True)
        ]
        surely = np.ones(tuple(map(len, chosen)), dtype=bool)
        perhaps = surely.copy()
        for linear in clause.linear:
            one, other = _range(linear, clique, pieces, chosen)
            surely &= one
            perhaps &= other
        always[np.ix_(*chosen)] |= surely
        sometimes[np.ix_(*chosen)] |= perhaps
    return always, sometimes


def _range(
    linear: Linear, clique: Clique, pieces: Mapping[str, Pieces], chosen: Sequence[Steps]
) -> tuple[Mask, Mask]:
    """Whether the sum is always, and whether it can be, what it is compared with; chosen pieces of each attribute."""
    shape = tuple(map(len, chosen))
    least, most = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    present = np.ones(shape, dtype=bool)
    factors = dict(linear.terms)
    for axis, name in enumerate(clique):
        if name not in factors:
            continue
        along = tuple(-1 if k == axis else 1 for k in range(len(clique)))
        ends = [factors[name] * side[chosen[axis]] for side in (pieces[name].low, pieces[name].high)]
        least += np.minimum(*ends).reshape(along)
        most += np.maximum(*ends).reshape(along)
        present &= ~pieces[name].gone[chosen[axis]].reshape(along)
    if linear.relation == "<=":
        return (most <= linear.bound) & present, (least <= linear.bound) & present
    only = (least == linear.bound) & (most == linear.bound)
    inside = (least <= linear.bound) & (linear.bound <= most)
    return (
        (only & present, inside & present)
        if linear.relation == "=="
        else (~inside & present, ~only & present)
    )


def grouped(rules: Rules, domain: Domain) -> dict[Clique, list[Clause]]:
    """Clauses by the attributes of their rule; a rule about some of another's attributes joins it."""
    sets = {domain.ordered(rule.columns) for rule in rules.every}
    largest = [c for c in sets if not any(set(c) < set(other) for other in sets)]
    found: dict[Clique, list[Clause]] = {c: [] for c in sorted(largest, key=lambda c: (domain.size(c), c))}
    for rule in rules.every:
        for clique, clauses in found.items():
            if set(rule.columns) <= set(clique):
                clauses += rule.clauses
    return found


def structural_zeros(rules: Rules, domain: Domain, most_cells: int = MOST_CELLS) -> dict[Clique, Mask]:
    """For each set of attributes that rules are about: the combinations of cells that cannot be, axes in the domain's
    order. Small ones first; left out are sets of more than `most_cells` cells and those without an impossible one."""
    found = {}
    for clique, clauses in grouped(rules, domain).items():
        if domain.size(clique) <= most_cells:
            verdict = judged(clauses, clique, rules.axes)
            if verdict is not None and verdict.impossible.any():
                found[clique] = verdict.impossible
    return found


def classes_of(zeros: Mapping[Clique, Mask], domain: Domain) -> dict[str, Steps]:
    """For the attributes of zeros: cells with the same number have the same impossible companions, shape (cells,).

    Merging only cells of one class loses nothing of the zeros. Attributes of more than `MOST_CLASSES` classes are left
    out.
    """
    found: dict[str, Steps] = {}
    for clique, table in zeros.items():
        for axis, name in enumerate(clique):
            rows = np.moveaxis(table, axis, 0).reshape(domain[name], -1)
            own = np.unique(np.packbits(rows, axis=1), axis=0, return_inverse=True)[1].reshape(-1)
            both = np.stack([found.get(name, np.zeros_like(own)), own], axis=1)
            found[name] = np.unique(both, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)
    return {name: cells for name, cells in found.items() if cells.max() < MOST_CLASSES}
