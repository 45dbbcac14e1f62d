"""Hostile names and values: refused by the schema, or unchanged in every table and harmless on every page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dpsynth import Schema
from dpsynth.consistency import consistency, from_bytes, to_bytes
from dpsynth.encoding import Encoding
from dpsynth.errors import SchemaError
from dpsynth.measurement import Measurement
from dpsynth.records import Records
from dpsynth.release.facts import columns
from dpsynth.release.files import canonical, parse
from dpsynth.table import read_table, write_table

HOSTILE = {
    "script": "<script>alert(1)</script>",
    "quote": '"><img src=x onerror=alert(1)>',
    "formula": "=cmd|' /C calc'!A0",
    "plus": "+1+1",
    "at": "@SUM(A1)",
    "minus": "-2+3",
    "number": "-2",
    "right to left": "\u202egnp.exe\u2066",
    "separator": "a,b;c\td",
    "quotes": 'a""b\'c',
    "line": "a\nb",
    "null": "a\x00b",
    "half": "\ud800",
    "long": "x" * 10_000,
    "nearly long": "y" * 1000,
    "line separator": "a\u2028b",
    "markup": "| a | **b** `c` [d](e)",
}
REFUSED = {"line", "null", "half", "long", "separator"}  # a tab, too, is a control character


def schema_of(text: str) -> Schema:
    return Schema(
        columns={
            "value": {"type": "category", "values": [text, "other"], "missing": True},
            text[:128]: {"type": "boolean"},
        }
    )


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_text_is_refused_or_comes_back_as_it_was(kind: str, tmp_path: Path) -> None:
    if kind in REFUSED:
        with pytest.raises(SchemaError):
            schema_of(HOSTILE[kind])
        return
    schema = schema_of(HOSTILE[kind])
    assert Schema.from_yaml(schema.to_yaml()) == schema
    encoding, rng = Encoding(schema), np.random.default_rng(1)
    name = HOSTILE[kind][:128]
    records = Records.of(encoding.domain, {"value": rng.integers(0, 3, 60), name: rng.integers(0, 2, 60)})
    table = encoding.decode(records, rng)
    for form in ("csv", "parquet"):
        path = tmp_path / f"data.{form}"
        write_table(table.to_frame(), path, schema)
        again = encoding.encode(read_table(path, schema))
        assert all(np.array_equal(a, b) for a, b in zip(records.columns, again.columns, strict=True)), form
    ones = (Measurement((name, "value"), rng.integers(0, 9, (2, 3)), 2.0),)
    assert to_bytes(from_bytes(to_bytes(ones), encoding.domain)) == to_bytes(ones)
    found: Any = consistency(records, ones, encoding.domain, encoding).as_json()
    assert parse(canonical(found), "report.json") == found
    assert json.loads(canonical(found)) == found


def test_texts_that_a_spreadsheet_would_run_are_counted_and_told() -> None:
    counted = {kind: columns(schema_of(HOSTILE[kind])) for kind in HOSTILE if kind not in REFUSED}
    running = {kind: sum(c["formulas"] for c in found) for kind, found in counted.items()}
    assert {kind for kind, count in running.items() if count} == {"formula", "plus", "at", "minus"}
    assert running["formula"] == 2
    ids = Schema(columns={"key": {"type": "id", "format": "=##"}, "a": {"type": "boolean"}})
    assert [c["formulas"] for c in columns(ids)] == [1, 0]
