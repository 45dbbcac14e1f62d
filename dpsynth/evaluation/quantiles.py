"""Numbers and dates one column at a time: quantiles, mean, spread, and how far mass has to move."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dpsynth.columns import IntegerColumn, MomentColumn, NumberColumn
from dpsynth.evaluation.fidelity import Comparison
from dpsynth.evaluation.figures import Figure, Json, rounded
from dpsynth.evaluation.marginals import Floats
from dpsynth.table import Table

LEVELS = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)


@dataclass(frozen=True)
class Quantile:
    """One quantile of the known values; `real` with the interval of other units drawn from the same people."""

    level: float
    synthetic: float
    real: Figure


@dataclass(frozen=True)
class Numbers:
    """One column of numbers or moments (in steps, such as days). Distances are Wasserstein-1 in standard deviations of the
    training rows: how far the average value would have to move. `redrawn`: that of as many rows drawn from
    the training rows; `heldout`: that of the held-out rows."""

    column: str
    moment: MomentColumn | None
    distance: Figure
    redrawn: Figure
    heldout: Figure | None
    mean: tuple[float, Figure]  # synthetic, real
    spread: tuple[float, Figure]  # standard deviation: synthetic, real
    missing: tuple[float, Figure]  # share of the rows: synthetic, real
    quantiles: tuple[Quantile, ...]

    def as_json(self) -> Json:
        def pair(found: tuple[float, Figure]) -> Json:
            return {"synthetic": rounded(found[0]), "real": found[1].as_json()}

        return {
            "column": self.column,
            "kind": "number" if self.moment is None else self.moment.noun,
            "distance": self.distance.as_json(),
            "best_redrawn": self.redrawn.as_json(),
            "best_heldout": None if self.heldout is None else self.heldout.as_json(),
            "mean": pair(self.mean),
            "standard_deviation": pair(self.spread),
            "missing": pair(self.missing),
            "quantiles": [
                {
                    "level": q.level,
                    "synthetic": _shown(q.synthetic, self.moment),
                    "real": _shown(q.real.value, self.moment),
                    "real_low": _shown(q.real.low, self.moment),
                    "real_high": _shown(q.real.high, self.moment),
                    "outside": not q.real.low <= q.synthetic <= q.real.high,
                }
                for q in self.quantiles
            ],
        }


def numbers(tables: Sequence[Table], comparison: Comparison) -> tuple[Numbers, ...]:
    """Every number and date of `tables` (synthetic, training, held out), worst first; columns without two
    different training values are left out."""
    modelled = tables[1].schema.modelled
    found = [
        _numbers(name, column if isinstance(column, MomentColumn) else None, tables, comparison)
        for name, column in modelled.items()
        if isinstance(column, IntegerColumn | NumberColumn | MomentColumn)
    ]
    kept = [one for one in found if one is not None]
    return tuple(sorted(kept, key=lambda one: one.redrawn.value - one.distance.value))


@dataclass(frozen=True, eq=False)
class _Sorted:
    """The known values of one column in order, with the rows they came from."""

    values: Floats
    rows: NDArray[np.int64]
    known: Floats  # 1 where a row has a value, shape (all rows,)

    @classmethod
    def of(cls, table: Table, name: str) -> _Sorted:
        known = ~table.missing[name] if name in table.missing else np.ones(len(table), dtype=bool)
        rows = np.flatnonzero(known)
        values = np.asarray(table.values[name], dtype=np.float64)[rows]
        order = np.argsort(values, kind="stable")
        return cls(values[order], rows[order], known.astype(np.float64))

    def weighted(self, weights: Floats) -> Floats:
        return weights[self.rows]


def _numbers(
    name: str, moment: MomentColumn | None, tables: Sequence[Table], comparison: Comparison
) -> Numbers | None:
    synthetic, train, holdout = (_Sorted.of(table, name) for table in tables)
    if not len(train.values) or not len(synthetic.values) or train.values[0] == train.values[-1]:
        return None
    draws = comparison.weights
    trains = [train.weighted(d.train) for d in draws]
    unit = float(train.values.std())
    ones = [np.ones(len(one.values)) for one in (synthetic, train, holdout)]
    apart = _Apart.of(synthetic.values, train.values)
    same = _Apart.of(train.values, train.values)
    heldout = None
    if len(holdout.values):
        other = _Apart.of(holdout.values, train.values)
        drawn = [other(holdout.weighted(d.holdout), w) for d, w in zip(draws, trains, strict=True)]
        heldout = Figure.around(other(ones[2], ones[1]) / unit, np.array(drawn) / unit, 0.0)
    drawn = [apart(synthetic.weighted(d.synthetic), w) for d, w in zip(draws, trains, strict=True)]
    again = [same(train.weighted(d.redrawn), ones[1]) for d in draws]
    gone = np.array([1 - np.average(train.known, weights=d.train) for d in draws])
    moments = np.array([_moments(train.values, w) for w in trains])
    return Numbers(
        name,
        moment,
        Figure.around(apart(ones[0], ones[1]) / unit, np.array(drawn) / unit, 0.0),
        Figure.of_draws(np.array(again) / unit, 0.0),
        heldout,
        (float(synthetic.values.mean()), Figure.around(float(train.values.mean()), moments[:, 0])),
        (float(synthetic.values.std()), Figure.around(unit, moments[:, 1], 0.0)),
        (float(1 - synthetic.known.mean()), Figure.around(float(1 - train.known.mean()), gone, 0.0, 1.0)),
        _quantiles(synthetic.values, train.values, trains),
    )


@dataclass(frozen=True, eq=False)
class _Apart:
    """Wasserstein-1 between two weighted samples on the sorted union of their values."""

    widths: Floats
    first: NDArray[np.int64]  # how many values of each sample lie at or below each value of the union
    second: NDArray[np.int64]

    @classmethod
    def of(cls, first: Floats, second: Floats) -> _Apart:
        union = np.unique(np.concatenate([first, second]))
        below = [np.searchsorted(values, union[:-1], side="right") for values in (first, second)]
        return cls(np.diff(union), below[0], below[1])

    def __call__(self, first: Floats, second: Floats) -> float:
        one, other = _cumulative(first)[self.first], _cumulative(second)[self.second]
        return float(np.abs(one - other) @ self.widths)


def _cumulative(weights: Floats) -> Floats:
    """Share of the weight in the first 0, 1, ... values."""
    sums = np.concatenate([[0.0], np.cumsum(weights)])
    return np.asarray(sums / max(sums[-1], 1e-300))


def _moments(values: Floats, weights: Floats) -> tuple[float, float]:
    total = max(float(weights.sum()), 1e-300)
    mean = float(values @ weights) / total
    return mean, float(np.sqrt(max(0.0, float((values - mean) ** 2 @ weights) / total)))


def _quantiles(synthetic: Floats, train: Floats, weights: Sequence[Floats]) -> tuple[Quantile, ...]:
    drawn = np.array([_at(train, w) for w in weights])
    low, high = np.quantile(drawn, 0.025, axis=0), np.quantile(drawn, 0.975, axis=0)
    ours, real = _at(synthetic, np.ones(len(synthetic))), _at(train, np.ones(len(train)))
    return tuple(
        Quantile(level, float(s), Figure(float(r), float(min(a, r)), float(max(b, r))))
        for level, s, r, a, b in zip(LEVELS, ours, real, low, high, strict=True)
    )


def _at(values: Floats, weights: Floats) -> Floats:
    """The smallest value with at least each level of the weight at or below it, shape (levels,)."""
    index = np.searchsorted(_cumulative(weights)[1:], np.array(LEVELS) - 1e-12)
    return values[np.minimum(index, len(values) - 1)]


def _shown(value: float, moment: MomentColumn | None) -> object:
    return rounded(value) if moment is None else moment.label(round(value))
