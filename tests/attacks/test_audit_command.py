"""`dpsynth audit` on anybody's files: with no schema, with secrets, with what does not fit."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from attacked_files import SCHEMA, frame
from known_leaks import population
from typer.testing import CliRunner

import attacks
from dpsynth import fit
from dpsynth.auditing import Private, audit_rows
from dpsynth.cli.app import app
from dpsynth.cli.guessing import schema_of_files
from dpsynth.errors import SchemaError, UsageError
from dpsynth.pipeline import asked_of
from dpsynth.project import Project
from dpsynth.schema import Schema
from dpsynth.table import read_table

NAMES = ("synthetic", "train", "holdout")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three files of one population, with an id and a column of free text."""
    rng = np.random.default_rng(2)
    for name in NAMES:
        rows = frame(population(150, rng, 6, 6))
        rows = rows.assign(
            id=rng.permutation(10**6)[:150], note=[f"text {v}" for v in rng.integers(0, 10**6, 150)],
            cost=rng.gamma(2, 50, 150).round(2),
        )  # fmt: skip
        rows.to_csv(tmp_path / f"{name}.csv", index=False)
    return tmp_path


def audit(folder: Path, *more: object, synthetic: str = "synthetic") -> Any:
    files = ("--synthetic", folder / f"{synthetic}.csv", "--train", folder / "train.csv")
    return CliRunner().invoke(app, [str(word) for word in ("audit", *files, *more, "--seed", 1)])


def test_without_a_schema_one_is_read_off_the_files(folder: Path) -> None:
    done = audit(
        folder, "--holdout", folder / "holdout.csv", "--secret", "c1", "--known", "c0", "--known", "c2", "--json",
        "--split", "random", synthetic="train",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)["attacks"]
    assert found["verdict"] == "LEAK"
    assert {"infer c1, nearest row", "link two sources"} <= {a["attack"] for a in found["attacks"]}
    assert any("no schema was given" in words for words in found["warnings"])
    assert any("left out" in words and "id, note" in words for words in found["warnings"])
    assert "text " not in done.stdout


def test_no_held_out_file(folder: Path) -> None:
    done = audit(folder, "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["verdict"] == "INCONCLUSIVE"
    assert found["evaluation"] is None


def test_ten_rows(folder: Path) -> None:
    head, *rows = (folder / "holdout.csv").read_text().splitlines()
    (folder / "ten.csv").write_text("\n".join([head, *rows[-10:]]) + "\n")
    done = audit(folder, "--holdout", folder / "ten.csv", "--json")
    assert json.loads(done.stdout)["verdict"] == "INCONCLUSIVE"
    assert "10 held-out" in json.loads(done.stdout)["attacks"]["headline"]


def test_what_makes_no_sense_is_said(folder: Path) -> None:
    held = ("--holdout", folder / "holdout.csv")
    for code, exit_code, more in (
        ("DPS-A109", 6, (*held, "--secret", "nowhere")),
        ("DPS-U112", 2, (*held, "--time", "soon")),
        ("DPS-U112", 2, (*held, "--time", "0s")),
        ("DPS-U107", 2, (*held, "--split", "perhaps")),
    ):
        done = audit(folder, *more)
        assert (done.exit_code, code in done.output) == (exit_code, True), done.output
    empty, other = folder / "empty.csv", folder / "other.csv"
    empty.write_text((folder / "train.csv").read_text().splitlines()[0] + "\n")
    other.write_text("c0,somewhere\n1,2\n")
    assert audit(folder, *held, synthetic="empty").exit_code == 4
    assert "empty.csv" in audit(folder, *held, synthetic="empty").output
    strange = audit(folder, *held, synthetic="other")
    assert strange.exit_code == 2
    assert "different columns" in strange.output


def test_what_only_the_synthetic_rows_have_is_said(folder: Path) -> None:
    """Another type, other categories, other bounds: a schema that was read off all files refuses none of them."""
    rows = pd.read_csv(folder / "synthetic.csv")
    words = rows.assign(
        cost="much", c1=["elsewhere"] * 30 + rows["c1"].astype(str).tolist()[30:], c2=rows["c2"] + 50
    )
    words.to_csv(folder / "words.csv", index=False)
    found = []
    for name in ("words", "synthetic"):
        done = audit(folder, "--holdout", folder / "holdout.csv", "--json", synthetic=name)
        assert done.exit_code == 0, done.output
        found.append([w for w in json.loads(done.stdout)["attacks"]["warnings"] if w.startswith("column '")])
    assert found[1] == []
    told = {words.split("'")[1]: words for words in found[0]}
    assert "no value there" in told["cost"]
    assert "20 % of the synthetic rows have a category that no real row has" in told["c1"]
    assert "a value beyond" in told["c2"]
    assert "much" not in done.stdout
    assert "elsewhere" not in done.stdout


def test_the_files_agree_on_a_schema(tmp_path: Path) -> None:
    one, two = tmp_path / "one.csv", tmp_path / "two.csv"
    pd.DataFrame({"a": [1, 2], "b": ["x", "y"], "when": ["2024-01-05", ""]}).to_csv(one, index=False)
    pd.DataFrame({"b": ["z", "x"], "a": [0, 90], "when": ["2025-01-05", "2024-03-01"]}).to_csv(
        two, index=False, sep=";"
    )
    schema, notes = schema_of_files([one, two])
    assert {name: column.type for name, column in schema.modelled.items()} == {
        "a": "integer", "b": "category", "when": "date",
    }  # fmt: skip
    assert schema.modelled["when"].missing
    assert len(notes) == 1
    two.write_text("a\n1\n")
    with pytest.raises(UsageError, match=r"'b' is in one\.csv only"):
        schema_of_files([one, two])


def test_what_a_project_declares_reaches_the_attacks() -> None:
    text = """\
data: {unit: {entity: row}}
columns:
  age: {type: integer, min: 0, max: 99}
  sex: {type: category, values: [f, m]}
  ill: {type: boolean}
audit: {secrets: [ill], quasi_identifiers: [age], groups: [sex]}
"""
    assert asked_of(Project.from_yaml(text)) == attacks.Asked(("ill",), ("age",), ("sex",))
    with pytest.raises(SchemaError, match=r"audit\.groups names"):
        Project.from_yaml(text.replace("[sex]", "[income]"))


def test_an_audit_looks_at_what_was_declared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a model of ours, through the function that every run and every later audit goes through."""
    rng = np.random.default_rng(3)
    rows = frame(population(900, rng, 4, 4))
    schema = Schema(columns={f"c{i}": SCHEMA.columns[f"c{i}"] for i in range(4)})
    table = read_table(rows, schema)
    model = fit(rows, schema, method="independent", epsilon=1.0, delta=1e-9)
    private = Private(table.take(np.arange(600)), table.take(np.arange(600, 900)))
    monkeypatch.setattr("dpsynth.auditing.evaluation.evaluate", lambda *_, **__: Nothing())
    _, suite, _ = audit_rows(
        model, model.sample_table(500, rng), private, holdout=1 / 3,
        asked=attacks.Asked(("c0",), ("c1",), ("c2",)), ledger=Nothing(),  # type: ignore[arg-type]
    )  # fmt: skip
    assert {"infer c0, nearest row", "infer c0, learning", "link two sources"} <= {
        a.name for a in suite.attacks
    }
    assert {f"c2 = {v}" for v in range(4)} <= {a.group for a in suite.attacks}


@dataclass(frozen=True)
class Nothing:
    """Takes note of nothing."""

    notes: tuple[str, ...] = ()

    def record_audit(self, *_: object, **__: object) -> None: ...

    def block(self, *_: object) -> None: ...

    def as_json(self) -> dict[str, object]:
        return {}
