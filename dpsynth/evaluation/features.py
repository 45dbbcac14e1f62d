"""Tables as what a learner takes: feature matrices with missing values, and targets."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dpsynth.columns import BooleanColumn, CategoryColumn
from dpsynth.table import Table

Floats = NDArray[np.float64]

MOST_CLASSES = 8
"""A category with more classes is predicted as its commonest ones against all others."""

MOST_CATEGORIES = 60
"""A category with more values than this is given to a learner as its commonest values and "other"."""


def learnable(table: Table) -> list[str]:
    """Columns that can be features or targets: everything modelled, nothing that only identifies."""
    return list(table.schema.modelled)


def is_class(table: Table, name: str) -> bool:
    return isinstance(table.schema.modelled[name], CategoryColumn | BooleanColumn)


def features(
    tables: Sequence[Table], names: Sequence[str], reference: Table
) -> tuple[list[Floats], list[bool]]:
    """One matrix per table, shape (rows, len(names)), NaN where missing, and which columns hold categories.

    Categories become small integers by falling frequency in `reference`, the rare ones one common number.
    """
    categorical = [is_class(reference, name) for name in names]
    matrices = [np.empty((len(table), len(names))) for table in tables]
    for position, (name, is_category) in enumerate(zip(names, categorical, strict=True)):
        ranks = _ranks(reference, name, MOST_CATEGORIES) if is_category else None
        for table, matrix in zip(tables, matrices, strict=True):
            column = np.asarray(table.values[name])
            matrix[:, position] = column if ranks is None else ranks[column]
            matrix[table.missing[name], position] = np.nan
    return matrices, categorical


def targets(tables: Sequence[Table], name: str, reference: Table) -> tuple[list[NDArray[np.float64]], int]:
    """The target of each table, NaN where missing, and how many classes it has (0: a number to predict)."""
    if not is_class(reference, name):
        return [_with_nan(np.asarray(t.values[name], dtype=np.float64), t.missing[name]) for t in tables], 0
    ranks = _ranks(reference, name, MOST_CLASSES)
    codes = [_with_nan(ranks[t.values[name]], t.missing[name]) for t in tables]
    return codes, int(ranks.max()) + 1


def class_label(table: Table, name: str, rank: int) -> str:
    """What the class with this rank by frequency is called."""
    column = table.schema.modelled[name]
    texts = column.values if isinstance(column, CategoryColumn) else ("no", "yes")
    return texts[int(np.flatnonzero(_ranks(table, name, MOST_CLASSES) == rank)[0])]


def _with_nan(values: Floats, missing: NDArray[np.bool_]) -> Floats:
    column = values.astype(np.float64)
    column[missing] = np.nan
    return column


def _ranks(table: Table, name: str, most: int) -> Floats:
    """For each stored code its rank by frequency, `most - 1` for all the rare ones; shape (codes,)."""
    present = np.asarray(table.values[name])[~table.missing[name]].astype(np.int64)
    counts = np.bincount(present, minlength=_codes(table, name))
    order = np.argsort(-counts, kind="stable")
    ranks = np.empty(len(counts))
    ranks[order] = np.minimum(np.arange(len(counts)), most - 1)
    return ranks


def _codes(table: Table, name: str) -> int:
    column = table.schema.modelled[name]
    return len(column.values) if isinstance(column, CategoryColumn) else 2
