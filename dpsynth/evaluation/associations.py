"""How strongly two columns go together, of whatever types, in the synthetic and in the real rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from dpsynth.domain import Clique
from dpsynth.evaluation.fidelity import CliqueShares
from dpsynth.evaluation.figures import Figure, Json, rounded
from dpsynth.evaluation.marginals import Floats

RANKS, CATEGORIES, MIXED = "rank correlation", "Cramér's V", "correlation ratio"
"""Two ordered columns (from -1 to 1), two categories, one of each (from 0 to 1)."""


@dataclass(frozen=True)
class Association:
    """One pair. `off`: |synthetic - real|; `redrawn`: the mean |drawn - real| of as many rows drawn from the
    training rows; `heldout`: that of the held-out rows."""

    clique: Clique
    measure: str
    real: float
    synthetic: float
    off: float
    redrawn: float
    heldout: float | None

    def as_json(self) -> Json:
        return {
            "columns": list(self.clique),
            "measure": self.measure,
            "real": rounded(self.real),
            "synthetic": rounded(self.synthetic),
            "off": rounded(self.off),
            "best_redrawn": rounded(self.redrawn),
            "best_heldout": None if self.heldout is None else rounded(self.heldout),
        }


@dataclass(frozen=True)
class Associations:
    """Mean |synthetic - real| over all pairs; the same of rows drawn from the real table and of the
    held-out rows."""

    error: Figure
    redrawn: Figure
    heldout: Figure | None
    by_pair: tuple[Association, ...]  # worst first: largest excess over `redrawn`

    def as_json(self) -> Json:
        return {
            "pairs": len(self.by_pair),
            "error": self.error.as_json(),
            "best_redrawn": self.redrawn.as_json(),
            "best_heldout": None if self.heldout is None else self.heldout.as_json(),
            "by_pair": [one.as_json() for one in self.by_pair],
        }


@dataclass(eq=False)
class Associating:
    """Collects the associations of the pairs that it is shown.

    `ordered`: how many leading cells of each attribute have an order; cells after them (a missing value) do
    not count for that attribute. The score of an ordered cell is its middle rank among the training rows:
    Pearson's correlation of the scores is the rank correlation (Spearman's, on at most 20 bins).
    """

    ordered: Mapping[str, int]
    held: bool
    _found: list[tuple[Association, Floats, Floats, Floats]] = field(default_factory=list)

    def __call__(self, shares: CliqueShares) -> None:
        if shares.shape is None or len(shares.shape) != 2:
            return
        stack = np.concatenate(
            [
                np.stack([shares.synthetic, shares.train, shares.holdout]),
                shares.synthetics,
                shares.trains,
                shares.redrawn,
                shares.holdouts,
            ]
        ).reshape(-1, *shares.shape)
        measure, values = self._measured(shares, stack)
        (synthetic, real, heldout), drawn = values[:3], values[3:].reshape(4, -1)
        off = np.abs(drawn[0] - drawn[1]), np.abs(drawn[2] - real), np.abs(drawn[3] - drawn[1])
        one = Association(
            shares.clique,
            measure,
            float(real),
            float(synthetic),
            float(abs(synthetic - real)),
            float(off[1].mean()),
            float(abs(heldout - real)) if self.held else None,
        )
        self._found.append((one, *off))

    def _measured(self, shares: CliqueShares, stack: Floats) -> tuple[str, Floats]:
        train = stack[1]
        scores = [
            _scores(train.sum(axis=1 - axis), self.ordered.get(a, 0)) for axis, a in enumerate(shares.clique)
        ]
        leading = [len(s) if s is not None else n for s, n in zip(scores, train.shape, strict=True)]
        known = stack[:, : leading[0], : leading[1]]
        first, second = scores
        if first is not None and second is not None:
            return RANKS, correlation(known, first, second)
        if first is None and second is None:
            return CATEGORIES, cramers_v(known)
        if first is None and second is not None:
            return MIXED, correlation_ratio(known, second)
        assert first is not None
        return MIXED, correlation_ratio(known.transpose(0, 2, 1), first)

    def result(self) -> Associations | None:
        """None without pairs."""
        if not self._found:
            return None
        ones = [one for one, *_ in self._found]
        means = [np.mean(draws, axis=0) for draws in zip(*(draws for _, *draws in self._found), strict=True)]
        heldout = float(np.mean([one.heldout or 0.0 for one in ones]))
        return Associations(
            Figure.around(float(np.mean([one.off for one in ones])), means[0], 0.0),
            Figure.of_draws(means[1], 0.0),
            Figure.around(heldout, means[2], 0.0) if self.held else None,
            tuple(sorted(ones, key=lambda one: one.redrawn - one.off)),
        )


def _scores(mass: Floats, ordered: int) -> Floats | None:
    """Middle ranks of the ordered cells; None when the attribute has no order."""
    if not ordered:
        return None
    leading = mass[:ordered]
    return np.asarray(np.cumsum(leading) - leading / 2)


def correlation(tables: Floats, rows: Floats, columns: Floats) -> Floats:
    """Pearson's correlation of two scores in each table of shares, shape (tables, rows, columns); 0 where
    one of them does not vary."""
    total = _total(tables)
    first, second = tables.sum(axis=2) / total, tables.sum(axis=1) / total
    a, b = first @ rows, second @ columns
    covariance = np.einsum("trc,r,c->t", tables, rows, columns) / total[:, 0] - a * b
    spread = (first @ rows**2 - a**2) * (second @ columns**2 - b**2)
    return _ratio(covariance, np.sqrt(np.maximum(spread, 0)))


def cramers_v(tables: Floats) -> Floats:
    """Cramér's V of each table of shares (without a correction for its size), shape (tables,)."""
    total = _total(tables)
    p = tables / total[:, :, None]
    expected = p.sum(axis=2)[:, :, None] * p.sum(axis=1)[:, None, :]
    chi2 = np.divide((p - expected) ** 2, expected, out=np.zeros_like(p), where=expected > 0).sum(axis=(1, 2))
    used = np.minimum((p.sum(axis=2) > 0).sum(axis=1), (p.sum(axis=1) > 0).sum(axis=1)) - 1
    return np.sqrt(_ratio(chi2, used.astype(np.float64)))


def correlation_ratio(tables: Floats, scores: Floats) -> Floats:
    """Eta: the root of the part of the score's variance that lies between the categories (rows)."""
    total = _total(tables)
    p = tables / total[:, :, None]
    mass = p.sum(axis=2)
    sums = p @ scores
    mean = sums.sum(axis=1)
    between = np.divide(sums**2, mass, out=np.zeros_like(sums), where=mass > 0).sum(axis=1) - mean**2
    return np.sqrt(np.maximum(_ratio(between, p.sum(axis=1) @ scores**2 - mean**2), 0))


def _total(tables: Floats) -> Floats:
    total = tables.sum(axis=(1, 2))
    return np.asarray(np.where(total > 0, total, 1.0)[:, None])


def _ratio(above: Floats, below: Floats) -> Floats:
    usable = below > 1e-12
    return np.clip(np.divide(above, below, out=np.zeros_like(above), where=usable), -1, 1)
