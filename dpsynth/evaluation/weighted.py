"""One-way distributions under a survey weight: what a user who weights the rows would see. Internal.

Only this comparison is weighted. The model, the attacks and all other figures count every row once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpsynth.columns import WeightColumn
from dpsynth.records import Records
from dpsynth.table import Table

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Weighted:
    """Of each other column, the total variation between weighted synthetic and training shares (`errors`), and between
    held-out and training ones, the best achievable (`attainable`; None without a hold-out). `mean_weights`: of training
    and synthetic rows."""

    column: str
    errors: dict[str, float]
    attainable: dict[str, float] | None
    mean_weights: tuple[float, float]

    @property
    def mean(self) -> float:
        return float(np.mean(list(self.errors.values()))) if self.errors else 0.0

    def as_json(self) -> dict[str, Any]:
        return {
            "weight": self.column,
            "mean": self.mean,
            "errors": self.errors,
            "attainable": self.attainable,
            "mean_weights": {"training": self.mean_weights[0], "synthetic": self.mean_weights[1]},
            "words": "only these one-way distributions are weighted; everything else counts each row once",
        }


def weighted_errors(tables: Sequence[Table], records: Sequence[Records]) -> Weighted | None:
    """`tables` and `records`: synthetic, training, held out. None without a weight column, or where all weights are 0."""
    schema = tables[1].schema
    named = [name for name, column in schema.modelled.items() if isinstance(column, WeightColumn)]
    if not named:
        return None
    weights = [weights_of(table, named[0]) for table in tables]
    if not (weights[0].sum() > 0 and weights[1].sum() > 0):
        return None
    others = [a for a in records[1].domain.attributes if a != named[0]]
    shares = [
        {a: _shares(r, a, w) for a in others} if w.sum() > 0 else None
        for r, w in zip(records, weights, strict=True)
    ]
    made, real, held = shares
    assert made is not None
    assert real is not None
    return Weighted(
        named[0],
        {a: _distance(made[a], real[a]) for a in others},
        None if held is None else {a: _distance(held[a], real[a]) for a in others},
        (float(weights[1].mean()), float(weights[0].mean())),
    )


def weights_of(table: Table, name: str) -> Floats:
    """A weight for each row; a missing one counts as 0."""
    return np.where(table.missing[name], 0.0, table.values[name]).astype(np.float64)


def _shares(records: Records, attribute: str, weights: Floats) -> Floats:
    found = np.bincount(records[attribute], weights, records.domain[attribute])
    return np.asarray(found / found.sum(), dtype=np.float64)


def _distance(one: Floats, two: Floats) -> float:
    return float(np.abs(one - two).sum() / 2)
