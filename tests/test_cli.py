"""The command line as a user meets it: exit codes, one clear line, nothing lost, no value quoted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from example import SECRET
from typer.testing import CliRunner, Result

from dpsynth.cli.app import app
from dpsynth.privacy.ledger import Ledger

RUNNER = CliRunner()


def dpsynth(*words: object) -> Result:
    return RUNNER.invoke(app, [str(word) for word in words])


def spent_runs(project: Path) -> int:
    ledger = project.parent / "claims.ledger"
    if not ledger.exists():
        return 0
    with Ledger.load(ledger) as account:
        return sum(entry.kind == "reserve" for entry in account.entries)


def refused(result: Result, code: int, prefix: str) -> str:
    """The one line of an error, after checking what every error owes its user."""
    assert result.exit_code == code, result.output
    lines = [line for line in result.stderr.splitlines() if line.startswith("DPS-")]
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith(f"DPS-{prefix}")
    assert "Traceback" not in result.output
    assert SECRET not in result.output
    return lines[0]


# --- what works ------------------------------------------------------------------------------------


def test_run_ends_with_a_verified_release(project: Path) -> None:
    out = project.parent / "release"
    result = dpsynth("run", project, "-o", out, "--json")
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert answer["epsilon"] <= 2.0
    assert answer["verdict"] in {"NO EVIDENCE FROM THESE ATTACKS", "INCONCLUSIVE", "LEAK"}
    assert sorted(p.name for p in out.iterdir()) == ["internal", "public"]
    assert (out / "internal").stat().st_mode & 0o077 == 0
    assert dpsynth("verify", out).exit_code == 0
    assert dpsynth("verify", out / "public", "--ledger", project.parent / "claims.ledger").exit_code == 0
    assert spent_runs(project) == 1

    data = out / "public" / "data.csv"
    data.write_text(data.read_text().replace("yes", "no", 1))
    assert "data.csv" in refused(dpsynth("verify", out), 7, "V")


def test_fit_then_sample(project: Path) -> None:
    model, rows = project.parent / "model", project.parent / "rows.csv"
    assert dpsynth("fit", project, "-o", model).exit_code == 0
    assert dpsynth("sample", model, "-n", 50, "-o", rows, "--seed", 1).exit_code == 0
    text = rows.read_text()
    assert text.splitlines()[0] == "person,age,plan,smoker,cost"
    assert len(text.splitlines()) == 51
    again = project.parent / "again.csv"
    assert dpsynth("sample", model, "-n", 50, "-o", again, "--seed", 1).exit_code == 0
    assert again.read_text() == text
    assert SECRET not in text
    refused(dpsynth("sample", model, "-n", 5, "-o", rows), 2, "U")
    kind = project.parent / "kind.parquet"
    asked = ("sample", model, "-n", 40, "-o", kind, "--where")
    refused(dpsynth(*asked, "age > cost"), 2, "U193")
    assert not kind.exists()
    assert dpsynth(*asked, "smoker == 'yes' and age < 30").exit_code == 0
    found = pd.read_parquet(kind)
    assert len(found) == 40
    assert (found["smoker"] == "yes").all()
    assert (found["age"] < 30).all()
    refused(dpsynth("fit", project, "-o", model), 2, "U")
    assert spent_runs(project) == 1


def test_the_job_in_single_steps(project: Path) -> None:
    folder = project.parent
    model, rows, findings, out = (
        folder / "model",
        folder / "rows.csv",
        folder / "audit.json",
        folder / "release",
    )
    assert dpsynth("fit", project, "-o", model).exit_code == 0
    assert (folder / "model.holdout.json").stat().st_mode & 0o077 == 0
    assert dpsynth("sample", model, "-n", 800, "-o", rows).exit_code == 0
    release = ("release", model, "--synthetic", rows, "--audit", findings, "--project", project, "-o", out)
    refused(dpsynth(*release), 2, "U")
    audit = dpsynth("audit", "--model", model, "--project", project, "--synthetic", rows, "--out", findings)
    assert audit.exit_code == 0, audit.output
    assert findings.stat().st_mode & 0o077 == 0

    other = folder / "other.csv"
    assert dpsynth("sample", model, "-n", 800, "-o", other).exit_code == 0
    refused(dpsynth(*release[:3], other, *release[4:]), 6, "A321")
    forged = json.loads(findings.read_text())
    forged["attacks"]["verdict"] = "NO EVIDENCE AT ALL"
    (folder / "forged.json").write_text(json.dumps(forged))
    refused(dpsynth(*release[:5], folder / "forged.json", *release[6:]), 6, "A322")
    assert not out.exists()

    done = dpsynth(*release)
    assert done.exit_code == 0, done.output
    assert dpsynth("verify", out, "--ledger", folder / "claims.ledger").exit_code == 0
    assert spent_runs(project) == 1


def test_a_run_that_fails_after_its_fit_keeps_the_model(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("the evaluation failed")

    with monkeypatch.context() as patch:
        patch.setattr("dpsynth.auditing.evaluation.evaluate", broken)
        assert dpsynth("run", project, "-o", project.parent / "release").exit_code == 1
    kept = project.parent / "release.unfinished"
    assert kept.stat().st_mode & 0o077 == 0
    assert not (project.parent / "release").exists()
    refused(dpsynth("run", project, "-o", project.parent / "release"), 2, "U121")
    assert spent_runs(project) == 1
    rows, findings = project.parent / "rows.csv", project.parent / "audit.json"
    assert dpsynth("sample", kept / "model", "-n", 500, "-o", rows).exit_code == 0
    told = ("--model", kept / "model", "--project", project, "--synthetic", rows, "--out", findings)
    assert dpsynth("audit", *told).exit_code == 0
    done = dpsynth(
        "release", kept / "model", "--synthetic", rows, "--audit", findings, "--project", project,
        "-o", project.parent / "release",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert spent_runs(project) == 1


def test_audit_catches_a_copy(project: Path) -> None:
    folder = project.parent
    lines = (folder / "claims.csv").read_text().splitlines()
    people = sorted({line.split(",")[0] for line in lines[1:]})
    held = set(people[::2])
    for name, keep in (("train", False), ("holdout", True)):
        rows = [line for line in lines[1:] if (line.split(",")[0] in held) is keep]
        (folder / f"{name}.csv").write_text("\n".join([lines[0], *rows]) + "\n")
    tables = ("--train", folder / "train.csv", "--holdout", folder / "holdout.csv", "--schema", project)
    caught = dpsynth(
        "audit",
        "--synthetic",
        folder / "train.csv",
        *tables,
        "--epsilon",
        1,
        "--delta",
        1e-6,
        "--split",
        "random",
        "--json",
    )
    assert caught.exit_code == 6, caught.output
    assert json.loads(caught.stdout)["verdict"] == "VIOLATION"
    unknown = dpsynth("audit", "--synthetic", folder / "train.csv", *tables, "--json", "--seed", 1)
    assert json.loads(unknown.stdout)["verdict"] == "LEAK"


def test_ledger_verbs(project: Path) -> None:
    ledger = project.parent / "own.ledger"
    opened = dpsynth("ledger", "open", ledger, "--dataset", "staff", "--epsilon", 2, "--delta", 1e-9)
    assert opened.exit_code == 0, opened.output
    what = ("ledger", "charge", ledger, "--tool", "other", "--purpose", "a table", "--epsilon", 0.1)
    before = ledger.read_bytes()
    tried = dpsynth(*what, "--delta", 1e-12, "--dry-run")
    assert "nothing was entered" in tried.stdout
    assert ledger.read_bytes() == before
    assert "a run of ours with epsilon 0.1 takes" in tried.stdout, (
        "pure epsilon is dear in a Gaussian account"
    )
    charged = dpsynth(*what, "--delta", 1e-12)
    assert charged.exit_code == 0, charged.output
    assert charged.stdout.removeprefix("entered").split(";")[1] == tried.stdout.split(";")[1], "as was said"
    shown = dpsynth("ledger", "show", ledger)
    assert "staff" in shown.stdout
    assert "one more run of epsilon" in shown.stdout
    assert json.loads(dpsynth("ledger", "export", ledger).stdout)["dataset"] == "staff"
    assert dpsynth("ledger", "verify", ledger).exit_code == 0
    refused(dpsynth("ledger", "verify", ledger, "--head", "0" * 64), 7, "V")


def test_plan_and_check_spend_nothing(project: Path) -> None:
    checked = dpsynth("check", project)
    assert checked.exit_code == 0, checked.output
    planned = dpsynth("plan", project, "--compare", "independent,mst", "--epsilon", "0.5,1", "--json")
    plans = json.loads(planned.stdout)["plans"]
    assert [(p["method"], round(p["epsilon"], 2)) for p in plans] == [
        ("independent", 0.5), ("independent", 1.0), ("mst", 0.5), ("mst", 1.0),
    ]  # fmt: skip
    assert spent_runs(project) == 0


# --- what does not ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "code", "prefix"),
    [
        ("epsilon: 2.0", "epsilon: 0", 5, "B"),
        ("epsilon: 2.0", "epsilon: -1", 5, "B"),
        ("epsilon: 2.0", "epsilon: .nan", 5, "B"),
        ("epsilon: 2.0", "epsilon: 1.0e6", 5, "B"),
        ("epsilon: 2.0", "epsilon: 1.0e-9", 5, "B"),
        ("epsilon: 2.0, delta: 1.0e-6", "epsilon: 2.0, delta: 0", 5, "B"),
        ("epsilon: 2.0, delta: 1.0e-6", "epsilon: 2.0, delta: 1", 5, "B"),
        ("epsilon: 2.0, ", "", 3, "S"),
        ("columns:", "colums:", 3, "S"),
        ("max: 99", "max: -5", 3, "S"),
        ("data: {path", "data: [path", 3, "S"),
        ("path: claims.csv", "path: nowhere.csv", 4, "D"),
        ("  cost: {type: number, min: 0, max: 1000, cells: 8, decimals: 2}\n", "", 4, "D"),
        ("max: 99, cells: 10", "max: 30, cells: 3", 4, "D"),
        ("values: [A, B, C]", "values: [A, B]", 4, "D"),
        (", missing: true", "", 4, "D"),
        ("purpose: testing", "purpose: ''", 6, "A"),
        ("min: 0, max: 99, cells: 10", "min: 0, max: 99, cells: 10, origin: inspected", 6, "A"),
        ("method: mst", "method: magic", 3, "S"),
    ],
)
def test_a_mistake_costs_nothing(
    rewrite: Callable[[str, str], Path], old: str, new: str, code: int, prefix: str
) -> None:
    project = rewrite(old, new)
    out = project.parent / "release"
    refused(dpsynth("run", project, "-o", out), code, prefix)
    assert spent_runs(project) == 0
    assert not out.exists()
    assert [p.name for p in project.parent.iterdir() if p.name.startswith((".", "release"))] == []


@pytest.mark.parametrize(
    "content",
    ["", "person,age,plan,smoker,cost\n", f"person,age,plan,smoker,cost\n{SECRET}-1,{SECRET},A,yes,1\n",
     f"person,age,plan,smoker,cost\n{SECRET}-1,44,{SECRET},yes,1\n", f"person,age,plan,smoker,cost\n,44,A,yes,1{SECRET}\n",
     f"person,age,plan,smoker,cost\n{SECRET}-1,44,A\n", "\0\0\0"],
    ids=["empty", "header only", "text in a number", "unknown category", "no person", "ragged", "binary"],
)  # fmt: skip
def test_a_bad_table_costs_nothing(project: Path, content: str) -> None:
    (project.parent / "claims.csv").write_text(content)
    refused(dpsynth("run", project, "-o", project.parent / "release"), 4, "D")
    assert spent_runs(project) == 0


def test_an_existing_folder_is_left_alone(project: Path) -> None:
    out = project.parent / "release"
    out.mkdir()
    (out / "mine.txt").write_text("keep")
    refused(dpsynth("run", project, "-o", out), 2, "U")
    assert [p.name for p in out.iterdir()] == ["mine.txt"]
    assert spent_runs(project) == 0


def test_a_spent_budget_is_refused_and_says_what_is_left(rewrite: Callable[[str, str], Path]) -> None:
    project = rewrite("promise: {epsilon: 4.0", "promise: {epsilon: 2.5")
    assert dpsynth("fit", project, "-o", project.parent / "first").exit_code == 0
    line = refused(dpsynth("fit", project, "-o", project.parent / "second"), 5, "B")
    assert "epsilon" in line
    assert spent_runs(project) == 1
    assert not (project.parent / "second").exists()


def test_another_promise_or_dataset_is_refused(rewrite: Callable[[str, str], Path]) -> None:
    project = rewrite("promise: {epsilon: 4.0", "promise: {epsilon: 4.0")
    assert dpsynth("fit", project, "-o", project.parent / "first", "--epsilon", "0.5").exit_code == 0
    rewrite("promise: {epsilon: 4.0", "promise: {epsilon: 8.0")
    refused(dpsynth("fit", project, "-o", project.parent / "second"), 5, "B")
    rewrite("promise: {epsilon: 8.0", "promise: {epsilon: 4.0")
    rewrite("dataset: claims", "dataset: others")
    refused(dpsynth("fit", project, "-o", project.parent / "second"), 5, "B")


def test_errors_are_json_too(rewrite: Callable[[str, str], Path]) -> None:
    project = rewrite("epsilon: 2.0", "epsilon: 0")
    result = dpsynth("run", project, "-o", project.parent / "r", "--json")
    assert result.exit_code == 5
    assert json.loads(result.stdout)["error"]["code"].startswith("DPS-B")


def test_an_error_of_ours_shows_no_value(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError(f"the value was {SECRET}")

    monkeypatch.setattr("dpsynth.taken.read_table", broken)
    result = dpsynth("run", project, "-o", project.parent / "r")
    assert result.exit_code == 1
    assert SECRET not in result.output
    assert "DPS-X001" in result.stderr


def test_a_violation_blocks_the_model_and_releases_nothing(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Plant a generator that hands out its training rows: the attacks must see it and the gate must close."""
    from dpsynth import pipeline
    from dpsynth import taken as taken_in

    real = taken_in.fit_reserved
    taken = {}

    def remember(table, *rest, **options):  # type: ignore[no-untyped-def]
        model, intake = real(table, *rest, **options)
        taken["rows"] = table.take(intake.training)
        return model, intake

    monkeypatch.setattr(taken_in, "fit_reserved", remember)
    monkeypatch.setattr(pipeline, "_sample", lambda model, settings: taken["rows"])
    out = project.parent / "release"
    refused(dpsynth("run", project, "-o", out), 6, "A")
    assert not (out / "public").exists()
    with Ledger.load(project.parent / "claims.ledger") as account:
        assert [e.kind for e in account.entries] == ["open", "reserve", "commit", "audit", "block"]


def test_interrupting_a_run_tells_the_truth(project: Path) -> None:
    """Ctrl-C while the model is fitted: exit 130, no bundle, and the ledger counts the run as spent."""
    code = (
        "import dpsynth.pipeline as p\n"
        "def stop(*a, **k): raise KeyboardInterrupt\n"
        "p._sample = stop\n"
        "from dpsynth.cli import main\nmain()\n"
    )
    out = project.parent / "release"
    words = [sys.executable, "-c", code, "run", str(project), "-o", str(out)]
    done = subprocess.run(words, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 130, done.stderr
    assert "Traceback" not in done.stderr
    assert not out.exists()
    assert spent_runs(project) == 1


def test_check_warns_of_a_delta_that_one_person_at_random_would_keep(
    project: Path, rewrite: Callable[[str, str], Path]
) -> None:
    words = "delta is above 1 / (number of"
    assert words not in dpsynth("check", project).stdout
    loud = rewrite("epsilon: 2.0, delta: 1.0e-6", "epsilon: 2.0, delta: 1.0e-2")
    assert words in dpsynth("check", loud).stdout
    assert words not in dpsynth("check", loud, "--no-data").stdout, "how many there are is private"
