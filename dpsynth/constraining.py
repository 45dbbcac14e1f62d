"""What a run makes of its constraints: zeros for the model, chosen by sizes alone, and real rows that break a rule."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpsynth.columns import BooleanColumn, CategoryColumn, IntegerColumn, Modelled, value_cells
from dpsynth.constraints import Rules, classes_of, structural_zeros
from dpsynth.constraints.sequences import broken_rows
from dpsynth.domain import Clique
from dpsynth.errors import DataError, SchemaError
from dpsynth.measurement import Measurement
from dpsynth.mechanisms import Task, Told
from dpsynth.mechanisms.rooms import Room
from dpsynth.mechanisms.telling import images, measured_pair
from dpsynth.schema import Schema
from dpsynth.table import Source, Table
from dpsynth.table.places import named_places

MOST_ZEROS = 200_000
"""Cells of one table of zeros in a model: larger rules are kept by mending rows."""

ROOM = 2e6
"""Cells of a junction tree over all zeros alone, at most."""


def with_zeros(task: Task, schema: Schema) -> Task:
    """The task with the cells that the schema's constraints rule out, as far as there is room. Reads no data."""
    zeros = structural_zeros(Rules.of(schema), task.domain, MOST_ZEROS)
    kept = _fitting(zeros, Room(task.domain), min(ROOM, task.max_cells) + sum(task.domain.sizes))
    chosen = {clique: zeros[clique] for clique in kept}
    return replace(task, zeros=chosen, classes=classes_of(chosen, task.domain), told=_told(schema))


def _told(schema: Schema) -> tuple[Told, ...]:
    """The dependencies whose map is open. Raises SchemaError (S167) for one that cannot be learnt."""
    found: list[Told] = []
    for number, rule in enumerate(schema.constraints, 1):
        if rule.dependency is None or not rule.is_open:
            continue
        pair = (rule.dependency.determinant, rule.dependency.dependent)
        wide = [name for name in pair if name in schema.unknown or not _one_value_each(schema.modelled[name])]
        if wide or any({t.determinant, t.dependent} == set(pair) for t in found):
            raise SchemaError(
                "S167",
                f"constraint {number} ({rule.words}) has no map, and it cannot be learnt",
                "columns need one known value for each cell, and a pair one rule (one_to_one: true for both ways): "
                "declare the map",
            )
        sizes = (value_cells(schema.modelled[pair[0]]), value_cells(schema.modelled[pair[1]]))
        found.append(Told(pair[0], pair[1], sizes, rule.one_to_one))
    return tuple(found)


def _one_value_each(column: Modelled) -> bool:
    if isinstance(column, CategoryColumn | BooleanColumn):
        return True
    return (
        isinstance(column, IntegerColumn)
        and not column.special
        and column.max - column.min < len(column.starts)
    )


def with_maps(schema: Schema, measurements: Sequence[Measurement]) -> Schema:
    """The schema with its open maps as the released measurements tell them: post-processing."""
    told = iter(_told(schema))
    rules = [
        rule.with_map(_map(schema, one, measurements))
        if rule.is_open and (one := next(told, None)) is not None
        else rule
        for rule in schema.constraints
    ]
    return schema.with_constraints(rules) if rules != list(schema.constraints) else schema


def _map(schema: Schema, told: Told, measurements: Sequence[Measurement]) -> dict[str, Any]:
    texts = [_texts(schema.modelled[name]) for name in (told.determinant, told.dependent)]
    known = images(told, measured_pair(told, measurements))
    return {texts[0][source]: texts[1][image] for source, image in known.items()}


def _texts(column: Modelled) -> list[str]:
    if isinstance(column, CategoryColumn):
        return list(column.values)
    if isinstance(column, BooleanColumn):
        return list(column.texts)
    assert isinstance(column, IntegerColumn)
    return [str(value) for value in column.starts.tolist()]


@dataclass(frozen=True)
class BrokenBySource:
    """A constraint that private rows break. For the operator alone: nothing of it may be released."""

    number: int
    words: str
    rows: int
    places: str

    def __str__(self) -> str:
        breaks = "row breaks" if self.rows == 1 else "rows break"
        return f"constraint {self.number} ({self.words}): {self.rows} {breaks} it: {self.places}"


def broken_by_source(table: Table, source: Source, schema: Schema) -> list[BrokenBySource]:
    """The constraints that the rows of `source`, read as `table`, break. Totals are about the synthetic table alone."""
    return [
        BrokenBySource(
            number,
            schema.constraints[number - 1].words,
            len(rows),
            named_places(source, schema, rows.tolist()),
        )
        for number, rows in broken_rows(table, schema).items()
    ]


def require_source(table: Table, source: Source, schema: Schema, *, despite: bool) -> None:
    """Raises DataError (D212) when private rows break a constraint, unless the operator has said that this may be."""
    broken = [] if despite else broken_by_source(table, source, schema)
    if broken:
        raise refusal(broken)


def refusal(broken: Sequence[BrokenBySource]) -> DataError:
    """What the operator is told."""
    more = f"; and {len(broken) - 1} more constraints" if len(broken) > 1 else ""
    return DataError(
        "D212",
        f"the data breaks {broken[0]}{more}",
        "correct the rows or the rule, or fit and run with --despite-violations (or data: {violations: allow}): synthetic "
        "rows keep the rules all the same, and nothing of this becomes public",
    )


def _fitting(zeros: Mapping[Clique, NDArray[np.bool_]], room: Room, limit: float) -> Iterable[Clique]:
    kept: list[Clique] = []
    for clique in zeros:
        if room.fits([clique], limit):
            room.add(clique)
            kept.append(clique)
    return kept
