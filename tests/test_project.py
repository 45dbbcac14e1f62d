"""The project file: all sections, relative paths, promises that are none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dpsynth.errors import BudgetError, DPSynthError, SchemaError
from dpsynth.project import Project, json_schema

CLAIMS = """\
version: 1
data: {path: claims.parquet, unit: {entity: person, column: pid, rows_per_unit: 5}, missing_values: ['', '?']}
budget: {epsilon: 1.0, delta: 1.0e-9, ledger: claims.ledger, promise: {epsilon: 3.0, delta: 1.0e-9}}
columns:
  age:        {type: integer, min: 0, max: 110, origin: public}
  plan:       {type: category, values: [A, B, C], missing: true, origin: public}
  admitted:   {type: date, min: 2015-01-01, max: 2026-12-31, origin: public}
  cost:       {type: number, min: 0, max: 250000, origin: public}
  pid:  {type: id, format: "P-######"}
generator: {method: aim, max_cells: 5.0e6, rows: 1000, workload: {target: plan, pairs: [[age, plan]]}}
audit: {holdout: 0.1, attacks: default, secrets: [cost], quasi_identifiers: [age, plan]}
release: {purpose: "...", recipient: "", lawful_basis: law, prohibited_uses: ["none"], contact: me}
"""


def edited(old: str, new: str) -> str:
    assert old in CLAIMS
    return CLAIMS.replace(old, new, 1)


def test_everything_is_read(tmp_path: Path) -> None:
    file = tmp_path / "claims.yaml"
    file.write_text(CLAIMS)
    project = Project.load(file)
    assert project.data_path == tmp_path / "claims.parquet"
    assert project.ledger_path == tmp_path / "claims.ledger"
    assert project.run_budget().epsilon == 1.0
    assert project.run_budget(epsilon=2.0).epsilon == 2.0
    assert project.budget is not None
    assert project.budget.promise is not None
    assert project.budget.promise.budget.epsilon == 3.0
    assert project.schema.unit.rows_per_unit == 5
    assert project.schema.missing_values == ("", "?")
    assert project.generator.workload.pairs == (("age", "plan"),)
    assert project.release.lacking == ["purpose", "recipient", "approver", "review_date", "bounds_decided_by"]


@pytest.mark.parametrize(
    ("old", "new", "code", "words"),
    [
        ("version: 1", "version: 2", "S108", "another version"),
        ("budget:", "bugdet:", "S110", "did you mean 'budget'"),
        (
            "epsilon: 1.0, delta: 1.0e-9, l",
            "epsilon: one, l",
            "S112",
            "budget.epsilon (line 3): is not a number",
        ),
        ("method: aim", "method: aime", "S113", "choose"),
        ("holdout: 0.1", "holdout: 0", "S114", "above 0"),
        ("holdout: 0.1", "holdout: 0.9", "S114", "at most 0.5"),
        ("holdout: 0.1", "holdout: .nan", "S112", "finite"),
        ("[cost]", "[cots]", "S140", "audit.secrets names 'cots'"),
        ("target: plan", "target: pid", "S140", "no modelled column"),
        ("[[age, plan]]", "[[age, plan, cost]]", "S112", "pairs"),
        ("[[age, plan]]", "[[age, age]]", "S112", "one column"),
        ("rows: 1000", "rows: 0", "S114", "at least 1"),
        ("release:", "constraints: [{never: x}]\nrelease:", "S110", "known: forbid"),
    ],
)
def test_mistakes(old: str, new: str, code: str, words: str) -> None:
    with pytest.raises(SchemaError) as caught:
        Project.from_yaml(edited(old, new))
    assert caught.value.code == f"DPS-{code}"
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ("epsilon: 1.0, delta: 1.0e-9, l", "epsilon: .nan, delta: 1.0e-9, l", BudgetError),
        ("epsilon: 1.0, delta: 1.0e-9, l", "epsilon: 1.0e+6, delta: 1.0e-9, l", BudgetError),
        ("epsilon: 1.0, delta: 1.0e-9, l", "epsilon: 0, delta: 1.0e-9, l", BudgetError),
        ("epsilon: 1.0, delta: 1.0e-9, l", "epsilon: 1, delta: 0, l", BudgetError),
        ("epsilon: 1.0, delta: 1.0e-9, l", "epsilon: 1, delta: 1, l", BudgetError),
        ("epsilon: 1.0, delta: 1.0e-9, l", "delta: 1.0e-9, l", SchemaError),
        ("epsilon: 1.0, delta: 1.0e-9, l", "epsilon: 1.0, l", SchemaError),
    ],
)
def test_a_promise_that_is_none(old: str, new: str, error: type[DPSynthError]) -> None:
    project = Project.from_yaml(edited(old, new))
    with pytest.raises(error):
        project.run_budget()


def test_no_data_path() -> None:
    with pytest.raises(SchemaError, match=r"data\.path is missing"):
        _ = Project.from_yaml(edited("path: claims.parquet, ", "")).data_path


def test_json_schema_for_editors() -> None:
    schema = json_schema()
    assert {"data", "columns"} <= set(schema["required"])
    assert json.loads(json.dumps(schema)) == schema
