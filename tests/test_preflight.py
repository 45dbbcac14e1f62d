"""A run that would fail once it is paid for is refused before: nothing is spent, and no ledger entry is made."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import attacks
from dpsynth import Budget, Ledger, Schema, fit
from dpsynth.errors import DPSynthError
from dpsynth.pgm import GraphicalModel
from dpsynth.pipeline import Settings, _sample, fit_held_out, run_release
from dpsynth.preflight import _at_most
from dpsynth.release import ReleaseFields
from dpsynth.synthesis import unit_of
from dpsynth.table import Source

HUMAN = ReleaseFields(
    purpose="tests", recipient="us", lawful_basis="made up", prohibited_uses=("none",), contact="us", approver="us",
    review_date="2027-01-01", bounds_decided_by="us",
)  # fmt: skip
COLUMNS: dict[str, Any] = {
    "person": {"type": "id", "format": "P-######"},
    "visit": {"type": "integer", "min": 1, "max": 4},
    "stage": {"type": "category", "values": ["a", "b", "c"], "ordered": True},
}
UNIT = {"entity": "person", "column": "person", "rows_per_unit": 4, "order": "visit"}
ROWS = pd.DataFrame(
    [(f"p{i}", visit, "abc"[(i + visit) % 3]) for i in range(120) for visit in range(1, 5)],
    columns=["person", "visit", "stage"],
)
SETTINGS = Settings(holdout=0.3, human=HUMAN)


def schema_with(rules: list[dict[str, Any]] | None = None, **columns: Any) -> Schema:
    return Schema(columns={**COLUMNS, **columns}, unit=UNIT, constraints=rules or [])


def refused(tmp_path: Path, schema: Schema, settings: Settings, rows: Source = ROWS) -> tuple[str, float]:
    """The code of the error, and what the ledger says was spent."""
    with Ledger.open(tmp_path / "l", dataset="d", promise=Budget(1.0, 1e-6), unit=unit_of(schema)) as ledger:
        with pytest.raises(DPSynthError) as caught:
            run_release(
                rows,
                schema,
                method="independent",
                epsilon=1.0,
                ledger=ledger,
                out=tmp_path / "out",
                settings=settings,
            )
        assert not (tmp_path / "out.unfinished").exists()
        return caught.value.code, ledger.spent().epsilon


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        (replace(SETTINGS, target=("nope",)), "DPS-U170"),
        (replace(SETTINGS, asked=attacks.Asked(secrets=("nope",))), "DPS-A109"),
        (replace(SETTINGS, form="xlsx"), "DPS-U161"),
        (replace(SETTINGS, rows=1_000_000_000), "DPS-C151"),
    ],
)
def test_settings_that_no_run_can_end_with(tmp_path: Path, settings: Settings, code: str) -> None:
    assert refused(tmp_path, schema_with(), settings) == (code, 0.0)


@pytest.mark.parametrize("engine", ["memory", "duckdb"])
def test_as_many_rows_as_there_are_may_be_too_many(
    tmp_path: Path, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dpsynth.model.drawing.MAX_VALUES", 900)
    ROWS.to_csv(tmp_path / "rows.csv", index=False)
    settings = replace(SETTINGS, engine=engine)
    assert refused(tmp_path, schema_with(), settings, tmp_path / "rows.csv") == ("DPS-C151", 0.0)


def test_ids_of_too_few_digits(tmp_path: Path) -> None:
    """Of 120 persons, who are about 120 when they are counted with noise."""
    short = schema_with(person={"type": "id", "format": "##"})
    assert refused(tmp_path, short, SETTINGS) == ("DPS-D201", 0.0)
    with Ledger.open(tmp_path / "m", dataset="d", promise=Budget(1.0, 1e-6), unit=unit_of(short)) as ledger:
        with pytest.raises(DPSynthError, match="digits"):
            fit_held_out(
                ROWS, short, method="independent", budget=Budget(1.0, 1e-6), ledger=ledger, out=tmp_path / "model",
                settings=SETTINGS,
            )  # fmt: skip
        assert ledger.spent().epsilon == 0.0


def test_a_number_of_rows_that_no_whole_persons_have(tmp_path: Path) -> None:
    four = schema_with([{"rows": {"min": 4}}])
    assert refused(tmp_path, four, replace(SETTINGS, rows=402)) == ("DPS-U265", 0.0)


def test_rules_about_persons_that_cannot_be_kept_together(tmp_path: Path) -> None:
    rules = [
        {"rising": "stage"},
        {"when": "visit == 1", "then": "stage == 'c'"},
        {"when": "visit == 4", "then": "stage == 'a'"},
    ]
    assert refused(tmp_path, schema_with(rules), replace(SETTINGS, despite=True)) == ("DPS-S182", 0.0)


def test_whole_persons_whatever_the_noisy_number_is() -> None:
    """Each has four rows, and what was counted is a multiple of four by accident only."""
    model = fit(ROWS, schema_with([{"rows": {"min": 4}}]), method="independent", epsilon=2.0, delta=1e-6)
    assert isinstance(model.generator, GraphicalModel)
    for total in (401.0, 402.0, 403.0):
        noisy = replace(model, generator=GraphicalModel(model.domain, total, model.generator.potentials))
        assert len(_sample(noisy, replace(SETTINGS, holdout=0.0))) in (400, 404)


def test_a_refusal_says_no_exact_number_of_rows() -> None:
    for rows in (1, 812, 4_321, 27_253, 1_234_567):
        said = _at_most(rows)
        assert said >= 1.05 * rows + 100
        assert len(str(said).rstrip("0")) <= 2
