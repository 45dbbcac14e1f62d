"""Rows mended: none breaks a rule, those that broke none are untouched, cells stay where they can."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpsynth.conditions import parse
from dpsynth.constraints import Rules
from dpsynth.encoding import Encoding
from dpsynth.errors import DataError
from dpsynth.evidence import Evidence
from dpsynth.model.finishing import Finishing, require_kept
from dpsynth.model.from_schema import from_schema
from dpsynth.records import Records
from dpsynth.schema import Schema
from dpsynth.table import read_table, write_tables

COLUMNS: dict[str, Any] = {
    "age": {"type": "integer", "min": 0, "max": 99, "cells": 10, "missing": True, "special": [-1, 50]},
    "edu": {"type": "category", "values": ["a", "b", "c"], "missing": True},
    "num": {"type": "integer", "min": 1, "max": 3},
    "x": {"type": "number", "min": 0, "max": 10, "decimals": 1, "cells": 5},
    "y": {"type": "number", "min": 0, "max": 10, "decimals": 2, "cells": 3, "missing": True},
    "first": {"type": "date", "min": "2020-01-01", "max": "2020-12-31", "cells": 12},
    "last": {"type": "date", "min": "2020-01-01", "max": "2020-12-31", "cells": 7, "missing": True},
    "total": {"type": "integer", "min": 0, "max": 300, "cells": 10},
    "rent": {"type": "integer", "min": 0, "max": 100, "cells": 10},
    "food": {"type": "integer", "min": 0, "max": 200, "cells": 9},
    "old": {"type": "boolean"},
}
RULES: list[dict[str, Any]] = [
    {"forbid": "age < 23 and edu == 'b'"},
    {"when": "age < 18", "then": "x <= 5"},
    {"functional": {"num": "edu"}, "map": {"a": 1, "b": 2, "c": 3}},
    {"order": ["x", "y"]},
    {"require": "x + 2 * y <= 24.5"},
    {"when": "edu is missing", "then": "age is missing"},
    {"order": ["first", "last"], "strict": True},
    {"require": "last - first <= 60"},
    {"sum": "total == rent + food"},
    {"require": "old == true or age < 65"},
    {"when": "old == true", "then": "age >= 40 and age != 47"},
]


def sampled(schema: Schema, rows: int, seed: int) -> tuple[Records, Encoding]:
    encoding, rng = Encoding(schema), np.random.default_rng(seed)
    sizes = zip(encoding.domain.attributes, encoding.domain.sizes, strict=True)
    return Records.of(encoding.domain, {a: rng.integers(0, n, rows) for a, n in sizes}), encoding


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(RULES), min_size=1, max_size=6, unique_by=str), st.integers(0, 1 << 30))
def test_no_row_breaks_a_rule_and_good_rows_stay(rules: list[dict[str, Any]], seed: int) -> None:
    schema = Schema(columns=COLUMNS, constraints=rules)
    records, encoding = sampled(schema, 400, seed)
    before = Encoding(Schema(columns=COLUMNS)).decode(records, np.random.default_rng(seed))
    table = Finishing(encoding).rows(records, np.random.default_rng(seed))
    assert Rules.of(schema).broken(table) == {}
    good = np.ones(len(table), dtype=bool)
    for rows in Rules.of(schema).broken(before).values():
        good[rows] = False
    for name, values in before.values.items():
        kept = ~before.missing[name] & good
        np.testing.assert_array_equal(table.values[name][kept], values[kept])
        np.testing.assert_array_equal(table.missing[name][good], before.missing[name][good])


@pytest.mark.parametrize(
    "where",
    [
        "edu in ['a', 'b'] and old == true",
        "age < 37 or age is missing",
        "x >= 2.7 and 20 <= food < 77",
        "last is not missing",
    ],
)
def test_rows_that_were_asked_to_be_so_stay_so(where: str) -> None:
    schema = Schema(columns=COLUMNS, constraints=RULES)
    records, encoding = sampled(schema, 3_000, 5)
    evidence = Evidence.of(parse(where), encoding)
    possible = np.ones(len(records), dtype=bool)
    for name, weights in evidence.weights.items():
        possible &= weights[records[name]] > 0
    table = Finishing(encoding, evidence).rows(records.take(possible), np.random.default_rng(1))
    asked = schema.model_copy(
        update={"constraints": Schema(columns=COLUMNS, constraints=[{"require": where}]).constraints}
    )
    assert Rules.of(schema).broken(table) == {}
    assert Rules.of(asked).broken(table) == {}
    assert "missing" in where or not any(table.missing[name].any() for name in evidence.weights)


def test_inside_cells_values_are_drawn_again_and_cells_stay() -> None:
    """Two numbers in one cell, one at most the other: all such pairs alike, by a chi-square at p = 1e-7."""
    columns = {name: {"type": "integer", "min": 0, "max": 7, "cells": 2} for name in ("a", "b")}
    schema = Schema(columns=columns, constraints=[{"order": ["a", "b"]}])
    encoding, rows = Encoding(schema), 40_000
    records = Records.of(encoding.domain, {name: np.zeros(rows, np.int64) for name in columns})
    table = Finishing(encoding).rows(records, np.random.default_rng(3))
    assert (encoding.encode(table)["a"] == 0).all()
    assert (encoding.encode(table)["b"] == 0).all()
    counts = np.zeros((4, 4))
    np.add.at(counts, (table.values["a"], table.values["b"]), 1)
    seen = counts[np.triu_indices(4)]
    assert seen.sum() == rows
    expected = rows / 10
    assert ((seen - expected) ** 2 / expected).sum() < 52.0  # 9 degrees of freedom
    planted = np.where(np.arange(10) == 0, 1.2, 1 - 0.2 / 9) * expected
    assert ((planted - expected) ** 2 / expected).sum() > 52.0


def test_a_value_moves_to_where_the_model_finds_it_likely() -> None:
    columns = {
        "age": {"type": "integer", "min": 0, "max": 99, "cells": 10},
        "job": {"type": "category", "values": list("nCk")},
    }
    schema = Schema(columns=columns, constraints=[{"forbid": "age < 20 and job == 'C'"}])
    encoding = Encoding(schema)
    records = Records.of(encoding.domain, {"age": np.zeros(2_000, np.int64), "job": np.ones(2_000, np.int64)})
    likely = {"age": np.ones(10), "job": np.array([3.0, 5.0, 1.0])}
    table = Finishing(encoding, likely=likely.__getitem__).rows(records, np.random.default_rng(0))
    shares = np.bincount(table.values["job"], minlength=3) / 2_000
    assert shares[1] == 0
    assert abs(shares[0] - 0.75) < 0.06  # six standard deviations
    fixed = Finishing(encoding, fixed=frozenset({"job"})).rows(records, np.random.default_rng(0))
    assert (fixed.values["job"] == 1).all()
    assert (fixed.values["age"] >= 20).all()


def test_rows_that_nothing_can_mend_are_an_error_not_a_loop() -> None:
    columns = {
        "a": {"type": "category", "values": ["x", "y"]},
        "b": {"type": "category", "values": ["x", "y"]},
    }
    schema = Schema(columns=columns, constraints=[{"require": "a != b"}])
    encoding = Encoding(schema)
    records = Records.of(encoding.domain, {name: np.zeros(5, np.int64) for name in columns})
    with pytest.raises(DataError) as caught:
        Finishing(encoding, fixed=frozenset(columns)).rows(records, np.random.default_rng(0))
    assert caught.value.code == "DPS-D210"
    broken = encoding.decode(records, np.random.default_rng(0))
    with pytest.raises(DataError) as caught:
        require_kept(broken)
    assert caught.value.code == "DPS-D211"


def test_rows_that_no_single_value_mends_and_no_other_lends() -> None:
    """Several columns give way, but none that is fixed; cells stay where they are asked to, special values and missing ones
    are none on the grid."""
    parts = [f"p{i}" for i in range(8)]
    one = {
        "type": "number",
        "min": 0,
        "max": 100,
        "decimals": 1,
        "cells": 4,
        "missing": True,
        "special": [7],
    }
    columns = {**dict.fromkeys(parts, one), "most": {"type": "integer", "min": 0, "max": 300}}
    require = [{"forbid": f"{name} is missing or {name} == 7"} for name in parts]
    schema = Schema(columns=columns, constraints=[{"sum": " + ".join(parts) + " <= most"}, *require])
    encoding = Encoding(schema)
    high = {name: np.full(40, 3) for name in parts}
    records = Records.of(encoding.domain, {**high, "most": np.zeros(40, np.int64)})
    finishing = Finishing(encoding, fixed=frozenset({"p0"}), placed=frozenset({"p1"}))
    before, rows = (
        encoding.decode(records, np.random.default_rng(0)),
        finishing.rows(records, np.random.default_rng(0)),
    )
    assert Rules.of(schema).broken(rows) == {}
    assert np.array_equal(rows.values["p0"], before.values["p0"])
    assert (rows.values["p1"] >= 75).all()
    assert not np.array_equal(rows.values["p2"], before.values["p2"])
    with pytest.raises(DataError) as caught:
        Finishing(encoding, fixed=frozenset(parts[:5])).rows(records, np.random.default_rng(0))
    assert caught.value.code == "DPS-D210"


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_written_rows_still_keep_every_rule(tmp_path: Path, form: str) -> None:
    schema = Schema(columns=COLUMNS, constraints=RULES)
    records, encoding = sampled(schema, 2_000, 8)
    file = tmp_path / f"rows.{form}"
    write_tables([Finishing(encoding).rows(records, np.random.default_rng(2))], file, schema)
    again = read_table(file, schema)
    assert len(again) == 2_000
    assert Rules.of(schema).broken(again) == {}


def test_what_is_filled_gives_way_row_by_row_and_what_is_given_stays() -> None:
    columns = {name: {"type": "integer", "min": 0, "max": 9, "cells": 2} for name in ("a", "b")}
    made = from_schema(Schema(columns=columns, constraints=[{"order": ["a", "b"]}]))
    known = np.random.default_rng(0).integers(0, 10, 600).astype(float)
    gone = np.arange(600) % 2 == 0
    given = pd.DataFrame({"a": np.where(gone, np.nan, known), "b": np.where(gone, known, np.nan)})
    rows = made.complete(given, np.random.default_rng(1), fill_missing=True)
    assert (rows["a"] <= rows["b"]).all()
    assert (rows["a"][~gone] == known[~gone]).all()
    assert (rows["b"][gone] == known[gone]).all()
    assert rows["a"][gone].nunique() > 5
