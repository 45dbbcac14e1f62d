"""Constraints from the project to the rows: every method keeps them, real rows that break them, maps that are learnt."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from dpsynth import Schema, fit, plan
from dpsynth.cli.app import app
from dpsynth.constraint_checks import findings, refuse_contradictions
from dpsynth.constraints import Rules
from dpsynth.discovering import require_open
from dpsynth.errors import DataError, SchemaError
from dpsynth.evaluation.constraints import kept
from dpsynth.mechanisms.telling import PURPOSE
from dpsynth.model import FittedModel
from dpsynth.project import Project
from dpsynth.release.fields import ReleaseFields
from dpsynth.release.gate import judge
from dpsynth.table import read_table

SCHOOL = ["none", "primary", "secondary", "college", "doctor"]
COLUMNS: dict[str, Any] = {
    "age": {"type": "integer", "min": 0, "max": 99, "cells": 20},
    "school": {"type": "category", "values": SCHOOL},
    "level": {"type": "integer", "min": 1, "max": 5},
    "job": {"type": "category", "values": ["none", "clerk", "CEO"]},
    "pay": {"type": "integer", "min": 0, "max": 999, "cells": 8, "missing": True},
}
RULES: list[dict[str, Any]] = [
    {"forbid": "age < 16 and job == 'CEO'"},
    {"when": "age < 18", "then": "pay is missing"},
    {
        "functional": {"level": "school"},
        "map": dict(zip(SCHOOL, range(1, 6), strict=True)),
        "one_to_one": True,
    },
]


def frame(rows: int = 4_000) -> pd.DataFrame:
    rng = np.random.default_rng(4)
    age = rng.integers(0, 100, rows)
    level = np.where(age < 12, 1, rng.integers(1, 6, rows))
    job = np.where(age < 18, "none", rng.choice(["none", "clerk", "CEO"], rows))
    pay = pd.array(np.where(age < 18, 0, rng.integers(0, 1000, rows)), dtype="Int64")
    pay[age < 18] = pd.NA
    return pd.DataFrame(
        {"age": age, "school": np.array(SCHOOL)[level - 1], "level": level, "job": job, "pay": pay}
    )


@pytest.mark.parametrize("method", ["independent", "mst", "tree", "privbayes", "aim"])
def test_every_method_keeps_every_rule(method: str, tmp_path: Path) -> None:
    schema = Schema(columns=COLUMNS, constraints=RULES)
    model = fit(frame(), schema, method=method, epsilon=1.0, delta=1e-9)
    table = model.sample_table(5_000, np.random.default_rng(0))
    assert Rules.of(schema).broken(table) == {}
    assert model.generator.marginal(("school", "level"))[~np.eye(5, dtype=bool)].sum() == 0.0
    where = model.sample_table(500, np.random.default_rng(0), where="age < 37 and level >= 2")
    assert Rules.of(schema).broken(where) == {}
    assert ((where.values["age"] < 37) & (where.values["level"] >= 2)).all()
    model.save(tmp_path / "model")
    again = FittedModel.load(tmp_path / "model")
    assert again.schema.constraints == schema.constraints
    pd.testing.assert_frame_equal(
        again.sample(50, np.random.default_rng(1)), model.sample(50, np.random.default_rng(1))
    )


def test_without_the_rules_rows_break_them() -> None:
    """The test above means something."""
    model = fit(frame(), Schema(columns=COLUMNS), method="independent", epsilon=1.0, delta=1e-9)
    table = model.sample_table(2_000, np.random.default_rng(0))
    assert set(Rules.of(Schema(columns=COLUMNS, constraints=RULES)).broken(table)) == {1, 2, 3}


def test_a_map_that_nobody_declared_is_learnt_for_a_charge() -> None:
    schema = Schema(columns=COLUMNS, constraints=[{"functional": {"level": "school"}, "one_to_one": True}])
    preview = plan(schema, method="tree", epsilon=2.0, delta=1e-9)
    assert [charge.purpose for charge in preview.charges].count(PURPOSE) == 1
    assert preview.certificate.epsilon <= 2.0
    model = fit(frame(20_000), schema, method="tree", epsilon=2.0, delta=1e-9)
    (rule,) = model.schema.constraints
    assert rule.origin == "dp"
    assert rule.map == dict(zip(SCHOOL, map(str, range(1, 6)), strict=True))
    assert ("school", "level") in [m.clique for m in model.measurements]
    assert Rules.of(model.schema).broken(model.sample_table(5_000, np.random.default_rng(0))) == {}


def test_a_map_that_says_it_was_learnt_needs_the_run_that_paid_for_it() -> None:
    """Otherwise a map read off the rows would stand in the report as learnt for a charge."""
    schema = Schema(columns=COLUMNS, constraints=[{"functional": {"level": "school"}, "one_to_one": True}])
    require_open(schema)
    model = fit(frame(2_000), schema, method="independent", epsilon=2.0, delta=1e-9)
    with pytest.raises(SchemaError) as caught:
        require_open(model.schema)
    assert caught.value.code == "DPS-S152"
    free = tuple(charge for charge in model.receipt.charges if charge.purpose != PURPOSE)
    for receipt, passed in ((model.receipt, True), (replace(model.receipt, charges=free), False)):
        gate = judge(model.schema, ReleaseFields(purpose="..."), receipt, {})
        assert [check.passed for check in gate.checks if check.code == "A314"] == [passed]


def test_a_map_that_cannot_be_learnt_is_refused_before_anything_is_spent() -> None:
    for rule in ({"functional": {"pay": "age"}}, {"functional": {"age": "level"}}):
        with pytest.raises(SchemaError) as caught:
            plan(Schema(columns=COLUMNS, constraints=[rule]), method="tree", epsilon=1.0, delta=1e-9)
        assert caught.value.code == "DPS-S167"


def test_rows_that_break_a_rule_are_told_and_a_fit_goes_on_only_when_told_to() -> None:
    rows = frame(500)
    rows.loc[[7, 9], ["age", "job", "pay", "level", "school"]] = [3, "CEO", pd.NA, 1, "none"]
    schema = Schema(columns=COLUMNS, constraints=RULES)
    with pytest.raises(DataError, match=r"constraint 1 .* 2 rows break it: row 8, row 10") as caught:
        fit(rows, schema, method="independent", epsilon=1.0, delta=1e-9)
    assert caught.value.code == "DPS-D212"
    model = fit(rows, schema, method="independent", epsilon=1.0, delta=1e-9, despite_violations=True)
    assert "violat" not in json.dumps(model.schema.sections())
    real, made = read_table(rows, schema), model.sample_table(300, np.random.default_rng(0))
    assert [(k.synthetic, k.train, k.holdout) for k in kept([made, real, real.take(slice(0, 8))], schema)] == [
        (0, 2, 1), (0, 0, 0), (0, 0, 0),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ([{"forbid": "age < 120"}], [("contradiction", (1,))]),
        ([{"forbid": "age > 120"}], [("useless", (1,))]),
        ([{"order": ["level", "age"], "strict": True}, {"order": ["age", "level"]}], [("contradiction", (1, 2))]),
        ([{"order": ["level", "age"]}, {"order": ["age", "level"]}], [("impossible", (1, 2))]),
        ([{"forbid": "level == 3"}, {"forbid": "level == 3 and job == 'CEO'"}], [("useless", (2,)), ("impossible", (1, 2))]),
        (
            [
                {"when": "job == 'CEO'", "then": "level > 3"},
                {"when": "job != 'CEO'", "then": "level > 4"},
                {"forbid": "level >= 4"},
                {"forbid": "age < 3 and job == 'CEO'"},
            ],
            [("contradiction", (1, 2, 3))],
        ),
    ],
)  # fmt: skip
def test_check_names_what_is_wrong(
    rules: list[dict[str, Any]], expected: list[tuple[str, tuple[int, ...]]]
) -> None:
    schema = Schema(columns=COLUMNS, constraints=rules)
    assert [(found.kind, found.rules) for found in findings(schema)] == expected
    if any(kind == "contradiction" for kind, _ in expected):
        with pytest.raises(SchemaError, match="line 11") as caught:
            refuse_contradictions(schema, range(11, 20))
        assert caught.value.code == "DPS-S166"
        with pytest.raises(SchemaError):
            plan(schema, method="tree", epsilon=1.0, delta=1e-9)


PROJECT = """version: 1
data: {path: rows.csv, unit: {entity: row}}
budget: {epsilon: 1.0, delta: 1.0e-9, ledger: rows.ledger, dataset: rows}
columns:
  age: {type: integer, min: 0, max: 99, cells: 20}
  job: {type: category, values: [none, clerk, CEO]}
constraints:
  - forbid: "age < 16 and job == 'CEO'"
  - forbid: "age > 120"
"""


def test_check_tells_lines_and_fit_wants_to_be_told(tmp_path: Path) -> None:
    rows = frame(300)[["age", "job"]]
    rows.loc[4] = [9, "CEO"]
    rows.to_csv(tmp_path / "rows.csv", index=False)
    file = tmp_path / "project.yaml"
    file.write_text(PROJECT)
    runner = CliRunner()
    result = runner.invoke(app, ["check", str(file)])
    assert result.exit_code == 4
    assert "useless: constraint 2 (never: age > 120, line 9)" in result.output
    assert "1 row breaks it: line 6" in result.output
    refused = runner.invoke(app, ["fit", str(file), "-o", str(tmp_path / "m")])
    assert refused.exit_code == 4
    allowed = PROJECT.replace("rows.csv,", "rows.csv, violations: allow,")
    file.write_text(allowed)
    assert Project.load(file).constraint_lines == (8, 9)
    assert runner.invoke(app, ["check", str(file)]).exit_code == 0
    assert runner.invoke(app, ["fit", str(file), "-o", str(tmp_path / "m")]).exit_code == 0


def test_units_of_several_rows_keep_rules_between_their_static_columns() -> None:
    columns = {
        "person": {"type": "id"},
        "born": {"type": "integer", "min": 1950, "max": 1999, "cells": 5},
        "licence": {"type": "integer", "min": 1950, "max": 2029, "cells": 8},
        "visit": {"type": "integer", "min": 1, "max": 4},
        "year": {"type": "integer", "min": 1950, "max": 2029, "cells": 8},
    }
    unit = {
        "entity": "person",
        "column": "person",
        "rows_per_unit": 4,
        "static": ["born", "licence"],
        "order": "visit",
    }
    rules = [
        {"require": "licence - born >= 17"},
        {"order": ["licence", "year"]},
        {"forbid": "visit == 4 and year < 1990"},
    ]
    schema = Schema(columns=columns, unit=unit, constraints=rules)
    rng = np.random.default_rng(2)
    person = np.repeat(np.arange(400), 3)
    born = rng.integers(1950, 1990, 400)
    licence = np.minimum(born + rng.integers(17, 40, 400), 2020)
    rows = pd.DataFrame(
        {
            "person": person,
            "born": born[person],
            "licence": licence[person],
            "visit": np.tile([1, 2, 3], 400),
            "year": np.minimum(licence[person] + rng.integers(0, 9, 1200), 2029),
        }
    )
    model = fit(rows, schema, method="tree", epsilon=5.0, delta=1e-9)
    table = model.sample_table(3_000, np.random.default_rng(0))
    assert Rules.of(schema).broken(table) == {}
    frame = table.to_frame()
    assert (frame.groupby("person")[["born", "licence"]].nunique() == 1).all().all()
    assert all(
        visits.is_monotonic_increasing and visits.is_unique for _, visits in frame.groupby("person")["visit"]
    )
