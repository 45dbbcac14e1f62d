"""Partial records completed, against the joint table with the known cells looked up."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from brute_force import SHAPES, joint, models, random_model
from hypothesis import given, settings
from hypothesis import strategies as st

from dpsynth.domain import Domain
from dpsynth.pgm import GraphicalModel, MergedModel, lookup
from dpsynth.pgm.completing import Impossible, complete
from dpsynth.pgm.mixture import MixtureModel

ROWS = 4000


def whole_table(model: Any) -> np.ndarray:
    """The probabilities of all records."""
    return np.asarray(model.marginal(model.domain.attributes)) / model.total


def expected_counts(table: np.ndarray, domain: Domain, known: dict[str, np.ndarray]) -> np.ndarray:
    """How many of the completed records should be each record."""
    counts = np.zeros(table.shape)
    names, cells = list(known), np.stack(list(known.values()), axis=1)
    for evidence, many in zip(*np.unique(cells, axis=0, return_counts=True), strict=True):
        index: list[Any] = [slice(None)] * len(domain)
        for name, cell in zip(names, evidence, strict=True):
            index[domain.index(name)] = int(cell)
        counts[tuple(index)] += many * table[tuple(index)] / table[tuple(index)].sum()
    return counts


def check_exact(
    model: Any, table: np.ndarray, known: dict[str, np.ndarray], rng: np.random.Generator
) -> None:
    """Each record is drawn as often as it should be: off by less than six standard deviations everywhere."""
    records = complete(model, known, rng)
    for attribute, cells in known.items():
        assert (records[attribute] == cells).all()
    counts = np.zeros(table.shape)
    np.add.at(counts, tuple(c.astype(np.intp) for c in records.columns), 1)
    expected = expected_counts(table, model.domain, known)
    assert counts[expected < 1e-12].sum() == 0
    # systematic rounding of each step moves a count by at most a few, and never more than independent draws would
    assert (np.abs(counts - expected) < 6 * np.sqrt(expected + 1) + len(model.domain)).all()


def possible(table: np.ndarray, domain: Domain, names: list[str], rng: np.random.Generator) -> dict[str, Any]:
    """Known cells of records that the table allows."""
    drawn = np.unravel_index(rng.choice(table.size, ROWS, p=table.ravel() / table.sum()), table.shape)
    return {a: drawn[domain.index(a)] for a in names}


@given(models(max_scale=3.0), st.data())
@settings(max_examples=60, deadline=None)
def test_completion_is_exact(model: GraphicalModel, data: st.DataObject) -> None:
    table = joint(model)[1]
    if not table.any():
        return
    names = data.draw(st.lists(st.sampled_from(model.domain.attributes), min_size=1, unique=True))
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    check_exact(model, table, possible(table, model.domain, names, rng), rng)


@pytest.mark.parametrize("shape", ["cycle", "triples", "star", "disconnected"])
def test_in_parts_it_is_as_exact(shape: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup, "HELD_CELLS", 4)
    monkeypatch.setattr(lookup, "MAX_DENSE", 1)
    monkeypatch.setattr(lookup, "CHUNK", 8)
    domain, cliques = SHAPES[shape]
    rng = np.random.default_rng(61)
    model = random_model(domain, cliques, rng)
    check_exact(model, joint(model)[1], possible(joint(model)[1], domain, ["b", "d"], rng), rng)


def test_where_numbers_would_underflow_each_evidence_is_taken_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    domain, cliques = SHAPES["cycle"]
    rng = np.random.default_rng(62)
    model = random_model(domain, cliques, rng)
    monkeypatch.setattr(lookup, "SAFE_SLACK", 1e-9)
    check_exact(model, joint(model)[1], possible(joint(model)[1], domain, ["a"], rng), rng)


def test_over_merged_cells() -> None:
    domain = Domain.of(a=5, b=3, c=4)
    rng = np.random.default_rng(63)
    inside = random_model(Domain.of(a=3, b=3, c=2), [("a", "b"), ("b", "c")], rng)
    merges = {"a": np.array([0, 1, 1, 2, 1]), "c": np.array([0, 0, 1, 1])}
    shares = {"a": np.array([1, 0.2, 0.5, 1, 0.3]), "c": np.array([0.9, 0.1, 0.0, 1.0])}
    model = MergedModel(domain, inside, merges, shares)
    table = whole_table(model)
    for names in (["a"], ["c"], ["b"], ["a", "c"]):
        check_exact(model, table, possible(table, domain, names, rng), rng)
    with pytest.raises(Impossible) as error:
        complete(model, {"c": np.array([0, 2, 3, 2])}, rng)
    assert error.value.rows.tolist() == [1, 3]


def test_in_a_mixture() -> None:
    domain = Domain.of(a=3, b=2, c=4)
    rng = np.random.default_rng(64)
    tables = {a: rng.dirichlet(np.ones(domain[a]), 5) for a in domain.attributes}
    tables["a"][:, 2] = 0
    tables["a"] /= tables["a"].sum(axis=1, keepdims=True)
    model = MixtureModel(domain, 100.0, rng.dirichlet(np.ones(5)), tables)
    for names in (["a"], ["b", "c"], ["a", "b", "c"]):
        table = whole_table(model)
        check_exact(model, table, possible(table, domain, names, rng), rng)
    with pytest.raises(Impossible) as error:
        complete(model, {"a": np.array([1, 2])}, rng)
    assert error.value.rows.tolist() == [1]


@pytest.mark.parametrize("alone", [False, True])
def test_impossible_rows_are_named(alone: bool) -> None:
    domain = Domain.of(a=3, b=2, c=2)
    table = np.zeros((3, 2))
    table[1] = -np.inf, 0.0
    table[2] = -np.inf
    model = GraphicalModel(domain, 10.0, {("a", "b"): table, ("b", "c"): np.zeros((2, 2))})
    known = {"a": np.array([0, 2, 1, 1]), "b": np.array([0, 0, 0, 1])}
    if alone:
        known["c"] = np.zeros(4, np.int64)
    with pytest.raises(Impossible) as error:
        complete(model, known, np.random.default_rng(1))
    assert error.value.rows.tolist() == [1, 2]


def test_the_same_seed_gives_the_same_records() -> None:
    domain, cliques = SHAPES["chain"]
    model = random_model(domain, cliques, np.random.default_rng(65))
    known = {"b": np.arange(500) % 2}
    one, two = (complete(model, known, np.random.default_rng(7)).matrix() for _ in range(2))
    assert (one == two).all()


def test_no_rows_and_no_cells_of_the_domain() -> None:
    domain, cliques = SHAPES["chain"]
    model = random_model(domain, cliques, np.random.default_rng(66))
    assert len(complete(model, {"a": np.zeros(0, np.int64)}, np.random.default_rng(1))) == 0
    for known in ({}, {"a": np.array([3])}, {"a": np.array([-1])}):
        with pytest.raises(ValueError, match="domain"):
            complete(model, known, np.random.default_rng(1))
