"""How good a synthetic table is against the real rows it stands for. Exact, private, internal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dpsynth.encoding import Encoding
from dpsynth.errors import DataError, UsageError
from dpsynth.evaluation.columns import ColumnShares, column_shares
from dpsynth.evaluation.features import is_class, learnable
from dpsynth.evaluation.fidelity import Comparison, MarginalErrors, marginal_errors
from dpsynth.evaluation.figures import Json
from dpsynth.evaluation.learning import Learned, learn
from dpsynth.evaluation.marginals import Sample, coarse
from dpsynth.evaluation.score import KMarginal, k_marginal
from dpsynth.progress import Progress, silent
from dpsynth.records import Records
from dpsynth.schema import Schema
from dpsynth.table import Table


@dataclass(frozen=True)
class Sizes:
    """Rows and units of the compared tables; exact, so internal."""

    synthetic: int
    train: int
    holdout: int
    train_units: int
    holdout_units: int

    def as_json(self) -> Json:
        return dict(vars(self))


@dataclass(frozen=True)
class Evaluation:
    """Internal: exact functions of private rows. No part of it may reach `public/`."""

    entity: str
    sizes: Sizes
    marginals: tuple[MarginalErrors, ...]  # 1-, 2-, 3-way, as far as there are columns
    score: KMarginal | None  # None with a single column
    learned: tuple[Learned, ...]
    columns: tuple[ColumnShares, ...]
    notes: tuple[str, ...]

    @property
    def pairs(self) -> MarginalErrors | None:
        return next((m for m in self.marginals if m.ways == 2), None)

    def as_json(self) -> Json:
        score = (
            None if self.score is None else {**self.score.as_json(), "words": self.score.words(self.entity)}
        )
        return {
            "format": "dpsynth-evaluation/1",
            "internal": True,
            "entity": self.entity,
            "sizes": self.sizes.as_json(),
            "marginals": [m.as_json() for m in self.marginals],
            "k_marginal": score,
            "learned": [one.as_json() for one in self.learned],
            "columns": [c.as_json() for c in self.columns],
            "notes": list(self.notes),
        }


def evaluate(
    synthetic: Table,
    train: Table,
    holdout: Table,
    schema: Schema,
    *,
    target: str | Sequence[str] | None = None,
    rng: np.random.Generator,
    progress: Progress = silent,
) -> Evaluation:
    """Compare `synthetic` with the training rows, and real held-out rows with them as the yardstick.

    `target`: the column or columns to predict; by default the category and the number to which the other
    columns are most related. An empty hold-out is allowed: what needs it is left out and noted. Raises
    DataError for an empty synthetic or training table, UsageError for a target that cannot be predicted.
    """
    _check(synthetic, train, target)
    encoding = Encoding(schema)
    records = [encoding.encode(table) for table in (synthetic, train, holdout)]
    progress("comparing marginals", 0.0)
    compared, samples = _marginals(
        records, (synthetic, train, holdout), _ordered(encoding, schema), rng, progress
    )
    pairs = next((m for m in compared if m.ways == 2), None)
    progress("learning", 0.0)
    chosen = _targets(target, train, pairs)
    learned, notes = _learn(synthetic, train, holdout, chosen, rng, progress)
    return Evaluation(
        entity=str(schema.unit.entity),
        sizes=Sizes(len(synthetic), len(train), len(holdout), samples[1].unit_count, samples[2].unit_count),
        marginals=compared,
        score=None if pairs is None else k_marginal(pairs, samples[1], rng),
        learned=learned,
        columns=_columns(encoding, schema, records),
        notes=(*notes, *(["no rows were held out"] if not len(holdout) else [])),
    )


def _check(synthetic: Table, train: Table, target: str | Sequence[str] | None) -> None:
    for name, table in (("synthetic", synthetic), ("training", train)):
        if not len(table):
            raise DataError("D190", f"the {name} table has no rows", "give a table with rows")
    for wanted in _named(target):
        if wanted not in learnable(train):
            raise UsageError(
                "U170", f"there is no column {wanted!r} to predict", "name a modelled column as target"
            )


def _named(target: str | Sequence[str] | None) -> list[str]:
    return [] if target is None else [target] if isinstance(target, str) else list(target)


def _marginals(
    records: Sequence[Records],
    tables: Sequence[Table],
    ordered: Mapping[str, int],
    rng: np.random.Generator,
    progress: Progress,
) -> tuple[tuple[MarginalErrors, ...], list[Sample]]:
    coarser = coarse(records, records[1], ordered)
    samples = [Sample.of(r, t.units) for r, t in zip(coarser, tables, strict=True)]
    samples[0] = Sample.of(coarser[0])  # synthetic rows belong to nobody
    comparison = Comparison.of(samples[0], samples[1], samples[2], rng)
    found = []
    for ways in range(1, min(3, len(coarser[1].domain)) + 1):
        found.append(marginal_errors(comparison, ways, rng))
        progress("comparing marginals", ways / 3)
    return tuple(found), samples


def _ordered(encoding: Encoding, schema: Schema) -> dict[str, int]:
    """How many leading cells of each ordered attribute have an order (a missing value comes last and has
    none).
    """
    return {
        attribute: encoding.domain[attribute] - int(schema.modelled[attribute].missing)
        for attribute in encoding.domain.attributes
        if encoding.is_ordered(attribute)
    }


def _targets(target: str | Sequence[str] | None, train: Table, pairs: MarginalErrors | None) -> list[str]:
    if target is not None or pairs is None:
        return _named(target)
    related = dict.fromkeys(learnable(train), 0.0)
    for pair in pairs.by_clique:
        for column in pair.clique:
            if column in related:
                related[column] += pair.independent - pair.redrawn
    kinds = [[n for n in related if is_class(train, n) == wanted] for wanted in (True, False)]
    return [max(names, key=related.__getitem__) for names in kinds if names]


def _learn(
    synthetic: Table,
    train: Table,
    holdout: Table,
    chosen: Sequence[str],
    rng: np.random.Generator,
    progress: Progress,
) -> tuple[tuple[Learned, ...], list[str]]:
    learned: list[Learned] = []
    notes: list[str] = []
    for done, target in enumerate(chosen, start=1):
        found, reason = learn(synthetic, train, holdout, target, rng)
        learned.extend(found)
        if reason:
            notes.append(f"no model was trained to predict {target!r}: {reason}")
        progress("learning", done / len(chosen))
    return tuple(learned), notes


def _columns(encoding: Encoding, schema: Schema, records: Sequence[Records]) -> tuple[ColumnShares, ...]:
    ordered = _ordered(encoding, schema)
    found = [
        column_shares(a, records[0], records[1], encoding.labels(a), ordered.get(a, 0))
        for a in encoding.domain.attributes
    ]
    return tuple(sorted(found, key=lambda c: -c.error))
