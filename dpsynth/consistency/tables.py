"""Measured tables as they are compared: repeated measurements put together, records counted on their cells."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dpsynth.domain import Clique
from dpsynth.measurement import Measurement, Merges
from dpsynth.records import Records

Floats = NDArray[np.float64]


def together(measurements: Sequence[Measurement]) -> list[tuple[Measurement, Floats]]:
    """One entry per clique and merging of cells: a measurement that says which, and the precision-weighted
    mean of all its values, whose noise has ``sigma = sum(1 / sigma_i**2) ** -0.5``.

    The first of the pair carries that sigma; its own values are only the first measurement's.
    """
    groups: dict[object, list[Measurement]] = {}
    for one in measurements:
        groups.setdefault(_same(one), []).append(one)
    return [_mean(group) for group in groups.values()]


def _same(one: Measurement) -> object:
    merged = tuple(sorted((a, tuple(np.asarray(cells).tolist())) for a, cells in one.merges.items()))
    return frozenset(one.clique), merged


def _mean(group: Sequence[Measurement]) -> tuple[Measurement, Floats]:
    first = group[0]
    precision = np.array([1.0 / m.sigma**2 for m in group])
    aligned = [
        np.transpose(m.values, [m.clique.index(a) for a in first.clique]).astype(np.float64) for m in group
    ]
    values = sum(w * v for w, v in zip(precision, aligned, strict=True)) / precision.sum()
    sigma = first.sigma if len(group) == 1 else float(1 / math.sqrt(precision.sum()))
    return Measurement(first.clique, first.values, sigma, first.merges), np.asarray(values)


def noisy_total(measurements: Sequence[Measurement]) -> tuple[float, float]:
    """The number of records the measurements imply, and its standard deviation.

    Each measurement's sum has variance ``cells * sigma**2``; they are averaged by precision. At least 1,
    so that shares exist.
    """
    weights = np.array([1.0 / (m.values.size * m.sigma**2) for m in measurements])
    totals = np.array([float(m.total) for m in measurements])
    return max(1.0, float(np.average(totals, weights=weights))), float(1 / math.sqrt(weights.sum()))


def record_shares(records: Records, clique: Clique, merges: Merges | None = None) -> Floats:
    """Share of the records in each (merged) cell of the clique."""
    columns, shape = [], []
    for attribute in clique:
        cells = records[attribute].astype(np.int64)
        size = records.domain[attribute]
        if merges and attribute in merges:
            merge = np.asarray(merges[attribute], dtype=np.int64)
            cells, size = merge[cells], int(merge.max()) + 1
        columns.append(cells)
        shape.append(size)
    flat = np.ravel_multi_index(columns, shape)
    counts = np.bincount(flat, minlength=math.prod(shape)).astype(np.float64)
    return (counts / len(records)).reshape(shape)
