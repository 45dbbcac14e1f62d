"""How well a learner tells synthetic rows from real ones; the same game between real rows as the yardstick."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dpsynth.evaluation.features import features, learnable
from dpsynth.evaluation.figures import Figure, Json
from dpsynth.evaluation.learning import FEWEST_TEST_ROWS, macro_auc, redraws
from dpsynth.evaluation.marginals import Floats
from dpsynth.table import Table

MOST_ROWS = 6_000
"""Of either kind."""
FOLDS = 2


@dataclass(frozen=True)
class Discriminator:
    """Area under the curve of boosted trees that tell synthetic from training rows, each row judged by a
    model that has not seen its unit: 0.5 is indistinguishable, 1 told apart every time. `best`: held-out
    against training rows, as many of each."""

    rows: int
    auc: Figure
    best: Figure | None
    best_rows: int

    def as_json(self) -> Json:
        return {
            "rows_of_each": self.rows,
            "auc": self.auc.as_json(),
            "best_heldout": None if self.best is None else self.best.as_json(),
            "best_rows_of_each": self.best_rows,
        }


def discriminate(
    synthetic: Table, train: Table, holdout: Table, rng: np.random.Generator
) -> Discriminator | None:
    """None with fewer than 50 rows on either side or without a column to look at."""
    rows = min(len(synthetic), len(train), MOST_ROWS)
    if rows < FEWEST_TEST_ROWS or not learnable(train):
        return None
    auc = _told_apart(synthetic, train, train, rows, rng)
    best_rows = min(len(holdout), rows)
    best = None if best_rows < FEWEST_TEST_ROWS else _told_apart(holdout, train, train, best_rows, rng)
    return Discriminator(rows, auc, best, best_rows if best is not None else 0)


def _told_apart(first: Table, second: Table, reference: Table, rows: int, rng: np.random.Generator) -> Figure:
    from dpsynth.evaluation import models  # scikit-learn takes a second to import: only where it is used

    chosen = [table.take(np.sort(rng.choice(len(table), rows, replace=False))) for table in (first, second)]
    (one, other), categorical = features(chosen, learnable(reference), reference)
    x, y = np.vstack([one, other]), np.repeat([1.0, 0.0], rows)
    units = _units(chosen)
    fold = rng.permutation(int(units.max()) + 1)[units] % FOLDS
    score = np.zeros(2 * rows)
    make = models.boosted(categorical, int(rng.integers(2**31)))
    for k in range(FOLDS):
        seen = fold != k
        if len(np.unique(y[seen])) == 2 and not seen.all():
            score[~seen] = make().fit(x[seen], y[seen]).predict_proba(x[~seen])[:, 1]
    areas = np.mean([_area(y, score, fold == k, units, rng) for k in range(FOLDS)], axis=0)
    return Figure.around(float(areas[0]), areas[1:], 0.0, 1.0)


def _area(
    y: Floats, score: Floats, mine: NDArray[np.bool_], units: NDArray[np.int64], rng: np.random.Generator
) -> Floats:
    """Area within one fold (scores of two models are not compared), for the rows and for 100 redraws."""
    predicted = np.column_stack([1 - score[mine], score[mine]])
    areas = macro_auc(y[mine].astype(np.int64), predicted, redraws(units[mine], rng))
    return np.where(np.isfinite(areas), areas, 0.5)


def _units(tables: list[Table]) -> NDArray[np.int64]:
    """The unit of every row of both tables, numbered together; units of the two are never the same."""
    found: list[NDArray[np.int64]] = []
    start = 0
    for table in tables:
        codes = np.arange(len(table)) if table.units is None else table.units
        dense = np.unique(codes, return_inverse=True)[1].astype(np.int64) + start
        start = int(dense.max()) + 1
        found.append(dense)
    return np.concatenate(found)
