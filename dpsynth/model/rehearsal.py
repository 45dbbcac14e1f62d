"""A rehearsal: rows are drawn from the schema alone before anything is spent.

A model is of no use when no row can be drawn from it, and that its rules leave none may show in drawing only: rules about
single rows, about the rows of a unit and about the whole table can be kept one by one and not together. So rows are drawn
as they will be, from a model in which every value is as likely as any other. It knows declared facts only: nothing is read,
nothing is charged, and it comes out alike for everybody who has the project file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from dpsynth.columns import Column, IdColumn, IntegerColumn, NumberColumn
from dpsynth.constraints.totals import Totals
from dpsynth.errors import CapacityError, DataError, DPSynthError, SchemaError, UsageError
from dpsynth.model.from_schema import SchemaRows, from_schema
from dpsynth.model.redrawing import units_of
from dpsynth.model.totalling import kinds_of
from dpsynth.model.units import Counts, Units
from dpsynth.ruled import RuledColumn
from dpsynth.schema import Schema

ROWS = 1_000
"""Rows that are drawn."""
MOST_ROWS = 50_000
"""Of a table that totals are about."""
UNITS = 40
"""Units of each size."""
TRIES = 5
"""Times that so many are drawn of a size of which none keeps the rules: whether there are any that can."""
DOUBT = (
    "so it went with rows drawn from the schema alone; if those of a model are like them, a run yields no rows after its "
    "charge (its model stays, and can be sampled with a rule less)"
)
MOST_SIZES = 12
"""Sizes of units that are looked at, from the least to the largest."""

Index = NDArray[np.int64]


def rehearse(schema: Schema) -> tuple[str, ...]:
    """Refuse what cannot be drawn: SchemaError (S182). In words what may fail, but need not: sums, as fewer rows than
    they are about do not have them in proportion; rules that some units cannot keep, whom the model may never draw."""
    if not schema.constraints:
        return ()
    return _rehearsed(_plain(schema).to_yaml())


def _plain(schema: Schema) -> Schema:
    """Without columns that follow rules, which are made for any row; with ids for as many rows as one likes."""
    columns = {n: _widest(c) for n, c in schema.columns.items() if not isinstance(c, RuledColumn)}
    static = tuple(name for name in schema.unit.static if name in columns)
    return schema.model_copy(
        update={"columns": columns, "unit": schema.unit.model_copy(update={"static": static})}
    )


def _widest(column: Column) -> Column:
    """Bounds that are to be discovered are at most those that are declared."""
    match column:
        case IdColumn():
            return column.model_copy(update={"format": "#" * 12})
        case IntegerColumn() | NumberColumn() if column.discover is not None:
            known = {"discover": None, "origin": "public", "min": column.min, "max": column.max}
            return column.model_copy(update=known)
        case _:
            return column


def told(doubts: Sequence[str]) -> list[str]:
    """Doubts in whole sentences, for whoever is about to pay."""
    return [f"{doubt}: {DOUBT}" for doubt in doubts]


@lru_cache(maxsize=64)
def _rehearsed(text: str) -> tuple[str, ...]:
    schema = Schema.from_yaml(text)
    rng = np.random.default_rng(0)
    try:
        made = from_schema(schema)
        kinds_of(Totals.of(made.schema), made.generator, rng)
        if made.sizes is not None:
            return _rehearse_units(made, rng)
        elif not Totals.of(made.schema):
            made.sample_table(ROWS, rng)
        else:
            return _rehearse_totals(made, rng)
    except (DataError, UsageError) as error:
        raise _refusal(error) from None
    except CapacityError:  # a model of everything that is ruled out may be larger than any that is fitted
        pass
    return ()


def _rehearse_totals(made: SchemaRows, rng: np.random.Generator) -> tuple[str, ...]:
    """As many rows as the totals are about. Of fewer, a sum at its very bound may miss its part by rounding."""
    size = Totals.of(made.schema).size
    try:
        made.sample_table(min(size, MOST_ROWS), rng)
    except DataError as error:
        if size <= MOST_ROWS:
            raise
        return (error.problem,)
    return ()


def _rehearse_units(made: SchemaRows, rng: np.random.Generator) -> tuple[str, ...]:
    """Units of every size that one may have, size by size where something fails. The error of the last one where none can
    be drawn; SchemaError (S182) where none of some size can; in words, where some units can and others cannot."""
    assert made.sizes is not None
    people = Units.of(made.schema, made.sizes, made.generator, made.generator, None)
    sizes = _some(np.flatnonzero(people.shares() > 0) + 1)
    together = _failure(made, people, sizes, rng)
    if together is None:
        return ()
    failed = {size: error for size in sizes if (error := _alone(made, people, size, rng)) is not None}
    if len(failed) == len(sizes):
        raise failed[sizes[-1]]
    if failed:
        first = failed[min(failed)]
        named = ", ".join(map(str, sorted(failed)))
        raise SchemaError(
            "S182",
            f"no unit of {named} rows can be drawn from the schema alone: {first.problem}",
            f"correct the rules, or say how many rows a unit has: rows: {_advice(sizes, failed)}",
        )
    return (
        f"some units, drawn from the schema alone, cannot keep the rules: {together.problem}; others are drawn in their "
        "place, but where hardly any can, there are none",
    )


def _some(sizes: Index) -> list[int]:
    """At most `MOST_SIZES` of them, the first and the last included."""
    places = np.unique(np.linspace(0, len(sizes) - 1, MOST_SIZES).round().astype(np.int64))
    return [int(size) for size in sizes[places]]


def _failure(
    made: SchemaRows, people: Units, sizes: Sequence[int], rng: np.random.Generator, all_of_them: bool = False
) -> DataError | None:
    """Why some of `UNITS` units of each of these sizes, drawn together, cannot keep the rules, or why none of them can."""
    by_size = np.zeros(max(sizes), dtype=np.int64)
    by_size[np.array(sizes) - 1] = UNITS
    finishing = made.finishing(None, made.generator)
    if people.rules:
        finishing = replace(finishing, sequenced=people.sequenced)
    try:
        for drawn in people.batches(Counts(by_size), rng):
            _, lost = finishing.tried(drawn, rng)
            if lost and not (all_of_them and len(units_of(lost, drawn.unit)) < by_size.sum()):
                return lost[0].error
    except DataError as error:
        return error
    return None


def _alone(made: SchemaRows, people: Units, size: int, rng: np.random.Generator) -> DataError | None:
    """Why no unit of this size can be drawn."""
    for _ in range(TRIES):
        error = _failure(made, people, [size], rng, all_of_them=True)
        # any other error says by itself that none of them could be drawn
        if error is None or error.code != "DPS-D210":
            break
    return error


def _advice(sizes: Sequence[int], failed: dict[int, DataError]) -> str:
    """The longest run of sizes that can be drawn, as the project file says it."""
    runs: list[list[int]] = [[]]
    for size in sizes:
        if size in failed:
            runs.append([])
        else:
            runs[-1].append(size)
    best = max(runs, key=len)
    return f"{{min: {best[0]}, max: {best[-1]}}}"


def _refusal(error: DPSynthError) -> SchemaError:
    fix = error.fix or "correct one of them"
    return SchemaError("S182", f"no rows can be drawn from the schema alone: {error.problem}", fix)
