"""Synthetic rows against the released measurements: numbers that may be published, because both are released.

Nothing here sees a private row. What is compared are the synthetic rows' marginals with the noisy ones
that were paid for; what is predicted follows from the noise alone, whose size is public.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpsynth.domain import Clique, Domain
from dpsynth.measurement import Measurement
from dpsynth.records import Records

Json = dict[str, Any]
Z99 = 2.3263478740408408
"""One-sided 99 % quantile of the normal distribution."""


@dataclass(frozen=True)
class MeasuredClique:
    """One measured marginal. Distances are total variations: half the sum over cells of differences of
    shares.

    `expected_error`: how far the released noisy marginal lies from the truth on average, and `error_99`
    the bound that it keeps in 99 % of runs, both from the noise alone. `distance`: how far the synthetic
    rows lie from the released marginal. `explained`: the largest distance that the noise of this marginal
    and the drawing of the synthetic rows explain in 99 % of runs, were the model exactly the truth; above
    it the model is what differs.
    """

    clique: Clique
    cells: int
    sigma: float
    expected_error: float
    error_99: float
    distance: float
    explained: float
    from_uniform: float

    @property
    def consistent(self) -> bool:
        return self.distance <= self.explained

    def as_json(self) -> Json:
        return {
            "columns": list(self.clique),
            "cells": self.cells,
            "sigma": self.sigma,
            "expected_error": _short(self.expected_error),
            "error_99": _short(self.error_99),
            "distance": _short(self.distance),
            "explained_by_noise": _short(self.explained),
            "from_uniform": _short(self.from_uniform),
            "consistent": self.consistent,
        }


@dataclass(frozen=True)
class Consistency:
    """All measured marginals, worst first; means are over marginals, each counted once."""

    total: float  # the noisy number of records that the measurements imply (variance-weighted)
    rows: int  # synthetic
    cliques: tuple[MeasuredClique, ...]

    @property
    def mean_expected_error(self) -> float:
        return float(np.mean([c.expected_error for c in self.cliques]))

    @property
    def mean_distance(self) -> float:
        return float(np.mean([c.distance for c in self.cliques]))

    @property
    def mean_explained(self) -> float:
        return float(np.mean([c.explained for c in self.cliques]))

    @property
    def mean_from_uniform(self) -> float:
        return float(np.mean([c.from_uniform for c in self.cliques]))

    @property
    def consistent(self) -> int:
        """How many marginals the noise explains."""
        return sum(c.consistent for c in self.cliques)

    def as_json(self) -> Json:
        return {
            "noisy_total": _short(self.total),
            "synthetic_rows": self.rows,
            "marginals": len(self.cliques),
            "marginals_consistent": self.consistent,
            "mean_expected_error": _short(self.mean_expected_error),
            "mean_distance": _short(self.mean_distance),
            "mean_explained_by_noise": _short(self.mean_explained),
            "mean_from_uniform": _short(self.mean_from_uniform),
            "by_clique": [c.as_json() for c in self.cliques],
        }


def consistency(records: Records, measurements: Sequence[Measurement], domain: Domain) -> Consistency:
    """Compare the synthetic `records` with every measurement. Post-processing: costs nothing.

    Measurements of one clique are merged first, weighted by precision. Raises ValueError without measurements
    or synthetic records.
    """
    if not measurements or not len(records):
        raise ValueError("there is nothing to compare: measurements and synthetic records are both needed")
    merged = _merge(measurements)
    total = noisy_total(measurements)
    found = [_measured(records, one, total, domain) for one in merged]
    return Consistency(total[0], len(records), tuple(sorted(found, key=lambda c: c.explained - c.distance)))


def noisy_total(measurements: Sequence[Measurement]) -> tuple[float, float]:
    """The number of records the measurements imply, and its standard deviation.

    Each measurement's sum has variance ``cells * sigma**2``; they are averaged by precision. At least 1,
    so that shares exist.
    """
    weights = np.array([1.0 / (m.values.size * m.sigma**2) for m in measurements])
    totals = np.array([float(m.total) for m in measurements])
    return max(1.0, float(np.average(totals, weights=weights))), float(1 / math.sqrt(weights.sum()))


def from_uniform(records: Records, clique: Clique) -> float:
    """How far the records lie from equal shares in every cell of the clique (total variation)."""
    return _from_uniform(_shares(records, clique, records.domain))


def _from_uniform(shares: NDArray[np.float64]) -> float:
    return float(np.abs(shares - 1 / shares.size).sum() / 2)


def mean_absolute_noise(sigma: float) -> float:
    """E|X| of the discrete Gaussian with scale `sigma`, X an integer with p(x) ~ exp(-x**2 / (2 sigma**2)).

    The sum itself for small sigma; beyond, sqrt(2 / pi) * (sigma - 1 / (12 sigma)) (Euler and Maclaurin),
    whose relative error is below 1e-6 there.
    """
    if sigma > 10:
        return math.sqrt(2 / math.pi) * (sigma - 1 / (12 * sigma))
    x = np.arange(0, math.ceil(12 * sigma) + 2, dtype=np.float64)
    p = np.exp(-(x**2) / (2 * sigma**2))
    return float(2 * (x * p).sum() / (2 * p.sum() - 1))


def _merge(measurements: Sequence[Measurement]) -> list[tuple[Clique, NDArray[np.float64], float]]:
    """One estimate per clique: (clique, precision-weighted mean of values, sigma of that mean)."""
    groups: dict[frozenset[str], list[Measurement]] = {}
    for one in measurements:
        groups.setdefault(frozenset(one.clique), []).append(one)
    return [_mean(group) for group in groups.values()]


def _mean(group: Sequence[Measurement]) -> tuple[Clique, NDArray[np.float64], float]:
    clique = group[0].clique
    precision = np.array([1.0 / m.sigma**2 for m in group])
    aligned = [np.transpose(m.values, [m.clique.index(a) for a in clique]).astype(np.float64) for m in group]
    values = sum(w * v for w, v in zip(precision, aligned, strict=True)) / precision.sum()
    return clique, np.asarray(values), float(1 / math.sqrt(precision.sum()))


def _measured(
    records: Records,
    one: tuple[Clique, NDArray[np.float64], float],
    total: tuple[float, float],
    domain: Domain,
) -> MeasuredClique:
    clique, values, sigma = one
    count, off = total
    synthetic = _shares(records, clique, domain)
    noise = mean_absolute_noise(sigma) / count
    drawing = 2 / math.pi * synthetic * (1 - synthetic) / len(records)
    mean = values.size * noise / 2
    # Above the mean: how much half the L1 norm of the noise varies, and what an error in the total moves.
    above = Z99 * (math.sqrt(values.size * max(0.0, (sigma / count) ** 2 - noise**2)) + off / count) / 2
    return MeasuredClique(
        clique=clique,
        cells=values.size,
        sigma=sigma,
        expected_error=min(1.0, mean),
        error_99=min(1.0, mean + above),
        distance=float(np.abs(synthetic - values / count).sum() / 2),
        explained=float(np.sqrt(noise**2 + drawing).sum() / 2) + above,
        from_uniform=_from_uniform(synthetic),
    )


def _shares(records: Records, clique: Clique, domain: Domain) -> NDArray[np.float64]:
    """Share of the records in each cell of the clique."""
    shape = domain.shape(clique)
    flat = np.ravel_multi_index([records[a].astype(np.int64) for a in clique], shape)
    counts = np.bincount(flat, minlength=math.prod(shape)).astype(np.float64)
    return (counts / len(records)).reshape(shape)


def _short(value: float) -> float:
    return float(f"{value:.6g}")
