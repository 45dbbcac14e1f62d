"""Whether the rows are as good for some as for others: errors within the groups that a column makes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from dpsynth.evaluation.fidelity import CliqueShares
from dpsynth.evaluation.figures import Figure, Json, rounded
from dpsynth.evaluation.marginals import Floats

SMALL = 100
"""A group with fewer training rows is shown with a warning: its figures are mostly chance."""

FEWEST, MOST_GROUPS = 2, 12
MOST_COLUMNS = 4


@dataclass(frozen=True)
class Group:
    """Rows with one value of the group column. `error`: mean total variation of all other single columns
    within it, synthetic against training rows; `redrawn`: of as many rows drawn from the training rows."""

    label: str
    train_rows: int
    synthetic_rows: int
    error: Figure
    redrawn: Figure
    share: float  # of the training rows
    synthetic_share: float

    @property
    def small(self) -> bool:
        return self.train_rows < SMALL

    def as_json(self) -> Json:
        return {
            "value": self.label,
            "train_rows": self.train_rows,
            "synthetic_rows": self.synthetic_rows,
            "small": self.small,
            "error": self.error.as_json(),
            "best_redrawn": self.redrawn.as_json(),
            "real_share": rounded(self.share),
            "synthetic_share": rounded(self.synthetic_share),
        }


@dataclass(frozen=True)
class Subgroups:
    """The groups of one column, worst first. `gap`: the largest error of a group that is not small less the
    smallest; `gap_redrawn`: what that is for rows drawn from the real table (smaller groups err more there
    too)."""

    column: str
    gap: Figure | None
    gap_redrawn: Figure | None
    groups: tuple[Group, ...]

    def as_json(self) -> Json:
        return {
            "column": self.column,
            "gap": None if self.gap is None else self.gap.as_json(),
            "best_redrawn": None if self.gap_redrawn is None else self.gap_redrawn.as_json(),
            "groups": [group.as_json() for group in self.groups],
        }


@dataclass(eq=False)
class _Sums:
    """Sums over other columns: error by group, and by (draw, group)."""

    error: Floats
    errors: Floats
    redrawn: Floats
    mass: tuple[Floats, Floats]  # shares of the groups: training, synthetic
    columns: int = 0


@dataclass(eq=False)
class Grouping:
    """Collects errors within groups from the pairs that it is shown. `labels`: of each group column's cells."""

    labels: Mapping[str, Sequence[str]]
    rows: tuple[int, int]  # training, synthetic
    _found: dict[str, _Sums] = field(default_factory=dict)

    def __call__(self, shares: CliqueShares) -> None:
        if len(shares.clique) != 2 or shares.shape is None:
            return
        for axis, column in enumerate(shares.clique):
            if column in self.labels:
                self._add(column, shares, axis)

    def _add(self, column: str, shares: CliqueShares, axis: int) -> None:
        def within(table: Floats) -> Floats:
            assert shares.shape is not None
            by_group = np.moveaxis(table.reshape(-1, *shares.shape), 1 + axis, 1)
            mass = by_group.sum(axis=2, keepdims=True)
            return np.asarray(np.divide(by_group, mass, out=np.zeros_like(by_group), where=mass > 0))

        exact = within(shares.train)
        error = _distance(within(shares.synthetic), exact)[0]
        errors = _distance(within(shares.synthetics), within(shares.trains))
        redrawn = _distance(within(shares.redrawn), exact)
        if column not in self._found:
            mass = tuple(t.reshape(shares.shape).sum(axis=1 - axis) for t in (shares.train, shares.synthetic))
            self._found[column] = _Sums(
                np.zeros_like(error), np.zeros_like(errors), np.zeros_like(redrawn), (mass[0], mass[1])
            )
        sums = self._found[column]
        sums.error += error
        sums.errors += errors
        sums.redrawn += redrawn
        sums.columns += 1

    def result(self) -> tuple[Subgroups, ...]:
        return tuple(self._subgroups(column, sums) for column, sums in self._found.items())

    def _subgroups(self, column: str, sums: _Sums) -> Subgroups:
        value, drawn, again = (a / sums.columns for a in (sums.error, sums.errors, sums.redrawn))
        counts = [np.rint(mass * rows).astype(int) for mass, rows in zip(sums.mass, self.rows, strict=True)]
        groups = [
            Group(
                label,
                int(counts[0][i]),
                int(counts[1][i]),
                Figure.around(float(value[i]), drawn[:, i], 0.0, 1.0),
                Figure.of_draws(again[:, i], 0.0, 1.0),
                float(sums.mass[0][i]),
                float(sums.mass[1][i]),
            )
            for i, label in enumerate(self.labels[column])
            if counts[0][i]
        ]
        large = counts[0] >= SMALL
        gap = gap_redrawn = None
        if large.sum() >= FEWEST:
            gap = Figure.around(float(np.ptp(value[large])), np.ptp(drawn[:, large], axis=1), 0.0, 1.0)
            gap_redrawn = Figure.of_draws(np.ptp(again[:, large], axis=1), 0.0, 1.0)
        excess = sorted(groups, key=lambda g: (g.small, g.redrawn.value - g.error.value))
        return Subgroups(column, gap, gap_redrawn, tuple(excess))


def _distance(p: Floats, q: Floats) -> Floats:
    """Total variation within each group, shape (tables, groups); 1 where a group is empty on one side only."""
    apart = np.abs(p - q).sum(axis=2) / 2
    one_empty = (p.sum(axis=2) > 0) != (q.sum(axis=2) > 0)
    return np.asarray(np.where(one_empty, 1.0, apart))
