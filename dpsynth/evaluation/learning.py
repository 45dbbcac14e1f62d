"""Train on synthetic rows, test on real ones; beside it the same model trained on real rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpsynth.evaluation.fairness import Gap, Groups, gaps, judged_classes, judged_numbers
from dpsynth.evaluation.features import class_label, features, learnable, targets
from dpsynth.evaluation.figures import Figure, Json, rounded
from dpsynth.table import Table

Floats = NDArray[np.float64]

MOST_TRAINING_ROWS = 20_000
FEWEST_TEST_ROWS = 50
FEWEST_OF_A_CLASS = 5
DRAWS = 100


@dataclass(frozen=True)
class Score:
    """One measure of one model. The intervals redraw the held-out units, for the gap with the same units
    in both.

    `synthetic` and `real`: trained on synthetic and on real rows, tested on the same held-out real rows;
    `real` is the best achievable. `guess`: always predicting the commonest class or the mean. `gap`: real
    - synthetic.
    """

    measure: str  # "AUC", "accuracy", "R2" (larger is better); "mean absolute error" (smaller is better)
    synthetic: Figure
    real: Figure
    gap: Figure
    guess: float

    def as_json(self) -> Json:
        return {
            "measure": self.measure,
            "trained_on_synthetic": self.synthetic.as_json(),
            "trained_on_real": self.real.as_json(),
            "gap": self.gap.as_json(),
            "guess": rounded(self.guess),
        }


@dataclass(frozen=True)
class Learned:
    """One target predicted by one kind of model."""

    target: str
    task: str  # "classification" or "regression"
    model: str
    scores: tuple[Score, ...]
    fairness: tuple[Gap, ...] = ()

    def as_json(self) -> Json:
        return {
            "target": self.target,
            "task": self.task,
            "model": self.model,
            "scores": [score.as_json() for score in self.scores],
            "fairness": [gap.as_json() for gap in self.fairness],
        }


@dataclass(frozen=True, eq=False)
class _Task:
    """Features and target of the three tables; rows with a missing target are gone."""

    target: str
    classes: int
    categorical: tuple[bool, ...]
    synthetic: tuple[Floats, Floats]
    train: tuple[Floats, Floats]
    test: tuple[Floats, Floats]
    test_units: NDArray[np.int64]
    groups: tuple[Groups, ...]
    positive: str | None  # with two classes: what the rarer one is called


def learn(
    synthetic: Table,
    train: Table,
    holdout: Table,
    target: str,
    rng: np.random.Generator,
    groups: Sequence[str] = (),
) -> tuple[tuple[Learned, ...], str | None]:
    """Boosted trees, a random forest and a linear model for one target; or none, and why not in words.

    `groups`: columns (categories, booleans) over whose values the models' scores are compared.
    """
    task = _task(synthetic, train, holdout, target, rng, groups)
    reason = _too_little(task)
    if reason:
        return (), reason
    from dpsynth.evaluation import models  # scikit-learn takes a second to import: only where it is used

    seed = int(rng.integers(2**31))
    weights = redraws(task.test_units, rng)
    makers = models.classifiers if task.classes else models.regressors
    return tuple(_learned(task, name, make, weights) for name, make in makers(task.categorical, seed)), None


def _task(
    synthetic: Table,
    train: Table,
    holdout: Table,
    target: str,
    rng: np.random.Generator,
    groups: Sequence[str],
) -> _Task:
    names = [name for name in learnable(train) if name != target]
    tables = [_at_most(synthetic, rng), _at_most(train, rng), holdout]
    matrices, categorical = features(tables, names, train)
    answers, classes = targets(tables, target, train)
    known = [~np.isnan(answer) for answer in answers]
    pairs = [(m[k], a[k]) for m, a, k in zip(matrices, answers, known, strict=True)]
    units = np.arange(len(holdout)) if holdout.units is None else holdout.units
    return _Task(
        target,
        classes,
        tuple(categorical),
        pairs[0],
        pairs[1],
        pairs[2],
        units[known[2]].astype(np.int64),
        tuple(Groups.of(holdout, name).take(known[2]) for name in groups if name != target),
        class_label(train, target, 1) if classes == 2 else None,
    )


def _at_most(table: Table, rng: np.random.Generator) -> Table:
    if len(table) <= MOST_TRAINING_ROWS:
        return table
    return table.take(np.sort(rng.choice(len(table), MOST_TRAINING_ROWS, replace=False)))


def _too_little(task: _Task) -> str | None:
    """Why a score of this task would mean nothing, or None."""
    if len(task.test[1]) < FEWEST_TEST_ROWS:
        return f"fewer than {FEWEST_TEST_ROWS} held-out rows"
    if not len(task.synthetic[1]) or not len(task.train[1]):
        return "no rows to train on"
    if task.classes:
        counts = [
            np.bincount(part[1].astype(np.int64), minlength=task.classes) for part in (task.train, task.test)
        ]
        if min((np.sort(c)[-2] if len(c) > 1 else 0) for c in counts) < FEWEST_OF_A_CLASS:
            return "almost all rows have the same class"
    elif np.ptp(task.test[1]) == 0 or np.ptp(task.train[1]) == 0:
        return "all rows have the same value"
    return None


def _learned(task: _Task, name: str, make: Callable[[], Any], weights: Floats) -> Learned:
    answer = task.test[1]
    predict = _probabilities if task.classes else _values
    from_synthetic = predict(make, task.synthetic, task.test[0], task.classes)
    from_real = predict(make, task.train, task.test[0], task.classes)
    if task.classes:
        prior = np.bincount(task.train[1].astype(np.int64), minlength=task.classes)
        measures = _class_measures(answer.astype(np.int64), int(prior.argmax()))
        judged = judged_classes(answer.astype(np.int64), from_synthetic, from_real, task.positive)
    else:
        measures = _number_measures(answer, task.train[1])
        judged = judged_numbers(answer, from_synthetic, from_real)
    scores = tuple(_score(m, f, g, from_synthetic, from_real, weights) for m, f, g in measures)
    kind = "classification" if task.classes else "regression"
    return Learned(task.target, kind, name, scores, gaps(task.groups, judged, weights))


Measure = Callable[[Floats, Floats], Floats]
"""(predictions, weights of the test rows of shape (redraws, rows)) -> one score per redraw."""


def _score(
    measure: str, function: Measure, guess: float, synthetic: Floats, real: Floats, weights: Floats
) -> Score:
    """`weights`: shape (1 + draws, test rows), ones first."""
    both = np.stack([function(synthetic, weights), function(real, weights)])
    (a, b), drawn = both[:, 0], both[:, 1:][:, np.isfinite(both[:, 1:]).all(axis=0)]
    return Score(
        measure,
        Figure.around(float(a), drawn[0]),
        Figure.around(float(b), drawn[1]),
        Figure.around(float(b - a), drawn[1] - drawn[0]),
        guess,
    )


def _class_measures(answer: NDArray[np.int64], commonest: int) -> list[tuple[str, Measure, float]]:
    def auc(predicted: Floats, weights: Floats) -> Floats:
        return macro_auc(answer, predicted, weights)

    def accuracy(predicted: Floats, weights: Floats) -> Floats:
        return _average(predicted.argmax(axis=1) == answer, weights)

    return [("AUC", auc, 0.5), ("accuracy", accuracy, float((answer == commonest).mean()))]


def _number_measures(answer: Floats, trained: Floats) -> list[tuple[str, Measure, float]]:
    def r2(predicted: Floats, weights: Floats) -> Floats:
        centre = _average(answer, weights)
        spread = _average(answer**2, weights) - centre**2
        return np.asarray(1 - _average((answer - predicted) ** 2, weights) / spread)

    def absolute(predicted: Floats, weights: Floats) -> Floats:
        return _average(np.abs(answer - predicted), weights)

    guess = float(np.abs(answer - np.median(trained)).mean())
    return [("R2", r2, 0.0), ("mean absolute error", absolute, guess)]


def _average(values: NDArray[Any], weights: Floats) -> Floats:
    """Weighted mean of `values`, shape (rows,), for each row of `weights`."""
    return np.asarray(weights @ values.astype(np.float64) / weights.sum(axis=1))


def macro_auc(answer: NDArray[np.int64], predicted: Floats, weights: Floats) -> Floats:
    """Mean over classes of the AUC of that class against the rest, for each row of `weights`.

    `predicted`: class probabilities, shape (rows, classes). Two classes: the usual AUC. A class that is
    absent or alone is left out; NaN when none is left.
    """
    classes = [1] if predicted.shape[1] == 2 else range(predicted.shape[1])
    areas = np.stack([_areas(answer == label, predicted[:, label], weights) for label in classes])
    present = np.isfinite(areas)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(present, areas, 0.0).sum(axis=0) / present.sum(axis=0))


def _areas(mine: NDArray[np.bool_], score: Floats, weights: Floats) -> Floats:
    """Weighted P[one of mine scores above another] with ties counted half, for each row of `weights`."""
    order = np.argsort(score, kind="stable")
    starts = np.flatnonzero(np.diff(score[order], prepend=-np.inf))
    positive = np.add.reduceat(weights[:, order] * mine[order], starts, axis=1)
    negative = np.add.reduceat(weights[:, order] * ~mine[order], starts, axis=1)
    below = np.cumsum(negative, axis=1) - negative / 2
    pairs = positive.sum(axis=1) * negative.sum(axis=1)
    with np.errstate(invalid="ignore"):
        return np.asarray((positive * below).sum(axis=1) / pairs)


def _probabilities(
    make: Callable[[], Any], rows: tuple[Floats, Floats], test: Floats, classes: int
) -> Floats:
    """Class probabilities, shape (test rows, classes); a class that the training rows lack gets 0."""
    labels = np.unique(rows[1]).astype(np.int64)
    probabilities = np.zeros((len(test), classes))
    probabilities[:, labels] = 1.0 if len(labels) == 1 else _fitted(make, rows).predict_proba(test)
    return probabilities


def _values(make: Callable[[], Any], rows: tuple[Floats, Floats], test: Floats, _: int) -> Floats:
    return np.asarray(_fitted(make, rows).predict(test), dtype=np.float64)


def _fitted(make: Callable[[], Any], rows: tuple[Floats, Floats]) -> Any:
    """A column without any value teaches nothing, and learners stop at it: it becomes a constant."""
    features, answer = rows
    return make().fit(np.where(np.isnan(features).all(axis=0), 0.0, features), answer)


def redraws(units: NDArray[np.int64], rng: np.random.Generator) -> Floats:
    """Weights of the test rows, shape (1 + draws, rows): all ones, then every unit Poisson(1) times."""
    dense = np.unique(units, return_inverse=True)[1]
    drawn = rng.poisson(1.0, (DRAWS, int(dense.max()) + 1)).astype(np.float64)
    return np.vstack([np.ones(len(units)), drawn[drawn.any(axis=1)][:, dense]])
