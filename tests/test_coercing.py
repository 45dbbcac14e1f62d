"""Texts that repeat are read once each: the same values, missing cells and refusals as cell by cell."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpsynth.schema import Schema
from dpsynth.table import coerce as module
from dpsynth.table.coerce import Style, coerce
from dpsynth.table.misfit import DoesNotFit

COLUMNS = Schema(
    columns={
        "kind": {"type": "category", "values": ["a", "b", "1"]},
        "open": {"type": "category", "values": ["a", "b", "rest"], "missing": True, "other": "rest"},
        "number": {"type": "number", "min": 0, "max": 2000, "cells": 4},
        "whole": {"type": "integer", "min": -3, "max": 1000, "special": [-7], "missing": True},
        "truth": {"type": "boolean", "missing": True},
        "day": {"type": "date", "min": "2020-01-01", "max": "2021-12-31", "missing": True},
    },
    missing_values=["NA", "-9"],
).modelled
CELLS = ["a", " a", "b", "1", "01", "-7", "1e3", "-9", "true", "0", "2020-02-03", "NA", "", "x", None]


def found(column: Any, raw: Any) -> Any:
    try:
        values, gone = coerce(column, raw, Style(("NA", "-9"), None))
    except DoesNotFit as error:
        return error.misfit.code, error.misfit.rows.tolist()
    return values.dtype, values.tolist(), gone.tolist()


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(sorted(COLUMNS)),
    st.lists(st.sampled_from(CELLS), min_size=1, max_size=3, unique=True),
    st.lists(st.integers(0, 2), min_size=16, max_size=40),
    st.sampled_from(["plain", "chunks", "coded"]),
)
def test_each_different_text_is_read_as_every_cell_would_be(
    name: str, cells: list[str | None], drawn: list[int], form: str
) -> None:
    plain = pa.array([cells[i % len(cells)] for i in drawn], pa.string())
    halves = pa.chunked_array([plain[:7], plain[7:]])
    raw = {"plain": plain, "chunks": halves, "coded": halves.dictionary_encode()}[form]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "MANY", 1 << 60)
        expected = found(COLUMNS[name], raw)
        patch.setattr(module, "MANY", 12)
        assert found(COLUMNS[name], raw) == expected


def test_texts_that_repeat_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    each = module._each
    monkeypatch.setattr(
        module, "_each", lambda column, raw, style: seen.append(len(raw)) or each(column, raw, style)
    )
    raw = pa.array(["a", "b"] * module.MANY, pa.string())
    values, _ = coerce(COLUMNS["kind"], raw, Style((), None))
    assert seen == [2]
    np.testing.assert_array_equal(values, [0, 1] * module.MANY)
