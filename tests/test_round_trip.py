"""Every kind of column, drawn at random: cells -> values -> cells, and through csv and parquet files, without a change."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dpsynth import Schema, SchemaError
from dpsynth.columns import Modelled
from dpsynth.encoding import Encoding
from dpsynth.records import Records
from dpsynth.table import Table, read_table, write_table

WORDS = ["A", "b c", "007", "ü,", 'q"', "None", "1e5", "true", "x;y", "'", "-", "(other)"]
MOMENTS: list[dict[str, Any]] = [
    {"type": "date", "min": "1999-12-31", "max": "2030-02-28"},
    {"type": "date", "min": "2015-01-01", "max": "2016-12-31", "format": "%d.%m.%Y"},
    {"type": "datetime", "min": "2015-01-01 00:00:00", "max": "2016-12-31 23:59:59"},
    {"type": "datetime", "min": "2015-01-01", "max": "2016-12-31 23:59", "format": "%d/%m/%Y %H:%M"},
    {"type": "datetime", "min": "2021-03-28T00:00:00+0100", "max": "2021-11-01T00:00:00+0100", "timezone": "Europe/Berlin"},
    {"type": "time", "min": "00:00", "max": "23:59", "format": "%H:%M"},
    {"type": "duration", "min": "00:00:00", "max": "99:00:00"},
]  # fmt: skip


def test_the_moments_are_declared_well() -> None:
    for column in MOMENTS:
        assert Schema(columns={"x": column}).domain["x"] > 1


@st.composite
def numeric(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(st.sampled_from(["integer", "number"]))
    low, width = draw(st.integers(-2000, 2000)), draw(st.integers(5, 10**6))
    found: dict[str, Any] = {"type": kind, "min": low, "max": low + width}
    found["scale"] = draw(st.sampled_from(["linear", "log"]))
    found["spread"] = draw(st.sampled_from(["uniform", "log"]))
    found["special"] = draw(st.lists(st.sampled_from([-1, 0, 1, 40, 9999, 99999]), unique=True, max_size=4))
    if kind == "number":
        found["decimals"] = draw(st.integers(0, 4))
    if draw(st.booleans()):
        found["cells"] = draw(st.integers(1, 100))
    return found


categories = st.builds(
    lambda values, ordered: {"type": "category", "values": values, "ordered": ordered},
    st.lists(st.sampled_from(WORDS), min_size=1, unique=True)
    | st.lists(st.integers(-5, 99), min_size=1, unique=True),
    st.booleans(),
)
learnt = st.builds(
    lambda values: {
        "type": "category", "values": [*sorted(set(values)), "rest"], "other": "rest", "origin": "dp", "learnt": "x",
    },
    st.lists(st.sampled_from(WORDS)),
)  # fmt: skip
booleans = st.sampled_from(
    [{"type": "boolean"}, {"type": "boolean", "true_value": "yes", "false_value": "no"},
     {"type": "boolean", "true_value": "1", "false_value": "0"}]
)  # fmt: skip
kinds = st.one_of(numeric(), categories, learnt, booleans, st.sampled_from(MOMENTS))


@given(columns=st.lists(kinds, min_size=1, max_size=4), seed=st.integers(0, 2**32 - 1), data=st.data())
@settings(max_examples=60, deadline=None)
def test_nothing_changes_on_the_way(columns: list[dict[str, Any]], seed: int, data: st.DataObject) -> None:
    missing = [data.draw(st.booleans()) for _ in columns]
    named = {f"c{i}": {**c, "missing": m} for i, (c, m) in enumerate(zip(columns, missing, strict=True))}
    try:
        schema = Schema(columns=named, missing_values=("NA?",))
    except SchemaError:  # a special value or the decimals leave an explicit cell empty
        return
    rng, encoding = np.random.default_rng(seed), Encoding(schema)
    sizes = encoding.domain.sizes
    records = Records.of(
        encoding.domain, {f"c{i}": rng.integers(0, size, 40) for i, size in enumerate(sizes)}
    )
    table = encoding.decode(records, rng)
    assert np.array_equal(encoding.encode(table).matrix(), records.matrix())
    with tempfile.TemporaryDirectory() as folder:
        for form in ("csv", "parquet"):
            file = Path(folder) / f"rows.{form}"
            write_table(table.to_frame(), file, schema)
            same(table, read_table(file, schema))


def same(one: Table, two: Table) -> None:
    assert list(one.values) == list(two.values)
    for name in one.values:
        gone = one.missing[name]
        assert np.array_equal(gone, two.missing[name])
        assert np.array_equal(one.values[name][~gone], two.values[name][~gone]), kind_of(one, name)


def kind_of(table: Table, name: str) -> Modelled:
    return table.schema.modelled[name]


@given(column=numeric(), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=80, deadline=None)
def test_default_grids_hold_every_value_once(column: dict[str, Any], seed: int) -> None:
    """Nobody has to say how many cells: whatever bounds, decimals and codes are declared, a grid is found."""
    column.pop("cells", None)
    schema = Schema(columns={"x": column})
    encoding, rng = Encoding(schema), np.random.default_rng(seed)
    size = encoding.domain["x"]
    cells = np.arange(size)
    table = encoding.decode(Records.of(encoding.domain, {"x": cells}), rng)
    assert np.array_equal(encoding.encode(table)["x"], cells)
    low, high = encoding.cell_bounds("x")
    lasting = encoding.ordered_cells("x")
    assert (low[:lasting] <= high[:lasting]).all()
    assert (high[: lasting - 1] < low[1:lasting]).all()
