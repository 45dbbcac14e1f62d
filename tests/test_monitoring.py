"""Drift: no alarm on fresh rows of the same people, an alarm on planted change, and no charge that is not asked for."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from dpsynth import Budget, Ledger, Schema, fit
from dpsynth.cli.app import app
from dpsynth.consistency import Released, to_bytes
from dpsynth.domain import Clique
from dpsynth.errors import DataError, VerifyError
from dpsynth.measurement import Measurement
from dpsynth.model import FittedModel
from dpsynth.monitoring import Change, Drift, _changes, _holm, _Known, charged_drift, drift, released
from dpsynth.privacy.ledger import Unit

SCHEMA = Schema(
    columns={
        "person": {"type": "id"},
        "age": {"type": "integer", "min": 0, "max": 99, "cells": 10},
        "plan": {"type": "category", "values": ["A", "B", "C"]},
        "ill": {"type": "boolean"},
    },
    unit={"entity": "person", "column": "person", "rows_per_unit": 2},
)


def people(n: int, seed: int, *, iller: float = 0.0, tied: bool = True) -> pd.DataFrame:
    """`iller`: more illness; `tied`: whether plan C is for the old."""
    rng = np.random.default_rng(seed)
    person = np.repeat(np.arange(n), 2)
    age = np.repeat(rng.integers(0, 100, n), 2)
    found = pd.DataFrame({"person": person, "age": age})
    other = age if tied else rng.permutation(age)
    found["plan"] = np.where(other > 70, "C", rng.choice(["A", "B"], len(age)))
    found["ill"] = np.repeat(rng.random(n) < 0.2 + iller, 2)
    return found


def surely(found: Drift) -> set[Clique]:
    """Tables whose change is no chance at all: the noise differs from run to run."""
    return {change.clique for change in found.changes if change.adjusted_p < 1e-7}


def test_words_for_no_change() -> None:
    change = Change(("a",), 2, 0.01, 0.02, 0.5, 0.5)
    assert "No change" in Drift((change,), None).words
    assert Drift((replace(change, adjusted_p=0.001),), None).words == "Changed: a (1 of 1 tables of counts)."


@pytest.fixture(scope="module")
def model() -> FittedModel:
    return fit(people(4000, 1), SCHEMA, method="mst", epsilon=5.0, delta=1e-6)


@pytest.fixture(scope="module")
def earlier(model: FittedModel) -> Released:
    return Released(model.schema, model.measurements)


@pytest.fixture
def account(tmp_path: Path) -> Path:
    path = tmp_path / "new.ledger"
    with Ledger.open(path, dataset="new", promise=Budget(4.0, 1e-6), unit=Unit("person", "person", 2)):
        return path


def test_the_p_value_is_never_too_small() -> None:
    rng = np.random.default_rng(2)
    small = 0
    for _ in range(1000):
        p = rng.dirichlet(np.full(2, 1.0))
        then, now = (rng.multinomial(n, p) / n for n in (3000, 800))
        noise = rng.normal(0, 5, 2) / 3000
        (change,) = _changes(
            [(("a",), _Known(then + noise, 5 / 3000, 3000.0, 0.002), _Known(now, 0.0, 800.0, 0.0))]
        )
        small += change.p_value < 0.05
    assert small <= 0.05 * 1000 + 6 * np.sqrt(0.05 * 0.95 * 1000)
    assert _holm([0.5, 0.01, 0.04]) == [0.5, 0.03, 0.08]


def test_fresh_rows_raise_no_alarm_and_changed_ones_do(earlier: Released) -> None:
    assert surely(drift(earlier, people(3000, 3))) == set()
    found = drift(earlier, people(3000, 5, iller=0.1))
    assert ("ill",) in surely(found)
    assert ("age",) not in surely(found)
    torn = drift(earlier, people(3000, 6, tied=False))
    assert {frozenset(clique) for clique in surely(torn)} == {frozenset({"age", "plan"})}
    assert "Changed: " in torn.words
    plain = found.as_json()
    assert plain["internal"] is True
    assert plain["charged"] is None
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain


def test_a_charged_comparison_spends_and_says_so(earlier: Released, account: Path) -> None:
    with Ledger.load(account) as ledger:
        same = charged_drift(earlier, people(4000, 7), epsilon=1.0, ledger=ledger)
        assert surely(same) == set()
        assert ledger.spent().epsilon == pytest.approx(1.0, abs=0.01)
        found = charged_drift(earlier, people(4000, 8, iller=0.15), epsilon=1.0, ledger=ledger)
    assert surely(found) == {("ill",)}
    assert {len(change.clique) for change in found.changes} == {1}
    plain = found.as_json()
    assert plain["internal"] is False
    assert plain["charged"]["epsilon"] == pytest.approx(1.0, abs=0.01)


def test_what_no_account_on_disk_remembers_stays_inside(earlier: Released) -> None:
    ledger = Ledger.in_memory(Budget(1.0, 1e-6), Unit(earlier.schema.unit.entity))
    assert charged_drift(earlier, people(4000, 7), epsilon=1.0, ledger=ledger).as_json()["internal"] is True


def test_rows_that_do_not_fit_spend_nothing(earlier: Released, account: Path) -> None:
    wrong = people(100, 9).assign(plan="Z")
    with Ledger.load(account) as ledger:
        with pytest.raises(DataError):
            charged_drift(earlier, wrong, epsilon=1.0, ledger=ledger)
        with pytest.raises(DataError, match="no rows"):
            charged_drift(earlier, people(0, 9), epsilon=1.0, ledger=ledger)
        assert ledger.spent().epsilon == 0


def test_the_verb(model: FittedModel, tmp_path: Path, account: Path) -> None:
    model.save(tmp_path / "model")
    public = tmp_path / "release" / "public"
    public.mkdir(parents=True)
    (public / "schema.yaml").write_text(model.schema.to_yaml())
    (public / "measurements.json").write_bytes(to_bytes(model.measurements))
    assert [m.clique for m in released(tmp_path / "model").measurements] == [
        m.clique for m in model.measurements
    ]
    new = tmp_path / "new.csv"
    people(2000, 10, iller=0.2).to_csv(new, index=False)
    run = CliRunner().invoke
    for where in ("model", "release", "release/public"):
        answer = run(app, ["monitor", str(tmp_path / where), str(new), "--json"])
        assert answer.exit_code == 0
        assert json.loads(answer.stdout)["changed"] is True
    text = run(app, ["monitor", str(public), str(new), "-o", str(tmp_path / "drift.json")]).stdout
    assert "Changed: ill" in text
    assert "INTERNAL" in text
    assert json.loads((tmp_path / "drift.json").read_text())["internal"] is True
    paid = ["--epsilon", "1", "--ledger", str(account)]
    answer = run(app, ["monitor", str(public), str(new), *paid])
    assert answer.exit_code == 0
    assert "may be shared" in answer.stdout
    assert run(app, ["monitor", str(public), str(new), "--epsilon", "1"]).exit_code == 2
    assert run(app, ["monitor", str(public), str(new), *paid[2:]]).exit_code == 2
    assert run(app, ["monitor", str(public), str(new), "-o", str(tmp_path / "drift.json")]).exit_code == 2
    assert run(app, ["monitor", str(public), str(new), "--epsilon", "9", *paid[2:]]).exit_code == 5
    assert run(app, ["monitor", str(tmp_path / "nothing"), str(new)]).exit_code == 7


def test_columns_counted_on_merged_cells_only_are_left_out_of_the_charged_part(account: Path) -> None:
    merge = np.array([0, 0, 0, 0, 0, 1, 1, 1, 1, 1])
    ones = (
        Measurement(("age",), np.full(2, 4000), 5.0, {"age": merge}),
        Measurement(("ill",), np.array([6400, 1600]), 5.0),
    )
    earlier = Released(SCHEMA, ones)
    with Ledger.load(account) as ledger:
        found = charged_drift(earlier, people(4000, 11), epsilon=1.0, ledger=ledger)
    assert [change.clique for change in found.changes] == [("ill",)]
    assert {change.cells for change in drift(earlier, people(1000, 12)).changes} == {2}


def test_a_folder_without_measurements_is_refused(tmp_path: Path) -> None:
    with pytest.raises(VerifyError, match="no readable"):
        released(tmp_path)


class TestValuesThatTheReleaseDoesNotKnow:
    def test_are_counted_and_the_other_columns_compared(self, earlier: Released) -> None:
        table = people(4000, 7, iller=0.3)
        table.loc[:40, "age"] = 130
        table.loc[:6, "plan"] = "D"
        found = drift(earlier, table)
        assert dict(found.unfit) == {"age": 41, "plan": 7}
        assert {clique for change in found.changes for clique in [change.clique]} == {("ill",)}
        assert surely(found) == {("ill",)}
        assert found.words.startswith("Values that the release does not know")
        assert "41 in age, 7 in plan" in found.words
        assert found.as_json()["changed"] is True
        assert "130" not in str(found.as_json()), "a count, never a value"

    def test_in_every_column(self, earlier: Released) -> None:
        table = people(50, 8).assign(age=-1, plan="D", ill="perhaps")
        found = drift(earlier, table)
        assert dict(found.unfit) == {"age": 100, "plan": 100, "ill": 100}
        assert found.changes == ()
        assert "No column is left" in found.words

    def test_in_columns_that_others_rest_on(self) -> None:
        columns = {
            **SCHEMA.columns,
            "visit": {"type": "integer", "min": 0, "max": 1},
            "months": {"type": "computed", "formula": "age * 12"},
        }
        unit = {
            "entity": "person",
            "column": "person",
            "rows_per_unit": 2,
            "static": ["age"],
            "order": "visit",
        }
        schema = Schema(columns=columns, unit=unit)
        table = people(300, 11).assign(visit=np.tile([0, 1], 300), months=0)
        model = fit(table, schema, method="independent", epsilon=4.0, delta=1e-6)
        table.loc[:5, "age"] = 130
        table.loc[:1, "visit"] = 7
        found = drift(Released(model.schema, model.measurements), table)
        assert dict(found.unfit) == {"age": 6, "visit": 2}
        assert {change.clique for change in found.changes} == {("plan",), ("ill",)}

    def test_are_refused_before_anything_is_paid(self, earlier: Released, account: Path) -> None:
        table = people(50, 9).assign(age=130)
        with Ledger.load(account) as ledger, pytest.raises(DataError):
            charged_drift(earlier, table, epsilon=1.0, ledger=ledger)
        with Ledger.load(account) as ledger:
            assert ledger.spent().epsilon == 0
