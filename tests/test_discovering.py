"""Runs on columns that nobody declared: the model's schema is concrete, the release verifies, and neighbours look alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from example import small_table
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import dpsynth
from dpsynth import DataError, Schema, SchemaError
from dpsynth.cli.app import app
from dpsynth.columns import CategoryColumn, IntegerColumn, NumberColumn, value_cells
from dpsynth.discovering import require_open
from dpsynth.discovery import public_scale, with_bounds, with_values
from dpsynth.encoding import Encoding
from dpsynth.mechanisms import METHODS
from dpsynth.privacy.events import to_json
from dpsynth.release.fields import ReleaseFields
from dpsynth.release.gate import judge
from dpsynth.release.privacy_form import Bound
from dpsynth.release.privacy_json import NOBODY, bounds_of
from dpsynth.release.purposes import check_purposes
from dpsynth.table import read_table

LIGHT = [name for name in METHODS if name not in {"network", "gan"}]
DECLARED = "plan: {type: category, values: [A, B, C], missing: true}"
ASKED = "plan: {type: category, discover: {max_values: 20}, missing: true, origin: dp}"
BOUNDS = ("min: 0, max: 1000, cells: 8", "min: 0, discover: bounds, cells: 8")


def asking() -> Schema:
    return Schema(
        columns={
            "person": {"type": "id"},
            "age": {"type": "integer", "min": 0, "max": 99, "cells": 10},
            "plan": {"type": "category", "discover": {"max_values": 30}, "missing": True, "other": "rest"},
            "smoker": {"type": "boolean", "true_value": "yes", "false_value": "no"},
            "cost": {"type": "number", "min": 0, "discover": "bounds", "cells": 8, "decimals": 2},
        },
        unit={"entity": "person", "column": "person", "rows_per_unit": 2},
    )


def with_rare(rows: int = 3) -> pd.DataFrame:
    frame = small_table(900)
    frame.loc[frame.index[:rows], "plan"] = "zebra"
    return frame


@pytest.mark.parametrize("method", LIGHT)
def test_every_method_models_what_was_discovered(method: str) -> None:
    schema = asking()
    preview = dpsynth.plan(schema, method=method, epsilon=2.0, delta=1e-6)
    model = dpsynth.fit(with_rare(), schema, method=method, epsilon=2.0, delta=1e-6)
    assert model.receipt.charges == preview.charges
    plan, cost = model.schema.columns["plan"], model.schema.columns["cost"]
    assert isinstance(plan, CategoryColumn)
    assert isinstance(cost, NumberColumn)
    assert plan.values == ("A", "B", "C", "rest")
    assert (plan.origin, plan.learnt, plan.discover) == ("dp", "discovered values", None)
    assert 0 <= cost.min <= 50
    assert 500 <= cost.max <= 1000
    assert not model.schema.unknown
    rows = model.sample(300, np.random.default_rng(1))
    assert set(rows["plan"].dropna()) <= {"A", "B", "C", "rest"}
    assert list(rows.columns) == list(with_rare().columns)
    again = Schema.from_yaml(model.schema.to_yaml())
    assert again == model.schema


def test_a_model_with_discovered_columns_is_saved_and_loaded(tmp_path: Path) -> None:
    model = dpsynth.fit(with_rare(), asking(), method="independent", epsilon=2.0, delta=1e-6)
    model.save(tmp_path / "model")
    assert dpsynth.load(tmp_path / "model").id == model.id


def test_real_rows_are_read_under_the_discovered_schema() -> None:
    """What is not among the values is one of the others; so an audit or a monitor can read the table again."""
    table = read_table(with_rare(), asking())
    model = dpsynth.fit(with_rare(), asking(), method="independent", epsilon=2.0, delta=1e-6)
    known = table.under(model.schema)
    again = read_table(with_rare(), model.schema)
    plan = model.schema.columns["plan"]
    assert isinstance(plan, CategoryColumn)
    assert (known.values["plan"][:3] == plan.values.index("rest")).all()
    one, two = Encoding(model.schema).encode(known), Encoding(model.schema).encode(again)
    assert np.array_equal(one.matrix(), two.matrix())
    assert known.under(model.schema) is known


def test_run_and_verify(project: Path, rewrite: Callable[[str, str], Path], tmp_path: Path) -> None:
    small_table(1500).to_csv(project.parent / "claims.csv", index=False)
    rewrite(DECLARED, ASKED)
    rewrite(*BOUNDS)
    cli = CliRunner()
    planned = cli.invoke(app, ["plan", str(project)])
    assert "discovered values" in planned.output
    done = cli.invoke(app, ["run", str(project), "-o", str(tmp_path / "out"), "-q"])
    assert done.exit_code == 0, done.output
    seen = cli.invoke(app, ["verify", str(tmp_path / "out" / "public")])
    assert seen.exit_code == 0, seen.output
    stated = (tmp_path / "out" / "public" / "privacy.json").read_text()
    assert "partition selection" in stated
    assert "values and bounds with origin: dp" in stated


def test_a_network_asks_for_what_was_planned_whatever_was_discovered() -> None:
    """Triples that were too large for the plan are small once few values are found: they are not asked for all the same."""
    pytest.importorskip("torch")
    wide = {"type": "category", "discover": {"max_values": 40}}
    schema = Schema(columns={"a": wide, "b": wide, "c": wide, "d": {"type": "boolean"}})
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({name: rng.choice(["p", "q"], 500) for name in "abc"} | {"d": rng.random(500) < 0.5})
    asked = {"method": "network", "epsilon": 2.0, "delta": 1e-6, "max_cells": 1000.0}
    model = dpsynth.fit(rows, schema, **asked)
    assert model.domain.size(("a", "b", "c")) < 100
    assert model.receipt.charges == dpsynth.plan(schema, **asked).charges


def test_a_release_refuses_what_another_run_learnt(
    project: Path, rewrite: Callable[[str, str], Path], tmp_path: Path
) -> None:
    """A copied answer: nothing was charged for it in this run."""
    rewrite(
        DECLARED,
        "plan: {type: category, values: [A, B, C], missing: true, origin: dp, learnt: discovered values}",
    )
    done = CliRunner().invoke(app, ["run", str(project), "-o", str(tmp_path / "out"), "-q"])
    assert done.exit_code == 3
    assert "S152" in done.output
    assert not list(tmp_path.glob("out*"))
    model = dpsynth.fit(small_table(), asking(), method="independent", epsilon=2.0, delta=1e-6)
    gate = judge(model.schema, ReleaseFields(purpose="..."), model.receipt, {})
    assert [check.passed for check in gate.checks if check.code == "A314"] == [True]
    column = model.schema.columns["plan"]
    assert isinstance(column, CategoryColumn)
    other = model.schema.with_columns(
        {**model.schema.columns, "plan": column.model_copy(update={"learnt": "one-way marginals"})}
    )
    gate = judge(other, ReleaseFields(purpose="..."), model.receipt, {})
    assert [check.passed for check in gate.checks if check.code == "A314"] == [False]
    forged = replace(model.receipt, charges=model.receipt.charges[1:])
    gate = judge(model.schema, ReleaseFields(purpose="..."), forged, {})
    assert [check.passed for check in gate.checks if check.code == "A314"] == [False]


def test_of_learnt_bounds_nobody_must_be_named_and_the_bundle_says_so() -> None:
    """The gate asks for nobody, so what is written must read back: else a paid release fails its own verification."""
    model = dpsynth.fit(small_table(), asking(), method="independent", epsilon=2.0, delta=1e-6)
    human = ReleaseFields(bounds_decided_by={"age": "A", "smoker": "B"})
    found = {one["column"]: Bound.model_validate(one).decided_by for one in bounds_of(model.schema, human)}
    assert found == {"age": "A", "smoker": "B", "plan": NOBODY, "cost": NOBODY}


@pytest.mark.parametrize(
    ("column", "problem"),
    [
        ("{type: category, values: [A], discover: {max_values: 5}}", "discover"),
        ("{type: category, discover: {max_values: 5}, ordered: true}", "order"),
        ("{type: category, discover: {max_values: 0}}", "max_values"),
        ("{type: category, discover: {max_values: 5}, origin: public}", "origin"),
        ("{type: category, discover: {max_values: 5}, learnt: x}", "learnt"),
        ("{type: category, discover: {max_values: 5}, written: integer}", "other"),
        ("{type: category, values: [A], origin: dp}", "charge"),
        ("{type: category, values: [A, B], other: A}", "last"),
        ("{type: integer, min: 0, max: 9, learnt: x, origin: public}", "origin"),
        ("{type: number, edges: [1.0], discover: bounds}", "edges"),
        ("{type: boolean, discover: bounds}", "discover"),
    ],
)
def test_declarations_that_contradict_themselves(column: str, problem: str) -> None:
    with pytest.raises(SchemaError, match=problem):
        Schema.from_yaml(f"data: {{unit: {{entity: row}}}}\ncolumns:\n  c: {column}\n")


@pytest.mark.parametrize(
    ("cell", "column", "problem"),
    [
        ("(other)", {}, "stands for other"),
        ("x" * 1001, {}, "longer"),
        ("a\x07b", {}, "control"),
        ("a\x85b", {}, "control"),
        ("B", {"written": "integer", "other": "-1"}, "whole number"),
    ],
)
def test_cells_that_no_schema_could_list(cell: str, column: dict[str, str], problem: str) -> None:
    schema = Schema(columns={"c": {"type": "category", "discover": {"max_values": 5}, **column}})
    with pytest.raises(DataError, match=problem) as refused:
        read_table(pd.DataFrame({"c": ["1", cell]}), schema)
    assert refused.value.code == "DPS-D126"
    assert cell not in str(refused.value)


def test_codes_come_back_as_whole_numbers() -> None:
    """Codes of a file of integers: those that were not discovered come back as the declared one."""
    frame = pd.DataFrame({"code": [7] * 500 + [11] * 400 + [3]})
    asked = {"type": "category", "discover": {"max_values": 50}, "written": "integer", "other": "-1"}
    model = dpsynth.fit(frame, Schema(columns={"code": asked}), method="independent", epsilon=2.0, delta=1e-6)
    column = model.schema.columns["code"]
    assert isinstance(column, CategoryColumn)
    assert column.values == ("7", "11", "-1")
    rows = model.sample(200, np.random.default_rng(1))
    assert rows["code"].dtype == np.int64
    assert Schema.from_yaml(model.schema.to_yaml()) == model.schema


def test_missing_values_and_codes_move_no_bound() -> None:
    frame = pd.DataFrame({"pay": [-1.0] * 800 + [None] * 800 + [float(x) for x in range(20, 60)] * 20})
    asked = {
        "type": "number",
        "discover": "bounds",
        "special": [-1],
        "missing": True,
        "decimals": 1,
        "cells": 10,
    }
    model = dpsynth.fit(frame, Schema(columns={"pay": asked}), method="independent", epsilon=4.0, delta=1e-6)
    column = model.schema.columns["pay"]
    assert isinstance(column, NumberColumn)
    assert (column.min, column.max) == (20.0, 100.0)
    shares = model.sample(1000, np.random.default_rng(1))["pay"]
    assert 0.2 < (shares == -1).mean() < 0.5
    assert 0.2 < shares.isna().mean() < 0.5


# --- answers become columns, whatever they are: nothing may fail once it is paid for ------------------------


@st.composite
def numbers(draw: st.DrawFn) -> IntegerColumn | NumberColumn:
    """A column of whole numbers or of others whose bounds are to be discovered."""
    known = {"cells": draw(st.integers(1, 80)), "discover": "bounds"}
    special = draw(st.lists(st.sampled_from([-1, 0, 1, 9999]), unique=True))
    low, width = draw(st.integers(-5000, 5000)), draw(st.integers(100, 10**9))
    scale = draw(st.sampled_from(["linear", "log"]))
    try:
        if draw(st.booleans()):
            return IntegerColumn(min=low, max=low + width, scale=scale, special=special, **known)
        ends = {"min": round(low * 0.7, 1), "max": round(low * 0.7 + width, 1)}
        return NumberColumn(**ends, scale=scale, special=special, decimals=draw(st.integers(1, 3)), **known)
    except SchemaError:
        reject()


@given(column=numbers(), data=st.data())
@settings(max_examples=100, deadline=None)
def test_any_pair_of_edges_makes_a_column_that_fits_the_plan(
    column: IntegerColumn | NumberColumn, data: st.DataObject
) -> None:
    scale = public_scale(column)
    assert list(scale) == sorted(set(scale))
    assert (scale[0], scale[-1]) == (column.min, column.max)
    first = data.draw(st.integers(0, len(scale) - 2))
    last = data.draw(st.integers(first + 1, len(scale) - 1))
    cells = value_cells(column) - len(column.special)
    found = with_bounds(column, scale[first], scale[last], cells, "discovered bounds")
    assert value_cells(found) <= value_cells(column)
    assert found.clip
    assert not found.unknown
    assert column.min <= found.min <= found.max <= column.max
    schema = Schema(columns={"x": found})
    assert Schema.from_yaml(schema.to_yaml()) == schema


@given(st.lists(st.text(max_size=8).filter(lambda t: t == t.strip() and t.isprintable() and t != "(other)")))
@settings(max_examples=60, deadline=None)
def test_any_values_make_a_column(found: list[str]) -> None:
    asked = CategoryColumn(discover={"max_values": 1000})
    column = with_values(asked, found, "discovered values")
    assert column.values == (*sorted(set(found)), "(other)")


def test_bounds_that_leave_no_row_to_the_rules_give_way_to_the_declared_ones() -> None:
    """Real rows break the rule, so that what is found of them contradicts it."""
    columns = {
        "plan": {"type": "category", "values": ["A", "B"]},
        "cost": {"type": "number", "min": 0, "max": 100_000, "discover": "bounds", "cells": 8, "decimals": 2},
    }
    schema = Schema(columns=columns, constraints=[{"require": "cost > 6000"}])
    rows = pd.DataFrame({"plan": ["A", "B"] * 300, "cost": np.linspace(10.0, 90.0, 600)})
    model = dpsynth.fit(rows, schema, method="tree", epsilon=3.0, delta=1e-6, despite_violations=True)
    cost = model.schema.columns["cost"]
    assert isinstance(cost, NumberColumn)
    assert (cost.min, cost.max) == (0, 100_000)
    assert (cost.origin, cost.was, cost.learnt) == ("public", "searched", None)
    assert "between the bounds that were learnt for a charge no row keeps" in str(cost.reason)
    assert [charge.purpose for charge in model.receipt.charges].count("discovered bounds") == 1
    human = ReleaseFields(bounds_decided_by={"plan": "A"})
    [_, bound] = bounds_of(model.schema, human)
    assert Bound.model_validate(bound).decided_by.startswith("the project file")
    checks = {check.code: check.words for check in judge(model.schema, human, model.receipt, {}).checks}
    assert "bounds_decided_by" not in checks["A302"]  # it was paid for: nobody must be named afterwards
    charges = [{"purpose": c.purpose, "event": to_json(c.event)} for c in model.receipt.charges]
    stated = {"charges": charges, "model": {"method": "tree"}}
    assert check_purposes(stated, model.schema, same_build=True) == ""
    assert check_purposes({**stated, "charges": charges[1:]}, model.schema, same_build=True) != ""
    forged = replace(model.receipt, charges=model.receipt.charges[1:])
    gate = judge(model.schema, human, forged, {})
    assert [check.passed for check in gate.checks if check.code == "A314"] == [False]
    with pytest.raises(SchemaError, match="searched by another run"):
        require_open(model.schema)
    seen = {**columns, "cost": {**columns["cost"], "was": "inspected", "reason": "as of old"}}
    again = Schema(columns=seen, constraints=[{"require": "cost > 6000"}])
    old = dpsynth.fit(rows, again, method="tree", epsilon=3.0, delta=1e-6, despite_violations=True)
    assert old.schema.once_inspected == ["cost"]
    assert str(old.schema.columns["cost"].reason).startswith("as of old; as declared")
    assert (model.sample(50)["cost"] > 6000).all()
    kept = dpsynth.fit(rows, Schema(columns=columns), method="tree", epsilon=3.0, delta=1e-6)
    narrow = kept.schema.columns["cost"]
    assert isinstance(narrow, NumberColumn)
    assert narrow.max < 1_000
