"""Columns that follow rules: produced, never modelled, never read; formulas are parsed, never run."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_units import COLUMNS, people

from dpsynth import Schema, fit, plan
from dpsynth.declared import Fault
from dpsynth.errors import DataError, SchemaError, UsageError
from dpsynth.formulas import Values, columns_of, evaluated, kind_of, parse
from dpsynth.model import FittedModel
from dpsynth.model.from_schema import from_schema
from dpsynth.table import read_table, write_table, write_tables

RULED: dict[str, Any] = {
    "wave": {"type": "constant", "value": "=wave 3"},
    "three": {"type": "constant", "value": 3},
    "half": {"type": "constant", "value": 0.5},
    "yes": {"type": "constant", "value": True},
    "twice": {"type": "computed", "formula": "cost * 2 + year", "decimals": 1},
    "age": {"type": "computed", "formula": "2000 - born", "gives": "integer"},
    "older": {"type": "computed", "formula": "if age is missing then 0 else age + 1", "gives": "integer"},
    "who": {"type": "computed", "gives": "text", "formula": "if sex == 'f' and city != 'A' then 'w' else 'o, or'"},
    "region": {"type": "drawn", "values": ["N", "S"], "weights": [3, 1]},
    "weight": {"type": "drawn", "distribution": "normal", "mean": 70, "deviation": 10, "min": 60, "max": 75, "decimals": 1},
    "calls": {"type": "drawn", "distribution": "poisson", "mean": 3, "min": 1, "max": 6},
    "pay": {"type": "drawn", "distribution": "lognormal", "mean": 8, "deviation": 1, "min": 100, "decimals": 0},
    "place": {"type": "drawn", "distribution": "uniform", "min": -1, "max": 1, "decimals": 3},
}  # fmt: skip
UNIT = {
    "entity": "person", "column": "person", "rows_per_unit": 4, "static": ("sex", "born", "city", "region"), "order": "year",
}  # fmt: skip


def schema(**more: Any) -> Schema:
    return Schema(columns={**COLUMNS, **RULED, **more}, unit=UNIT)


@pytest.fixture(scope="module")
def model() -> FittedModel:
    return fit(people(500), schema(), method="independent", epsilon=5.0, delta=1e-6)


def test_rules_hold_in_every_row(model: FittedModel) -> None:
    rows = model.sample(4_000, np.random.default_rng(1))
    assert set(rows["wave"]) == {"=wave 3"}
    assert rows["yes"].all()
    assert (rows["twice"] - (rows["cost"] * 2 + rows["year"])).abs().max() < 0.06
    assert rows["age"].isna().equals(rows["born"].isna())
    assert (rows["age"] + rows["born"]).dropna().eq(2000).all()
    assert rows["older"].eq(rows["age"].fillna(-1) + 1).all()
    assert rows["who"].eq(np.where((rows["sex"] == "f") & (rows["city"] != "A"), "w", "o, or")).all()
    assert rows["weight"].between(60, 75).all()
    assert rows["calls"].between(1, 6).all()
    assert rows["pay"].ge(100).all()
    assert rows["region"].eq("N").mean() == pytest.approx(0.75, abs=0.1)
    assert (rows.groupby("person")[["region", "sex"]].nunique() == 1).all(axis=None)


def test_types_are_those_of_the_declaration(model: FittedModel) -> None:
    types = model.sample(5, np.random.default_rng(1)).dtypes.astype(str)
    wanted = {
        "three": "int64",
        "half": "float64",
        "yes": "bool",
        "twice": "float64",
        "age": "Int64",
        "calls": "int64",
    }
    assert {name: types[name] for name in wanted} == wanted


@pytest.mark.parametrize("name", ["rows.csv", "rows.csv.gz", "rows.parquet"])
def test_a_file_holds_them_and_they_come_back(model: FittedModel, tmp_path: Path, name: str) -> None:
    rows = model.sample(300, np.random.default_rng(2))
    write_tables(model.sample_batches(300, np.random.default_rng(2)), tmp_path / name, model.schema)
    write_table(rows, tmp_path / f"frame-{name}", model.schema)
    for file in (name, f"frame-{name}"):
        again = read_table(tmp_path / file, model.schema, require_unit=False).to_frame()
        pd.testing.assert_frame_equal(again, rows)


def test_real_rows_may_hold_columns_of_these_names_which_nobody_reads() -> None:
    with_junk = people(30).assign(weight="not a number", wave=None, age="x")
    plain = read_table(people(30), schema())
    read = read_table(with_junk, schema())
    assert read.values.keys() == plain.values.keys()
    assert not set(RULED) & set(read.values)


def test_what_the_rule_cannot_have_written_is_refused(model: FittedModel, tmp_path: Path) -> None:
    rows = model.sample(20, np.random.default_rng(3)).assign(three="many")
    rows.to_csv(tmp_path / "rows.csv", index=False)
    with pytest.raises(DataError, match="three"):
        read_table(tmp_path / "rows.csv", model.schema, require_unit=False)


def test_the_sample_alone_decides(model: FittedModel) -> None:
    one, two, other = (model.sample(200, np.random.default_rng(seed)) for seed in (4, 4, 5))
    pd.testing.assert_frame_equal(one, two)
    assert not one["weight"].equals(other["weight"])


def test_they_cost_nothing() -> None:
    bare = Schema(columns=COLUMNS, unit={**UNIT, "static": ("sex", "born", "city")})
    costs = [plan(s, method="mst", epsilon=1.0, delta=1e-6).charges for s in (bare, schema())]
    assert costs[0] == costs[1]


def test_the_declaration_is_read_back() -> None:
    assert Schema.from_yaml(schema().to_yaml()) == schema()


@pytest.mark.parametrize(
    ("column", "code"),
    [
        ({"type": "computed", "formula": "nobody + 1"}, "S170"), ({"type": "computed", "formula": "later + 1"}, "S170"),
        ({"type": "computed", "formula": "sex + 1"}, "S170"), ({"type": "computed", "formula": "sex"}, "S170"),
        ({"type": "computed", "formula": "if sex > 'a' then 1 else 2"}, "S170"),
        ({"type": "computed", "formula": "__import__('os')"}, "S170"),
        ({"type": "computed", "formula": "cost.real"}, "S170"),
        ({"type": "drawn"}, "S172"), ({"type": "drawn", "values": ["a"], "weights": [0]}, "S172"),
        ({"type": "drawn", "values": ["a", "b"], "weights": [1]}, "S172"),
        ({"type": "drawn", "distribution": "normal", "mean": 1}, "S172"),
        ({"type": "drawn", "distribution": "uniform", "min": 2, "max": 1}, "S172"),
        ({"type": "constant", "value": " x"}, "S125"), ({"type": "faker", "provider": "__class__"}, "S171"),
        ({"type": "faker", "provider": "name", "locale": "../x"}, "S171"),
    ],
)  # fmt: skip
def test_rules_that_cannot_be(column: dict[str, Any], code: str) -> None:
    with pytest.raises(SchemaError) as caught:
        Schema(columns={**COLUMNS, "new": column, "later": {"type": "constant", "value": 1}})
    assert caught.value.code == f"DPS-{code}"


def test_bounds_that_leave_nothing_are_found_before_anything_is_spent() -> None:
    far = {"type": "drawn", "distribution": "normal", "mean": 0, "deviation": 1, "min": 50}
    with pytest.raises(SchemaError) as caught:
        plan(schema(new=far), method="independent", epsilon=1.0, delta=1e-6)
    assert caught.value.code == "DPS-S181"


# --- made-up names ----------------------------------------------------------------------------------------------


def test_made_up_names_stay_with_a_person_and_follow_the_seed() -> None:
    unit = {**UNIT, "static": ("sex", "born", "city", "name")}
    declared = Schema(
        columns={
            **COLUMNS,
            "name": {"type": "faker", "provider": "name", "locale": "en_GB"},
            "street": {"type": "faker", "provider": "address"},
        },
        unit=unit,
    )
    fitted = fit(people(200), declared, method="independent", epsilon=5.0, delta=1e-6)
    one, two = (fitted.sample(400, np.random.default_rng(1)) for _ in range(2))
    pd.testing.assert_frame_equal(one, two)
    assert (one.groupby("person")["name"].nunique() == 1).all()
    assert one["name"].nunique() > 50
    assert not one["street"].str.contains("\n").any()


@pytest.mark.parametrize(
    "column", [{"provider": "seed_instance"}, {"provider": "no_such_thing"}, {"provider": "name", "locale": "xx_XX"},
               {"provider": "pylist"}],
)  # fmt: skip
def test_what_faker_does_not_make_is_refused_before_anything_is_spent(column: dict[str, str]) -> None:
    with pytest.raises(SchemaError) as caught:
        plan(schema(new={"type": "faker", **column}), method="independent", epsilon=1.0, delta=1e-6)
    assert caught.value.code == "DPS-S180"


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "faker", None)
    with pytest.raises(UsageError, match=r"dpsynth-audit\[faker\]"):
        plan(schema(new={"type": "faker", "provider": "name"}), method="independent", epsilon=1.0, delta=1e-6)


# --- formulas ---------------------------------------------------------------------------------------------------


def number(text: str, **columns: list[float | None]) -> list[float | None]:
    rows = len(next(iter(columns.values())))
    values = {
        name: Values(
            "number", np.array([0.0 if v is None else v for v in c]), np.array([v is None for v in c])
        )
        for name, c in columns.items()
    }
    found = evaluated(parse(text), values, rows)
    return [None if gone else float(v) for v, gone in zip(found.array, found.missing, strict=True)]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a + b * 2", [21, None, 6]), ("(a + b) * 2", [22, None, 12]), ("a - b - 1", [-10, None, 5]),
        ("-a + 1", [0, -1, -5]),
        ("a / b", [0.1, None, None]), ("if b is missing then -1 else b", [10, -1, 0]), ("max(a, 3)", [3, 3, 6]),
        ("round(a / 4)", [0, 0, 2]), ("if not (a > 1 or b > 1) then 1 else 0", [0, 0, 0]),
        ("if (a + 1) * 2 == 4 then 1 else 0", [1, 0, 0]), ("if b < 100 then 1 else 2", [1, 2, 1]),
        ("if a == 1 then 5 else if a == 2 then 6 else 7", [5, 6, 7]), ("`a` * 1e2", [100, 200, 600]),
        ("a * 1e308 * 1e10", [None] * 3),
    ],
)  # fmt: skip
def test_formulas(text: str, wanted: list[float | None]) -> None:
    assert number(text, a=[1, 2, 6], b=[10, None, 0]) == wanted


@given(st.recursive(
    st.one_of(st.integers(0, 9).map(str), st.sampled_from(["x", "y"])),
    lambda inner: st.tuples(inner, st.sampled_from("+-*"), inner).map(lambda p: f"({p[0]} {p[1]} {p[2]})"),
    max_leaves=12,
))  # fmt: skip
@settings(deadline=None, max_examples=60)
def test_arithmetic_is_that_of_python(text: str) -> None:
    """Against Python's own arithmetic on whole numbers, by a walk over its syntax tree."""
    import ast
    import operator

    steps: dict[type, Any] = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul}

    def value(node: Any) -> int:
        match node:
            case ast.BinOp(left, op, right):
                return int(steps[type(op)](value(left), value(right)))
            case ast.Constant(found):
                return int(found)
            case ast.Name(name):
                return {"x": 3, "y": -2}[name]
        raise AssertionError

    assert number(text, x=[3.0], y=[-2.0]) == [value(ast.parse(text, mode="eval").body)]
    assert columns_of(parse(text)) <= {"x", "y"}


@given(st.text(alphabet="abif then else()+-*/'\"`<>=! 1.,and or not is missing", max_size=60))
@settings(deadline=None, max_examples=200)
def test_anything_else_is_refused_and_nothing_breaks(text: str) -> None:
    codes = set()
    try:
        node = parse(text)
        kind_of(node, dict.fromkeys(columns_of(node), "number"))
    except Fault as fault:
        codes.add(fault.code)
    assert codes <= {"S170"}


def test_long_conditions_are_not_deep() -> None:
    many = " and ".join(["(a + 1) * 2 > 0"] * 60)
    assert number(f"if {many} then 1 else 0", a=[1]) == [1]


def test_deep_formulas_are_refused() -> None:
    for text in (
        "(" * 500 + "1" + ")" * 500,
        "-" * 500 + "1",
        "if " * 500,
        "1 + " * 5000 + "1",
        "if " + "not " * 500,
    ):
        with pytest.raises(Fault):
            parse(text)


# --- survey weights ----------------------------------------------------------------------------------------------


def test_survey_weights_are_modelled_and_weigh_one_comparison() -> None:
    from dpsynth.encoding import Encoding
    from dpsynth.evaluation.weighted import weighted_errors

    declared = Schema(
        columns={
            "a": {"type": "category", "values": ["x", "y"]},
            "w": {"type": "weight", "min": 0, "max": 10, "cells": 5},
        }
    )
    rng = np.random.default_rng(1)
    a = np.where(rng.random(2_000) < 0.5, "x", "y")
    real = read_table(pd.DataFrame({"a": a, "w": np.where(a == "x", 8.0, 2.0)}), declared)
    shuffled = read_table(
        pd.DataFrame({"a": a, "w": rng.permutation(np.where(a == "x", 8.0, 2.0))}), declared
    )
    encode = Encoding(declared).encode
    found = weighted_errors((shuffled, real, real), [encode(t) for t in (shuffled, real, real)])
    assert found is not None
    assert found.errors["a"] == pytest.approx(0.3, abs=0.03), "x weighs 80 % in truth, half when shuffled"
    assert found.attainable == {"a": 0.0}
    assert "w" in declared.modelled
    with pytest.raises(SchemaError, match="below 0"):
        Schema(columns={"w": {"type": "weight", "min": -1, "max": 10}})
    bare = Schema(columns={"a": declared.columns["a"]})
    without = read_table(pd.DataFrame({"a": a}), bare)
    assert weighted_errors((without,) * 3, [Encoding(bare).encode(without)] * 3) is None


DATED: dict[str, Any] = {
    "born": {"type": "date", "min": "1960-01-01", "max": "2004-12-31", "cells": 12, "missing": True},
    "seen": {"type": "date", "min": "2005-01-01", "max": "2024-12-31", "cells": 12},
    "age": {"type": "computed", "formula": "years(born, seen)", "gives": "integer"},
    "when": {"type": "computed", "formula": "year(seen) * 100 + month(seen)", "gives": "integer"},
    "day": {
        "type": "computed",
        "formula": "if weekday(seen) > 5 then 'weekend' else 'week'",
        "gives": "text",
    },
    "root": {"type": "computed", "formula": "ceil(sqrt(age)) + exp(log(day(seen)))", "decimals": 3},
}


def test_library_functions_are_those_of_the_calendar() -> None:
    rows = from_schema(Schema(columns=DATED), 0.2).sample(2_000, np.random.default_rng(1))
    for row in rows.itertuples():
        assert row.when == row.seen.year * 100 + row.seen.month
        assert row.day == ("weekend" if row.seen.isoweekday() > 5 else "week")
        if pd.isna(row.born):
            assert pd.isna(row.age)
            continue
        later = (row.seen.month, row.seen.day) >= (row.born.month, row.born.day)
        assert row.age == row.seen.year - row.born.year - (not later)
        assert row.root == pytest.approx(math.ceil(math.sqrt(row.age)) + row.seen.day, abs=1e-3)


def test_a_program_passes_functions_and_a_file_holds_none() -> None:
    columns = {
        "x": {"type": "integer", "min": 0, "max": 9},
        "score": {"type": "computed", "formula": "2 * score(x, 1)", "passed": ["score"]},
    }
    schema = Schema(columns=columns)
    assert Schema.from_yaml(schema.to_yaml()) == schema
    made = fit(
        pd.DataFrame({"x": np.arange(200) % 10}), schema, method="independent", epsilon=1.0, delta=1e-6
    )
    with pytest.raises(UsageError) as caught:
        made.sample(10)
    assert caught.value.code == "DPS-U266"
    rows = made.with_functions({"score": lambda x, one: x**2 + one}).sample(300, np.random.default_rng(0))
    assert (rows["score"] == 2 * (rows["x"] ** 2 + 1)).all()
    with pytest.raises(UsageError) as caught:
        made.with_functions({"score": lambda x, one: 3.0}).sample(10)
    assert caught.value.code == "DPS-U267"
    with pytest.raises(SchemaError, match="passed names a function twice"):
        Schema(columns={**columns, "score": {**columns["score"], "passed": ["score", "score"]}})
    for formula in ("score(x)", "os.system(x)", "__import__(x)", "eval(x)"):
        with pytest.raises(SchemaError):
            Schema(columns={**columns, "score": {"type": "computed", "formula": formula}})


def test_a_function_that_writes_into_what_it_gets_alters_no_column() -> None:
    columns = {
        "x": {"type": "number", "min": 0, "max": 9, "decimals": 1},
        "y": {"type": "computed", "formula": "spoil(x) + x", "passed": ["spoil"], "decimals": 1},
    }
    made = replace(from_schema(Schema(columns=columns)), functions={"spoil": lambda x: x.__imul__(100) * 0})
    rows = made.sample(50, np.random.default_rng(0))
    assert (rows["y"] == rows["x"]).all()
    assert rows["x"].max() > 1
