"""Rules about the rows of a unit: no synthetic unit breaks one, and each column keeps the distribution of the model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from dpsynth import Schema, fit
from dpsynth.constraint_checks import refuse_contradictions
from dpsynth.constraints import Rules
from dpsynth.constraints.sequences import Sequences
from dpsynth.encoding import Encoding
from dpsynth.errors import DataError, SchemaError, UsageError
from dpsynth.model import FittedModel
from dpsynth.model.from_schema import from_schema
from dpsynth.model.units import at_least, nearest_whole, within_sizes
from dpsynth.persons import sizes_for
from dpsynth.pgm import GraphicalModel
from dpsynth.table import read_table, write_tables

COLUMNS: dict[str, Any] = {
    "person": {"type": "id", "format": "P-######"},
    "sex": {"type": "category", "values": ["f", "m"]},
    "year": {"type": "integer", "min": 2000, "max": 2009},
    "age": {"type": "integer", "min": 0, "max": 99, "cells": 10, "missing": True},
    "stage": {"type": "category", "values": ["I", "II", "III"], "ordered": True, "missing": True},
    "status": {"type": "category", "values": ["well", "ill", "left", "dead"]},
    "event": {"type": "category", "values": ["none", "exit"]},
    "paid": {"type": "number", "min": 0, "max": 100, "cells": 5, "decimals": 1},
}
UNIT = {"entity": "person", "column": "person", "rows_per_unit": 5, "static": ["sex"], "order": "year"}
WEIGHT = {"weight": {"type": "integer", "min": 0, "max": 99, "cells": 10}}
RULES: list[dict[str, Any]] = [
    {"advance": {"year": 1}},
    {"advance": {"age": "year"}},
    {"rising": "stage"},
    {"absorbing": {"status": ["left", "dead"]}},
    {"last": {"event": "exit"}},
    {"rising": "paid"},
    {"rows": {"min": 2}},
    {"when": "status == 'dead'", "then": "event == 'none'"},
    {"when": "sex == 'f'", "then": "paid <= 90"},
]
SCHEMA = Schema(columns=COLUMNS, unit=UNIT, constraints=RULES)


def people(number: int = 700) -> pd.DataFrame:
    rng = np.random.default_rng(2)
    rows = []
    for person in range(number):
        size, first, age = rng.integers(2, 6), rng.integers(2000, 2005), rng.integers(10, 80)
        stage, dead = 0, False
        paid = np.sort(np.round(rng.random(size) * 90, 1))
        sex = rng.choice(["f", "m"])
        for i in range(size):
            stage = min(2, stage + int(rng.random() < 0.3))
            dead |= rng.random() < 0.05
            status = "dead" if dead else rng.choice(["well", "ill"])
            event = "exit" if i == size - 1 and not dead and rng.random() < 0.5 else "none"
            rows.append((person, sex, first + i, age + i, ["I", "II", "III"][stage], status, event, paid[i]))
    return pd.DataFrame(rows, columns=list(COLUMNS))


REAL = people()


@pytest.fixture(scope="module")
def model() -> FittedModel:
    return fit(REAL, SCHEMA, method="mst", epsilon=8.0, delta=1e-6)


def checked_by_hand(rows: pd.DataFrame) -> None:
    """Each rule again, person by person, without any of the code under test."""
    for _, own in rows.groupby("person", sort=False):
        years = own["year"].tolist()
        assert years == list(range(years[0], years[0] + len(years)))
        assert 2 <= len(own) <= 5
        ages = own["age"].tolist()
        assert own["age"].isna().all() or [a - ages[0] for a in ages] == [y - years[0] for y in years]
        stages = [("I", "II", "III").index(s) for s in own["stage"].dropna()]
        assert stages == sorted(stages)
        status = own["status"].tolist()
        ended = next((i for i, s in enumerate(status) if s in ("left", "dead")), len(status))
        assert len(set(status[ended:])) <= 1
        assert "exit" not in own["event"].tolist()[:-1]
        assert own["paid"].is_monotonic_increasing
        assert own["sex"].nunique() == 1
    assert not ((rows["status"] == "dead") & (rows["event"] != "none")).any()
    assert not ((rows["sex"] == "f") & (rows["paid"] > 90)).any()


def test_no_unit_breaks_a_rule(model: FittedModel) -> None:
    rows = model.sample(1_500, np.random.default_rng(1))
    assert len(rows) == 1_500
    checked_by_hand(rows)
    checked_by_hand(model.sample(units=150, rng=np.random.default_rng(2)))
    checked_by_hand(model.sample(500, np.random.default_rng(3), where="sex == 'f'"))


def test_without_the_rules_units_break_them() -> None:
    free = Schema(columns=COLUMNS, unit=UNIT)
    model = fit(REAL, free, method="mst", epsilon=8.0, delta=1e-6)
    table = model.sample_table(2_000, np.random.default_rng(1))
    one = type(table)(SCHEMA, table.values, table.missing, table.units, table.unit_labels)
    assert {1, 2, 3, 5, 6} <= set(Sequences.of(SCHEMA).broken(one))


def test_columns_keep_the_distribution_of_the_model(model: FittedModel) -> None:
    rows = model.sample(20_000, np.random.default_rng(4))
    for name in ("stage", "status", "paid"):
        cells = model.generator.marginal((name,)) / model.generator.total
        table = read_table(rows, SCHEMA)
        found = np.bincount(Encoding(SCHEMA).encode(table)[name], minlength=len(cells)) / len(rows)
        assert np.abs(found - cells).sum() / 2 < 0.05, name


def test_rows_from_the_schema_alone_keep_them() -> None:
    checked_by_hand(from_schema(SCHEMA, missing=0.3).sample(800, np.random.default_rng(5)))


def test_a_file_that_was_altered_is_found(model: FittedModel, tmp_path: Path) -> None:
    write_tables(model.sample_batches(1_000, np.random.default_rng(6)), tmp_path / "rows.csv", SCHEMA)
    rules = Sequences.of(SCHEMA)
    table = read_table(tmp_path / "rows.csv", SCHEMA)
    assert rules.broken(table) == {}
    assert Rules.of(SCHEMA).broken(table) == {}
    rows = table.to_frame()
    at = int(np.flatnonzero(rows["age"].notna())[3])
    planted = [
        (1, "year", at, 2009 if rows["year"][at] < 2009 else 2000), (2, "age", at, 99 - int(rows["age"][at])),
        (5, "event", 0, "exit"), (6, "paid", 0, 100.0),
    ]  # fmt: skip
    for number, name, row, value in planted:
        wrong = rows.copy()
        wrong.loc[row, name] = value
        assert number in rules.broken(read_table(wrong, SCHEMA)), number
    shuffled = read_table(rows.sample(frac=1.0, random_state=1), SCHEMA)
    assert rules.broken(shuffled) == {}, "rows are judged in their order, wherever they stand"


def test_real_rows_that_break_one_are_told() -> None:
    rows = REAL.copy()
    rows.loc[1, "age"] += 3
    with pytest.raises(DataError, match=r"constraint 2 .*: .*row 2") as caught:
        fit(rows, SCHEMA, method="independent", epsilon=1.0, delta=1e-6)
    assert caught.value.code == "DPS-D212"
    fit(rows, SCHEMA, method="independent", epsilon=1.0, delta=1e-6, despite_violations=True)


@pytest.mark.parametrize(
    "rule",
    [
        {"rising": "status"}, {"rising": "sex"}, {"advance": {"age": "stage"}}, {"advance": {"status": 1}},
        {"last": {"event": "never"}}, {"rows": {"min": 9}}, {"rising": "year"}, {"advance": {"year": 0}},
    ],
)  # fmt: skip
def test_a_rule_that_means_nothing_is_refused(rule: dict[str, Any]) -> None:
    with pytest.raises(SchemaError) as caught:
        refuse_contradictions(Schema(columns=COLUMNS, unit=UNIT, constraints=[rule]))
    assert caught.value.code == "DPS-S169"


def test_two_rules_on_one_column_and_units_of_one_row_are_refused() -> None:
    twice = Schema(columns=COLUMNS, unit=UNIT, constraints=[{"rising": "paid"}, {"falling": "paid"}])
    single = Schema(columns=COLUMNS, unit={**UNIT, "rows_per_unit": 1}, constraints=[{"rising": "paid"}])
    for schema in (twice, single):
        with pytest.raises(SchemaError) as caught:
            Sequences.of(schema)
        assert caught.value.code == "DPS-S169"


@pytest.mark.parametrize(
    "rules",
    [
        [{"rows": {"min": 4}}, {"rows": {"max": 2}}],
        [{"advance": {"year": 3}}, {"rows": {"min": 5}}],
        [{"last": {"event": ["none", "exit"]}}, {"rows": {"min": 2}}],
        [{"advance": {"weight": -30}}, {"rows": {"min": 5}}],
    ],
)
def test_numbers_of_rows_that_no_unit_has_are_refused(rules: list[dict[str, Any]]) -> None:
    with pytest.raises(SchemaError) as caught:
        refuse_contradictions(Schema(columns={**COLUMNS, **WEIGHT}, unit=UNIT, constraints=rules))
    assert caught.value.code == "DPS-S169"


@pytest.mark.parametrize(
    "rule",
    [{"advance": {"year": 3}}, {"last": {"event": ["none", "exit"]}}, {"advance": {"weight": -30}}],
)
def test_units_have_no_more_rows_than_the_rules_leave_room_for(rule: dict[str, Any]) -> None:
    schema = Schema(columns={**COLUMNS, **WEIGHT}, unit=UNIT, constraints=[rule])
    table = from_schema(schema).sample_table(200, np.random.default_rng(7))
    assert (len(table), Sequences.of(schema).broken(table)) == (200, {})


def test_what_is_not_kept_is_not_taken() -> None:
    with pytest.raises(SchemaError, match="strict does not belong to rising"):
        Schema(columns=COLUMNS, unit=UNIT, constraints=[{"rising": "paid", "strict": True}])


def test_a_condition_on_what_advances_is_refused(model: FittedModel) -> None:
    with pytest.raises(UsageError) as caught:
        model.sample(100, where="age < 20")
    assert caught.value.code == "DPS-U264"


def test_sizes_are_moved_into_their_bounds() -> None:
    np.testing.assert_allclose(within_sizes(np.array([0.5, 0.25, 0.25]), 2, 3), [0, 0.5, 0.5])
    np.testing.assert_allclose(within_sizes(np.array([1.0, 0.0, 0.0]), 2, 3), [0, 0.5, 0.5])
    moved = at_least(np.array([1, 4, 1]), 2, 3)
    assert (moved @ [1, 2, 3], moved[0]) == (12, 0)
    with pytest.raises(UsageError):
        at_least(np.array([1, 0, 0]), 2, 3)


def test_whole_units_make_any_number_of_rows_that_they_can() -> None:
    sizes = np.arange(1, 8)
    for least in range(1, 8):
        for most in range(least, 8):
            can = {n for n in range(1, 50) if any(k * least <= n <= k * most for k in range(1, 41))}
            for rows in range(1, 41):
                drawn = sizes_for(rows, within_sizes(np.full(7, 1 / 7), least, most))
                if rows in can:
                    moved = at_least(drawn, least, most)
                    assert moved @ sizes[: len(moved)] == rows
                    assert not moved[: least - 1].any()
                    assert not moved[most:].any()
                    assert nearest_whole(rows, least, most) == rows
                else:
                    with pytest.raises(UsageError, match=f"ask for {nearest_whole(rows, least, most)} rows"):
                        at_least(drawn, least, most)
                    assert abs(nearest_whole(rows, least, most) - rows) == min(
                        abs(n - rows) for n in can | {least}
                    )


def test_as_many_rows_as_the_model_counted_are_always_whole_units() -> None:
    exactly = [{"advance": {"year": 1}}, {"rows": {"min": 4, "max": 4}}]
    schema = Schema(columns=COLUMNS, unit=UNIT, constraints=exactly)
    made = from_schema(schema)
    generator = GraphicalModel(schema.domain, 401.0, made.generator.potentials)
    made = replace(made, generator=generator)
    rows = made.sample(rng=np.random.default_rng(0))
    assert len(rows) == made.default_rows() == 400
    assert (rows.groupby("person").size() == 4).all()
    with pytest.raises(
        UsageError, match=r"units of 4 rows cannot make 7 rows together; ask for 8 rows"
    ) as caught:
        made.sample(7)
    assert caught.value.code == "DPS-U265"
