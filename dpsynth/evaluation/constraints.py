"""How many rows break each declared constraint: real rows, exactly and internally, and synthetic ones, of which none may."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dpsynth.constraints import Rules
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


def kept(tables: Sequence[Table], schema: Schema) -> tuple[Kept, ...]:
    """One entry for each constraint whose meaning is known; `tables`: synthetic, training and held-out rows."""
    rules = Rules.of(schema)
    broken = [rules.broken(table) for table in tables] if rules else []
    return tuple(
        Kept(rule.number, rule.words, *(len(found.get(rule.number, ())) for found in broken))
        for rule in rules.every
    )
