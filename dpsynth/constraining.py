"""What a run makes of its constraints: zeros for the model, chosen by sizes alone, and real rows that break a rule."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dpsynth.constraints import Rules, classes_of, structural_zeros
from dpsynth.domain import Clique
from dpsynth.errors import DataError
from dpsynth.mechanisms import Task
from dpsynth.mechanisms.rooms import Room
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
    return replace(task, zeros=chosen, classes=classes_of(chosen, task.domain)) if chosen else task


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
    """The constraints that the rows of `source`, read as `table`, break."""
    return [
        BrokenBySource(
            number,
            schema.constraints[number - 1].words,
            len(rows),
            named_places(source, schema, rows.tolist()),
        )
        for number, rows in Rules.of(schema).broken(table).items()
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
        "correct the rows or the rule, or go on with --despite-violations (or data: {violations: allow}): synthetic rows "
        "keep the rules all the same, and nothing of this becomes public",
    )


def _fitting(zeros: Mapping[Clique, NDArray[np.bool_]], room: Room, limit: float) -> Iterable[Clique]:
    kept = []
    for clique in zeros:
        if room.fits([clique], limit):
            room.add(clique)
            kept.append(clique)
    return kept
