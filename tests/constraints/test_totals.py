"""Totals of the whole table: exact in every sample of the declared size, found out when they contradict each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from dpsynth import Schema, fit
from dpsynth.constraint_checks import findings, refuse_contradictions
from dpsynth.constraints import Rules
from dpsynth.constraints.apportioning import Infeasible, Tangled, joined_margins, raked, rounded, two_sided
from dpsynth.constraints.totals import Totals
from dpsynth.domain import Domain
from dpsynth.errors import DataError, SchemaError, UsageError
from dpsynth.model import FittedModel
from dpsynth.model.from_schema import from_schema
from dpsynth.model.shares import Shares
from dpsynth.table import read_table, write_tables

COLUMNS: dict[str, Any] = {
    "region": {"type": "category", "values": ["north", "south", "east"]},
    "sex": {"type": "category", "values": ["f", "m"], "missing": True},
    "age": {"type": "integer", "min": 0, "max": 99, "cells": 10},
    "cost": {"type": "number", "min": 0, "max": 5000, "cells": 12, "decimals": 2, "special": [0]},
    "rent": {"type": "number", "min": 0, "max": 5000, "cells": 12, "decimals": 2},
}
RULES: list[dict[str, Any]] = [
    {"require": "rent <= cost"},
    {"forbid": "region == 'east' and age < 20"},
    {"counts": {"region": {"north": 1000, "south": 700, "east": 300}}},
    {"counts": {"columns": ["sex"], "rows": [["f", 1100], [None, 50]]}, "of": 2000},
    {"total": {"column": "cost", "amount": 800_000.25}, "of": 2000},
    {"total": {"column": "rent", "by": "region", "amount": {"north": 200_000, "east": 45_000.5}}, "of": 2000},
]
SCHEMA = Schema(columns=COLUMNS, constraints=RULES)


def frame(rows: int = 3_000) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    cost = np.where(rng.random(rows) < 0.2, 0, np.minimum(rng.gamma(1.0, 450, rows), 5000)).round(2)
    return pd.DataFrame(
        {
            "region": rng.choice(["north", "south", "east"], rows, p=[0.4, 0.4, 0.2]),
            "sex": rng.choice(["f", "m"], rows),
            "age": rng.integers(20, 100, rows),
            "cost": cost,
            "rent": np.floor(cost * rng.random(rows)),
        }
    )


@pytest.fixture(scope="module")
def model() -> FittedModel:
    return fit(frame(), SCHEMA, method="tree", epsilon=2.0, delta=1e-9)


def has_totals(rows: pd.DataFrame) -> None:
    assert rows["region"].value_counts().to_dict() == {"north": 1000, "south": 700, "east": 300}
    assert (rows["sex"] == "f").sum() == 1100
    assert rows["sex"].isna().sum() == 50
    assert round(rows["cost"].sum(), 2) == 800_000.25
    sums = rows.groupby("region")["rent"].sum().round(2)
    assert (sums["north"], sums["east"]) == (200_000, 45_000.5)
    assert (rows["rent"] <= rows["cost"]).all()
    assert not ((rows["region"] == "east") & (rows["age"] < 20)).any()


@pytest.mark.parametrize("seed", [1, 2])
def test_every_sample_has_them_and_keeps_all_rules(model: FittedModel, seed: int) -> None:
    rows = model.sample(rng=np.random.default_rng(seed))
    has_totals(rows)
    assert (rows["cost"] == 0).mean() > 0.1, "what has a meaning of its own stays"
    pd.testing.assert_frame_equal(rows, model.sample(2000, rng=np.random.default_rng(seed)))


def test_rows_from_the_schema_alone_have_them_too() -> None:
    has_totals(from_schema(SCHEMA).sample(rng=np.random.default_rng(3)))


def test_a_stream_has_them_over_all_its_parts(model: FittedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dpsynth.model.drawing.DECODED", 300)
    monkeypatch.setattr("dpsynth.model.groups.BLOCK", 700)
    parts = list(model.sample_batches(rng=np.random.default_rng(4)))
    assert len(parts) > 5
    has_totals(pd.concat([part.to_frame() for part in parts]))
    assert max(part.to_frame()["cost"].mean() for part in parts) < 450, "each part has its share"


def test_of_another_size_proportions_stay(model: FittedModel) -> None:
    rows = model.sample(500, np.random.default_rng(5))
    assert rows["region"].value_counts().to_dict() == pytest.approx(
        {"north": 250, "south": 175, "east": 75}, abs=2
    )
    assert rows["cost"].sum() == pytest.approx(200_000, abs=1)
    north = model.sample(200, np.random.default_rng(5), where="region == 'north'")
    assert set(north["region"]) == {"north"}


def test_a_file_is_told_from_one_that_was_altered(model: FittedModel, tmp_path: Path) -> None:
    write_tables(model.sample_batches(rng=np.random.default_rng(6)), tmp_path / "rows.csv", SCHEMA)
    table = read_table(tmp_path / "rows.csv", SCHEMA)
    totals = Totals.of(SCHEMA)
    assert totals.broken(table) == {}
    assert Rules.of(SCHEMA).broken(table) == {}
    costs = table.values["cost"].copy()
    costs[5] += 0.01
    one = type(table)(SCHEMA, {**table.values, "cost": costs}, table.missing)
    assert set(totals.broken(one)) == {5}
    swapped = table.values["region"].copy()
    swapped[np.flatnonzero(swapped == 0)[0]] = 1
    other = type(table)(SCHEMA, {**table.values, "region": swapped}, table.missing)
    assert 3 in totals.broken(other)


NORTH = {"counts": {"region": {"north": 10, "south": 10}}}


@pytest.mark.parametrize(
    ("rules", "code", "numbers"),
    [
        ([NORTH, {"counts": {"sex": {"f": 1, "m": 2}}}], "S168", None),
        ([{"counts": {"columns": ["region", "sex"], "rows": [["north", "f", 5], ["south", "m", 5]]}},
          {"counts": {"sex": {"f": 6, "m": 4}}}], "S166", (1, 2)),
        ([NORTH, {"forbid": "region == 'north'"}], "S166", (1,)),
        ([NORTH, {"counts": {"sex": {"f": 15, "m": 5}}}, {"forbid": "region == 'south' and sex == 'f'"}], "S166", (1, 2)),
        ([{"total": {"column": "cost", "amount": 1e9}, "of": 10}], "S166", (1,)),
        ([NORTH, {"total": {"column": "rent", "by": "region", "amount": {"east": 1}}, "of": 20}], "S166", (2,)),
        ([{"total": {"column": "cost", "amount": 1}, "of": 9}, {"total": {"column": "cost", "by": "region",
          "amount": {"north": 1, "south": 1, "east": 1}}, "of": 9}], "S166", (1, 2)),
        ([{"total": {"column": "cost", "amount": 1e3}}], "S168", None),
        ([{"total": {"column": "cost", "amount": 1.001}, "of": 3}], "S168", None),
        ([{"total": {"column": "sex", "amount": 1}, "of": 3}], "S168", None),
        ([{"counts": {"region": {"west": 3}}}], "S168", None),
        ([{"counts": {"age": {"3": 3}}}], "S168", None),
    ],
)  # fmt: skip
def test_check_names_what_no_table_can_have(
    rules: list[dict[str, Any]], code: str, numbers: tuple[int, ...] | None
) -> None:
    schema = Schema(columns=COLUMNS, constraints=rules)
    with pytest.raises(SchemaError) as caught:
        refuse_contradictions(schema)
    assert caught.value.code == f"DPS-{code}"
    if numbers is not None:
        assert [(f.kind, f.rules) for f in findings(schema)] == [("contradiction", numbers)]


@pytest.mark.parametrize(
    "rule",
    [
        {"counts": {"region": {"north": -1}}},
        {"counts": {"columns": ["region"], "rows": [["north", 1], ["north", 2]]}},
        {"counts": {"region": {"north": 1.5}}},
        {"total": {"column": "cost", "by": "region", "amount": 3}},
        {"total": {"column": "cost", "amount": "3"}},
        {"forbid": "age < 3", "of": 5},
    ],
)
def test_a_declaration_that_means_nothing_is_refused(rule: dict[str, Any]) -> None:
    with pytest.raises(SchemaError):
        Schema(columns=COLUMNS, constraints=[rule])


def test_what_holds_values_back_is_told() -> None:
    """Bounds reach the total, but a rule between columns does not let them."""
    rules = [{"require": "cost <= 100"}, {"total": {"column": "cost", "amount": 100_000}, "of": 100}]
    made = from_schema(Schema(columns=COLUMNS, constraints=rules))
    with pytest.raises(DataError) as caught:
        made.sample(rng=np.random.default_rng(0))
    assert caught.value.code == "DPS-D214"


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 1 << 30))
def test_two_sided_tables_have_both_margins(m: int, n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    hidden = rng.poisson(2.0, (m, n)) * (rng.random((m, n)) < 0.6)
    weights = rng.gamma(0.5, size=(m, n)) * ((hidden > 0) | (rng.random((m, n)) < 0.3))
    table = two_sided(hidden.sum(axis=1), hidden.sum(axis=0), weights, rng)
    np.testing.assert_array_equal(table.sum(axis=1), hidden.sum(axis=1))
    np.testing.assert_array_equal(table.sum(axis=0), hidden.sum(axis=0))
    assert (table[weights == 0] == 0).all()


def test_rounding_keeps_margins_and_has_no_bias() -> None:
    """Each cell is raised as often as its fraction says: binomial tests at 1e-7, which one percent more would fail."""
    exact = raked(np.array([3, 4]), np.array([2, 5]), np.array([[1.0, 2.0], [3.0, 1.0]]))
    rng, rounds = np.random.default_rng(7), 40_000
    tables = np.array([rounded(exact, rng) for _ in range(rounds)])
    assert (tables.sum(axis=2) == [3, 4]).all()
    assert (tables.sum(axis=1) == [2, 5]).all()
    raised = int((tables[:, 0, 0] > np.floor(exact[0, 0])).sum())
    fraction = float(exact[0, 0] % 1)
    assert stats.binomtest(raised, rounds, fraction).pvalue > 1e-7
    assert stats.binomtest(raised, rounds, fraction + 0.02).pvalue < 1e-7


def test_margins_are_joined_and_circles_refused() -> None:
    rng, domain = np.random.default_rng(1), Domain.of(a=2, b=2, c=2)
    whole = rng.integers(1, 9, (2, 2, 2))
    pairs = [
        (("a", "b"), whole.sum(axis=2)),
        (("b", "c"), whole.sum(axis=0)),
        (("a", "c"), whole.sum(axis=1)),
    ]
    found = joined_margins(pairs[:2], np.ones((2, 2, 2)), domain, ("a", "b", "c"), rng)
    np.testing.assert_array_equal(found.sum(axis=2), pairs[0][1])
    np.testing.assert_array_equal(found.sum(axis=0), pairs[1][1])
    with pytest.raises(Tangled):
        joined_margins(pairs, np.ones((2, 2, 2)), domain, ("a", "b", "c"), rng)
    with pytest.raises(Infeasible):
        two_sided(np.array([3, 4]), np.array([3, 4]), np.array([[0.0, 1.0], [1.0, 0.0]]), rng)


def test_parts_that_know_nothing_of_each_other_are_refused(model: FittedModel) -> None:
    with pytest.raises(UsageError) as caught:
        Shares(model, 2_000, 1, 500).require_ids()
    assert caught.value.code == "DPS-U268"
