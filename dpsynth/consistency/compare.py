"""Synthetic rows against the released measurements, table by table.

What is compared are the synthetic rows' marginals with the noisy ones that were paid for; what is predicted
follows from the noise alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpsynth.consistency.bands import Band, bands
from dpsynth.consistency.noise import mean_absolute_noise
from dpsynth.consistency.tables import noisy_total, record_shares, together
from dpsynth.domain import Clique, Domain
from dpsynth.encoding import Encoding
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
    merged: Clique  # columns of it whose cells were put together before they were counted
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
            "merged": list(self.merged),
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
    columns: tuple[Band, ...] = ()

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
            "by_column": [band.as_json() for band in self.columns],
        }


def consistency(
    records: Records,
    measurements: Sequence[Measurement],
    domain: Domain,
    encoding: Encoding | None = None,
) -> Consistency:
    """Compare the synthetic `records` with every measurement. Post-processing: costs nothing.

    With `encoding` also column by column. Measurements of one clique on the same cells are put together first,
    weighted by precision. Raises ValueError without measurements or synthetic records, or for records of
    another domain.
    """
    if records.domain != domain:
        raise ValueError("the records are of another domain than the measurements")
    if not measurements or not len(records):
        raise ValueError("there is nothing to compare: measurements and synthetic records are both needed")
    total = noisy_total(measurements)
    found = [_measured(records, one, values, total) for one, values in together(measurements)]
    worst_first = tuple(sorted(found, key=lambda c: c.explained - c.distance))
    columns = () if encoding is None else bands(records, measurements, encoding)
    return Consistency(total[0], len(records), worst_first, columns)


def from_uniform(records: Records, clique: Clique) -> float:
    """How far the records lie from equal shares in every cell of the clique (total variation)."""
    return _from_uniform(record_shares(records, clique))


def _from_uniform(shares: NDArray[np.float64]) -> float:
    return float(np.abs(shares - 1 / shares.size).sum() / 2)


def _measured(
    records: Records, one: Measurement, values: NDArray[np.float64], total: tuple[float, float]
) -> MeasuredClique:
    (count, off), sigma = total, one.sigma
    synthetic = record_shares(records, one.clique, one.merges)
    noise = mean_absolute_noise(sigma) / count
    drawing = 2 / math.pi * synthetic * (1 - synthetic) / len(records)
    mean = values.size * noise / 2
    # Above the mean: how much half the L1 norm of the noise varies, and what an error in the total moves.
    above = Z99 * (math.sqrt(values.size * max(0.0, (sigma / count) ** 2 - noise**2)) + off / count) / 2
    return MeasuredClique(
        clique=one.clique,
        merged=tuple(a for a in one.clique if a in one.merges),
        cells=values.size,
        sigma=sigma,
        expected_error=min(1.0, mean),
        error_99=min(1.0, mean + above),
        distance=float(np.abs(synthetic - values / count).sum() / 2),
        explained=float(np.sqrt(noise**2 + drawing).sum() / 2) + above,
        from_uniform=_from_uniform(synthetic),
    )


def _short(value: float) -> float:
    return float(f"{value:.6g}")
