"""Fewer records that say the same as many: of several candidates for each place, the one that the counts lack most.

A sample of n records strays from its model by about ``sqrt(cells / n)`` in every table that no clique holds, and for samples
of the size that people release that is a good part of all error. So `CANDIDATES` times as many are drawn, and one of each
`CANDIDATES` is kept: the one whose cells, over all pairs of attributes and the smallest triples, lack the most of what they
are due (greedy discrepancy minimisation, as in the kernel thinning of Dwivedi and Mackey 2021, with indicators of cells as
features). What a cell lacks counts by the inverse root of its due: a record too many hurts a rare cell more. A cell that has
its due adds nothing to the choice, so none is favoured for being common. All of this knows the model alone.

Triples are there for what is learnt from the rows: by pairs alone the area under the curve of a classifier fell by .0006 on
Adult at epsilon 10; with triples it is what it was.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dpsynth.counting import count_each
from dpsynth.domain import Clique, Domain
from dpsynth.records import Records

Index = NDArray[np.int64]
Axes = NDArray[np.int32]

CANDIDATES = 16
"""Drawn for each record."""

MOST_ROWS = 1 << 18
"""Larger samples stray little by themselves: they are what the model draws."""

MOST_VALUES = 1 << 24
"""Rows times attributes: their candidates take `CANDIDATES` times as many bytes, twice."""

MOST_TABLES = 300
"""All pairs of 25 attributes; of more, so many of them at random."""

RECORDS_A_CELL = 8
"""What the cells of a triple are due on average, at least: of emptier ones no choice among few candidates does justice."""

MOST_CELLS = 1 << 22
"""Of all tables together, 16 bytes each; the largest are left out."""


class Generator(Protocol):
    """What is needed of the model."""

    @property
    def domain(self) -> Domain: ...

    def sample_batches(self, n: int, rng: np.random.Generator) -> Iterator[Records]: ...


def thinned_batches(model: Generator, n: int, rng: np.random.Generator) -> Iterator[Records]:
    """`n` records in random order, as `model.sample_batches` makes them, and thinned where that helps: up to `MOST_ROWS` and
    `MOST_VALUES`, and not with fewer than three attributes, whose only pair the model's sampler keeps by itself."""
    if not 0 < n <= min(MOST_ROWS, MOST_VALUES // len(model.domain)) or len(model.domain) < 3:
        return model.sample_batches(n, rng)
    batches = model.sample_batches(n * CANDIDATES, rng)
    return (batch.take(chosen(batch, len(batch) // CANDIDATES, rng)) for batch in batches)


def chosen(candidates: Records, n: int, rng: np.random.Generator) -> Index:
    """Which `n` of the candidates to keep, in random order, shape (n,): one of each ``len(candidates) // n`` in turn."""
    from dpsynth.model import thinning_loops

    tables = _tables(candidates.domain, n, rng)
    counts = [table.reshape(-1) for table in count_each(candidates, tables).values()]
    firsts = np.cumsum([0, *map(len, counts[:-1])], dtype=np.int32)
    shares = np.concatenate([np.zeros(0), *counts]) / len(candidates)
    cells = np.zeros((len(shares), 4), dtype=np.float32)
    cells[:, 1] = shares
    cells[:, 2] = 1 / np.sqrt(shares * n + 1)
    one_cell = np.zeros(len(candidates), dtype=np.uint8)
    codes = np.stack([*candidates.columns, one_cell], axis=1)
    kept = np.empty(n, dtype=np.int64)
    thinning_loops.keep_most_due(codes, *_layout(candidates.domain, tables), firsts, cells, kept)
    return rng.permutation(kept)


def _tables(domain: Domain, n: int, rng: np.random.Generator) -> list[Clique]:
    """Pairs, of too many some at random, then triples of few cells, those of fewest first."""
    pairs = list(itertools.combinations(domain.attributes, 2))
    some = [pairs[i] for i in sorted(rng.permutation(len(pairs))[:MOST_TABLES])]
    few: list[Clique] = []
    if len(some) < MOST_TABLES:
        triples = itertools.combinations(domain.attributes, 3)
        few = [triple for triple in triples if domain.size(triple) * RECORDS_A_CELL <= n]
    wanted = [*sorted(some, key=domain.size), *sorted(few, key=domain.size)][:MOST_TABLES]
    room = np.cumsum([domain.size(table) for table in wanted]) <= MOST_CELLS
    return [table for table, held in zip(wanted, room, strict=True) if held]


def _layout(domain: Domain, tables: list[Clique]) -> tuple[Axes, Axes]:
    """(columns, strides) of each table's three axes; a pair's third is the column of one cell behind the attributes."""
    columns = np.full((len(tables), 3), len(domain), dtype=np.int32)
    strides = np.zeros((len(tables), 3), dtype=np.int32)
    for row, table in enumerate(tables):
        shape = domain.shape(table)
        for axis, attribute in enumerate(table):
            columns[row, axis] = domain.index(attribute)
            strides[row, axis] = math.prod(shape[axis + 1 :])
    return columns, strides
