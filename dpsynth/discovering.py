"""Discovery inside a run: what a plan asks first, and the table, the schema and the records once the answers are in."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dpsynth.budget import Budget, Cost
from dpsynth.columns import CategoryColumn, IntegerColumn, Modelled, NumberColumn, value_cells
from dpsynth.constraint_checks import refuse_contradictions
from dpsynth.discovery import not_used, public_scale, with_bounds, with_values
from dpsynth.domain import Domain
from dpsynth.encoding import Encoding, special_values
from dpsynth.errors import SchemaError
from dpsynth.model.rehearsal import rehearse
from dpsynth.privacy.curator import Curator
from dpsynth.privacy.discovery import (
    BoundSearch,
    RawColumn,
    Search,
    ValueSearch,
    delta_each,
    share_each,
    sigma_for,
)
from dpsynth.privacy.intake import Intake, take_in
from dpsynth.privacy.ledger import Run
from dpsynth.records import Records
from dpsynth.schema import Schema
from dpsynth.table import Table


def searches(schema: Schema, budget: Budget, cost: Cost) -> tuple[Search, ...]:
    """What a run of this cost asks before everything else, in the order of the columns; nothing where nothing is to be
    discovered. Reads no data."""
    unknown, k = schema.unknown, schema.unit.rows_per_unit
    if not unknown:
        return ()
    values = sum(isinstance(column, CategoryColumn) for column in unknown.values())
    sigma = sigma_for(cost.share(share_each(len(unknown))), k)
    delta = delta_each(budget, values)
    found: list[Search] = []
    for name, column in unknown.items():
        if isinstance(column, CategoryColumn):
            found.append(ValueSearch(name, sigma, k, delta, value_cells(column) - 1))
        elif isinstance(column, IntegerColumn | NumberColumn):
            found.append(BoundSearch(name, sigma, k, public_scale(column)))
    return tuple(found)


def require_open(schema: Schema) -> None:
    """Refuse, before anything is spent, answers that another run has paid for: SchemaError S152."""
    if schema.learnt:
        raise SchemaError(
            "S152",
            f"columns {', '.join(map(repr, schema.learnt))} hold answers that another run has paid for",
            "call them origin: public with a reason that names that release, without learnt; or ask with discover",
        )
    if schema.searched:
        raise SchemaError(
            "S152",
            f"columns {', '.join(map(repr, schema.searched))} were searched by another run",
            "drop was: searched, with a reason for the bounds that are declared",
        )
    if schema.learnt_rules:
        raise SchemaError(
            "S152",
            f"constraints {', '.join(map(str, schema.learnt_rules))} hold answers that another run has paid for",
            "drop origin, with a reason that names that release; or leave out the map, so that it is learnt",
        )


def rest(schema: Schema, cost: Cost) -> Cost:
    """What the searches leave to the method."""
    wanted = len(schema.unknown)
    return cost.share(1 - wanted * share_each(wanted)) if wanted else cost


def bounded(table: Table, units: Sequence[bytes] | None, *, holdout: float) -> Intake:
    """As `take_in`, for a table whose domain may not be known yet: rows are chosen by their raw values."""
    k = table.schema.unit.rows_per_unit
    if not table.schema.unknown:
        return take_in(Encoding(table.schema).encode(table), units, rows_per_unit=k, holdout=holdout)
    raw = {name: _raw(table, name, column) for name, column in table.schema.unknown.items()}
    return take_in(
        ranked(table), units, rows_per_unit=k, holdout=holdout, raw=raw, planned=table.schema.domain
    )


def discovered(table: Table, intake: Intake, run: Run, asked: Sequence[Search]) -> tuple[Table, Intake]:
    """Charge for the answers, get them, and put the table under the schema that they make."""
    if not asked:
        return table, intake
    known = table.under(answered(table.schema, intake.curator(run), asked))
    return known, intake.recoded(Encoding(known.schema).encode(known))


def answered(schema: Schema, door: Curator, asked: Sequence[Search]) -> Schema:
    """The schema with what the door says, each answer for its charge. Bounds between which no row keeps the schema's rules
    give way to those that were declared, and say so; their charge stays."""
    columns, declared = dict(schema.columns), dict[str, Modelled]()
    for search in asked:
        column = columns[search.column]
        if isinstance(search, ValueSearch) and isinstance(column, CategoryColumn):
            columns[search.column] = with_values(column, door.values(search), search.charge.purpose)
        elif isinstance(search, BoundSearch) and isinstance(column, IntegerColumn | NumberColumn):
            cells = value_cells(column) - len(column.special)
            low, high = door.bounds(search)
            columns[search.column] = with_bounds(column, low, high, cells, search.charge.purpose)
            declared[search.column] = not_used(column, cells)
        else:
            raise ValueError("the plan asks for something else than the schema")
    found = schema.with_columns(columns)
    return found if _leaves_rows(found) else schema.with_columns({**columns, **declared})


def _leaves_rows(schema: Schema) -> bool:
    """Whether rows can be drawn under the schema's rules."""
    try:
        refuse_contradictions(schema)
        rehearse(schema)
    except SchemaError:
        return False
    return True


def _raw(table: Table, name: str, column: Modelled) -> RawColumn:
    values, there = table.values[name], ~table.missing[name]
    if isinstance(column, CategoryColumn):
        return RawColumn(values.astype(np.int64), there, table.words[name].tolist())
    if isinstance(column, IntegerColumn | NumberColumn):
        there = there & ~np.isin(values, special_values(column))
    return RawColumn(values, there)


def ranked(table: Table) -> Records:
    """Records by which the rows of a unit are ranked. What is still unknown is written as numbers that depend on the cell
    alone: on no other row, and so on nobody else."""
    schema, unknown = table.schema, table.schema.unknown
    sizes, columns = dict[str, int](), dict[str, NDArray[np.unsignedinteger]]()
    known = {name: column for name, column in schema.modelled.items() if name not in unknown}
    if known:
        rest = Schema(columns=dict(known), missing_values=schema.missing_values, csv=schema.csv)
        encoded = Encoding(rest).encode(table)
        sizes = dict(zip(encoded.domain.attributes, encoded.domain.sizes, strict=True))
        columns = {name: encoded[name] for name in sizes}
    for name in unknown:
        halves = _marks(table, name).view(np.uint32).reshape(-1, 2)
        for i in range(2):
            sizes[f"{name}/{i}"], columns[f"{name}/{i}"] = 2**32, halves[:, i]
    return Records(Domain.from_sizes(sizes), tuple(columns[name] for name in sizes))


_GONE = np.uint64(0x7FF8_0000_0000_0001)
"""Stands for a missing cell: no number that is read (a whole one is far smaller, and no cell is NaN)."""


def _marks(table: Table, name: str) -> NDArray[np.uint64]:
    """64 bits for each cell of a column: of a text from its hash, of a number its own."""
    values, gone = table.values[name], table.missing[name]
    if name in table.words:
        words = [hashlib.sha256(str(word).encode()).digest()[:8] for word in table.words[name]]
        marks = np.frombuffer(b"".join(words), dtype=np.uint64)[values]
    else:
        marks = np.ascontiguousarray(values).view(np.uint64)
    return np.where(gone, _GONE, marks)
