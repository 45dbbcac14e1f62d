"""Intervals that hold the truth as often as they say, and that admit what they do not know."""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from dpsynth.consistency import (
    Conditions,
    Released,
    bands,
    consistency,
    from_bytes,
    half_width,
    interval,
    to_bytes,
)
from dpsynth.encoding import Encoding
from dpsynth.errors import UsageError, VerifyError
from dpsynth.measurement import Measurement
from dpsynth.records import Records
from dpsynth.schema import Schema
from dpsynth.table import read_table

SCHEMA = Schema(
    columns={
        "age": {"type": "integer", "min": 0, "max": 99, "cells": 10},
        "plan": {"type": "category", "values": ["A", "B", "C"], "missing": True},
        "sick": {"type": "boolean"},
        "day": {"type": "date", "min": "2020-01-01", "max": "2020-12-31", "cells": 4},
    }
)
ENCODING = Encoding(SCHEMA)


def people(n: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    age = rng.integers(0, 100, n)
    found = pd.DataFrame({"age": age, "plan": np.where(age > 60, "A", rng.choice(["A", "B", "C"], n))})
    found.loc[rng.random(n) < 0.1, "plan"] = None
    found["sick"] = rng.random(n) < age / 150
    found["day"] = pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 366, n), unit="D")
    return found


FRAME = people(3000, 1)
RECORDS = ENCODING.encode(read_table(FRAME, SCHEMA))


def noise(shape: tuple[int, ...], sigma: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """Discrete Gaussian by its definition."""
    x = np.arange(-math.ceil(12 * sigma) - 1, math.ceil(12 * sigma) + 2)
    p = np.exp(-(x**2) / (2 * sigma**2))
    return rng.choice(x, size=shape, p=p / p.sum())


def measured(
    clique: tuple[str, ...],
    sigma: float,
    rng: np.random.Generator,
    merges: Mapping[str, NDArray[np.int64]] | None = None,
    records: Records = RECORDS,
) -> Measurement:
    columns, shape = [], []
    for a in clique:
        merge = (merges or {}).get(a, np.arange(ENCODING.domain[a]))
        columns.append(merge[records[a].astype(int)])
        shape.append(int(merge.max()) + 1)
    counts = np.bincount(np.ravel_multi_index(columns, shape), minlength=math.prod(shape)).reshape(shape)
    return Measurement(clique, counts + noise(tuple(shape), sigma, rng), sigma, dict(merges or {}))


def truth(frame: pd.DataFrame, wanted: Mapping[str, Any]) -> int:
    keep = np.ones(len(frame), dtype=bool)
    for name, asked in wanted.items():
        column = frame[name]
        if isinstance(asked, tuple):
            low, high = asked
            keep &= ((column >= low) if low is not None else True) & (
                (column <= high) if high is not None else True
            )
        elif asked is None:
            keep &= column.isna()
        else:
            keep &= column.isin(asked if isinstance(asked, list) else [asked])
    return int(keep.sum())


QUESTIONS: list[dict[str, Any]] = [
    {},
    {"age": (30, 59)},
    {"age": (None, 19), "plan": "A"},
    {"plan": ["A", "B"]},
    {"plan": None},
    {"sick": True},
    {"sick": True, "plan": "C"},
    {"age": (50, 59), "plan": "B"},
    {"age": (33, 47)},  # cuts cells
    {"age": (35, None), "plan": ["A", "C"]},  # cuts a cell
    {"age": (0, 49), "sick": False},  # not measured together
    {"age": (80, 99), "plan": "A", "sick": True},  # not measured together
]


@pytest.mark.parametrize("sigma", [0.4, 1.5, 9.0])
def test_intervals_hold_the_truth_as_often_as_they_say(sigma: float) -> None:
    rng = np.random.default_rng(2)
    repeats, missed = 80, np.zeros(len(QUESTIONS), dtype=int)
    narrow = 0
    known = [truth(FRAME, wanted) for wanted in QUESTIONS]
    for _ in range(repeats):
        cliques: list[tuple[str, ...]] = [("age",), ("plan",), ("sick",), ("age", "plan"), ("plan", "sick")]
        found = [measured(c, sigma, rng) for c in cliques]
        for i, wanted in enumerate(QUESTIONS):
            one = interval(found, SCHEMA, wanted, confidence=0.9)
            missed[i] += not one.low <= known[i] <= one.high
            narrow += (
                one.basis == "measured" and not one.cut and not one.low <= known[i] + 3 * sigma <= one.high
            )
    assert (missed <= 0.1 * repeats + 6 * math.sqrt(0.09 * repeats)).all()
    assert missed.sum() <= 0.1 * repeats * len(QUESTIONS)
    assert narrow > 0.1 * repeats  # an answer that is off is often outside: the intervals are not just wide


def test_half_widths_are_the_smallest_that_suffice() -> None:
    rng = np.random.default_rng(3)
    for sigma, cells in [(0.3, 1), (1.0, 1), (1.0, 5), (4.0, 30), (20.0, 50)]:
        width = half_width(sigma, cells, 0.95)
        drawn = np.abs(noise((40_000, cells), sigma, rng).sum(axis=1))
        assert (drawn <= width).mean() > 0.95 - 0.006
        assert width < 2.1 * sigma * math.sqrt(cells) + 1
    assert half_width(5.0, 0, 0.95) == 0
    exact, normal = half_width(5.0, 60, 0.95), 1.95996 * 5 * math.sqrt(60)
    assert abs(exact - normal) < 1


def test_what_was_not_measured_together_is_said_and_not_guessed() -> None:
    rng = np.random.default_rng(4)
    found = [measured((a,), 3.0, rng) for a in ("age", "plan", "sick")]
    one = interval(found, SCHEMA, {"age": (0, 49), "sick": True})
    assert one.basis == "bounds"
    assert one.estimate is None
    assert "guess" in one.words
    assert "noise alone" in interval(found, SCHEMA, {"sick": True}).words
    both = truth(FRAME, {"age": (0, 49), "sick": True})
    assert one.low <= both <= one.high
    assert one.high - one.low > 500
    unmeasured = interval(found, SCHEMA, {"day": (dt.date(2020, 1, 1), None), "sick": True})
    assert unmeasured.low == 0
    assert unmeasured.high <= truth(FRAME, {"sick": True}) + 30


def test_repeated_measurements_make_intervals_narrower_and_questions_wider() -> None:
    rng = np.random.default_rng(5)
    one, two = measured(("plan", "sick"), 9.0, rng), measured(("sick", "plan"), 9.0, rng)
    asked = {"plan": "B", "sick": False}
    single, double = interval([one], SCHEMA, asked), interval([one, two], SCHEMA, asked)
    many = interval([one], SCHEMA, asked, questions=100)
    width = [i.high - i.low for i in (single, double, many)]
    assert width[1] < 0.8 * width[0] < width[2]
    assert single.share_low < truth(FRAME, asked) / 3000 < single.share_high


def test_merged_cells_answer_for_all_they_hold() -> None:
    rng = np.random.default_rng(6)
    merge = np.array([0, 0, 0, 1, 1, 2, 2, 2, 2, 2])
    found = [measured(("age", "sick"), 2.0, rng, {"age": merge}), measured(("sick",), 2.0, rng)]
    whole = interval(found, SCHEMA, {"age": (0, 29), "sick": True})
    assert whole.cut == ()
    assert whole.low <= truth(FRAME, {"age": (0, 29), "sick": True}) <= whole.high
    part = interval(found, SCHEMA, {"age": (0, 19), "sick": True})
    assert part.cut == ("age",)
    assert part.estimate is None
    assert part.low == 0
    assert part.low <= truth(FRAME, {"age": (0, 19), "sick": True}) <= part.high
    report = consistency(RECORDS, found, ENCODING.domain)
    assert {c.clique: c.cells for c in report.cliques} == {("age", "sick"): 6, ("sick",): 2}
    assert next(c for c in report.cliques if c.clique == ("age", "sick")).merged == ("age",)
    assert report.consistent == 2


def test_bands_hold_the_truth_and_show_a_column_that_is_off() -> None:
    rng = np.random.default_rng(7)
    found = [measured(("age", "plan"), 3.0, rng), measured(("sick",), 3.0, rng), measured(("day",), 3.0, rng)]
    fine = {band.column: band for band in bands(RECORDS, found, ENCODING)}
    assert sum(band.outside for band in fine.values()) <= 3
    assert fine["plan"].labels == ("A", "B", "C", "missing")
    for band in fine.values():
        assert sum(band.synthetic) == pytest.approx(1)
        assert all(a <= r <= b for a, r, b in zip(band.low, band.released, band.high, strict=True))
    off = Records.of(
        ENCODING.domain, {a: RECORDS[a] for a in RECORDS.domain.attributes} | {"sick": RECORDS["sick"] * 0}
    )
    assert {band.column: band.outside for band in bands(off, found, ENCODING)}["sick"] == 2
    json.dumps([band.as_json() for band in fine.values()], allow_nan=False)


def test_wide_columns_are_shown_in_few_bars() -> None:
    wide = Schema(
        columns={
            "x": {"type": "integer", "min": 0, "max": 199, "cells": 200, "special": [-1]},
            "c": {"type": "category", "values": [f"v{i}" for i in range(90)], "missing": True},
        }
    )
    rng = np.random.default_rng(8)
    domain = Encoding(wide).domain
    rows = Records.of(domain, {"x": rng.integers(0, 201, 900), "c": rng.geometric(0.1, 900).clip(0, 90)})
    ones = [Measurement((a,), rng.integers(0, 9, domain[a]), 1.0) for a in ("x", "c")]
    number, code = bands(rows, ones, Encoding(wide))
    assert len(number.labels) <= 24
    assert number.labels[0].startswith("0 to ")
    assert number.labels[-2:] == ("192 to 199", "-1")  # a code is no neighbour of the numbers
    assert len(code.labels) == 24
    assert code.labels[-1] == "68 rarer values"


def test_the_file_says_what_was_released_and_nothing_else(tmp_path: Path) -> None:
    rng = np.random.default_rng(9)
    merge = np.array([0, 0, 0, 1, 1, 2, 2, 2, 2, 2])
    found = (measured(("age", "sick"), 2.5, rng, {"age": merge}), measured(("plan",), 0.7, rng))
    data = to_bytes(found)
    again = from_bytes(data, ENCODING.domain)
    assert to_bytes(again) == data
    assert [m.clique for m in again] == [m.clique for m in found]
    assert all(np.array_equal(a.values, b.values) for a, b in zip(found, again, strict=True))
    (tmp_path / "schema.yaml").write_text(SCHEMA.to_yaml())
    (tmp_path / "measurements.json").write_bytes(data)
    released = Released.load(tmp_path)
    assert released.interval({"plan": "A"}) == interval(found, SCHEMA, {"plan": "A"})
    with pytest.raises(VerifyError, match="no readable"):
        Released.load(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("measurements/1", "measurements/9"),
        ('"sigma": 0.7', '"sigma": 0'),
        ('"sigma": 0.7', '"sigma": NaN'),
        ('"columns": ["plan"]', '"columns": ["nobody"]'),
        ('"columns": ["plan"]', '"columns": ["plan", "plan"]'),
        ('"shape": [4]', '"shape": [5]'),
        ('"values": [', '"values": [1, '),
        ('"values": [', '"values": [0.5, '),
        ('"merges": {}', '"merges": {"plan": [0, 1, 2]}'),
        ('"merges": {}', '"merges": {"plan": [0, -1, 2, 1]}'),
        ('"sigma"', '"also": 1, "sigma"'),
    ],
)
def test_a_changed_file_is_refused(old: str, new: str) -> None:
    text = to_bytes([measured(("plan",), 0.7, np.random.default_rng(10))]).decode()
    assert old in text
    with pytest.raises(VerifyError):
        from_bytes(text.replace(old, new, 1).encode(), ENCODING.domain)


def test_questions_that_the_schema_cannot_have() -> None:
    for wanted in ({"nobody": 1}, {"plan": "Z"}, {"sick": None}, {"age": "old"}, {"day": "yesterday"}):
        with pytest.raises(UsageError):
            Conditions.of(SCHEMA, wanted)
    inside = Conditions.of(SCHEMA, {"age": (5, 24)})
    assert inside.inner["age"].tolist() == [False, True] + [False] * 8
    assert inside.outer["age"].tolist() == [True, True, True] + [False] * 7
    with pytest.raises(ValueError, match="measurements"):
        interval([], SCHEMA, {})
