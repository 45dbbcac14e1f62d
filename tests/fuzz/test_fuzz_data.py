"""Malformed csv, YAML and frames: the right result or a clear error, never a traceback, never a cell."""

from __future__ import annotations

import gzip
import io
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from dpsynth.draft import draft_by_inspection, draft_from_header
from dpsynth.encoding import Encoding
from dpsynth.errors import DPSynthError, SchemaError
from dpsynth.project import Project
from dpsynth.schema import Schema, UnitSpec
from dpsynth.table import read_table

SECRET = "Zq7x"
"""Stands in every private cell, so that an error that quotes one is seen."""

SCHEMA = Schema(
    columns={
        "pid": {"type": "id"},
        "age": {"type": "integer", "min": 0, "max": 110, "missing": True},
        "cost": {"type": "number", "min": 0, "max": 1e6, "clip": True},
        "plan": {"type": "category", "values": ["A", "B"]},
        "ok": {"type": "boolean"},
        "day": {"type": "date", "min": "2000-01-01", "max": "2030-12-31"},
    },
    unit=UnitSpec(entity="person", column="pid", rows_per_unit=2),
)
HEADER = b"pid,age,cost,plan,ok,day\n"
GOOD = b"p1,31,1.5,A,true,2015-01-01\n"
quick = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])

cells = st.sampled_from(
    [
        b"31",
        b"",
        b"-1",
        b"1e999",
        b"nan",
        b"A",
        b"true",
        b"2015-02-31",
        b'"',
        b'""',
        b'"a\n',
        b"\xff",
        b"\0",
        b"\xef\xbb\xbf",
        b"=1+1",
    ]
) | st.just(SECRET.encode())
lines = st.lists(cells, max_size=8).map(b",".join)
endings = st.sampled_from([b"\n", b"\r\n", b"\r", b"\n\n", b""])


@st.composite
def csv_files(pick: st.DrawFn) -> bytes:
    head = pick(
        st.sampled_from(
            [HEADER, b"", HEADER.strip() + b",x\n", HEADER.replace(b",", b";"), b"\xff\xfe" + HEADER]
        )
    )
    rows = pick(st.lists(lines | st.just(GOOD.strip()), max_size=6))
    end = pick(endings)
    body = end.join(rows) + end
    cut = pick(st.integers(0, len(body)))
    return head + pick(
        st.sampled_from([body, body[:cut], body[:cut] + pick(st.binary(max_size=9)) + body[cut:]])
    )


def is_clear(error: DPSynthError) -> None:
    assert SECRET not in str(error) + str(error.as_json())
    assert len(str(error)) < 700
    assert str(error).isprintable()


def outcome(source: Any, schema: Schema = SCHEMA) -> None:
    """Either rows that satisfy the schema, or a DPSynthError that repeats no cell."""
    try:
        table = read_table(source, schema)
    except DPSynthError as error:
        is_clear(error)
    else:
        Encoding(schema).encode(table)
        assert ((table.values["age"] >= 0) & (table.values["age"] <= 110)).all()


@given(csv_files(), st.sampled_from(["t.csv", "t.csv.gz"]))
@quick
def test_csv(content: bytes, name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(gzip.compress(content) if name.endswith("gz") else content)
        outcome(path)


@given(st.binary(max_size=200), st.sampled_from(["t.csv", "t.csv.gz", "t.parquet", "t.tsv"]))
@quick
def test_any_bytes(content: bytes, name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        outcome(path)
        for draft in (draft_from_header, draft_by_inspection):
            try:
                draft(path)
            except DPSynthError as error:
                is_clear(error)


def _parquet() -> bytes:
    out = io.BytesIO()
    good = {"pid": [SECRET], "age": [3], "cost": [1.0], "plan": ["A"], "ok": [True], "day": ["2015-01-01"]}
    pd.DataFrame(good).to_parquet(out)
    return out.getvalue()


FILES = {"t.parquet": _parquet(), "t.csv.gz": gzip.compress(HEADER + GOOD * 3, mtime=0)}


@example("t.parquet", [(0.006705482644811857, 128)])
@given(
    st.sampled_from(list(FILES)),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=4),
)
@settings(quick, max_examples=200)
def test_damaged_parquet_and_gzip(name: str, damage: list[tuple[float, int]]) -> None:
    content = bytearray(FILES[name])
    for place, byte in damage:
        content[int(place * (len(content) - 1))] = byte
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(bytes(content))
        outcome(path)


objects = (
    st.none()
    | st.booleans()
    | st.integers(-(10**25), 10**25)
    | st.floats()
    | st.sampled_from(
        [
            SECRET,
            "31",
            "A",
            "true",
            "2015-01-01",
            pd.Timestamp("2015-01-01"),
            pd.NaT,
            b"x",
            1j,
            (1, 2),
            [1],
            {"a": 1},
        ]
    )
)


@given(st.fixed_dictionaries({name: st.lists(objects, min_size=3, max_size=3) for name in SCHEMA.columns}))
@quick
def test_frames(columns: dict[str, list[Any]]) -> None:
    outcome(pd.DataFrame({name: pd.Series(column, dtype=object) for name, column in columns.items()}))
    outcome(pd.DataFrame(columns))


PROJECT = """\
version: 1
data: {path: t.csv, unit: {entity: person, column: pid, rows_per_unit: 2}, missing_values: ['']}
budget: {epsilon: 1.0, delta: 1.0e-9}
columns:
  pid: {type: id, format: "P-###"}
  age: {type: integer, min: 0, max: 110, cells: 11, missing: true, origin: public}
  cost: {type: number, min: 0, max: 1000, edges: [0, 1, 10]}
  plan: {type: category, values: [A, B, "C"], ordered: true}
generator: {method: mst}
"""
SCRAPS = (
    """{ } [ ] : - \n \t ' " &a *a !!python/none ? | > # ~ .nan 1e400 null true <<: % @ --- ... min max: x"""
)
scraps = st.sampled_from(
    [*SCRAPS.split(" "), ": ", "- ", "? ", "\n  ", "9" * 400, "\x07", "\u2028", "---\n", ""]
)


@st.composite
def broken_yaml(pick: st.DrawFn) -> str:
    text = PROJECT
    for _ in range(pick(st.integers(1, 4))):
        at = pick(st.integers(0, len(text)))
        drop = pick(st.integers(0, 12))
        text = text[:at] + pick(scraps | st.text(max_size=4)) + text[at + drop :]
    return text


@given(broken_yaml())
@settings(quick, max_examples=300)
def test_project_files(text: str) -> None:
    try:
        project = Project.from_yaml(text)
    except SchemaError as error:
        is_clear(error)
    else:
        assert Schema.from_yaml(project.schema.to_yaml()) == project.schema


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
keys = st.sampled_from(
    [
        "type",
        "min",
        "max",
        "cells",
        "edges",
        "values",
        "missing",
        "format",
        "clip",
        "decimals",
        "missing_values",
    ]
)
kinds = st.sampled_from(["integer", "number", "category", "boolean", "date", "id", "drop"])


@given(
    st.dictionaries(keys, values | st.integers(0, 9) | st.lists(st.integers(0, 9), max_size=4), max_size=6),
    kinds,
)
@settings(quick, max_examples=300)
def test_columns_of_anything(column: dict[str, Any], kind: str) -> None:
    try:
        schema = Schema(columns={"x": {**column, "type": kind}, "y": {"type": "boolean"}})
    except SchemaError:
        return
    assert Schema.from_yaml(schema.to_yaml()) == schema
