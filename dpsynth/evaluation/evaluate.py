"""How good a synthetic table is against the real rows it stands for. Exact, private, internal."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dpsynth.columns import BooleanColumn, CategoryColumn
from dpsynth.encoding import Encoding
from dpsynth.errors import DataError, UsageError
from dpsynth.evaluation.associations import Associating, Associations
from dpsynth.evaluation.columns import ColumnShares, column_shares
from dpsynth.evaluation.constraints import Kept, kept
from dpsynth.evaluation.discriminator import Discriminator, discriminate
from dpsynth.evaluation.features import is_class, learnable
from dpsynth.evaluation.fidelity import Comparison, MarginalErrors, Observer, marginal_errors
from dpsynth.evaluation.figures import Json
from dpsynth.evaluation.learning import Learned, learn
from dpsynth.evaluation.marginals import DENSE_CELLS, Sample, cell_index, coarse
from dpsynth.evaluation.ordering import in_order, leading_cells
from dpsynth.evaluation.quantiles import Numbers, numbers
from dpsynth.evaluation.rare import Rare, Rarities
from dpsynth.evaluation.score import KMarginal, k_marginal
from dpsynth.evaluation.subgroups import FEWEST, MOST_COLUMNS, MOST_GROUPS, SMALL, Grouping, Subgroups
from dpsynth.evaluation.units import UnitAgreement, unit_agreement
from dpsynth.evaluation.weighted import Weighted, weighted_errors
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
    associations: Associations | None  # None with a single column
    numbers: tuple[Numbers, ...]
    rare: Rare
    subgroups: tuple[Subgroups, ...]
    discriminator: Discriminator | None
    learned: tuple[Learned, ...]
    columns: tuple[ColumnShares, ...]
    notes: tuple[str, ...]
    units: UnitAgreement | None = None
    weighted: Weighted | None = None
    constraints: tuple[Kept, ...] = ()

    @property
    def pairs(self) -> MarginalErrors | None:
        return next((m for m in self.marginals if m.ways == 2), None)

    def as_json(self) -> Json:
        score = (
            None if self.score is None else {**self.score.as_json(), "words": self.score.words(self.entity)}
        )
        return {
            "format": "dpsynth-evaluation/2",
            "internal": True,
            "entity": self.entity,
            "sizes": self.sizes.as_json(),
            "marginals": [m.as_json() for m in self.marginals],
            "k_marginal": score,
            "associations": None if self.associations is None else self.associations.as_json(),
            "numbers": [one.as_json() for one in self.numbers],
            "rare": self.rare.as_json(),
            "subgroups": [one.as_json() for one in self.subgroups],
            "discriminator": None if self.discriminator is None else self.discriminator.as_json(),
            "learned": [one.as_json() for one in self.learned],
            "columns": [c.as_json() for c in self.columns],
            "notes": list(self.notes),
            "constraints": [one.as_json() for one in self.constraints],
            "units": None if self.units is None else self.units.as_json(),
            "weighted": None if self.weighted is None else self.weighted.as_json(),
        }


def evaluate(
    synthetic: Table,
    train: Table,
    holdout: Table,
    schema: Schema,
    *,
    target: str | Sequence[str] | None = None,
    groups: Sequence[str] | None = None,
    rng: np.random.Generator,
    progress: Progress = silent,
) -> Evaluation:
    """Compare `synthetic` with the training rows, and real held-out rows with them as the yardstick.

    `target`: the column or columns to predict; by default the category and the number to which the other
    columns are most related. `groups`: categories or booleans within whose values errors are looked at; by
    default the few with the fewest values. An empty hold-out is allowed: what needs it is left out and noted.
    Raises DataError for an empty synthetic or training table, UsageError for a target that cannot be
    predicted or a column that makes no groups.
    """
    _check(synthetic, train, target, groups)
    encoding = Encoding(schema)
    tables = (synthetic, train, holdout)
    records = [encoding.encode(table) for table in tables]
    by_value, ordered = in_order(encoding, records)
    grouped = _group_columns(groups, encoding, records[1])
    progress("comparing marginals", 0.0)
    comparison = _comparison(by_value, tables, ordered, rng)
    held = len(holdout) > 0
    associating, rarities = Associating(_leading(ordered, encoding, comparison), held), Rarities(held)
    grouping = Grouping({name: encoding.labels(name) for name in grouped}, (len(train), len(synthetic)))
    compared = _marginals(comparison, (associating, rarities, grouping), rng, progress)
    pairs = next((m for m in compared if m.ways == 2), None)
    progress("learning", 0.0)
    chosen = _targets(target, train, records[1], pairs)
    learned, notes = _learn(tables, chosen, grouped, rng, progress)
    return Evaluation(
        entity=str(schema.unit.entity),
        sizes=_sizes(tables, comparison),
        marginals=compared,
        score=None if pairs is None else k_marginal(pairs, comparison.train, rng),
        associations=associating.result(),
        numbers=numbers(tables, comparison),
        rare=rarities.result(),
        subgroups=grouping.result(),
        discriminator=discriminate(synthetic, train, holdout, rng),
        learned=learned,
        columns=_columns(encoding, records),
        notes=(*notes, *([] if held else ["no rows were held out"])),
        constraints=kept(tables, schema),
        units=unit_agreement(synthetic, train, holdout),
        weighted=weighted_errors(tables, records),
    )


def _sizes(tables: Sequence[Table], comparison: Comparison) -> Sizes:
    rows = [len(table) for table in tables]
    return Sizes(rows[0], rows[1], rows[2], comparison.train.unit_count, comparison.holdout.unit_count)


def _check(
    synthetic: Table, train: Table, target: str | Sequence[str] | None, groups: Sequence[str] | None
) -> None:
    for name, table in (("synthetic", synthetic), ("training", train)):
        if not len(table):
            raise DataError("D190", f"the {name} table has no rows", "give a table with rows")
    require_targets(train.schema, _named(target))
    for wanted in groups or ():
        if wanted not in learnable(train) or not is_class(train, wanted):
            raise UsageError(
                "U171", f"column {wanted!r} makes no groups", "name a modelled category or boolean"
            )


def require_targets(schema: Schema, target: Collection[str]) -> None:
    """UsageError (U170) for a target that is no modelled column."""
    for wanted in target:
        if wanted not in schema.modelled:
            raise UsageError(
                "U170", f"there is no column {wanted!r} to predict", "name a modelled column as target"
            )


def _named(target: str | Sequence[str] | None) -> list[str]:
    return [] if target is None else [target] if isinstance(target, str) else list(target)


def _comparison(
    records: Sequence[Records],
    tables: Sequence[Table],
    ordered: Mapping[str, int],
    rng: np.random.Generator,
) -> Comparison:
    coarser = coarse(records, records[1], ordered)
    samples = [Sample.of(r, t.units) for r, t in zip(coarser, tables, strict=True)]
    samples[0] = Sample.of(coarser[0])  # synthetic rows belong to nobody
    return Comparison.of(samples[0], samples[1], samples[2], rng)


def _leading(ordered: Mapping[str, int], encoding: Encoding, comparison: Comparison) -> dict[str, int]:
    """How many bins of each ordered attribute have an order: those after them are single cells without one."""
    bins = comparison.train.records.domain
    return {name: bins[name] - (encoding.domain[name] - cells) for name, cells in ordered.items()}


def _marginals(
    comparison: Comparison, observers: Sequence[Observer], rng: np.random.Generator, progress: Progress
) -> tuple[MarginalErrors, ...]:
    found = []
    for ways in range(1, min(3, len(comparison.train.records.domain)) + 1):
        found.append(marginal_errors(comparison, ways, rng, observers if ways < 3 else ()))
        progress("comparing marginals", ways / 3)
    return tuple(found)


def _group_columns(groups: Sequence[str] | None, encoding: Encoding, train: Records) -> list[str]:
    """The wanted ones, or the few categories and booleans with the fewest values that make two groups of some
    size."""
    if groups is not None:
        return list(dict.fromkeys(groups))
    found = []
    for name, column in encoding.schema.modelled.items():
        if isinstance(column, CategoryColumn | BooleanColumn) and train.domain[name] <= MOST_GROUPS:
            counts = np.bincount(train[name], minlength=train.domain[name])
            if (counts >= SMALL).sum() >= FEWEST:
                found.append(name)
    return sorted(found, key=lambda name: train.domain[name])[:MOST_COLUMNS]


DETERMINED = 0.995
"""A column that another one tells this often is another name of it: nothing is learnt by predicting it."""


def _targets(
    target: str | Sequence[str] | None, train: Table, records: Records, pairs: MarginalErrors | None
) -> list[str]:
    if target is not None or pairs is None:
        return _named(target)
    related = dict.fromkeys(learnable(train), 0.0)
    for pair in pairs.by_clique:
        for column in pair.clique:
            if column in related:
                related[column] += pair.independent - pair.redrawn
    kinds = [[n for n in related if is_class(train, n) == wanted] for wanted in (True, False)]
    found = []
    for names in kinds:
        best = sorted(names, key=lambda name: -related[name])
        found += next(([name] for name in best if not _is_told(name, records)), best[:1])
    return found


def _is_told(name: str, records: Records) -> bool:
    """Whether the cell of another column tells that of this one."""
    size = records.domain[name]
    for other in records.domain.attributes:
        cells = size * records.domain[other]
        if other == name or cells > DENSE_CELLS:
            continue
        index, _ = cell_index((other, name), [records])
        table = np.bincount(index[0], minlength=cells).reshape(-1, size)
        commonest = table.sum(axis=0).max() / len(records)
        if table.max(axis=1).sum() / len(records) >= max(DETERMINED, (1 + commonest) / 2):
            return True
    return False


def _learn(
    tables: Sequence[Table],
    chosen: Sequence[str],
    groups: Sequence[str],
    rng: np.random.Generator,
    progress: Progress,
) -> tuple[tuple[Learned, ...], list[str]]:
    learned: list[Learned] = []
    notes: list[str] = []
    synthetic, train, holdout = tables
    for done, target in enumerate(chosen, start=1):
        found, reason = learn(synthetic, train, holdout, target, rng, groups)
        learned.extend(found)
        if reason:
            notes.append(f"no model was trained to predict {target!r}: {reason}")
        progress("learning", done / len(chosen))
    return tuple(learned), notes


def _columns(encoding: Encoding, records: Sequence[Records]) -> tuple[ColumnShares, ...]:
    ordered = leading_cells(encoding)
    found = [
        column_shares(a, records[0], records[1], encoding.labels(a), ordered.get(a, 0))
        for a in encoding.domain.attributes
    ]
    return tuple(sorted(found, key=lambda c: -c.error))
