"""1-, 2- and 3-way marginal error of a synthetic table, each beside what real rows achieve."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from dpsynth.domain import Clique
from dpsynth.evaluation.figures import Figure, Json, rounded
from dpsynth.evaluation.marginals import (
    Floats,
    Index,
    Sample,
    cell_index,
    cliques_of,
    shares,
    total_variation,
)
from dpsynth.records import Records

DRAWS = 25
"""Bootstrap draws behind each interval; a standard deviation from 25 draws is known to about 15 %."""

MOST_CLIQUES = {1: 1000, 2: 500, 3: 200}
"""More cliques than this are sampled."""


@dataclass(frozen=True)
class CliqueError:
    """Total variation of one marginal: synthetic against training rows, and two kinds of real rows
    against them.
    """

    clique: Clique
    error: float
    redrawn: float  # as many rows as the synthetic table, drawn one by one from the training rows (mean)
    heldout: float | None  # the held-out rows
    independent: float  # the training rows with every column shuffled: how strongly the columns are related

    def as_json(self) -> Json:
        return {
            "columns": list(self.clique),
            "error": rounded(self.error),
            "best_redrawn": rounded(self.redrawn),
            "best_heldout": None if self.heldout is None else rounded(self.heldout),
            "columns_independent": rounded(self.independent),
        }


@dataclass(frozen=True)
class MarginalErrors:
    """Mean total variation over the cliques of one size (0 perfect, 1 nothing in common).

    `error`: synthetic against training rows; the interval says how far it would move with other units in the
    training table and another sample of the same model. `redrawn`: as many rows as the synthetic table has,
    drawn one by one from the training rows: what a perfect generator of independent rows gets; its interval
    holds 95 % of such tables. `heldout`: real rows of other units, usually fewer. `independent`: the
    training rows with every column shuffled on its own, what a generator gets that knows nothing of pairs.
    """

    ways: int
    compared: int
    possible: int
    error: Figure
    redrawn: Figure
    heldout: Figure | None
    independent: float | None
    by_clique: tuple[CliqueError, ...]  # worst first: largest excess over `redrawn`

    def as_json(self) -> Json:
        return {
            "ways": self.ways,
            "cliques_compared": self.compared,
            "cliques_possible": self.possible,
            "error": self.error.as_json(),
            "best_redrawn": self.redrawn.as_json(),
            "best_heldout": None if self.heldout is None else self.heldout.as_json(),
            "columns_independent": None if self.independent is None else rounded(self.independent),
            "by_clique": [c.as_json() for c in self.by_clique],
        }


@dataclass(frozen=True, eq=False)
class Comparison:
    """The three tables on one grid, with the bootstrap weights that all cliques share."""

    synthetic: Sample
    train: Sample
    holdout: Sample
    shuffled: Records
    weights: tuple[_Draw, ...]

    @classmethod
    def of(cls, synthetic: Sample, train: Sample, holdout: Sample, rng: np.random.Generator) -> Comparison:
        share = len(synthetic) / len(train)
        rows = Sample.of(train.records)
        draws = tuple(
            _Draw(synthetic.redraw(rng), train.redraw(rng), rows.redraw(rng, share), holdout.redraw(rng))
            for _ in range(DRAWS)
        )
        columns = tuple(rng.permutation(column) for column in train.records.columns)
        return cls(synthetic, train, holdout, Records(train.records.domain, columns), draws)

    @property
    def tables(self) -> tuple[Records, ...]:
        return self.synthetic.records, self.train.records, self.holdout.records, self.shuffled


@dataclass(frozen=True, eq=False)
class _Draw:
    synthetic: Floats
    train: Floats
    redrawn: Floats
    holdout: Floats


@dataclass(frozen=True, eq=False)
class CliqueShares:
    """Shares of the rows by cell of one clique, shape (cells,), and by bootstrap draw, shape (draws, cells).

    `shape`: cells along each axis; None when only cells that occur somewhere are kept (a huge clique).
    `redrawn`: tables as large as the synthetic one, drawn from the training rows.
    """

    clique: Clique
    shape: tuple[int, ...] | None
    synthetic: Floats
    train: Floats
    holdout: Floats
    shuffled: Floats
    synthetics: Floats
    trains: Floats
    redrawn: Floats
    holdouts: Floats

    @classmethod
    def of(cls, comparison: Comparison, clique: Clique) -> CliqueShares:
        (synthetic, train, holdout, shuffled), cells = cell_index(clique, comparison.tables)
        draws = comparison.weights
        shape = comparison.train.records.domain.shape(clique)
        return cls(
            clique,
            shape if math.prod(shape) == cells else None,
            shares(synthetic, cells),
            shares(train, cells),
            shares(holdout, cells),
            shares(shuffled, cells),
            _drawn(synthetic, cells, [d.synthetic for d in draws]),
            _drawn(train, cells, [d.train for d in draws]),
            _drawn(train, cells, [d.redrawn for d in draws]),
            _drawn(holdout, cells, [d.holdout for d in draws]),
        )


def _drawn(index: Index, cells: int, weights: Sequence[Floats]) -> Floats:
    return np.stack([shares(index, cells, w) for w in weights])


Observer = Callable[[CliqueShares], None]
"""Is shown every clique's shares while they are at hand."""


@dataclass(frozen=True, eq=False)
class _Raw:
    """Of one clique: point values, and (draws,) arrays of bootstrap values."""

    error: float
    heldout: float
    independent: float
    errors: Floats
    redrawn: Floats
    heldouts: Floats


def marginal_errors(
    comparison: Comparison, ways: int, rng: np.random.Generator, observers: Sequence[Observer] = ()
) -> MarginalErrors:
    """Mean total variation over the `ways`-way marginals; ValueError when there are fewer attributes."""
    attributes = comparison.train.records.domain.attributes
    if not 1 <= ways <= len(attributes):
        raise ValueError("a marginal has between one and all attributes")
    cliques = cliques_of(attributes, ways, MOST_CLIQUES.get(ways, 200), rng)
    raws = [_compare(comparison, clique, observers) for clique in cliques]
    held = len(comparison.holdout) > 0
    return MarginalErrors(
        ways=ways,
        compared=len(cliques),
        possible=math.comb(len(attributes), ways),
        error=_figure([r.error for r in raws], [r.errors for r in raws]),
        redrawn=Figure.of_draws(np.mean([r.redrawn for r in raws], axis=0), 0.0, 1.0),
        heldout=_figure([r.heldout for r in raws], [r.heldouts for r in raws]) if held else None,
        independent=None if ways == 1 else float(np.mean([r.independent for r in raws])),
        by_clique=_worst_first(cliques, raws, held),
    )


def _figure(values: Sequence[float], draws: Sequence[Floats]) -> Figure:
    return Figure.around(float(np.mean(values)), np.mean(draws, axis=0), 0.0, 1.0)


def _worst_first(cliques: Sequence[Clique], raws: Sequence[_Raw], held: bool) -> tuple[CliqueError, ...]:
    found = [
        CliqueError(
            clique, raw.error, float(raw.redrawn.mean()), raw.heldout if held else None, raw.independent
        )
        for clique, raw in zip(cliques, raws, strict=True)
    ]
    return tuple(sorted(found, key=lambda c: c.redrawn - c.error))


def _compare(comparison: Comparison, clique: Clique, observers: Sequence[Observer]) -> _Raw:
    found = CliqueShares.of(comparison, clique)
    for observe in observers:
        observe(found)
    exact = found.train
    return _Raw(
        error=total_variation(found.synthetic, exact),
        heldout=total_variation(found.holdout, exact),
        independent=total_variation(found.shuffled, exact),
        errors=_distances(found.synthetics, found.trains),
        redrawn=_distances(found.redrawn, exact),
        heldouts=_distances(found.holdouts, found.trains),
    )


def _distances(p: Floats, q: Floats) -> Floats:
    """Total variation of each row of `p` from the same row of `q` (or from the only one)."""
    return np.asarray(np.abs(p - q).sum(axis=1) / 2)
