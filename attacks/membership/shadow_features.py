"""What a synthetic table looks like to a shadow model, as numbers; and the model that learns from them.

Two views: what is true of the whole table (as GroundHog, Stadler, Oprisanu and Troncoso 2022), and how many rows
answer questions about one target (as Houssiau et al. 2022).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from attacks.threat import Floats, Hashes, Mask, Rows

_BINS = 16  # of a column's histogram
_RIDGE = 1.0


def summary(rows: Rows, ordered: Mask) -> Floats:
    """Shares of each column's cells (at most 16 bins), means and spreads of its levels, correlations of levels."""
    level = rows.fine.astype(np.float64)
    shares = [
        _shares(column, size)
        for column, size in zip(rows.cells.columns, rows.cells.domain.sizes, strict=True)
    ]
    spread = level.std(axis=0)
    centred = (level - level.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    related = (centred.T @ centred / len(level))[np.triu_indices(level.shape[1], k=1)]
    return np.concatenate([*shares, level.mean(axis=0)[ordered], spread[ordered], related])


def _shares(column: NDArray[np.unsignedinteger], size: int) -> Floats:
    bins = min(size, _BINS)
    return np.bincount(column.astype(np.int64) * bins // size, minlength=bins) / len(column)


def question_sets(columns: int, count: int, rng: np.random.Generator) -> list[tuple[int, ...]]:
    """`count` random sets of columns of every size, all columns first."""
    drawn = [tuple(range(columns))]
    for _ in range(count - 1):
        size = int(rng.integers(1, columns + 1))
        drawn.append(tuple(sorted(rng.choice(columns, size, replace=False).tolist())))
    return drawn


def answers(rows: Rows, targets: Sequence[Hashes], sets: Sequence[tuple[int, ...]]) -> Floats:
    """Per target and set of columns, the synthetic rows that agree there with a row of the target.

    `targets`: the hashes of each target's cells, (its rows, columns). Shape (targets, sets).
    """
    counts = np.empty((len(targets), len(sets)))
    for j, columns in enumerate(sets):
        made = _key(rows.cell_hashes, columns)
        for i, own in enumerate(targets):
            same = np.zeros(len(made), bool)
            for key in _key(own, columns):
                same |= made == key
            counts[i, j] = np.count_nonzero(same)
    return counts


def _key(hashes: Hashes, columns: tuple[int, ...]) -> Hashes:
    return np.asarray(np.bitwise_xor.reduce(hashes[:, columns], axis=1), np.uint64)


def standardised(known: Floats, asked: Floats) -> tuple[Floats, Floats]:
    """Both with the mean and spread of `known` (examples, features); what is constant there says nothing."""
    mean, spread = known.mean(axis=0), known.std(axis=0)
    varies = spread > 1e-12
    scale = np.where(varies, spread, 1.0)
    return (known - mean) * varies / scale, (asked - mean) * varies / scale


def learnt(known: Floats, truth: Mask, asked: Floats) -> Floats:
    """Scores for `asked` of a ridge regression of the truth on standardised features, in its dual form."""
    gram = known @ known.T / known.shape[1]
    weight = np.linalg.solve(
        gram + _RIDGE * np.eye(len(known)), np.where(truth, 1.0, -1.0) - (2.0 * truth.mean() - 1.0)
    )
    return np.asarray(asked @ known.T @ weight / known.shape[1])
