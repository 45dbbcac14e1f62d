"""A public table of the same schema as a beginning for a private one's model. It is free, because it is nobody's secret.

The public table says which columns hang together and how; it becomes a model, from which the estimation begins and whose
tables it keeps. What is measured of the private table moves it: the result is the distribution nearest to the public one
(by relative entropy) that explains the measurements. So correlations that the budget cannot measure come from the public
table, and where it is wrong the measurements outweigh it: a mechanism that looks for what its model explains worst looks
there first.

What is charged, and how much noise there is, does not depend on the public table: a wrong one costs accuracy, never privacy.
And a public table that explains the measured pairs clearly worse than independence does is not used at all.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpsynth.counting import count
from dpsynth.domain import Clique, Domain
from dpsynth.encoding import Encoding
from dpsynth.errors import DataError
from dpsynth.measurement import Measurement
from dpsynth.mechanisms import bags
from dpsynth.mechanisms.base import Task
from dpsynth.mechanisms.coarse import marginals
from dpsynth.model.prior_note import PriorNote
from dpsynth.pgm import GraphicalModel, MergedModel, Model
from dpsynth.pgm.lookup import Distinct
from dpsynth.pgm.merged import merges_of
from dpsynth.pgm.zeros import Estimation
from dpsynth.privacy.merging import merge_counts, merged_domain
from dpsynth.records import Records
from dpsynth.schema import Schema
from dpsynth.table import Source, Table, read_table

Floats = NDArray[np.float64]
Merges = Mapping[str, NDArray[Any]]
Zeros = Mapping[Clique, NDArray[np.bool_]]

LIMITS = bags.Limits(bag=2e5, total=1e6)
"""Cells of the junction tree over the public table's own structure."""

ROOM = bags.Limits(bag=1e6, total=4e6)
"""Cells of the junction tree over what was measured and the public structure together."""

TRIPLES_EACH = 3
"""Three-way tables of the public table, at most so many for each attribute."""

ROWS_A_CELL = 2.0
"""A three-way table is used where the public table has so many rows for each of its cells."""

CHANCE = 2.5
"""Columns hang together whose L1 distance from independence is so many times sqrt(rows) above what chance gives: its
standard deviation is about 0.6 sqrt(rows) where cells are many."""

CLOSE = 0.2
"""The public table's model comes so near to its counts, in standard errors of a sample of its size."""

DOUBT = 2.0

SAME, FEWEST = 0.5, 20
"""A public table with this share of the private table's unique rows, of at least so many, is no other table."""

BY_CHANCE = 0.2
"""Where the halves of the private table share more of their rows than this, shared rows tell nothing."""


@dataclass(frozen=True, eq=False)
class Prior:
    """A public table and why it is public."""

    table: Table
    note: PriorNote
    path: Path | None = None

    @classmethod
    def read(cls, source: Source, schema: Schema, reason: str) -> Prior:
        """A table that fits `schema` (id columns may lack). Raises DataError as `read_table`; D162 without a reason."""
        if not reason.strip():
            raise DataError(
                "D162", "a public table needs a reason why it is public", "write it: prior: {reason: ...}"
            )
        table = read_table(source, schema, require_unit=False)
        path = Path(source) if isinstance(source, str | os.PathLike) else None
        name = "a table in memory" if path is None else path.name
        return cls(table, PriorNote(name, len(table), _hash(table, path), reason.strip()), path)

    def require_other(
        self, private: Table, source: Source, thinned: Callable[[Table], Table] | None = None
    ) -> None:
        """Raises DataError (D161) when the public table is the private one, or holds its rows. Only the operator sees it.

        Compared are the files, all rows in any order, and rows that occur once in the private table: half of them must not
        be in the public one (unless the table's own halves are as much alike). `thinned`: how `private` was chosen from all
        private rows by what is in them, so that the public ones are too.
        """
        same, public = False, self.table if thinned is None else thinned(self.table)
        if self.path is not None and isinstance(source, str | os.PathLike) and Path(source).is_file():
            same = self.path.is_file() and os.path.samefile(self.path, source)
        if same or _shared(private, public) > SAME:
            raise DataError(
                "D161",
                "the prior's table holds rows of the private table: it is no public table beside it",
                "name a table about other people, or from another time",
            )


@dataclass(frozen=True)
class PriorFile:
    """Where a public table is, and why it is public."""

    path: Path
    reason: str

    def beside(
        self, private: Table, source: Source, thinned: Callable[[Table], Table] | None = None
    ) -> Prior:
        """The table, read and compared with the private one; errors and `thinned` as `Prior.read` and
        `Prior.require_other`."""
        prior = Prior.read(self.path, private.schema, self.reason)
        prior.require_other(private, source, thinned)
        return prior


@dataclass(frozen=True, eq=False)
class Structure:
    """Public records, and which of their marginals make the model that a fit begins from."""

    task: Task
    records: Records

    @cached_property
    def cliques(self) -> tuple[Clique, ...]:
        """Pairs and triples whose columns hang together by more than chance, inside small bags; strongest first."""
        domain = self.task.domain
        excess: dict[Clique, float] = {
            p: self._excess(p) for p in itertools.combinations(domain.attributes, 2)
        }
        least = CHANCE * math.sqrt(len(self.records))
        excess = {pair: found for pair, found in excess.items() if found > least}
        tree = bags.best_tree(domain, LIMITS, excess, math.sqrt(len(self.records)) / 100)
        pairs = sorted((p for p in excess if tree.holds(p)), key=lambda p: -excess[p])
        triples = {
            c: sum(excess[p] for p in itertools.combinations(c, 2))
            for c in bags.inside(tree.bags, 3)
            if all(p in excess for p in itertools.combinations(c, 2))
            and domain.size(c) * ROWS_A_CELL <= len(self.records)
        }
        most = TRIPLES_EACH * len(domain)
        return (*sorted(triples, key=lambda c: -triples[c])[:most], *pairs)

    def _excess(self, pair: Clique) -> float:
        """L1 distance from independence, less what chance alone gives."""
        counts = count(self.records, pair).astype(np.float64)
        alone = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / len(self.records)
        chance = np.sqrt(2 / math.pi * alone)
        # in cells that expect less than one record the mean distance is about twice the expectation
        return float(np.abs(counts - alone).sum() - np.minimum(chance, 2 * alone).sum())

    def model(self, merges: Merges, estimate: Estimation) -> Model:
        """The public table's distribution, over these merged cells."""
        ones = [self._counted((a,), {}) for a in self.task.domain.attributes]
        rest = [self._counted(clique, merges) for clique in self.cliques]
        coarse = [self._counted((a,), {a: merges[a]}) for a in merges]
        return estimate(self.task.domain, [*ones, *coarse, *rest])

    def _counted(self, clique: Clique, merges: Merges) -> Measurement:
        """Public counts, with a part of a sample's error for noise."""
        own = {a: np.asarray(merges[a]) for a in clique if a in merges}
        values = merge_counts(count(self.records, clique), clique, own)
        sigma = CLOSE * math.sqrt(len(self.records) / values.size)
        return Measurement(clique, values, max(0.1, sigma), own)


class FromPrior:
    """An estimation (`mechanisms.base.Fit`) that begins from a public table's model and keeps its tables."""

    def __init__(self, structure: Structure, estimate: Estimation) -> None:
        self._structure = structure
        self._estimate = estimate
        self._models: dict[tuple[Any, ...], Model] = {}

    def __call__(
        self, domain: Domain, measurements: Sequence[Measurement], *, start: Model | None = None
    ) -> Model:
        merges = {**(start.merges if isinstance(start, MergedModel) else {}), **merges_of(measurements)}
        if not self._helps(domain, measurements, merges):
            return self._estimate(domain, measurements, start=_even(domain, merges))
        if start is None or not _alike(start, merges):
            start = self._public(merges)
        return self._kept(domain, measurements, merges, start)

    def with_zeros(self, zeros: Zeros) -> FromPrior:
        """The same, also the public model, without the combinations that no record has."""
        return FromPrior(self._structure, self._estimate.with_zeros(zeros))

    def _kept(
        self, domain: Domain, measurements: Sequence[Measurement], merges: Merges, start: Model
    ) -> Model:
        """Fitted with as many of the public cliques as there is room for."""
        tree = bags.JunctionTree(merged_domain(domain, merges), ROOM)
        for clique in (*(m.clique for m in measurements), *self._estimate.zeros, *self._structure.cliques):
            tree.add(clique)
        keep = [clique for clique in self._structure.cliques if tree.holds(clique)]
        return replace(self._estimate, keep=keep)(domain, measurements, start=start)

    def _public(self, merges: Merges) -> Model:
        key = tuple((a, np.asarray(cells).tobytes()) for a, cells in sorted(merges.items()))
        if key not in self._models:
            self._models[key] = self._structure.model(merges, self._estimate)
        return self._models[key]

    def _helps(self, domain: Domain, measurements: Sequence[Measurement], merges: Merges) -> bool:
        """False when the public model, once it has the private one-way marginals, is clearly farther from what was measured
        of several attributes than independence: by `DOUBT` standard deviations of what noise does to the difference."""
        ones = [m for m in measurements if len(m.clique) == 1]
        several = [m for m in measurements if len(m.clique) > 1]
        if not ones or not several:
            return True
        beginning = self._kept(domain, ones, merges, self._public(merges))
        cliques = list(dict.fromkeys(m.clique for m in several))
        expected = marginals(beginning, cliques, merges)
        public = alone = apart = 0.0
        for m in several:
            table, total = expected[m.clique], beginning.total
            product = np.array(total)
            for axis in range(table.ndim):
                others = tuple(k for k in range(table.ndim) if k != axis)
                product = np.multiply.outer(product, table.sum(axis=others) / total)
            public += float(((m.values - table) ** 2).sum()) / m.sigma**2
            alone += float(((m.values - product) ** 2).sum()) / m.sigma**2
            apart += float(((table - product) ** 2).sum()) / m.sigma**2
        return public < alone + DOUBT * 2 * math.sqrt(apart)


def from_prior(prior: Prior, schema: Schema, task: Task, estimate: Estimation) -> tuple[Task, FromPrior]:
    """What a mechanism is told, and how it fits, when there is a public table. `schema`: as learnt, if anything was to
    be discovered."""
    structure = Structure(task, Encoding(schema).encode(prior.table.under(schema)))
    return replace(task, known=structure.cliques), FromPrior(structure, estimate)


def _even(domain: Domain, merges: Merges) -> Model | None:
    """A beginning that says nothing but which cells are merged."""
    if not merges:
        return None
    coarse = merged_domain(domain, merges)
    inside = GraphicalModel(coarse, 1.0, {(a,): np.zeros(coarse[a]) for a in coarse.attributes})
    shares = {a: (1.0 / np.bincount(cells))[cells] for a, cells in merges.items()}
    return MergedModel(domain, inside, merges, shares)


def _alike(model: Model, merges: Merges) -> bool:
    own = model.merges if isinstance(model, MergedModel) else {}
    return own.keys() == merges.keys() and all(np.array_equal(own[a], merges[a]) for a in own)


def _hash(table: Table, path: Path | None) -> str:
    """Of the file, or of the rows of a table in memory."""
    digest = hashlib.sha256()
    if path is not None and path.is_file():
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    else:
        for name, values in table.values.items():
            words = [str(word) for word in table.words.get(name, ())]
            cells = values.tolist() if values.dtype == object else values.tobytes().hex()
            digest.update(repr((name, words, cells)).encode())
    return digest.hexdigest()


def _shared(private: Table, public: Table) -> float:
    """The share of the private table's unique rows that are in the public one: 1 for the same rows in any order, 0 where
    chance alone would bring rows together, because there are few rows that can be."""
    columns = []
    for name in private.schema.modelled:
        if name in private.schema.unknown:
            continue
        both = np.concatenate([private.values[name], public.values[name]])
        gone = np.concatenate([private.missing[name], public.missing[name]])
        _, codes = np.unique(both, return_inverse=True)
        codes = np.where(gone, codes.max() + 1, codes).astype(np.int64)
        columns.append((codes, int(codes.max()) + 1))
    if not columns:
        return 0.0
    number = Distinct.of(columns).number
    own, other = number[: len(private)], number[len(private) :]
    if np.array_equal(np.sort(own), np.sort(other)):
        return 1.0
    return 0.0 if _met(own[::2], own[1::2]) > BY_CHANCE else _met(own, other)


def _met(rows: NDArray[np.int64], others: NDArray[np.int64]) -> float:
    """The share of `rows` that occur once there which `others` have too; 1 where there are too few to tell."""
    names, counts = np.unique(rows, return_counts=True)
    once = names[counts == 1]
    return float(np.isin(once, others).mean()) if len(once) >= FEWEST else 1.0
