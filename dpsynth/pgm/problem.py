"""Noisy marginals as one least-squares problem over the tables of the maximal measured cliques."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dpsynth.domain import Clique, Domain
from dpsynth.measurement import Measurement
from dpsynth.pgm.contraction import Flat

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Target:
    """All measurements of one set of attributes, combined: mean by inverse variance, axes in domain order."""

    clique: Clique
    values: Floats
    variance: float


def combine(domain: Domain, measurements: Iterable[Measurement]) -> list[Target]:
    """One target per set of attributes, in order of first appearance.

    Measurements of the same set (also with permuted axes) are averaged with weights 1 / sigma**2, which loses
    nothing for least squares. Raises ValueError for attributes or shapes that are not the domain's.
    """
    sums: dict[Clique, tuple[Floats, float]] = {}
    for measurement in measurements:
        clique = _checked(domain, measurement)
        values = measurement.values.transpose([measurement.clique.index(a) for a in clique])
        weight = 1.0 / measurement.sigma**2
        weighted, weights = sums.get(clique, (np.zeros(values.shape), 0.0))
        sums[clique] = (weighted + weight * values, weights + weight)
    return [Target(c, weighted / weights, 1.0 / weights) for c, (weighted, weights) in sums.items()]


def _checked(domain: Domain, measurement: Measurement) -> Clique:
    unknown = [a for a in measurement.clique if a not in domain]
    if unknown or not measurement.clique:
        raise ValueError(f"a measurement is of attributes that the domain lacks: {unknown}")
    if measurement.values.shape != domain.shape(measurement.clique):
        raise ValueError(f"the measurement of {measurement.clique} has not the domain's shape")
    return domain.ordered(measurement.clique)


def maximal_cliques(domain: Domain, cliques: Iterable[Clique]) -> list[Clique]:
    """Those in no other, largest first, and one for each attribute that none holds; axes in domain order."""
    found: list[Clique] = []
    ordered = {domain.ordered(c) for c in cliques}
    for clique in sorted(ordered, key=lambda c: (-len(c), [domain.index(a) for a in c])):
        if not any(set(clique) <= set(other) for other in found):
            found.append(clique)
    covered = {a for clique in found for a in clique}
    return found + [(a,) for a in domain.attributes if a not in covered]


def estimate_total(targets: Sequence[Target]) -> float:
    """Number of records by inverse variance; each target's total has variance ``cells * variance``.

    At least 1: a distribution over fewer records than one means nothing.
    """
    weights = np.array([1.0 / (t.values.size * t.variance) for t in targets])
    totals = np.array([t.values.sum() for t in targets])
    return max(1.0, float(weights @ totals / weights.sum()))


@dataclass(frozen=True, eq=False)
class _Projection:
    """A target's place: which table holds it, which axes go, and where its cells lie in the residuals."""

    leaf: int
    axes: tuple[int, ...]
    kept: tuple[int, ...]
    cells: slice


class LeastSquares:
    """``sum over targets of ||P mu - y||^2 / (2 sigma^2)`` and its gradient, on flat tables of counts."""

    def __init__(
        self, domain: Domain, cliques: Sequence[Clique], targets: Sequence[Target], flat: Flat
    ) -> None:
        self._flat = flat
        sizes = [t.values.size for t in targets]
        ends = np.cumsum([0, *sizes])
        self._places = [
            _place(domain, cliques, target.clique, slice(int(start), int(end)))
            for target, start, end in zip(targets, ends[:-1], ends[1:], strict=True)
        ]
        self._observed = np.concatenate([t.values.ravel() for t in targets])
        self._weights = np.repeat([1.0 / t.variance for t in targets], sizes)
        self._residuals = np.empty_like(self._observed)
        self.cells = len(self._observed)
        self.smoothness = self._smoothness(domain, cliques, targets)

    def _smoothness(self, domain: Domain, cliques: Sequence[Clique], targets: Sequence[Target]) -> float:
        """Largest over tables of ``sum |table| / |target| / sigma^2``: bounds the curvature in mu."""
        sums = np.zeros(len(cliques))
        for target, place in zip(targets, self._places, strict=True):
            sums[place.leaf] += domain.size(cliques[place.leaf]) / target.values.size / target.variance
        return float(sums.max())

    def evaluate(self, counts: Floats) -> tuple[float, Floats]:
        """(loss, gradient with respect to every cell of every table)."""
        residuals = self._residuals
        for place in self._places:
            table = self._flat.table(counts, place.leaf)
            residuals[place.cells].reshape(place.kept)[...] = (
                table.sum(axis=place.axes) if place.axes else table
            )
        residuals -= self._observed
        scaled = residuals * self._weights
        gradient = np.zeros(self._flat.cells)
        for place in self._places:
            table = self._flat.table(gradient, place.leaf)
            table += np.expand_dims(scaled[place.cells].reshape(place.kept), place.axes)
        return 0.5 * float(residuals @ scaled), gradient


def _place(domain: Domain, cliques: Sequence[Clique], clique: Clique, cells: slice) -> _Projection:
    """The smallest table that holds the clique."""
    holders = [i for i, other in enumerate(cliques) if set(clique) <= set(other)]
    leaf = min(holders, key=lambda i: domain.size(cliques[i]))
    axes = tuple(k for k, a in enumerate(cliques[leaf]) if a not in clique)
    return _Projection(leaf, axes, domain.shape(clique), cells)


def forbidden_tables(
    domain: Domain, cliques: Sequence[Clique], zeros: Mapping[Clique, NDArray[np.bool_]], flat: Flat
) -> Floats | None:
    """Flat base potentials: 0, and -inf for cells that cannot be; None without any."""
    if not zeros:
        return None
    base = np.zeros(flat.cells)
    for clique, forbidden in zeros.items():
        ordered = domain.ordered(clique)
        place = _place(domain, cliques, ordered, slice(0))
        mask = np.asarray(forbidden, dtype=bool).transpose([clique.index(a) for a in ordered])
        table = flat.table(base, place.leaf)
        table[np.broadcast_to(np.expand_dims(mask, place.axes), table.shape)] = -np.inf
    return base
