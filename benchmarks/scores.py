"""How good synthetic rows are, on codes alone: errors of marginals, the use for prediction, NIST's score.

Nothing of the product is used here: a yardstick that shares code with what it measures shares its bugs.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score

from benchmarks.tables import Codes, Table

REVISION = 1
"""Raise it when a score changes its meaning: stored results are then scored again."""

DENSE_CELLS = 1 << 16
"""Marginals with more cells are compared on the cells that occur."""

NIST_AGE_EDGES = (0, 5, 9, 14, 18, 21, 25, 29, 32, 36, 40, 45, 49, 53, 57, 61, 64, 68, 72, 79, 95)
"""NIST's 20 quantile bins of age in the national excerpt: [0, 5), [5, 9), ..., [79, 95]."""


@dataclass(frozen=True)
class Scores:
    """Mean total variation against the training rows of all marginals of 1, 2 and 3 columns; area under the ROC
    curve of a classifier trained on the synthetic rows; NIST's k-marginal score. None: not defined here."""

    one_way: float
    two_way: float
    three_way: float
    auc: float | None
    nist: int | None


def score(table: Table, rows: Codes) -> Scores:
    """Synthetic `rows`, shape (any, columns), against the table's training rows."""
    sizes = list(table.domain.values())
    errors = [marginal_error(table.train, rows, sizes, ways) for ways in (1, 2, 3)]
    auc = None
    if table.target is not None and table.held_out is not None:
        auc = trained_auc(rows, table.held_out, list(table.domain).index(table.target))
    nist = nist_score(table.train, rows, table.domain) if table.name == "national2019" else None
    return Scores(errors[0], errors[1], errors[2], auc, nist)


def marginal_error(real: Codes, synthetic: Codes, sizes: Sequence[int], ways: int) -> float:
    """Mean total variation over all marginals of `ways` columns: 0 for equal shares, 1 for none in common."""
    return float(np.mean(list(marginal_errors(real, synthetic, sizes, ways))))


def marginal_errors(real: Codes, synthetic: Codes, sizes: Sequence[int], ways: int) -> Iterator[float]:
    """Total variation of each marginal of `ways` columns, in lexicographic order."""
    for columns in itertools.combinations(range(len(sizes)), ways):
        shape = [sizes[c] for c in columns]
        yield total_variation(flat(real, columns, shape), flat(synthetic, columns, shape), math.prod(shape))


def flat(codes: Codes, columns: Sequence[int], shape: Sequence[int]) -> Codes:
    """The cell of each row in the marginal of `columns`, counted row by row through it."""
    index = codes[:, columns[0]].astype(np.int64)
    for column, size in zip(columns[1:], shape[1:], strict=True):
        index = index * size + codes[:, column]
    return index


def total_variation(one: Codes, two: Codes, cells: int) -> float:
    """Half the sum of absolute differences between the shares of cells, from the cell of each row."""
    if cells > DENSE_CELLS:
        inverse = np.unique(np.concatenate([one, two]), return_inverse=True)[1]
        one, two = inverse[: len(one)], inverse[len(one) :]
        cells = int(inverse.max()) + 1
    p = np.bincount(one, minlength=cells) / len(one)
    q = np.bincount(two, minlength=cells) / len(two)
    return float(np.abs(p - q).sum() / 2)


def trained_auc(synthetic: Codes, held_out: Codes, target: int) -> float:
    """Gradient boosting with its defaults, trained on synthetic rows, tested on real ones; a binary target.

    One half when the synthetic rows know one class only: nothing can be learnt from them.
    """
    if len(np.unique(synthetic[:, target])) < 2:
        return 0.5
    model = HistGradientBoostingClassifier(random_state=0)
    model.fit(np.delete(synthetic, target, axis=1), synthetic[:, target])
    chance = model.predict_proba(np.delete(held_out, target, axis=1))[:, 1]
    return float(roc_auc_score(held_out[:, target], chance))


def nist_score(real: Codes, synthetic: Codes, domain: Mapping[str, int]) -> int:
    """NIST's k-marginal score of pairs, without areas: 1000 * (1 - mean total variation), cut to a whole number.

    Age (AGEP, coded by the year) goes into 20 bins, all other columns count value by value.
    """
    age = list(domain).index("AGEP")
    sizes = list(domain.values())
    sizes[age] = len(NIST_AGE_EDGES) - 1
    return int(1000 * (1 - marginal_error(binned_age(real, age), binned_age(synthetic, age), sizes, 2)))


def binned_age(codes: Codes, column: int) -> Codes:
    """The codes with age in NIST's bins; the last bin takes all ages from its first on."""
    found = codes.copy()
    bins = np.searchsorted(np.array(NIST_AGE_EDGES), codes[:, column], side="right") - 1
    found[:, column] = np.minimum(bins, len(NIST_AGE_EDGES) - 2)
    return found


def yardsticks(table: Table, seed: int) -> dict[str, Scores]:
    """What real rows score: a bootstrap of the training rows, the rows held out, one half against the other."""
    rng = np.random.default_rng(seed)
    rows = len(table.train)
    found = {"bootstrap of the training rows": score(table, table.train[rng.integers(0, rows, rows)])}
    if table.held_out is not None:
        found["held-out rows"] = score_fresh(table, table.train, table.held_out)
    order = rng.permutation(rows)
    one, two = table.train[order[: rows // 2]], table.train[order[rows // 2 :]]
    found["half against half"] = score_fresh(table, one, two)
    return found


def score_fresh(table: Table, known: Codes, fresh: Codes) -> Scores:
    """Rows that nobody made up, against others of the same table; the classifier learns from the `known` ones."""
    sizes = list(table.domain.values())
    errors = [marginal_error(known, fresh, sizes, ways) for ways in (1, 2, 3)]
    auc = None
    if table.target is not None and table.held_out is not None:
        auc = trained_auc(known, table.held_out, list(table.domain).index(table.target))
    nist = nist_score(known, fresh, table.domain) if table.name == "national2019" else None
    return Scores(errors[0], errors[1], errors[2], auc, nist)


def mean_scores(found: Sequence[Scores]) -> dict[str, float | None]:
    """The mean of each score over runs; None where it is not defined."""
    return {name: _mean([getattr(s, name) for s in found]) for name in Scores.__dataclass_fields__}


def _mean(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return float(np.mean(known)) if known else None
