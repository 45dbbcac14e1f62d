"""Two tables that differ in one unit, from the frame on, under one run key: no marginal moves by more than declared.

Everything between the reader and the count is inside: ids, missing ids, the bound, the hold-out coin, the codes.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpsynth.domain import Clique, Domain
from dpsynth.encoding import Encoding
from dpsynth.engines.memory import MemoryEngine, bound_and_split
from dpsynth.privacy import curator, sensitivity
from dpsynth.schema import Schema
from dpsynth.synthesis import unit_keys
from dpsynth.table import read_table

KEY = bytes(range(32))
COLUMNS: dict[str, Any] = {
    "person": {"type": "id", "format": "P-####"},
    "age": {"type": "integer", "min": 0, "max": 9, "cells": 3, "missing": True, "clip": True},
    "plan": {"type": "category", "values": ["A", "B", "C"]},
}
CLIQUES: list[Clique] = [(), ("age",), ("plan",), ("plan", "age")]

Row = tuple[str | None, float | None, str]
rows_of = st.tuples(
    st.sampled_from(["p1", "p2", "None", "nan", None]),
    st.sampled_from([None, 0.0, 4.0, 9.0, 77.0]),
    st.sampled_from(["A", "B", "C"]),
)


def schema_of(k: int, missing: str = "own") -> Schema:
    unit = {"entity": "person", "column": "person", "rows_per_unit": k, "missing": missing}
    return Schema(columns=COLUMNS, unit=unit)


def counted(rows: Sequence[Row], k: int, part: str = "training", holdout: float = 0.4) -> dict[Clique, Any]:
    """Exact marginals of one part, as the curator would see them."""
    schema = schema_of(k)
    if not rows:  # the reader refuses an empty table
        domain = Encoding(schema).domain
        return {clique: np.zeros(domain.shape(clique), dtype=np.int64) for clique in CLIQUES}
    table = read_table(pd.DataFrame(rows, columns=["person", "age", "plan"]), schema)
    records = Encoding(schema).encode(table)
    split = bound_and_split(records, unit_keys(table), rows_per_unit=k, holdout=holdout, run_key=KEY)
    return dict(MemoryEngine(records.take(getattr(split, part)), k).marginals(CLIQUES))


def check_neighbours(without: Sequence[Row], added: Sequence[Row], k: int) -> None:
    for part in ("training", "holdout"):
        small, large = counted(without, k, part), counted([*without, *added], k, part)
        for clique in CLIQUES:
            moved = large[clique] - small[clique]
            assert np.abs(moved).sum() <= sensitivity.marginal_l1(k), (part, clique)
            assert (moved**2).sum() <= sensitivity.marginal_l1(k) ** 2
            estimate = np.arange(moved.size, dtype=np.int64).reshape(moved.shape)
            scores = [int(np.abs(counts[clique] - estimate).sum()) for counts in (small, large)]
            assert abs(scores[1] - scores[0]) <= sensitivity.l1_score_sensitivity(k)


@settings(max_examples=80, deadline=None)
@given(st.lists(rows_of, max_size=14), st.lists(rows_of, min_size=1, max_size=9), st.integers(1, 3))
def test_a_named_person_more_or_less(others: list[Row], own: list[Row], k: int) -> None:
    """Any number of rows, new categories of the table, missing values: all under one new name."""
    check_neighbours(others, [("newcomer", age, plan) for _, age, plan in own], k)


@settings(max_examples=80, deadline=None)
@given(st.lists(rows_of, max_size=14), rows_of, st.integers(1, 3))
def test_somebody_without_an_id_more_or_less(others: list[Row], own: Row, k: int) -> None:
    """`missing: own`: each row without an id is somebody, and nobody else's."""
    check_neighbours(others, [(None, own[1], own[2])], k)


def test_people_without_an_id_are_each_counted() -> None:
    rows: list[Row] = [(None, 4.0, "A")] * 50 + [("None", 4.0, "B")] * 3
    found = counted(rows, 1, holdout=0.0)[("plan",)]
    assert found.tolist() == [50, 1, 0]


def test_coins_of_people_without_an_id_are_their_own() -> None:
    rows: list[Row] = [(None, 4.0, "A")] * 400
    held = int(counted(rows, 1, "holdout", holdout=0.5)[()])
    assert 140 < held < 260


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([1, 1, 2], [1.0, 1.0, 2.0]),
        ([1, 1, 2], ["1", " 1 ", "2"]),
        ([1, 1, 2], pd.array([1, 1, 2], dtype="Int64")),
        ([1, 1, 2], pd.Categorical(["1", "1", "2"])),
        ([1, 1, 2], [1, 1.0, "2"]),
        ([1, 1, 2], [np.float64(1.0), "1", 2]),
    ],
)
def test_one_person_is_one_unit_however_the_frame_holds_the_id(one: Any, other: Any) -> None:
    keys = []
    for ids in (one, other):
        frame = pd.DataFrame({"person": ids, "age": [1, 2, 3], "plan": ["A", "B", "C"]})
        keys.append(unit_keys(read_table(frame, schema_of(1))))
    assert keys[0] == keys[1]


def test_ids_are_those_of_the_csv(tmp_path: Any) -> None:
    path = tmp_path / "t.csv"
    path.write_text("person,age,plan\n1,1,A\n1,2,B\n2,3,C\n")
    frame = pd.DataFrame({"person": [1.0, 1.0, 2.0], "age": [1, 2, 3], "plan": ["A", "B", "C"]})
    assert unit_keys(read_table(path, schema_of(1))) == unit_keys(read_table(frame, schema_of(1)))


@pytest.mark.parametrize(
    "ids",
    [
        np.array([2.0**53, 2.0**53 + 2, 5.0]),  # 2**53 + 1 became one of them before we saw it
        np.array([1e300, 1.0, 2.0]),
    ],
)
def test_ids_that_a_float_cannot_tell_apart_are_refused(ids: Any) -> None:
    """Two people under one id would be bounded as one: removing one of them lets rows of the other in."""
    frame = pd.DataFrame({"person": ids, "age": [1, 2, 3], "plan": ["A", "B", "C"]})
    with pytest.raises(Exception, match="too large to be exact"):
        read_table(frame, schema_of(1))


def test_times_as_ids_keep_their_time_of_day() -> None:
    ids = pd.to_datetime(["2026-01-01 10:00", "2026-01-01 11:00", "2026-01-01 11:00"])
    frame = pd.DataFrame({"person": ids, "age": [1, 2, 3], "plan": ["A", "B", "C"]})
    keys = unit_keys(read_table(frame, schema_of(1)))
    assert keys is not None
    assert len(set(keys)) == 2


def test_a_table_without_its_unit_is_never_taken_for_rows() -> None:
    frame = pd.DataFrame({"age": [1, 2], "plan": ["A", "B"]})
    table = read_table(frame, schema_of(1), require_unit=False)
    with pytest.raises(ValueError, match="unit"):
        unit_keys(table)


@pytest.mark.parametrize("weight", [1, 2**20])
@pytest.mark.parametrize("estimate", [1e30, -1e30, 2.0**63, -(2.0**63), 2.0**62, 1e15, 0.0])
def test_scores_of_absurd_estimates_move_by_one_row_too(estimate: float, weight: int) -> None:
    """Integers wrap around: one row must never move a score by 2**64."""
    asked = curator._asked(Domain.of(plan=3), {("plan",): np.full(3, estimate)}, weights={("plan",): weight})
    assert asked.cliques == [("plan",)]
    scores = []
    for rows in range(4):
        exact = np.array([rows, 0, 0], dtype=np.int64)
        scores.append(int(asked.weights[0] * np.abs(exact - asked.estimates[("plan",)]).sum()))
    assert all(score >= 0 for score in scores)
    assert {abs(b - a) for a, b in pairwise(scores)} == {weight}
