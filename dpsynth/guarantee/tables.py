"""Built-in worst-case tables: neighbours that differ in one unit, made up, so that nobody's privacy depends on them.

Each `Neighbour` is a unit that a careless implementation stumbles over: one with many rows, one whose rows are all alike,
one with values beyond the bounds, the first with a missing value, the only one of its category.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from dpsynth.encoding import Encoding
from dpsynth.privacy import intake
from dpsynth.privacy.intake import Intake
from dpsynth.privacy.rehearsal import scripted
from dpsynth.schema import Schema
from dpsynth.synthesis import unit_keys
from dpsynth.table import read_table

ROWS_PER_UNIT = 3
RARE = "Z"
"""A category that nobody has but the unit that is added."""


@dataclass(frozen=True, eq=False)
class Neighbour:
    """`rows`: those of the unit that is added. `words`: what is special about it."""

    name: str
    words: str
    rows: pd.DataFrame


@dataclass(frozen=True, eq=False)
class Tables:
    """A made-up table and units that may join it; everything is read, encoded and bounded by the real code."""

    name: str
    schema: Schema
    base: pd.DataFrame
    neighbours: tuple[Neighbour, ...]

    @cached_property
    def alone(self) -> Intake:
        """The table without the unit."""
        return taken(self.base, self.schema)

    def joined(self, neighbour: Neighbour) -> Intake:
        """The table with the unit, under the same run key."""
        return taken(self.frame_with(neighbour), self.schema)

    def frame_with(self, neighbour: Neighbour) -> pd.DataFrame:
        return pd.concat([self.base, neighbour.rows], ignore_index=True)

    def neighbour(self, name: str) -> Neighbour:
        return next(each for each in self.neighbours if each.name == name)


def taken(frame: pd.DataFrame, schema: Schema, holdout: float = 0.0) -> Intake:
    """The frame behind the real door: read, checked, encoded, bounded and split, with a fixed run key."""
    table = read_table(frame, schema)
    return intake.take_in(
        Encoding(schema).encode(table),
        unit_keys(table),
        rows_per_unit=schema.unit.rows_per_unit,
        holdout=holdout,
        stream=scripted(),
    )


def people(persons: int = 700, seed: int = 1) -> Tables:
    """Persons with up to three rows; numbers, categories, missing values; two columns depend on another."""
    rng = np.random.default_rng(seed)
    person = np.repeat(np.arange(persons), rng.integers(1, ROWS_PER_UNIT + 1, persons))
    n = len(person)
    age = rng.integers(20, 80, n)
    plan = np.array(list("ABCD"))[np.minimum(age // 20 - 1 + (rng.random(n) < 0.3), 3)]
    cost = np.round(rng.gamma(2.0, 10.0 * (age // 20), n), 2)
    base = _frame(
        [f"p{i}" for i in person], age, plan, np.minimum(cost, 300), rng.choice(list("NSEW"), n), "no"
    )
    return Tables("people", _people_schema(), base, _newcomers())


def _people_schema() -> Schema:
    columns: Mapping[str, Any] = {
        "person": {"type": "id", "format": "P-######"},
        "age": {"type": "integer", "min": 0, "max": 99, "cells": 25, "missing": True, "clip": True},
        "plan": {"type": "category", "values": ["A", "B", "C", "D", RARE], "missing": True},
        "cost": {"type": "number", "min": 0, "max": 300, "cells": 20, "decimals": 2, "clip": True},
        "region": {"type": "category", "values": ["N", "S", "E", "W", RARE]},
        "smoker": {"type": "boolean", "true_value": "yes", "false_value": "no"},
    }
    unit = {"entity": "person", "column": "person", "rows_per_unit": ROWS_PER_UNIT, "missing": "own"}
    return Schema.model_validate({"columns": dict(columns), "unit": unit})


def _newcomers() -> tuple[Neighbour, ...]:
    k = ROWS_PER_UNIT
    return (
        Neighbour(
            "alike", f"{k} rows, all alike, where many others are", _unit("new", k, 40, "B", 20.0, "N", "no")
        ),
        Neighbour("many rows", "60 rows, all alike", _unit("new", 60, 33, "A", 15.0, "S", "no")),
        Neighbour(
            "spread",
            "60 rows, all different",
            _frame(
                ["new"] * 60,
                np.arange(60),
                np.array(list("ABCD"))[np.arange(60) % 4],
                np.linspace(0, 300, 60),
                np.array(list("NSEW"))[np.arange(60) // 4 % 4],
                "no",
            ),
        ),
        Neighbour(
            "extreme values",
            "values far outside the bounds",
            _unit("new", k, 10**6, "C", 1e9, "E", "yes"),
        ),
        Neighbour(
            "new category",
            "values that nobody else has",
            _unit("new", k, 99, RARE, 299.0, RARE, "yes"),
        ),
        Neighbour("missing values", "nothing known", _unit("new", k, None, None, 0.0, "W", "no")),
        Neighbour("no id", "one row without an id", _unit(None, 1, 50, "D", 40.0, "N", "no")),
    )


def _unit(
    name: str | None, rows: int, age: float | None, plan: str | None, cost: float, region: str, smoker: str
) -> pd.DataFrame:
    return _frame([name] * rows, [age] * rows, [plan] * rows, [cost] * rows, [region] * rows, smoker)


def _frame(person: Any, age: Any, plan: Any, cost: Any, region: Any, smoker: str) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "person": pd.Series(list(person), dtype=object),
            "age": pd.array(list(age), dtype="Int64"),
            "plan": pd.Series(list(plan), dtype=object),
            "cost": np.asarray(cost, dtype=float),
            "region": list(region),
            "smoker": smoker,
        }
    )


def crowd(rows: int = 20) -> Tables:
    """All rows alike in two columns of two cells, and one row that stands alone: the smallest table on which every
    measured marginal moves as far as it may."""
    columns: Mapping[str, Any] = {
        "a": {"type": "category", "values": ["A", "B"]},
        "b": {"type": "category", "values": ["A", "B"]},
    }
    schema = Schema.model_validate({"columns": dict(columns)})
    base = pd.DataFrame({"a": ["A"] * rows, "b": ["A"] * rows})
    alone = Neighbour("alone", "the only row of its kind", pd.DataFrame({"a": ["B"], "b": ["B"]}))
    return Tables("crowd", schema, base, (alone,))
