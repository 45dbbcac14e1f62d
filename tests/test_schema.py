"""Columns and schemas: what can be declared, what contradicts itself, and how it is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpsynth.columns import DateColumn, IntegerColumn, NumberColumn
from dpsynth.errors import SchemaError
from dpsynth.schema import CsvFormat, Schema, UnitSpec

HEAD = "data: {unit: {entity: row}}\n"


def refused(columns: str, head: str = HEAD) -> SchemaError:
    with pytest.raises(SchemaError) as caught:
        Schema.from_yaml(f"{head}columns:\n  {columns}\n")
    return caught.value


@pytest.mark.parametrize(
    ("column", "code", "words"),
    [
        ("age: {type: integer, min: 3, max: 1}", "S120", "min 3 is above max 1"),
        ("age: {type: integer, min: 0, max: 1.0e+17}", "S120", "1e15"),
        ("age: {type: integer, min: 0, max: 9, cells: 3, edges: [4]}", "S121", "both cells and edges"),
        ("age: {type: integer, min: 0, max: 9, edges: [4, 4]}", "S122", "do not increase"),
        ("age: {type: integer, min: 0, max: 9, edges: [4, 12]}", "S122", "leave [0, 9]"),
        ("age: {type: integer, min: 0, max: 9, cells: 11}", "S123", "11 cells for 10 whole numbers"),
        ("age: {type: integer, min: 0, max: 9, cells: 0}", "S123", "0 cells"),
        ("age: {type: number, min: 0, max: 9, cells: 10000000}", "S123", "10000000 cells"),
        ("age: {type: integer, min: 0.5, max: 9}", "S112", "min (line 3): is not a whole number"),
        ("age: {type: integer, min: '0', max: 9}", "S112", "not a whole number"),
        ("age: {type: integer, min: true, max: 9}", "S112", "truth value"),
        ("age: {type: number, min: .nan, max: 9}", "S112", "not a finite number"),
        ("age: {type: number, min: -.inf, max: 9}", "S112", "not a finite number"),
        (
            "age: {type: number, min: 0, max: 1, cells: 200, decimals: 2}",
            "S127",
            "holds no number with 2 decimals",
        ),
        ("age: {type: number, min: 0, max: 1.0e+10, decimals: 9}", "S127", "15 digits"),
        ("age: {type: number, min: 0, max: 9, decimals: 20}", "S114", "at most 12"),
        ("age: {type: integer, min: 0}", "S111", "max (line 3): is missing"),
        ("age: {type: integer, min: 0, max: 9, mx: 3}", "S110", "did you mean 'max'?"),
        ("age: {type: intger, min: 0, max: 9}", "S113", "did you mean 'integer'?"),
        ("age: {min: 0, max: 9}", "S111", "lacks 'type'"),
        ("age: 7", "S112", "group of entries"),
        ("age: {type: TODO}", "S106", "still open"),
        ("c: {type: date, min: 2000-01-01, max: 2001-01-01, discover: bounds}", "S110", "for a charge"),
        ("c: {type: category, values: []}", "S124", "lists no values"),
        ("c: {type: category, values: [a, b, a]}", "S124", "value 3 of the list repeats value 1"),
        ("c: {type: category, values: [true, false]}", "S125", "read as true or false"),
        ("c: {type: category, values: [1.5, 2]}", "S125", "put it in quotes"),
        ("c: {type: category, values: [a, null]}", "S125", "read as nothing"),
        ("c: {type: category, values: ['a ']}", "S125", "begins or ends with a space"),
        ("c: {type: category, values: abc}", "S112", "not a list"),
        ('c: {type: category, values: ["a\\tb"]}', "S125", "control character"),
        ("c: {type: category, values: ['']}", "S132", "also marks missing"),
        ("c: {type: integer, min: 0, max: 9, missing: true, missing_values: ['9']}", "S132", "also marks"),
        (
            "c: {type: number, min: 0, max: 1, special: [-1], missing: true, missing_values: ['-1']}",
            "S132",
            "also",
        ),
        ("c: {type: category, values: [1, 2], missing: true, missing_values: ['2.0']}", "S132", "also marks"),
        ("c: {type: integer, min: 0, max: 9, special: [1000000000000000000000]}", "S120", "beyond 1e15"),
        (
            "c: {type: datetime, min: 2020-01-01, max: 2021-01-01, format: '%Y-%m-%d %H'}",
            "S135",
            "needs %H, %M",
        ),
        ("c: {type: time, format: '%H:%M %f'}", "S135", "lacks a part"),
        ("c: {type: category, values: [a], written: integer}", "S125", "whole number"),
        ("b: {type: boolean, true_value: x}", "S129", "both or neither"),
        ("b: {type: boolean, true_value: x, false_value: x}", "S129", "same text"),
        ("d: {type: date, min: 2015-02-30, max: 2016-01-01}", "S112", "not a date"),
        ("d: {type: date, min: 2016-02-01, max: 2015-01-01}", "S120", "is after max"),
        ("d: {type: date, min: 2015-01-01, max: 2016-01-01, format: '%H'}", "S135", "lacks a part"),
        ("p: {type: id, format: P}", "S128", "#"),
        ("p: {type: id}", "S130", "no column is modelled"),
        ("age: {type: integer, min: 0, max: 9, origin: dp}", "S131", "nothing was learnt"),
        ("age: {type: integer, min: 0, max: 9, origin: private}", "S113", "choose 'public'"),
        ("age: {type: integer, min: 0, max: 9, was: inspected}", "S131", "'reason'"),
        (f"{'n' * 129}: {{type: boolean}}", "S130", "129 characters"),
        ("'': {type: boolean}", "S130", "0 characters"),
        ("age: {type: integer, min: 0, max: 9}\n  age: {type: boolean}", "S104", "given twice"),
    ],
)
def test_a_contradiction_is_named_with_column_and_way_out(column: str, code: str, words: str) -> None:
    error = refused(column)
    assert error.code == f"DPS-{code}", error
    assert words in str(error)
    assert error.fix


@pytest.mark.parametrize(
    ("head", "code"),
    [
        ("", "S111"),
        ("data: {}\n", "S111"),
        ("data: {unit: {entity: person}}\n", "S133"),
        ("data: {unit: {entity: row, column: p}}\n", "S133"),
        ("data: {unit: {entity: row, rows_per_unit: 2}}\n", "S133"),
        ("data: {unit: {entity: person, column: p, rows_per_unit: 0}}\n", "S114"),
        ("data: {unit: {entity: person, column: age}}\n", "S133"),
        ("data: {unit: {entity: row}, csv: {delimiter: ab}}\n", "S134"),
        ("data: {unit: {entity: row}, csv: {encoding: klingon}}\n", "S134"),
        ("data: {unit: {entity: row}, csv: {thousands: '.'}}\n", "S134"),
        ("data: {unit: {entity: row}, missing_values: ['?', no, 3, 1.5]}\n", "S112"),
        ("data: {unit: {entity: row}, missing_values: []}\n", "S132"),
        ("colums: {}\n", "S110"),
    ],
)
def test_the_head_of_the_file(head: str, code: str) -> None:
    assert refused("age: {type: integer, min: 0, max: 9, missing: true}", head).code == f"DPS-{code}"


def test_built_in_python_it_fails_alike() -> None:
    with pytest.raises(SchemaError, match="min 3 is above max 1"):
        IntegerColumn(min=3, max=1)
    with pytest.raises(SchemaError, match="column 'age': max: is missing"):
        Schema(columns={"age": {"type": "integer", "min": 0}})
    with pytest.raises(SchemaError, match="did you mean 'entity'"):
        UnitSpec(entty="row")  # type: ignore[call-arg]


def test_ten_million_categories_are_refused_quickly() -> None:
    with pytest.raises(SchemaError, match="10,000,000 values"):
        Schema(columns={"c": {"type": "category", "values": range(10_000_000) and [""] * 10_000_000}})


def test_a_schema_cannot_change() -> None:
    column = IntegerColumn(min=0, max=9)
    with pytest.raises(Exception, match="frozen"):
        column.max = 10  # type: ignore[misc]
    with pytest.raises(ValueError, match="read-only"):
        column.starts[0] = 5


def test_default_grids() -> None:
    assert IntegerColumn(min=0, max=255).starts.tolist() == list(range(256))
    assert len(IntegerColumn(min=0, max=1000).starts) == 256
    assert len(NumberColumn(min=0, max=1).lower) == 256
    assert len(NumberColumn(min=0, max=1, decimals=1).lower) == 11
    assert IntegerColumn(min=0, max=4, special=(2,)).starts.tolist() == [0, 1, 3, 4]
    assert IntegerColumn(min=0, max=4, special=(0, 1)).starts.tolist() == [0, 3, 4]
    assert NumberColumn(min=0, max=2, decimals=0, special=(0,)).lower[0] == 0
    assert NumberColumn(min=4, max=4).lower.tolist() == [4]
    assert IntegerColumn(min=0, max=9, edges=(1, 5)).starts.tolist() == [0, 1, 5]
    assert IntegerColumn(min=0, max=9, edges=(0, 1, 5, 9)).starts.tolist() == [0, 1, 5]
    assert NumberColumn(min=0, max=0.3, cells=3).lower.tolist() == [0.0, 0.1, 0.2]
    quarter = DateColumn(min="2015-01-01", max="2015-12-31", edges=("2015-04-01", "2015-07-01", "2015-10-01"))  # type: ignore[arg-type]
    assert np.diff(quarter.starts).tolist() == [90, 91, 92]


@given(low=st.integers(-1000, 1000), width=st.integers(0, 1000), cells=st.integers(1, 200))
@settings(deadline=None, max_examples=50)
def test_equal_cells_differ_by_at_most_one(low: int, width: int, cells: int) -> None:
    cells = min(cells, width + 1)
    starts = IntegerColumn(min=low, max=low + width, cells=cells).starts
    widths = np.diff([*starts, low + width + 1])
    assert starts[0] == low
    assert len(starts) == cells
    assert widths.min() >= 1
    assert widths.max() - widths.min() <= 1


FULL: dict[str, Any] = {
    "age": {"type": "integer", "min": 0, "max": 110, "cells": 11, "clip": True},
    "cost": {
        "type": "number",
        "min": 0,
        "max": 1e6,
        "edges": [0.01, 10, 100],
        "decimals": 2,
        "spread": "log",
    },
    "day": {"type": "date", "min": "2015-01-01", "max": "2026-12-31", "format": "%d.%m.%Y"},
    "plan": {
        "type": "category",
        "values": ["yes", "no", "007", "<b>", "é"],
        "ordered": True,
        "missing": True,
    },
    "code": {"type": "category", "values": [1, 2, 30]},
    "smoker": {"type": "boolean", "true_value": "Y", "false_value": "N"},
    "poverty": {"type": "integer", "min": 0, "max": 501, "missing_values": ["N"]},
    "person": {"type": "id", "format": "P-######"},
    "notes": {"type": "drop"},
    "weight": {"type": "number", "min": 0, "max": 3, "was": "inspected", "reason": "printed in the manual"},
    "height": {"type": "number", "min": 0, "max": 3, "origin": "inspected"},
}


def full() -> Schema:
    unit = UnitSpec(entity="person", column="person", rows_per_unit=3)
    form = CsvFormat(delimiter=";", decimal=",")
    return Schema(columns=FULL, unit=unit, missing_values=("", "?"), csv=form)


def test_yaml_round_trip() -> None:
    schema = full()
    assert Schema.from_yaml(schema.to_yaml()) == schema
    assert schema.modelled  # a filled cache changes nothing
    assert Schema.from_yaml(schema.to_yaml()) == schema


def test_what_is_modelled_written_and_inspected() -> None:
    schema = full()
    assert "person" not in schema.domain
    assert schema.written == [name for name in FULL if name != "notes"]
    assert schema.domain["plan"] == 6
    assert schema.modelled["poverty"].missing
    assert schema.inspected == ["height"]
    assert schema.once_inspected == ["weight", "height"]


def test_whole_numbers_as_categories_stay_numbers() -> None:
    column = full().modelled["code"]
    assert column.type == "category"
    assert column.values == ("1", "2", "30")
    assert column.written == "integer"


def test_load_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="does not exist"):
        Schema.load(tmp_path / "none.yaml")
    with pytest.raises(SchemaError, match="is a folder"):
        Schema.load(tmp_path)
    (tmp_path / "bad.yaml").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(SchemaError, match="not YAML"):
        Schema.load(tmp_path / "bad.yaml")
    (tmp_path / "null.yaml").write_bytes(b"")
    with pytest.raises(SchemaError, match="empty"):
        Schema.load(tmp_path / "null.yaml")
    (tmp_path / "good.yaml").write_text(full().to_yaml())
    assert Schema.load(tmp_path / "good.yaml") == full()


def test_json_schema_is_json() -> None:
    text = json.dumps(Schema.json_schema())
    for kind in ("integer", "number", "category", "boolean", "date", "id", "drop"):
        assert f'"{kind}"' in text


def test_five_hundred_columns() -> None:
    columns = {f"c{i}": {"type": "integer", "min": 0, "max": 9} for i in range(500)}
    schema = Schema(columns=columns)
    assert Schema.from_yaml(schema.to_yaml()) == schema
    assert len(schema.domain) == 500
