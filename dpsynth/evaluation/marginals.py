"""Marginals of several tables over one grid, and the distance between them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dpsynth.domain import Clique, Domain
from dpsynth.records import Records

Floats = NDArray[np.float64]
Index = NDArray[np.int64]

COARSE_CELLS = 20
"""Ordered columns with more cells than this are compared in so many quantile bins, as NIST's score does
with age.
"""

DENSE_CELLS = 1 << 17
"""Larger marginals keep only the cells that occur in one of the compared tables."""


@dataclass(frozen=True, eq=False)
class Sample:
    """One table of a comparison: its records and the dense unit code of each, shape (records,)."""

    records: Records
    units: Index

    def __len__(self) -> int:
        return len(self.records)

    @classmethod
    def of(cls, records: Records, units: NDArray[np.integer] | None = None) -> Sample:
        """Without units every record is a unit of its own."""
        codes = (
            np.arange(len(records), dtype=np.int64) if units is None else np.asarray(units, dtype=np.int64)
        )
        return cls(
            records, np.unique(codes, return_inverse=True)[1].astype(np.int64) if units is not None else codes
        )

    @property
    def unit_count(self) -> int:
        return int(self.units.max()) + 1 if len(self.units) else 0

    def redraw(self, rng: np.random.Generator, share: float = 1.0) -> Floats:
        """Weights of the records, shape (records,), in a bootstrap of the units.

        Every unit occurs Poisson(share) times, with all of its records: `share` times as many records on
        average. All zero (a handful of units) becomes all one.
        """
        weights = rng.poisson(share, self.unit_count)[self.units].astype(np.float64)
        return weights if weights.any() else np.ones(len(self.units))

    def subsample(self, rng: np.random.Generator, share: float) -> Floats:
        """Weights 0 and 1 of a random `share` of the units, without replacement; at least one unit."""
        keep = np.zeros(self.unit_count)
        keep[rng.permutation(self.unit_count)[: max(1, round(share * self.unit_count))]] = 1.0
        return keep[self.units]


def cliques_of(attributes: Sequence[str], ways: int, most: int, rng: np.random.Generator) -> list[Clique]:
    """All cliques of `ways` attributes, or `most` of them drawn without replacement."""
    if math.comb(len(attributes), ways) <= most:
        return list(itertools.combinations(attributes, ways))
    chosen: set[Clique] = set()
    while len(chosen) < most:
        picked = sorted(rng.choice(len(attributes), size=ways, replace=False))
        chosen.add(tuple(attributes[i] for i in picked))
    return sorted(chosen, key=lambda clique: [attributes.index(a) for a in clique])


def quantile_bins(column: NDArray[np.integer], cells: int, most: int = COARSE_CELLS) -> Index:
    """A map from `cells` ordered cells to at most `most` bins of about equal mass in `column`.

    Returns the bin of each cell, shape (cells,), without gaps and non-decreasing.
    """
    mass = np.bincount(column, minlength=cells).astype(np.float64)
    before = np.concatenate([[0.0], np.cumsum(mass)[:-1]]) / max(1.0, mass.sum())
    bins = np.minimum((before * most).astype(np.int64), most - 1)
    return np.unique(bins, return_inverse=True)[1].astype(np.int64)


def coarse(tables: Sequence[Records], reference: Records, ordered: Mapping[str, int]) -> list[Records]:
    """The tables with ordered attributes of more than COARSE_CELLS cells put into quantile bins of
    `reference`.

    `ordered` maps an attribute to the number of its leading cells that have an order; cells after them (a
    missing value) stay apart.
    """
    maps: dict[str, Index] = {}
    for attribute in reference.domain.attributes:
        size, leading = reference.domain[attribute], ordered.get(attribute, 0)
        if leading > COARSE_CELLS:
            column = reference[attribute]
            bins = quantile_bins(column[column < leading], leading)
            rest = int(bins[-1]) + 1 + np.arange(size - leading, dtype=np.int64)
            maps[attribute] = np.concatenate([bins, rest])
    domain = reference.domain
    sizes = {a: int(maps[a].max()) + 1 if a in maps else domain[a] for a in domain.attributes}
    coarser = Domain.from_sizes(sizes)
    return [Records.of(coarser, {a: maps[a][t[a]] if a in maps else t[a] for a in sizes}) for t in tables]


def cell_index(clique: Clique, tables: Sequence[Records]) -> tuple[list[Index], int]:
    """The flat cell of every record of every table in one common numbering, and how many cells it has."""
    shape = tables[0].domain.shape(clique)
    flat = [_flat(table, clique, shape) for table in tables]
    cells = math.prod(shape)
    if cells <= DENSE_CELLS:
        return flat, cells
    values, inverse = np.unique(np.concatenate(flat), return_inverse=True)
    ends = np.cumsum([len(f) for f in flat])[:-1]
    return [part.astype(np.int64) for part in np.split(inverse, ends)], len(values)


def _flat(table: Records, clique: Clique, shape: tuple[int, ...]) -> Index:
    index = np.zeros(len(table), dtype=np.int64)
    for attribute, size in zip(clique, shape, strict=True):
        index *= size
        index += table[attribute]
    return index


def shares(index: Index, cells: int, weights: Floats | None = None) -> Floats:
    """Share of the (weighted) records in each cell, shape (cells,)."""
    counts = np.bincount(index, weights=weights, minlength=cells).astype(np.float64)
    total = counts.sum()
    return counts / total if total > 0 else counts


def total_variation(p: Floats, q: Floats) -> float:
    """Half the sum of absolute differences: 0 for equal shares, 1 for none in common."""
    return float(np.abs(p - q).sum() / 2)
