"""Rules that only some persons can keep: told before a charge; a paid model is kept, and drawn from in spite of all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from dpsynth import fit, load
from dpsynth.auditing import Audit, require_releasable
from dpsynth.cli.app import app
from dpsynth.errors import AuditError, DataError, UsageError
from dpsynth.model.drawing import Finishing
from dpsynth.model.relaxing import without_rules
from dpsynth.privacy.ledger import Ledger
from dpsynth.project import Project

PROJECT = """version: 1
data:
  path: rows.csv
  unit: {entity: person, column: person, rows_per_unit: 2, static: [limit]}
  missing_values: ['']
budget: {epsilon: 4.0, delta: 1.0e-6, ledger: l.ledger, dataset: d, promise: {epsilon: 9.0, delta: 1.0e-6}}
generator: {method: independent}
columns:
  person: {type: id, format: "P-#####"}
  limit: {type: integer, min: 0, max: 1000, cells: 100}
  a: {type: integer, min: 0, max: 1000, cells: 100}
  b: {type: integer, min: 0, max: 1000, cells: 100}
  c: {type: integer, min: 300, max: 1000, cells: 70}
constraints:
  - {sum: "a + b + c <= limit"}
audit: {holdout: 0.3}
release:
  {purpose: t, recipient: t, lawful_basis: t, prohibited_uses: [t], contact: t, approver: t, review_date: 2030-01-01,
   bounds_decided_by: t}
"""
DOUBT = "some units, drawn from the schema alone, cannot keep the rules"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    person = np.repeat(np.arange(150), 2)
    limit = rng.integers(700, 1001, 150)[person]
    frame = pd.DataFrame({"person": person, "limit": limit, "a": rng.integers(0, 350, 300), "b": 5, "c": 330})
    frame.to_csv(tmp_path / "rows.csv", index=False)
    (tmp_path / "project.yaml").write_text(PROJECT)
    return tmp_path / "project.yaml"


def dpsynth(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def test_check_plan_and_fit_tell_the_doubt(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for verb in ("check", "plan"):
        said = dpsynth(verb, project)
        assert said.exit_code == 0, said.output
        assert f"warning: {DOUBT}" in said.stdout
        assert "after its charge" in said.stdout
    order: list[str] = []
    monkeypatch.setattr("dpsynth.synthesis.LOG.warning", lambda _, doubt: order.append(doubt))
    reserve = Ledger.reserve

    def reserved(*given: Any, **more: Any) -> Any:
        order.append("reserved")
        return reserve(*given, **more)

    monkeypatch.setattr(Ledger, "reserve", reserved)
    assert dpsynth("fit", project, "-o", project.parent / "model").exit_code == 0
    assert [one.split(":")[0] for one in order] == [DOUBT, "reserved"]


def hopeless(*_: object, **__: object) -> Any:
    raise DataError("D210", "2 of 3 sampled units cannot be made to keep it", "relax it")


def test_a_model_that_was_paid_for_is_kept_when_no_rows_come(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Figures are bought about the rows, inside the reservation: the run must not count as one that failed."""
    project.write_text(
        project.read_text().replace("{holdout: 0.3}", "{holdout: 0.3, publish: {epsilon: 0.5}}")
    )
    folder = project.parent
    with monkeypatch.context() as patch:
        patch.setattr(Finishing, "of_units", hopeless)
        said = dpsynth("run", project, "-o", folder / "out")
    assert said.exit_code == 4
    model = folder / "out.unfinished" / "model"
    [line] = [line for line in said.stderr.splitlines() if line.startswith("DPS-")]
    assert line.startswith("DPS-D210")
    assert f"the model that was paid for is in {model}" in line
    assert f"WARNING dpsynth.synthesis: {DOUBT}" in said.stderr
    rows, findings = folder / "rows-1.csv", folder / "audit.json"
    assert dpsynth("sample", model, "-n", 300, "-o", rows).exit_code == 0
    told = ("--model", model, "--project", project, "--synthetic", rows, "--out", findings)
    assert dpsynth("audit", *told).exit_code == 0
    release = ("release", model, "--synthetic", rows, "--audit", findings, "--project", project)
    done = dpsynth(*release, "-o", folder / "out")
    assert done.exit_code == 0, done.output
    assert dpsynth("verify", folder / "out", "--ledger", folder / "l.ledger").exit_code == 0


def test_a_model_is_drawn_from_without_a_rule(project: Path) -> None:
    model, rows = project.parent / "model", project.parent / "free.csv"
    assert dpsynth("fit", project, "-o", model).exit_code == 0
    assert dpsynth("sample", model, "-o", rows, "--without-rule", 1, "--seed", 1).exit_code == 0
    found = pd.read_csv(rows)
    assert (found["a"] + found["b"] + found["c"] > found["limit"]).any()
    kept = load(model).sample(300, np.random.default_rng(1))
    assert (kept["a"] + kept["b"] + kept["c"] <= kept["limit"]).all()
    findings, before = project.parent / "audit.json", load(model).id
    told = ("--model", model, "--project", project, "--synthetic", rows, "--out", findings)
    assert dpsynth("audit", *told).exit_code == 0
    release = ("release", model, "--synthetic", rows, "--audit", findings, "--project", project)
    done = dpsynth(*release, "-o", project.parent / "out")
    assert (done.exit_code, done.stderr.count("DPS-A325")) == (6, 1)
    assert not (project.parent / "out").exists()
    assert not [e for e in Ledger.load(project.parent / "l.ledger").entries if e.kind == "release"]
    assert load(model).id == before
    free = without_rules(load(model), [1])
    assert load(model).releasable
    assert not free.releasable  # else its other id would be a way around a block
    account = Ledger.load(project.parent / "l.ledger")
    one = free.sample_table(5, np.random.default_rng(0))
    with pytest.raises(AuditError, match="did not pay for this model"):
        require_releasable(account, free, one, Audit.load(findings))
    assert without_rules(load(model), ()).id == load(model).id
    with pytest.raises(UsageError, match="no rule 2: it has 1"):
        without_rules(load(model), [2])
    assert dpsynth("sample", "--schema", project, "-o", "x.csv", "--without-rule", 1).exit_code == 2


def test_rows_are_not_drawn_until_the_attacks_let_them_through(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def blocked(*_: object, **__: object) -> Any:
        raise AuditError(
            "A320", "the model is blocked for good: VIOLATION; nothing was released", "find the fault"
        )

    monkeypatch.setattr("dpsynth.pipeline.release_rows", blocked)
    said = dpsynth("run", project, "-o", project.parent / "out")
    assert said.exit_code == 6
    [line] = [line for line in said.stderr.splitlines() if line.startswith("DPS-")]
    assert "dpsynth sample" not in line


def test_a_program_is_told_the_doubt_before_it_pays(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stopped(Exception):
        pass

    order: list[str] = []

    def reserved(*_: object, **__: object) -> Any:
        order.append("reserved")
        raise Stopped

    monkeypatch.setattr("dpsynth.synthesis.LOG.warning", lambda _, doubt: order.append(doubt))
    monkeypatch.setattr(Ledger, "reserve", reserved)
    schema = Project.load(project).schema
    with pytest.raises(Stopped):
        fit(project.parent / "rows.csv", schema, method="independent", epsilon=1.0, delta=1e-6)
    assert [one.split(":")[0] for one in order] == [DOUBT, "reserved"]
