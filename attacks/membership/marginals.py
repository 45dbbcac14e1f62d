"""The marginal likelihood ratio: does the synthetic table lean towards the target's cells?

The core of MAMA-MIA (Golob et al. 2024), against a better reference: all candidates' rows, since the attacker
knows them all and not who is a member. With r the synthetic count of a cell minus what the candidates lead one
to expect, one row of the training data moves r by d = (synthetic rows) / (training rows). Under a Gaussian
residual of variance v the log-likelihood ratio of "in" against "out" is ``(r d + d^2 (prior - 1/2)) / v``,
added over the target's cells. The variance of a cell is its expected count times how badly the whole marginal
fits, so that marginals which the generator never looked at count for little.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from attacks.threat import Floats, Index, View
from dpsynth.domain import Clique
from dpsynth.records import Codes, Records

_LEVELS = 128  # most levels of an attribute inside a pair
_CELLS = 1 << 22  # largest table of counts


@dataclass(frozen=True)
class MarginalRatio:
    """`known`: use the generator's own cliques (the view must hold them); else all columns and pairs.

    `smooth`: added to each cell's expected count, in synthetic rows.
    """

    name: str = "marginal ratio"
    knows: str = "the synthetic rows and all candidates' rows; compares their one- and two-way tables"
    known: bool = False
    smooth: float = 1.0
    summed: bool = False  # a unit's score is the sum over its rows instead of the best

    def __call__(self, view: View, rng: np.random.Generator) -> Floats:
        real, synthetic = compact(view)
        if self.known and view.cliques is None:
            raise ValueError("the generator's cliques are not known in this view")
        cliques = view.cliques if self.known and view.cliques is not None else _all_pairs(real)
        step = len(synthetic) / max(1.0, view.prior * len(real))
        scores = np.zeros(len(real), np.float64)
        for clique in cliques:
            if clique and real.domain.size(clique) <= _CELLS:
                scores += self._clique(real, synthetic, clique, step, view.prior)
        return view.candidates.total(scores) if self.summed else view.candidates.best(scores)

    def _clique(self, real: Records, synthetic: Records, clique: Clique, step: float, prior: float) -> Floats:
        cells = real.domain.size(clique)
        own = _flat(real, clique)
        expected = np.bincount(own, minlength=cells) * (len(synthetic) / len(real))
        residual = np.bincount(_flat(synthetic, clique), minlength=cells) - expected
        scale = expected + self.smooth
        misfit = float((residual**2 / scale).sum() / max(1, int((expected > 0).sum())))
        ratio = (residual * step + step * step * (prior - 0.5)) / (scale * max(misfit, 1e-6))
        return np.asarray(ratio[own])


def _all_pairs(records: Records) -> tuple[Clique, ...]:
    names = records.domain.attributes
    return (*((a,) for a in names), *itertools.combinations(names, 2))


def _flat(records: Records, clique: Clique) -> Index:
    index = np.zeros(len(records), np.int64)
    for attribute in clique:
        index *= records.domain[attribute]
        index += records[attribute]
    return index


def compact(view: View) -> tuple[Records, Records]:
    """Candidates' and synthetic cells with at most 128 levels a column: neighbours of an ordered column are
    merged to equal shares of the candidates; of another, all but the most frequent."""
    real, synthetic = view.candidates.rows.cells, view.synthetic.cells
    sizes, left, right = [], [], []
    for i, size in enumerate(real.domain.sizes):
        a, b = real.columns[i], synthetic.columns[i]
        if size > _LEVELS:
            table = _levels(np.bincount(a, minlength=size), bool(view.candidates.ordered[i]))
            a, b, size = table[a], table[b], int(table.max()) + 1
        sizes.append(size)
        left.append(a)
        right.append(b)
    domain = type(real.domain)(real.domain.attributes, tuple(sizes))
    return Records(domain, tuple(left)), Records(domain, tuple(right))


def _levels(counts: Index, ordered: bool) -> Codes:
    if ordered:
        middle = np.cumsum(counts) - counts / 2.0
        return np.minimum(middle * _LEVELS / max(1, counts.sum()), _LEVELS - 1).astype(np.uint8)
    table = np.full(len(counts), _LEVELS - 1, np.uint8)
    table[np.argsort(-counts, kind="stable")[: _LEVELS - 1]] = np.arange(_LEVELS - 1)
    return table
