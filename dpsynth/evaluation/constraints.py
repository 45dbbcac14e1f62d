"""How many rows break each declared constraint: real rows, exactly and internally, and synthetic ones, of which none may."""

from __future__ import annotations

from collections.abc import Sequence as Listed
from dataclasses import dataclass

from dpsynth.constraints import Rule, Rules
from dpsynth.constraints.sequences import Sequence, Sequences
from dpsynth.evaluation.figures import Json
from dpsynth.schema import Schema
from dpsynth.table import Table


@dataclass(frozen=True)
class Kept:
    """Rows that break constraint `number`, in each table. What the real ones break is private."""

    number: int
    rule: str
    synthetic: int
    train: int
    holdout: int

    def as_json(self) -> Json:
        return dict(vars(self))


def kept(tables: Listed[Table], schema: Schema) -> tuple[Kept, ...]:
    """One entry for each constraint on rows whose meaning is known; `tables`: synthetic, training and held-out rows. What
    is about the rows of a unit is left out where a table does not know them."""
    rules, following = Rules.of(schema), Sequences.of(schema)
    whole = all(table.units is not None or str(schema.unit.column) in table.values for table in tables)
    every: list[Rule | Sequence] = [*rules.every, *(following.every if whole else ())]
    broken = [{**rules.broken(table), **(following.broken(table) if whole else {})} for table in tables]
    return tuple(
        Kept(rule.number, rule.words, *(len(found.get(rule.number, ())) for found in broken))
        for rule in sorted(every, key=lambda rule: rule.number)
    )
