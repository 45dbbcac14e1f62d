"""Noisy marginals as one least-squares problem over the tables of the maximal measured cliques."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dpsynth.domain import Clique, Domain
from dpsynth.measurement import Measurement, Merges
from dpsynth.pgm.contraction import Flat
from dpsynth.pgm.stepping import DAMPING, Axes, Stepping
from dpsynth.privacy.merging import merge_counts

Floats = NDArray[np.float64]

CHANCE_ABOVE_3_SIGMA = 0.00135
FOLLOWED = 0.05
"""Part of the noise that every fit follows."""
LIFT = 0.3
"""Lowest count at which a cell starts, in standard deviations of its noise."""


@dataclass(frozen=True, eq=False)
class Target:
    """All measurements of one set of attributes, combined: mean by inverse variance, axes in domain order.

    `variance` is that of each cell's mean, shape as `values`.
    """

    clique: Clique
    values: Floats
    variance: Floats


def combine(
    domain: Domain, measurements: Iterable[Measurement], merges: Merges | None = None
) -> list[Target]:
    """One target per set of attributes, in order of first appearance.

    Measurements of the same set (also with permuted axes) are averaged with weights 1 / variance, which loses nothing
    for least squares. With `merges`, `domain` is the merged one, and what was measured in full is summed to it: a
    merged cell of n has the variance n sigma^2. Raises ValueError for attributes or shapes that are not the domain's.
    """
    sums: dict[Clique, tuple[Floats, Floats]] = {}
    for measurement in measurements:
        clique, values, variance = _projected(domain, measurement, merges or {})
        weighted, weights = sums.get(clique, (0.0, 0.0))
        sums[clique] = (weighted + values / variance, weights + 1.0 / variance)
    return [Target(c, weighted / weights, 1.0 / weights) for c, (weighted, weights) in sums.items()]


def _projected(domain: Domain, measurement: Measurement, merges: Merges) -> tuple[Clique, Floats, Floats]:
    """(clique in the domain's order, values, variances) on the cells of `domain`."""
    unknown = [a for a in measurement.clique if a not in domain]
    if unknown or not measurement.clique:
        raise ValueError(f"a measurement is of attributes that the domain lacks: {unknown}")
    finer = {a: merges[a] for a in measurement.clique if a in merges and a not in measurement.merges}
    if any(
        len(finer[a]) != n
        for a, n in zip(measurement.clique, measurement.values.shape, strict=True)
        if a in finer
    ):
        raise ValueError(f"the measurement of {measurement.clique} has not the domain's shape")
    values = merge_counts(measurement.values, measurement.clique, finer)
    if values.shape != domain.shape(measurement.clique):
        raise ValueError(f"the measurement of {measurement.clique} has not the domain's shape")
    cells = np.ones((1,) * values.ndim)
    for axis, attribute in enumerate(measurement.clique):
        if attribute in finer:
            shape = [-1 if other == axis else 1 for other in range(values.ndim)]
            cells = cells * np.bincount(finer[attribute]).reshape(shape)
    clique = domain.ordered(measurement.clique)
    axes = [measurement.clique.index(a) for a in clique]
    variance = np.broadcast_to(cells * measurement.sigma**2, values.shape)
    return clique, values.transpose(axes).astype(np.float64), variance.transpose(axes)


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
    """Number of records by inverse variance; a target's total has the sum of its cells' variances.

    At least 1: a distribution over fewer records than one means nothing.
    """
    weights = np.array([1.0 / t.variance.sum() for t in targets])
    totals = np.array([t.values.sum() for t in targets])
    return max(1.0, float(weights @ totals / weights.sum()))


def expected_loss(targets: Sequence[Target]) -> float:
    """Where to stop: the loss that a good fit is expected to have.

    The truth itself has M / 2 for M measured cells. A fit follows some of the noise, `FOLLOWED` of it whatever the cells,
    and that of the cells that stand out: two degrees of freedom are taken off for each cell above 3 sigma (beyond those
    that chance puts there), up to a tenth of all. Going on would fit the noise of the others.
    """
    cells = sum(t.values.size for t in targets)
    above = sum(int((t.values > 3 * np.sqrt(t.variance)).sum()) for t in targets)
    loud = max(0.0, above - CHANCE_ABOVE_3_SIGMA * cells)
    return 0.5 * max(0.9 * cells, (1 - FOLLOWED) * cells - 2 * loud)


def independent_start(domain: Domain, targets: Sequence[Target], total: float) -> dict[Clique, Floats]:
    """Log shares of each attribute's cells from the most precise measurement of it; a descent begins there.

    Cells below a fraction of their noise are lifted to it, so that none starts at zero.
    """
    return {(a,): _log_shares(domain, targets, a, total) for a in domain.attributes}


def _log_shares(domain: Domain, targets: Sequence[Target], attribute: str, total: float) -> Floats:
    found = [t for t in targets if attribute in t.clique]
    if not found:
        return np.zeros(domain[attribute])
    target = min(found, key=lambda t: float(t.variance.sum()))
    axes = tuple(k for k, a in enumerate(target.clique) if a != attribute)
    counts = np.maximum(target.values.sum(axis=axes), LIFT * np.sqrt(target.variance.sum(axis=axes)))
    return np.asarray(np.log(counts / total), dtype=np.float64)


@dataclass(frozen=True, eq=False)
class _Place:
    """Where a target lies: the table that holds it, the axes to sum (as stored), its cells in the residuals.

    `shape` is that of the table with the summed axes kept as 1.
    """

    leaf: int
    axes: tuple[int, ...]
    shape: tuple[int, ...]
    cells: slice


class LeastSquares:
    """``sum over targets of ||P mu - y||^2 / (2 sigma^2)`` and the direction of a step, on flat tables of counts.

    `followed`: for each target the table that a step goes for, near what was measured; `ordered`: how many first cells of
    an attribute are in order; `total`: about how many records there are.
    """

    def __init__(
        self,
        domain: Domain,
        cliques: Sequence[Clique],
        targets: Sequence[Target],
        followed: Sequence[Floats],
        flat: Flat,
        ordered: Mapping[str, int],
        total: float,
    ) -> None:
        self._flat = flat
        self._places: list[_Place] = []
        observed: list[Floats] = []
        aims: list[Floats] = []
        weights: list[Floats] = []
        shapes: list[Axes] = []
        curvature = np.zeros(len(cliques))
        start = 0
        for target, aim in zip(targets, followed, strict=True):
            leaf = _holder(domain, cliques, target.clique)
            stored = flat.names(leaf, domain)
            place = _place(domain, leaf, stored, target.clique, start)
            start = place.cells.stop
            self._places.append(place)
            kept = [a for a in stored if a in target.clique]
            axes = [target.clique.index(a) for a in kept]
            observed.append(target.values.transpose(axes).ravel())
            aims.append(aim.transpose(axes).ravel())
            weights.append(1.0 / target.variance.transpose(axes).ravel())
            names = tuple(target.clique[k] for k in axes)
            shapes.append(Axes(place.cells, domain.shape(names), tuple(ordered.get(a, 0) for a in names)))
            least = float(target.variance.min())
            damped = min(1.0, DAMPING * math.sqrt(least) / total)
            curvature[leaf] += damped * domain.size(cliques[leaf]) / target.values.size / least
        self._observed = np.concatenate(observed)
        self._aims = np.concatenate(aims)
        self._weights = np.concatenate(weights)
        self._counts = np.empty_like(self._observed)
        self._stepping = Stepping(shapes, 1.0 / np.sqrt(self._weights))
        self.goal = expected_loss(targets)
        self.smoothness = float(curvature.max())

    def evaluate(self, counts: Floats) -> tuple[float, float, Floats]:
        """(loss, the same against what is followed, its gradient with respect to every cell of every table as a step should
        follow it: `stepping.py`).

        `smoothness`, the largest over tables of ``sum |table| / |target| / least variance``, damped as the residuals are,
        bounds its curvature.
        """
        found = self._counts
        for place in self._places:
            table = self._flat.stored(counts, place.leaf)
            kept = found[place.cells].reshape(place.shape)
            np.add.reduce(table, axis=place.axes, keepdims=True, out=kept) if place.axes else np.copyto(
                kept, table
            )
        measured = found - self._observed
        residuals = found - self._aims
        scaled = residuals * self._weights
        steps = self._stepping.direction(found, scaled)
        gradient = np.zeros(self._flat.cells)
        for place in self._places:
            table = self._flat.stored(gradient, place.leaf)
            table += steps[place.cells].reshape(place.shape)
        return 0.5 * float(measured @ (measured * self._weights)), 0.5 * float(residuals @ scaled), gradient


def _holder(domain: Domain, cliques: Sequence[Clique], clique: Clique) -> int:
    """The smallest table that holds the clique."""
    holders = [i for i, other in enumerate(cliques) if set(clique) <= set(other)]
    return min(holders, key=lambda i: domain.size(cliques[i]))


def _place(domain: Domain, leaf: int, stored: Clique, clique: Clique, start: int) -> _Place:
    axes = tuple(k for k, a in enumerate(stored) if a not in clique)
    shape = tuple(domain[a] if a in clique else 1 for a in stored)
    return _Place(leaf, axes, shape, slice(start, start + domain.size(clique)))


def merged_zeros(
    zeros: Mapping[Clique, NDArray[np.bool_]], merges: Merges
) -> dict[Clique, NDArray[np.bool_]]:
    """The same on merged cells: one cannot be when none of those that fall together can. Tables without any are left
    out."""
    found = {}
    for clique, forbidden in zeros.items():
        possible = merge_counts((~np.asarray(forbidden, dtype=bool)).astype(np.int64), clique, merges)
        if not possible.all():
            found[clique] = possible == 0
    return found


def forbidden_tables(
    domain: Domain, cliques: Sequence[Clique], zeros: Mapping[Clique, NDArray[np.bool_]], flat: Flat
) -> Floats | None:
    """Flat base potentials: 0, and -inf for cells that cannot be; None without any."""
    if not zeros:
        return None
    base = np.zeros(flat.cells)
    for clique, forbidden in zeros.items():
        leaf = _holder(domain, cliques, clique)
        stored = flat.names(leaf, domain)
        place = _place(domain, leaf, stored, clique, 0)
        mask = np.asarray(forbidden, dtype=bool).transpose([clique.index(a) for a in stored if a in clique])
        table = flat.stored(base, leaf)
        table[np.broadcast_to(mask.reshape(place.shape), table.shape)] = -np.inf
    return base
