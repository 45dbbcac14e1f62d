"""Structural zeros against every record of tiny domains: which cells cannot be, and what the model makes of it."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dpsynth.constraints import Rules, classes_of, structural_zeros
from dpsynth.domain import Domain
from dpsynth.encoding import Encoding
from dpsynth.measurement import Measurement
from dpsynth.pgm import GraphicalModel, fit
from dpsynth.pgm.zeros import Estimation, affordable
from dpsynth.records import Records
from dpsynth.schema import Schema
from dpsynth.table import Table

COLUMNS: dict[str, Any] = {
    "a": {"type": "integer", "min": 0, "max": 2},
    "b": {"type": "category", "values": ["x", "y", "z"], "missing": True},
    "c": {"type": "boolean"},
    "d": {"type": "integer", "min": 1, "max": 4, "missing": True},
}
DOMAIN = Encoding(Schema(columns=COLUMNS)).domain

QUESTIONS = st.sampled_from(
    [
        "a == 0", "a != 1", "a >= 1", "a in [0, 2]", "b == 'x'", "b != 'y'", "b in ['y', 'z']", "b is missing",
        "b is not missing", "c == true", "c == false", "d <= 2", "d == 4", "d != 3", "d is missing", "a < d", "a + d == 4",
        "2 * a <= d", "d != a",
    ]
)  # fmt: skip
RULES = st.one_of(
    st.tuples(QUESTIONS, QUESTIONS).map(lambda q: {"forbid": f"{q[0]} and {q[1]}"}),
    st.tuples(QUESTIONS, QUESTIONS).map(lambda q: {"require": f"{q[0]} or {q[1]}"}),
    st.tuples(QUESTIONS, QUESTIONS, QUESTIONS).map(lambda q: {"when": q[0], "then": f"{q[1]} or ({q[2]})"}),
    st.permutations([0, 1, 2]).map(
        lambda p: {"functional": {"a": "b"}, "map": dict(zip("xyz", p, strict=True)), "one_to_one": True}
    ),
    st.just({"order": ["a", "d"], "strict": True}),
    st.just({"sum": "a + d <= 4"}),
    st.just({"allow": {"columns": ["b", "c"], "rows": [["x", True], ["y", False], ["z", False]]}}),
)


def everything(schema: Schema) -> tuple[Records, Table]:
    """Each record of the domain once: every cell holds one value."""
    encoding = Encoding(schema)
    cells = np.array(list(itertools.product(*map(range, encoding.domain.sizes))))
    records = Records.of(encoding.domain, dict(zip(encoding.domain.attributes, cells.T, strict=True)))
    return records, encoding.decode(records, np.random.default_rng(0))


def possible(schema: Schema) -> np.ndarray:
    """Which records keep all rules, shape (records,), by looking at each."""
    rules = Rules.of(schema)
    _, table = everything(schema)
    broken = rules.broken(table)
    kept = np.ones(len(table), dtype=bool)
    for rows in broken.values():
        kept[rows] = False
    return kept


@settings(
    max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.filter_too_much]
)
@given(st.lists(RULES, min_size=1, max_size=4), st.integers(0, 1 << 30))
def test_a_model_with_zeros_is_the_model_given_that_no_rule_is_broken(rules: list[Any], seed: int) -> None:
    schema = Schema(columns=COLUMNS, constraints=rules)
    kept = possible(schema)
    zeros = structural_zeros(Rules.of(schema), DOMAIN)
    rng = np.random.default_rng(seed)
    tables = {c: rng.normal(size=DOMAIN.shape(c)) for c in (("a", "b"), ("b", "c"), ("c", "d"))}
    joint = np.exp(GraphicalModel(DOMAIN, 1.0, tables).log_likelihood(everything(schema)[0])) * kept
    forbidden = {c: np.where(zero, -np.inf, 0.0) for c, zero in zeros.items()}
    if not kept.any():
        with pytest.raises(ValueError):
            fit(DOMAIN, [Measurement(("a",), np.array([5, 5, 5]), 1.0)], zeros=zeros).marginal(("a", "d"))
        return
    model = GraphicalModel(
        DOMAIN, 1.0, {**tables, **{c: tables.get(c, 0.0) + forbidden[c] for c in forbidden}}
    )
    joint /= joint.sum()
    records, _ = everything(schema)
    np.testing.assert_allclose(np.exp(model.log_likelihood(records)), joint, atol=1e-12)
    for clique in itertools.combinations(DOMAIN.attributes, 2):
        brute = np.zeros(DOMAIN.shape(clique))
        np.add.at(brute, tuple(everything(schema)[0][a] for a in clique), joint)
        np.testing.assert_allclose(model.marginal(clique), brute, atol=1e-12)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.lists(RULES, min_size=1, max_size=3), st.integers(0, 1 << 30))
def test_a_fit_finds_the_largest_entropy_that_keeps_the_rules(rules: list[Any], seed: int) -> None:
    """Counts of records that keep the rules, measured almost exactly: the fit is the brute-force exponential family."""
    schema = Schema(columns=COLUMNS, constraints=rules)
    kept = possible(schema)
    if not kept.any():
        return
    records, _ = everything(schema)
    rng = np.random.default_rng(seed)
    weights = rng.gamma(0.7, size=len(records)) * kept
    counts = np.zeros(DOMAIN.shape(("a", "b")))
    np.add.at(counts, (records["a"], records["b"]), weights / weights.sum() * 100_000)
    measured = Measurement(("a", "b"), np.rint(counts).astype(np.int64), 1.0)
    model = fit(DOMAIN, [measured], zeros=structural_zeros(Rules.of(schema), DOMAIN))
    # by hand: the uniform distribution over what is possible, scaled to the measured counts cell by cell
    share = np.zeros_like(counts)
    np.add.at(share, (records["a"], records["b"]), kept.astype(float))
    density = kept * (counts / np.maximum(share, 1e-300))[records["a"], records["b"]]
    np.testing.assert_allclose(np.exp(model.log_likelihood(records)), density / density.sum(), atol=2e-3)
    assert np.exp(model.log_likelihood(records))[~kept].sum() == 0.0


def test_cells_of_many_values_are_zero_only_when_none_of_them_can_be() -> None:
    schema = Schema(
        columns={
            "age": {
                "type": "integer",
                "min": 0,
                "max": 99,
                "cells": 10,
                "special": [-1, 50],
                "missing": True,
            },
            "job": {"type": "category", "values": ["none", "CEO"]},
            "x": {"type": "number", "min": 0, "max": 10, "decimals": 1, "cells": 5},
            "y": {"type": "number", "min": 0, "max": 10, "decimals": 2, "cells": 3},
        },
        constraints=[
            {"forbid": "age < 25 and job == 'CEO'"},
            {"forbid": "age >= 25 and age < 30 and job == 'CEO'"},
            {"order": ["x", "y"]},
            {"require": "x + 2 * y <= 10"},
        ],
    )
    encoding, rng = Encoding(schema), np.random.default_rng(1)
    zeros = structural_zeros(Rules.of(schema), encoding.domain)
    assert set(zeros) == {("age", "job"), ("x", "y")}
    # two rules that cut one cell in two rule it out together; the special values answer for themselves
    assert np.flatnonzero(zeros[("age", "job")][:, 1]).tolist() == [0, 1, 2, 10]
    cells = {
        a: rng.integers(0, n, 60_000)
        for a, n in zip(encoding.domain.attributes, encoding.domain.sizes, strict=True)
    }
    records = Records.of(encoding.domain, cells)
    table = encoding.decode(records, rng)
    kept = np.ones(len(table), dtype=bool)
    for number, rows in Rules.of(schema).broken(table).items():
        if number > 2:
            kept[rows] = False
    seen = np.zeros((5, 3), dtype=bool)
    seen[records["x"][kept], records["y"][kept]] = True
    np.testing.assert_array_equal(~seen, zeros[("x", "y")])


def test_merging_within_classes_keeps_the_zeros() -> None:
    zeros = {("a", "b"): np.array([[1, 0, 0], [1, 0, 0], [0, 1, 1], [0, 0, 0]], dtype=bool)}
    classes = classes_of(zeros, Domain.of(a=4, b=3))
    assert classes["a"][0] == classes["a"][1]
    assert len(set(classes["a"].tolist())) == 3
    assert classes["b"][1] == classes["b"][2] != classes["b"][0]


def test_zeros_without_room_are_left_out_and_the_others_kept() -> None:
    domain = Domain.of(a=300, b=300, c=300, d=2)
    large, small = ("a", "b", "c"), ("a", "d")
    assert affordable(domain, [("a", "b")], [small, large], 1e7) == [small]
    zeros = {small: np.arange(600).reshape(300, 2) % 2 == 1}
    counts = Measurement(("a",), np.full(300, 10), 1.0)
    model = Estimation(zeros, 1e7)(domain, [counts])
    assert model.marginal(("d",))[1] == 0
