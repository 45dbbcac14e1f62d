"""Values <-> cells: exact at cell level, decoded values always fit the schema."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from dpsynth.columns import IntegerColumn, NumberColumn
from dpsynth.encoding import Encoding, fresh_ids
from dpsynth.errors import DataError, SchemaError
from dpsynth.records import Records
from dpsynth.schema import Schema, UnitSpec
from dpsynth.table import read_table


def draw(**columns: Any) -> Schema:
    return Schema(columns=columns)


@st.composite
def gridded(pick: st.DrawFn) -> dict[str, Any]:
    kind = pick(st.sampled_from(["integer", "number", "date"]))
    found: dict[str, Any] = {"type": kind, "missing": pick(st.booleans())}
    if kind == "date":
        return {**found, "min": "2015-02-03", "max": "2019-12-31", "cells": pick(st.integers(1, 400))}
    found["spread"] = pick(st.sampled_from(["uniform", "log"]))
    if kind == "integer":
        low, width = pick(st.integers(-(10**6), 10**6)), pick(st.integers(0, 5000))
        found |= {"min": low, "max": low + width}
        if pick(st.booleans()):
            scale = pick(st.sampled_from(["linear", "log"]))
            return {**found, "cells": pick(st.integers(1, min(width + 1, 50))), "scale": scale}
        return {**found, "edges": sorted(pick(st.sets(st.integers(low, low + width), max_size=8)))}
    digits = pick(st.integers(0, 6))
    cuts = sorted(pick(st.sets(st.integers(-(10**7), 10**7), min_size=2, max_size=9)))
    edges = [cut / 10**digits for cut in cuts]
    return {**found, "min": edges[0], "max": edges[-1], "edges": edges, "decimals": digits}


@st.composite
def coded(pick: st.DrawFn) -> dict[str, Any]:
    """Numbers with special values, inside the grid, at its edges and outside."""
    column = pick(gridded().filter(lambda c: c["type"] != "date"))
    ends = [column["min"], column["max"], *column.get("edges", ())]
    near = st.sampled_from([*ends, *(e + 1 for e in ends), 0, -1, 9999])
    found = {**column, "special": pick(st.lists(near, min_size=1, max_size=5, unique=True))}
    try:
        draw(x=found)
    except SchemaError as error:
        if error.code != "DPS-S137":  # a cell would hold nothing else
            raise
        reject()
    return found


@st.composite
def columns(pick: st.DrawFn) -> dict[str, Any]:
    kind = pick(st.sampled_from(["gridded", "coded", "category", "boolean"]))
    if kind in {"gridded", "coded"}:
        return pick(gridded() if kind == "gridded" else coded())
    missing = pick(st.booleans())
    if kind == "boolean":
        return {"type": "boolean", "missing": missing}
    letters = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=5)
    values = pick(st.sets(letters, min_size=1, max_size=6))
    return {"type": "category", "values": sorted(values), "missing": missing}


@given(columns(), st.integers(0, 2**32))
@settings(deadline=None, max_examples=150)
def test_encode_undoes_decode(column: dict[str, Any], seed: int) -> None:
    schema = draw(x=column)
    encoding = Encoding(schema)
    cells = np.repeat(np.arange(encoding.domain["x"]), 5)
    records = Records.of(encoding.domain, {"x": cells})
    table = encoding.decode(records, np.random.default_rng(seed))
    assert (encoding.encode(table)["x"] == cells).all()
    again = read_table(table.to_frame(), schema)  # decoded values satisfy the schema, also from outside
    assert (encoding.encode(again)["x"] == cells).all()


@given(gridded())
@settings(deadline=None, max_examples=100)
def test_the_ends_of_every_cell_lie_in_it(column: dict[str, Any]) -> None:
    encoding = Encoding(draw(x={**column, "missing": False}))
    low, high = encoding.cell_bounds("x")
    middle = encoding.midpoints("x")
    assert (low <= middle).all()
    assert (middle <= high).all()
    assert (low[1:] > high[:-1]).all()
    if column["type"] != "date":
        assert low[0] == pytest.approx(column["min"])
        assert high[-1] == pytest.approx(column["max"])
    assert len(encoding.labels("x")) == encoding.domain["x"]


def test_values_spread_over_all_of_a_cell() -> None:
    column = {"type": "integer", "min": 0, "max": 9, "edges": [3, 9]}
    encoding = Encoding(draw(x=column))
    cells = np.repeat([0, 1], 4000)
    table = encoding.decode(Records.of(encoding.domain, {"x": cells}), np.random.default_rng(1))
    values, counts = np.unique(table.values["x"], return_counts=True)
    assert values.tolist() == list(range(10))
    assert counts[:3].min() > 1200  # 4000 / 3, give or take
    assert counts[3:].min() > 450  # 4000 / 7


def test_logarithmic_spread_has_the_mean_that_midpoints_say() -> None:
    column = {"type": "number", "min": 0, "max": 10000, "edges": [10, 1000], "decimals": 2, "spread": "log"}
    encoding = Encoding(draw(x=column))
    cells = np.repeat([0, 1, 2], 20000)
    values = encoding.decode(Records.of(encoding.domain, {"x": cells}), np.random.default_rng(1)).values["x"]
    means = values.reshape(3, -1).mean(axis=1)
    assert means == pytest.approx(encoding.midpoints("x"), rel=0.02)
    assert encoding.midpoints("x")[1] < 250  # far below the even 505


def test_exact_zero_has_its_own_cell() -> None:
    column = {"type": "number", "min": 0, "max": 100, "edges": [0.01, 10], "decimals": 2}
    encoding = Encoding(draw(x=column))
    assert encoding.labels("x") == ["0", "0.01 to 9.99", "10 to 100"]
    table = encoding.decode(Records.of(encoding.domain, {"x": np.zeros(50, int)}), np.random.default_rng(0))
    assert (table.values["x"] == 0).all()


def test_labels_order_and_missing() -> None:
    schema = draw(
        grade={"type": "category", "values": ["low", "high"], "ordered": True, "missing": True},
        colour={"type": "category", "values": ["red", "missing"], "missing": True},
        member={"type": "boolean", "true_value": "J", "false_value": "N"},
        day={"type": "date", "min": "2020-01-01", "max": "2020-12-31", "cells": 2},
    )
    encoding = Encoding(schema)
    assert encoding.labels("grade") == ["low", "high", "missing"]
    assert encoding.labels("colour") == ["red", "missing", "(missing)"]
    assert encoding.labels("member") == ["N", "J"]
    assert encoding.labels("day") == ["2020-01-01 to 2020-07-01", "2020-07-02 to 2020-12-31"]
    assert [encoding.is_ordered(name) for name in schema.modelled] == [True, False, False, True]
    assert [encoding.missing_cell(name) for name in schema.modelled] == [2, 2, None, None]
    assert encoding.midpoints("grade")[:2].tolist() == [0, 1]
    assert np.isnan(encoding.midpoints("grade")[2])
    assert np.isnan(encoding.midpoints("colour")).all()


def test_cells_have_the_smallest_integer_type() -> None:
    encoding = Encoding(draw(x={"type": "integer", "min": 0, "max": 999, "cells": 300}))
    table = encoding.decode(Records.of(encoding.domain, {"x": np.arange(300)}), np.random.default_rng(0))
    assert encoding.encode(table)["x"].dtype == np.uint16


def test_ids_are_fresh_and_unique() -> None:
    schema = Schema(
        columns={"pid": {"type": "id", "format": "P-###-X"}, "a": {"type": "boolean"}},
        unit=UnitSpec(entity="person", column="pid"),
    )
    encoding = Encoding(schema)
    table = encoding.decode(
        Records.of(encoding.domain, {"a": np.zeros(3, int)}), np.random.default_rng(0), first_id=7
    )
    assert table.to_frame()["pid"].tolist() == ["P-007-X", "P-008-X", "P-009-X"]
    with pytest.raises(DataError, match="too few"):
        fresh_ids("P-##", 1, 100)
    assert fresh_ids("P-##", 1, 99)[-1] == "P-99"


def test_no_rows_are_no_problem() -> None:
    encoding = Encoding(
        draw(a={"type": "boolean"}, x={"type": "number", "min": 0, "max": 1, "spread": "log"})
    )
    empty = Records.of(encoding.domain, {"a": np.zeros(0, int), "x": np.zeros(0, int)})
    assert len(encoding.decode(empty, np.random.default_rng(0)).to_frame()) == 0


@pytest.mark.parametrize("digits", range(0, 10))
def test_decimal_edges_are_met_exactly(digits: int) -> None:
    step = 1 / 10**digits
    column = NumberColumn(
        min=0, max=7 * step, edges=tuple(i / 10**digits for i in range(1, 7)), decimals=digits
    )
    starts, last = column.steps
    assert starts.tolist() == list(range(7))
    assert last == 7


def test_a_cell_without_numbers_is_refused() -> None:
    with pytest.raises(SchemaError, match="holds no number"):
        NumberColumn(min=0, max=1, edges=(0.1, 0.2), decimals=0)
    assert len(IntegerColumn(min=5, max=5).starts) == 1


def test_special_values_have_cells_of_their_own() -> None:
    column = {"type": "integer", "min": 0, "max": 9, "edges": [5], "special": [-1, 0, 99], "missing": True}
    encoding = Encoding(draw(x=column))
    assert encoding.labels("x") == ["0 to 4", "5 to 9", "-1", "0", "99", "missing"]
    assert encoding.ordered_cells("x") == 2
    assert np.isnan(encoding.midpoints("x")[[2, 4, 5]]).all()
    assert encoding.midpoints("x")[3] == 0
    schema = encoding.schema
    read = encoding.encode(read_table(pd.DataFrame({"x": ["-1", "0", "99", "", "1", "9"]}), schema))
    assert read["x"].tolist() == [2, 3, 4, 5, 0, 1]
    with pytest.raises(DataError, match="outside"):
        read_table(pd.DataFrame({"x": ["-2"]}), schema)
    cells = np.zeros(4000, dtype=int)
    values = encoding.decode(Records.of(encoding.domain, {"x": cells}), np.random.default_rng(1)).values["x"]
    found, counts = np.unique(values, return_counts=True)
    assert found.tolist() == [1, 2, 3, 4]  # not 0, which has its own
    assert counts.min() > 850  # 1000, give or take


def test_a_special_value_that_fills_its_cell_is_refused() -> None:
    with pytest.raises(SchemaError, match="nothing else in its cell"):
        draw(x={"type": "integer", "min": 0, "max": 9, "edges": [1], "special": [0]})
    with pytest.raises(SchemaError, match="repeats"):
        draw(x={"type": "integer", "min": 0, "max": 9, "special": [-1, -1]})


def test_clipping_leaves_codes_alone() -> None:
    schema = draw(x={"type": "number", "min": 0, "max": 10, "cells": 2, "special": [-1, 999], "clip": True})
    table = read_table(pd.DataFrame({"x": [-1, 999, 50, -7]}), schema)
    assert table.values["x"].tolist() == [-1, 999, 10, 0]


def test_a_logarithmic_grid_grows_with_the_amount() -> None:
    cost = NumberColumn(min=0, max=250_000, cells=12, scale="log")
    assert cost.lower.tolist()[:4] == [0, 1.82, 6.94, 21.4]
    ratios = cost.lower[5:] / cost.lower[4:-1]
    assert ratios == pytest.approx(np.full(7, 250_001 ** (1 / 12)), rel=0.02)
    whole = IntegerColumn(min=-50, max=1000, cells=20, scale="log")
    assert len(whole.starts) == 20
    assert whole.starts[0] == -50
    assert (np.diff(whole.starts) > 0).all()
    every = IntegerColumn(min=0, max=9, cells=10, scale="log")
    assert every.starts.tolist() == list(range(10))
    with pytest.raises(SchemaError, match="scale"):
        NumberColumn(min=0, max=9, edges=(5,), scale="log")
    assert (np.diff(NumberColumn(min=0, max=1e6, cells=5000, scale="log").lower) > 0).all()
