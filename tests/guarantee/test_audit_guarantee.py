"""The quick audits of every method, and the command line around all of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from attacks.guarantee.command import Command
from dpsynth import synthesis
from dpsynth.auditing import Private
from dpsynth.budget import Budget
from dpsynth.cli import guarantee
from dpsynth.cli.app import app
from dpsynth.guarantee.findings import KEPT, UNKNOWN, VIOLATION, Beside, Findings, verdict_of
from dpsynth.guarantee.gradients import audit_gradients, one_run_of_gradients
from dpsynth.guarantee.of_model import audit_model
from dpsynth.guarantee.quick import SLOW
from dpsynth.guarantee.rehearsing import receipt_of, rehearse, watched_fit
from dpsynth.guarantee.structure import audit_structure
from dpsynth.guarantee.tables import crowd, people
from dpsynth.guarantee.white_box import audit_method, judged
from dpsynth.mechanisms import METHODS
from dpsynth.privacy import noise
from dpsynth.privacy.rehearsal import Noted, Script, exact_door
from dpsynth.synthesis import plan
from dpsynth.table import read_table

BUDGET = Budget(1.0, 1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_quick_audits_of_every_method(method: str) -> None:
    found = audit_method(method, BUDGET, tables=people(60), fits=1)
    assert found.why() == []
    assert found.notes == ()
    assert any(bound.about.startswith("the whole run") for bound in found.bounds)
    for bound in found.bounds:
        assert bound.low <= bound.claim
        assert bound.high >= bound.low


@pytest.mark.parametrize("method", [m for m in METHODS if m not in SLOW and m != "mst"])
def test_structure_of_every_method(method: str) -> None:
    """Of mst in test_planted_bugs."""
    assert audit_structure(method, BUDGET, people(60)).why() == []


def test_honest_code_is_not_accused_in_many_repetitions() -> None:
    """The quickest audits a hundred times; all of them: ``python -m benchmarks.guarantee quiet``."""
    tables = crowd(40)
    preview = plan(tables.schema, method="independent", epsilon=1.0, delta=1e-6)
    receipt, others = receipt_of(preview), [tables.joined(each) for each in tables.neighbours]
    for _ in range(100):
        _, answers = watched_fit(tables.base, others, tables.schema, preview, receipt)
        assert judged([answers], preview, tables).why() == []
    for _ in range(10):
        assert audit_gradients(steps=120).why() == []


def test_verdicts() -> None:
    kept = Findings("a", bounds=(Beside("x", 0.5, 1.0, 0.9),))
    unknown = Findings("b", notes=("what?",))
    broken = Findings("c", bounds=(Beside("x", 1.0, 1.5, 0.9),))
    assert [each.verdict for each in (kept, unknown, broken)] == [KEPT, UNKNOWN, VIOLATION]
    assert verdict_of([kept, unknown, broken]) == VIOLATION
    assert verdict_of([kept, unknown]) == UNKNOWN
    assert "x" in str(broken)


def test_a_rehearsal_can_never_be_released() -> None:
    tables = crowd()
    preview = plan(tables.schema, method="independent", epsilon=1.0, delta=1e-6)
    model, kept = rehearse(tables.base, preview, receipt_of(preview), schema=tables.schema)
    assert not model.releasable
    with pytest.raises(TypeError):
        kept.__reduce__()
    assert Script().seeded


def test_a_door_with_scripted_coins_tells_exact_counts() -> None:
    tables = crowd(7)
    from dpsynth.budget import Cost

    [found] = exact_door(tables.alone.engine).measure([("a", "b")], Cost(0.1), "exact")
    assert found.values.tolist() == [[7, 0], [0, 0]]
    assert Noted().events == []


def test_one_run_of_the_real_gradients_stays_below_its_charge() -> None:
    found, claim = one_run_of_gradients(canaries=400, confidence=1 - 1e-6)
    assert found.epsilon <= claim
    assert found.gaussian_epsilon <= claim


def test_a_fitted_model_against_its_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    tables = people(300)
    table = read_table(tables.base, tables.schema)
    preview = plan(tables.schema, method="mst", epsilon=1.0, delta=1e-6)
    model, kept = rehearse(tables.base, preview, receipt_of(preview), schema=tables.schema)
    assert audit_model(model, Private.of(table, kept).training).why() == []
    honest = noise.discrete_gaussian
    monkeypatch.setattr(noise, "discrete_gaussian", lambda s, shape, stream: honest(s / 3, shape, stream))
    louder, kept = rehearse(tables.base, preview, receipt_of(preview), schema=tables.schema)
    assert audit_model(louder, Private.of(table, kept).training).verdict == VIOLATION


# --- the command line --------------------------------------------------------------------------------


def call(*words: str) -> tuple[int, Any]:
    done = CliRunner().invoke(app, ["audit", "--guarantee", "--json", *words])
    return done.exit_code, json.loads(done.stdout)


def test_the_command_audits_a_method_and_exits_6_on_a_violation(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    code, found = call("--method", "independent", "--out", str(tmp_path / "found.json"))
    assert (code, found["verdict"]) == (0, KEPT)
    assert json.loads((tmp_path / "found.json").read_text()) == found
    monkeypatch.setattr(noise, "discrete_gaussian", lambda s, shape, stream: np.zeros(shape, np.int64))
    monkeypatch.setattr(guarantee, "quick_audits", lambda methods, budget, **named: [on_the_crowd(budget)])
    code, found = call("--method", "independent")
    assert (code, found["verdict"]) == (6, VIOLATION)


def on_the_crowd(budget: Budget) -> Findings:
    return audit_method("independent", budget, tables=crowd(), fits=1)


def test_the_command_audits_a_project_without_reading_its_rows(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project.parent / "claims.csv").unlink()
    asked: list[Any] = []

    def audits(methods: Any, budget: Budget, **named: Any) -> list[Findings]:
        asked.append((methods, budget))
        return [Findings("nothing")]

    monkeypatch.setattr(guarantee, "quick_audits", audits)
    code, found = call("--project", str(project))
    assert (code, found["private"]) == (0, False)
    call("--project", str(project), "--method", "aim", "--epsilon", "0.5")
    call()
    assert asked[0] == (["mst"], Budget(2.0, 1e-6))
    assert asked[1] == (["aim"], Budget(0.5, 1e-6))
    assert asked[2] == (list(METHODS), Budget(1.0, 1e-6))


def test_the_command_audits_a_model_against_its_rows(project: Path, tmp_path: Path) -> None:
    assert CliRunner().invoke(app, ["fit", str(project), "--out", str(tmp_path / "m")]).exit_code == 0
    code, found = call("--model", str(tmp_path / "m"), "--project", str(project))
    assert (code, found["private"], found["verdict"]) == (0, True, KEPT)
    assert synthesis.load(tmp_path / "m").method == "mst"


def test_the_command_audits_anybodys_generator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The program itself runs in test_campaigns; here it would only be slow."""
    monkeypatch.setattr(Command, "__call__", lambda self, frame: frame)
    words = ("--command", "copy {input} {output}", "--epsilon", "1", "--delta", "1e-6", "--fits", "100")
    code, found = call(*words, "--table", "one more", "--journal", str(tmp_path / "j"))
    assert (code, found["verdict"]) == (6, VIOLATION)
    assert found["many_fits"][0]["epsilon_lower"] > 1
    assert len(list((tmp_path / "j").glob("*.jsonl"))) == 1


def test_the_command_takes_many_fits_of_a_method(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guarantee, "quick_audits", lambda methods, budget, **named: [])
    code, found = call("--method", "independent", "--fits", "100")
    assert (code, found["many_fits"][0]["fits"]) == (0, 100)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--fits", "3"], "U272"),
        (["--method", "magic"], "U273"),
        (["--model", "m"], "U274"),
        (["--command", "x {input} {output}"], "U275"),
        (["--command", "x {input} {output}", "--epsilon", "1", "--delta", "1e-6", "--table", "z"], "U276"),
        (["--synthetic", "x.csv"], "U113"),
    ],
)
def test_mistakes(words: list[str], code: str) -> None:
    exit_code, found = call(*words)
    assert (exit_code, found["error"]["code"]) == (2, f"DPS-{code}")


def test_audit_needs_something_to_audit() -> None:
    done = CliRunner().invoke(app, ["audit", "--json"])
    assert (done.exit_code, json.loads(done.stdout)["error"]["code"]) == (2, "DPS-U114")
