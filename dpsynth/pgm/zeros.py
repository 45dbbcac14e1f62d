"""An estimation with as many structural zeros as its tables have room for."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from dpsynth.domain import Clique, Domain
from dpsynth.measurement import Measurement
from dpsynth.pgm.estimation import MAX_CELLS, Model, Progress, fit
from dpsynth.pgm.graphical import plan_for
from dpsynth.pgm.merged import MergedModel, merges_of
from dpsynth.pgm.problem import maximal_cliques, merged_zeros
from dpsynth.privacy.merging import merged_domain

Zeros = Mapping[Clique, NDArray[np.bool_]]

GROWTH, ALWAYS = 4.0, 2e6
"""Zeros may make the tables of an inference so many times larger, or up to so many cells in any case."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Estimation:
    """`pgm.fit` with these zeros: what a mechanism calls to fit its measurements.

    Zeros whose clique would make the model too large are left out of it, so that a run which is paid for does not end for
    want of memory; rows are mended instead when they are sampled. `keep` and `ordered` as for `pgm.fit`.
    """

    zeros: Zeros = field(default_factory=dict)
    max_cells: float = MAX_CELLS
    progress: Progress | None = None
    keep: Sequence[Clique] = ()
    ordered: Mapping[str, int] = field(default_factory=dict)

    def with_zeros(self, zeros: Zeros) -> Estimation:
        """The same with these zeros instead."""
        return replace(self, zeros=zeros)

    def __call__(
        self, domain: Domain, measurements: Sequence[Measurement], *, start: Model | None = None
    ) -> Model:
        """As `pgm.fit`."""
        zeros = self.zeros
        if zeros:
            merges = {**(start.merges if isinstance(start, MergedModel) else {}), **merges_of(measurements)}
            coarse = merged_domain(domain, merges)
            cliques = [coarse.ordered(m.clique) for m in measurements]
            kept = affordable(coarse, cliques, merged_zeros(zeros, merges), self.max_cells)
            zeros = {clique: zeros[clique] for clique in kept}
        return fit(
            domain,
            measurements,
            zeros=zeros,
            start=start,
            keep=self.keep,
            ordered=self.ordered,
            max_cells=self.max_cells,
            progress=self.progress,
        )


def affordable(
    domain: Domain, cliques: Sequence[Clique], zeros: Iterable[Clique], max_cells: float
) -> list[Clique]:
    """Those of the zeros' cliques, tried in their order, with which a model of `cliques` keeps its size. Reads no data."""
    held = list(cliques)
    limit = min(max_cells, max(ALWAYS, GROWTH * _room(domain, held)))
    kept = []
    for clique in zeros:
        if any(set(clique) <= set(other) for other in held) or _room(domain, [*held, clique]) <= limit:
            held.append(clique)
            kept.append(clique)
        else:
            _log.info("no room for the impossible cells of %s: rows are mended instead", clique)
    return kept


def _room(domain: Domain, cliques: Sequence[Clique]) -> float:
    found = maximal_cliques(domain, cliques)
    if sum(math.prod(domain.shape(c)) for c in found) > 1e12:
        return math.inf
    return float(plan_for(domain, found).room)
