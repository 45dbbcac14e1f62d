"""What the disclosure attacks share: distances on some of the columns, and secrets as a few classes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from attacks.kernels import Distances, nearest
from attacks.threat import Floats, Index, Rows, View

TARGETS = 10_000
"""Most units that one of these attacks is tried on."""

_CLASSES = 32


@dataclass(frozen=True, eq=False)
class Classes:
    """A column's cells merged into at most 32 classes: `of` (cells,) is the class of each cell."""

    column: int
    of: NDArray[np.int64]

    @classmethod
    def at(cls, view: View, column: int) -> Classes:
        """Equal shares of the candidates in an ordered column; else the most frequent cells and the rest."""
        cells = view.candidates.rows.cells
        counts = np.bincount(cells.columns[column], minlength=cells.domain.sizes[column])
        if len(counts) <= _CLASSES:
            return cls(column, np.arange(len(counts)))
        if view.candidates.ordered[column]:
            middle = np.cumsum(counts) - counts / 2.0
            share = np.minimum(middle * _CLASSES / max(1, counts.sum()), _CLASSES - 1)
            return cls(column, share.astype(np.int64))
        table = np.full(len(counts), _CLASSES - 1)
        table[np.argsort(-counts, kind="stable")[: _CLASSES - 1]] = np.arange(_CLASSES - 1)
        return cls(column, table)

    @property
    def count(self) -> int:
        return int(self.of.max()) + 1

    def __call__(self, rows: Rows) -> Index:
        """Each row's class, shape (rows,)."""
        return np.asarray(self.of[rows.cells.columns[self.column]], np.int64)


def places(view: View, names: tuple[str, ...]) -> tuple[int, ...]:
    """Positions of the named columns."""
    attributes = view.synthetic.cells.domain.attributes
    return tuple(attributes.index(name) for name in names)


def closest_on(view: View, columns: tuple[int, ...]) -> Distances:
    """Distance on these columns from each candidate row to the closest synthetic row, shape (rows,)."""
    return closest_by_class(view, columns, None)[:, 0]


def closest_by_class(view: View, columns: tuple[int, ...], classes: Classes | None) -> Distances:
    """The same to the closest synthetic row of each class, shape (rows, classes); 65,535 where none is."""
    what = f"closest on {columns} by {None if classes is None else classes.column}"
    return view.once(what, lambda: _closest(view, columns, classes))


def _closest(view: View, columns: tuple[int, ...], classes: Classes | None) -> Distances:
    new = view.synthetic if view.grown is None else view.grown[1]
    targets = view.candidates.rows.fine[:, columns]
    table, ordered = new.fine[:, columns], view.candidates.ordered[list(columns)]
    if classes is None:
        found = nearest(targets, table, ordered)
    else:
        of = classes(new)
        parts = [nearest(targets, table[of == c], ordered) for c in range(classes.count)]
        found = np.concatenate(parts, axis=1)
    if view.grown is None:
        return found
    return np.minimum(found, closest_by_class(view.grown[0], columns, classes))


def margin(value: Floats, truth: Index) -> Floats:
    """By how much the true class's value, shape (rows, classes), exceeds the best other's: right if above 0."""
    rows = np.arange(len(truth))
    own = value[rows, truth]
    others = value.copy()
    others[rows, truth] = -np.inf
    best = others.max(axis=1)
    return np.asarray(np.where(np.isfinite(best), own - best, 0.0), np.float64)
