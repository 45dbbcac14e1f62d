"""One column at a time: which cells the synthetic rows fill, beside the training rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dpsynth.evaluation.figures import Json, rounded
from dpsynth.evaluation.marginals import quantile_bins, shares, total_variation
from dpsynth.records import Records

MOST_BARS = 30
"""Ordered columns with more cells are shown in so many bins, others as their commonest values and the
rest.
"""


@dataclass(frozen=True)
class ColumnShares:
    """Shares of the rows by cell, in the order of the labels."""

    column: str
    labels: tuple[str, ...]
    real: tuple[float, ...]
    synthetic: tuple[float, ...]
    error: float  # total variation on all cells, before any are put together for display

    def as_json(self) -> Json:
        return {
            "column": self.column,
            "labels": list(self.labels),
            "real": [rounded(p) for p in self.real],
            "synthetic": [rounded(p) for p in self.synthetic],
            "error": rounded(self.error),
        }


def column_shares(
    column: str, synthetic: Records, train: Records, labels: Sequence[str], ordered: int
) -> ColumnShares:
    """`labels` names all cells; the first `ordered` of them have an order."""
    cells = train.domain[column]
    p = shares(synthetic[column].astype(np.int64), cells)
    q = shares(train[column].astype(np.int64), cells)
    groups = _groups(train, column, ordered, cells, q)
    parts = [np.flatnonzero(groups == g) for g in range(int(groups.max()) + 1)]
    return ColumnShares(
        column,
        tuple(_name([labels[int(i)] for i in part], ordered > int(part[0])) for part in parts),
        tuple(float(q[part].sum()) for part in parts),
        tuple(float(p[part].sum()) for part in parts),
        total_variation(p, q),
    )


def _groups(train: Records, column: str, ordered: int, cells: int, q: np.ndarray) -> np.ndarray:
    """Which bar each cell belongs to, shape (cells,)."""
    if cells <= MOST_BARS:
        return np.arange(cells)
    if ordered:
        known = train[column][train[column] < ordered]
        bins = quantile_bins(known, ordered, max(2, MOST_BARS - (cells - ordered)))
        return np.concatenate([bins, bins[-1] + 1 + np.arange(cells - ordered)])
    groups = np.full(cells, MOST_BARS - 1)
    groups[np.argsort(-q, kind="stable")[: MOST_BARS - 1]] = np.arange(MOST_BARS - 1)
    return groups


def _name(labels: Sequence[str], ordered: bool) -> str:
    if len(labels) == 1:
        return labels[0]
    if not ordered:
        return f"{len(labels)} rarer values"
    return f"{labels[0].partition(' to ')[0]} to {labels[-1].rpartition(' to ')[2]}"
