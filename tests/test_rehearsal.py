"""What cannot be drawn is refused before it is paid for: rules are tried together on rows from the schema alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from dpsynth import Schema
from dpsynth.cli.app import app
from dpsynth.errors import SchemaError
from dpsynth.model.rehearsal import rehearse
from dpsynth.synthesis import plan

COLUMNS: dict[str, Any] = {
    "person": {"type": "id", "format": "P-#"},
    "visit": {"type": "integer", "min": 1, "max": 4},
    "stage": {"type": "category", "values": ["a", "b", "c"], "ordered": True},
    "sex": {"type": "category", "values": ["f", "m"]},
    "label": {"type": "computed", "formula": "double(visit)", "gives": "number", "passed": ["double"]},
}
UNIT = {"entity": "person", "column": "person", "rows_per_unit": 4, "order": "visit", "static": ["sex"]}
RISES = {"rising": "stage"}


def of(*rules: dict[str, Any], **unit: Any) -> Schema:
    return Schema(columns=COLUMNS, unit={**UNIT, **unit}, constraints=list(rules))


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        # alone, each of them can be kept; the last two say which numbers of rows cannot be
        ([RISES, {"when": "visit <= 4", "then": "stage == 'b'"}, {"forbid": "visit == 2"}, {"advance": {"visit": 1}},
          {"rows": {"min": 3}}], "no rows can be drawn"),
        ([RISES, {"when": "visit == 1", "then": "stage == 'c'"}, {"when": "visit == 2", "then": "stage == 'a'"}],
         r"no unit of 4 rows .* rows: \{min: 1, max: 3\}"),
        ([{"last": {"stage": ["c"]}}, {"when": "visit == 1", "then": "stage == 'c'"}, {"rows": {"min": 2}}],
         r"no unit of 4 rows .* rows: \{min: 2, max: 3\}"),
    ],
)  # fmt: skip
def test_rules_that_cannot_be_kept_together_are_found_before_anything_is_spent(
    rules: list[dict[str, Any]], words: str
) -> None:
    with pytest.raises(SchemaError, match=words) as caught:
        plan(of(*rules), method="tree", epsilon=1.0, delta=1e-9)
    assert caught.value.code == "DPS-S182"


@pytest.mark.parametrize(
    "rules",
    [
        [RISES],
        [RISES, {"when": "visit <= 2", "then": "stage == 'a'"}],
        [RISES, {"when": "visit == 1", "then": "stage == 'c'"}],
        [{"advance": {"visit": 1}}, {"rows": {"min": 3}}],
        [{"forbid": "sex == 'f' and stage == 'b'"}],
        [{"rows": {"min": 4, "max": 4}}],
    ],
)
def test_rules_that_can_be_kept_pass(rules: list[dict[str, Any]]) -> None:
    assert rehearse(of(*rules)) == ()


TABLE: dict[str, Any] = {
    "a": {"type": "integer", "min": 0, "max": 10},
    "b": {"type": "category", "values": ["x", "y"]},
}
HALF = {"counts": {"b": {"x": 250, "y": 250}}}


@pytest.mark.parametrize("amount", [0, 20, 3_500, 4_750])
def test_sums_that_the_other_rules_leave_room_for_pass(amount: int) -> None:
    """The last is the largest that there is."""
    rules = [
        {"total": {"column": "a", "amount": amount}, "of": 500},
        {"forbid": "a == 10 and b == 'x'"},
        HALF,
    ]
    assert rehearse(Schema(columns=TABLE, constraints=rules)) == ()


def test_sums_that_other_rules_hold_back_are_refused_before_anything_is_spent() -> None:
    rules = [{"total": {"column": "a", "amount": 4_751}, "of": 500}, {"forbid": "a == 10 and b == 'x'"}, HALF]
    with pytest.raises(SchemaError, match="no room for their share of constraint 1") as caught:
        plan(Schema(columns=TABLE, constraints=rules), method="tree", epsilon=1.0, delta=1e-9)
    assert caught.value.code == "DPS-S182"


def test_check_doubts_the_sums_of_tables_too_large_to_be_tried(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("dpsynth.model.rehearsal.MOST_ROWS", 100)
    (tmp_path / "rows.csv").write_text("a,b\n1,x\n")
    file = tmp_path / "project.yaml"
    file.write_text(
        "version: 1\ndata: {path: rows.csv, unit: {entity: row}}\n"
        "budget: {epsilon: 1.0, delta: 1.0e-9, ledger: l, dataset: d}\n"
        "columns:\n  a: {type: integer, min: 0, max: 10}\n  b: {type: category, values: [x, y]}\n"
        "constraints:\n  - {total: {column: a, amount: 4760}, of: 500}\n  - {forbid: \"a == 10 and b == 'x'\"}\n"
        "  - {counts: {b: {x: 250, y: 250}}}\n"
    )
    said = CliRunner().invoke(app, ["check", "--no-data", str(file)])
    assert said.exit_code == 0, said.output
    assert "warning: 100 rows have no room for their share of constraint 1" in said.output


def whole(most: int, *names: str) -> dict[str, Any]:
    return {name: {"type": "integer", "min": 0, "max": most} for name in names}


PARTS = [f"p{i}" for i in range(12)]


@pytest.mark.parametrize(
    ("columns", "rule"),
    [
        (whole(100, "t", *PARTS), {"sum": "t == " + " + ".join(PARTS)}),
        (whole(100, *PARTS), {"sum": " + ".join(PARTS) + " <= 100"}),
        (whole(9, *PARTS[:9]), {"order": PARTS[:9], "strict": True}),
    ],
)  # fmt: skip
def test_rules_that_hardly_any_evenly_drawn_row_keeps_pass(
    columns: dict[str, Any], rule: dict[str, Any]
) -> None:
    """Twelve numbers up to 100, of which any set has 600 together, are no reason to refuse percentages of a whole."""
    assert rehearse(Schema(columns=columns, constraints=[rule])) == ()


def test_a_sum_that_no_values_have_is_refused() -> None:
    rules = [{"require": "a in [0, 2, 4]"}, {"require": "b in [0, 2, 4]"}, {"sum": "a + b == 5"}]
    with pytest.raises(SchemaError, match="no rows can be drawn"):
        rehearse(Schema(columns=whole(9, "a", "b"), constraints=rules))


PERSON: dict[str, Any] = {"person": COLUMNS["person"], "visit": COLUMNS["visit"]}


def test_an_order_of_columns_of_which_some_are_the_persons_own() -> None:
    """Born before hired is decided before both stand in all rows; hired before left, row by row."""
    columns = {**PERSON, **whole(60, "born", "hired"), "left": {"type": "integer", "min": 0, "max": 90}}
    schema = Schema(
        columns=columns,
        unit={**UNIT, "static": ["born", "hired"]},
        constraints=[{"order": ["born", "hired", "left"], "strict": True}],
    )
    assert rehearse(schema) == ()


def test_persons_some_of_whom_cannot_keep_a_rule_are_doubted_not_refused() -> None:
    """Limits below 100 leave nothing for c."""
    columns = {**PERSON, **whole(1000, "limit", "a", "b"), "c": {"type": "integer", "min": 100, "max": 1000}}
    schema = Schema(
        columns=columns,
        unit={**UNIT, "static": ["limit"], "rows_per_unit": 2},
        constraints=[{"sum": "a + b + c <= limit"}],
    )
    assert [doubt.split(":")[0] for doubt in rehearse(schema)] == [
        "some units, drawn from the schema alone, cannot keep the rules"
    ]
