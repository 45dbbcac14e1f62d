"""Log Z, marginals and likelihoods against the whole joint table, for every shape and both number systems."""

from __future__ import annotations

import itertools
import tracemalloc

import numpy as np
import pytest
from brute_force import SHAPES, joint, models, project, random_model
from hypothesis import given, settings
from hypothesis import strategies as st

from dpsynth.domain import Domain
from dpsynth.errors import CapacityError, UsageError
from dpsynth.pgm import GraphicalModel, MixtureModel, graphical
from dpsynth.pgm.contraction import Inference
from dpsynth.pgm.graphical import plan_for
from dpsynth.pgm.logspace import log_product
from dpsynth.records import Records


def assert_agrees(model: GraphicalModel, chosen: list[tuple[str, ...]]) -> None:
    log_z, probabilities = joint(model)
    assert model.log_z == pytest.approx(log_z, rel=1e-10, abs=1e-9)
    for clique in chosen:
        expected = project(model.domain, probabilities, clique) * model.total
        found = model.marginal(clique)
        assert found.shape == model.domain.shape(clique)
        np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-9)
        assert found.sum() == pytest.approx(model.total)
        assert not found[expected == 0].any()


def all_cliques(domain: Domain) -> list[tuple[str, ...]]:
    sizes = range(len(domain) + 1)
    return [clique for k in sizes for clique in itertools.permutations(domain.attributes, k)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("scale", [0.0, 1.0, 30.0, 1000.0])
def test_every_marginal_of_every_shape(shape: str, scale: float) -> None:
    domain, cliques = SHAPES[shape]
    model = random_model(domain, cliques, np.random.default_rng(1), scale)
    assert_agrees(model, all_cliques(domain))


@given(models(), st.data())
@settings(max_examples=150, deadline=None)
def test_any_model(model: GraphicalModel, data: st.DataObject) -> None:
    log_z, _ = joint(model)
    if log_z == -np.inf:
        with pytest.raises(ValueError, match="possible"):
            model.marginal(model.domain.attributes[:1])
        return
    assert_agrees(model, data.draw(st.lists(st.sampled_from(all_cliques(model.domain)), max_size=4)))


def test_log_likelihood_is_the_log_probability_of_each_record() -> None:
    domain, cliques = SHAPES["cycle"]
    model = random_model(domain, cliques, np.random.default_rng(2), 2.0)
    rows = np.array(list(np.ndindex(*domain.sizes)))
    records = Records.of(domain, {a: rows[:, i] for i, a in enumerate(domain.attributes)})
    np.testing.assert_allclose(np.exp(model.log_likelihood(records)), joint(model)[1].ravel(), rtol=1e-9)


def test_zeros_stay_zeros() -> None:
    domain, cliques = SHAPES["triples"]
    model = random_model(domain, cliques, np.random.default_rng(3), 1.0, zeros=0.3)
    for clique, table in model.potentials.items():
        assert not model.marginal(clique)[np.isneginf(table)].any()
        assert (model.marginal(clique)[np.isfinite(table)] >= 0).all()


def two_tables(width: float) -> tuple[Inference, np.ndarray]:
    """Two tables that disagree by `width` about which cell of b is likely."""
    domain = Domain.of(a=2, b=2, c=2)
    inference = Inference(plan_for(domain, [("a", "b"), ("b", "c")]))
    vector = np.zeros(inference.flat.cells)
    inference.flat.table(vector, 0)[:, 0] = width
    inference.flat.table(vector, 1)[1, :] = width
    return inference, vector


def test_logarithms_are_chosen_where_linear_numbers_would_lose_mass() -> None:
    for width, linear in [(0.0, True), (100.0, True), (900.0, False), (1e6, False)]:
        inference, vector = two_tables(width)
        beliefs = inference.run(vector)
        assert beliefs.linear is linear
        assert beliefs.log_z == pytest.approx(width + np.log(8.0))
        np.testing.assert_allclose(beliefs.marginals, 0.25)


def test_a_wide_table_that_nobody_contradicts_stays_linear() -> None:
    inference = Inference(plan_for(Domain.of(a=3, b=2), [("a", "b")]))
    vector = np.linspace(-3000.0, 0.0, 6)
    beliefs = inference.run(vector)
    assert beliefs.linear
    assert beliefs.log_z == pytest.approx(0.0)


def test_linear_numbers_beyond_the_limit_would_be_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dpsynth.pgm.linear.SAFE_SLACK", 1e9)
    inference, vector = two_tables(900.0)
    beliefs = inference.run(vector)
    assert not beliefs.linear
    inference, vector = two_tables(740.0)
    with np.errstate(over="ignore"):
        wrong = inference.run(vector).marginals
    assert not np.allclose(wrong, 0.25)


@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 4), st.integers(1, 4))
def test_log_product_is_the_log_of_the_product(batch: int, a: int, s: int, b: int) -> None:
    rng = np.random.default_rng(batch * 1000 + a * 100 + s * 10 + b)
    left, right = rng.random((batch, a, s)), rng.random((batch, s, b))
    left[0, 0, :] = 0.0
    with np.errstate(divide="ignore"):
        found = log_product(np.log(left), np.log(right))
    np.testing.assert_allclose(np.exp(found), left @ right)


def test_nothing_possible_is_an_error() -> None:
    tables = {("a", "b"): np.array([[0.0, -np.inf]]), ("b",): np.array([-np.inf, 0.0])}
    with pytest.raises(ValueError, match="no possible record"):
        _ = GraphicalModel(Domain.of(a=1, b=2), 1.0, tables).log_z
    with pytest.raises(ValueError, match="no possible cell"):
        _ = GraphicalModel(Domain.of(a=2), 1.0, {("a",): np.full(2, -np.inf)}).log_z


def test_a_query_that_is_too_large_is_refused_before_memory_is_touched() -> None:
    domain = Domain(tuple(f"x{i}" for i in range(9)), (100,) * 9)
    model = random_model(domain, [(a,) for a in domain.attributes], np.random.default_rng(4))
    tracemalloc.start()
    with pytest.raises(CapacityError) as caught:
        model.marginal(domain.attributes)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert caught.value.code == "DPS-C102"
    assert peak < 5e6
    assert domain.size() > graphical.MAX_QUERY_CELLS


@pytest.mark.parametrize("shape", SHAPES)
def test_state_brings_the_same_model_back(shape: str) -> None:
    domain, cliques = SHAPES[shape]
    model = random_model(domain, cliques, np.random.default_rng(5), zeros=0.05)
    again = GraphicalModel.from_state(*model.state())
    assert (again.domain, again.total, again.cliques) == (domain, model.total, model.cliques)
    one, two = (m.sample(50, np.random.default_rng(6)).matrix() for m in (model, again))
    np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize(
    ("total", "tables"),
    [
        (0.0, {("a",): np.zeros(2), ("b",): np.zeros(3)}),
        (np.inf, {("a",): np.zeros(2), ("b",): np.zeros(3)}),
        (1.0, {("a",): np.zeros(2)}),
        (1.0, {("a",): np.zeros(2), ("b",): np.zeros(2)}),
        (1.0, {("a",): np.array([0.0, np.nan]), ("b",): np.zeros(3)}),
        (1.0, {("a",): np.array([0.0, np.inf]), ("b",): np.zeros(3)}),
    ],
)
def test_a_model_that_means_nothing_is_refused(
    total: float, tables: dict[tuple[str, ...], np.ndarray]
) -> None:
    with pytest.raises(ValueError):
        GraphicalModel(Domain.of(a=2, b=3), total, tables)


@given(models(), st.data())
@settings(max_examples=100, deadline=None)
def test_many_marginals_at_once_are_those_asked_one_by_one(
    model: GraphicalModel, data: st.DataObject
) -> None:
    _, probabilities = joint(model)
    if not probabilities.any():
        return
    cliques = data.draw(st.lists(st.sampled_from(all_cliques(model.domain)), max_size=12))
    found = model.marginals(cliques)
    assert set(found) == set(cliques)
    for clique, table in found.items():
        expected = project(model.domain, probabilities, clique) * model.total
        np.testing.assert_allclose(table, expected, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize(("scale", "cells"), [(1.0, 10), (100.0, 1 << 21), (1000.0, 1 << 21)])
def test_many_marginals_where_some_are_too_large_or_underflow(
    scale: float, cells: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graphical, "SHARED_CELLS", cells)
    domain, cliques = SHAPES["cycle"]
    model = random_model(domain, cliques, np.random.default_rng(23), scale)
    _, probabilities = joint(model)
    for clique, table in model.marginals(all_cliques(domain)).items():
        np.testing.assert_allclose(
            table, project(domain, probabilities, clique) * model.total, rtol=1e-6, atol=1e-6
        )


@pytest.mark.parametrize("shape", ["chain", "triples", "disconnected"])
def test_approximate_marginals_are_close_and_always_the_same(shape: str) -> None:
    domain, cliques = SHAPES[shape]
    model = random_model(domain, cliques, np.random.default_rng(24))
    asked = all_cliques(domain)
    found, again = model.approximate(asked), model.approximate(asked)
    for clique in asked:
        exact = model.marginal(clique)
        np.testing.assert_array_equal(found[clique], again[clique])
        assert found[clique].sum() == pytest.approx(model.total)
        assert np.abs(found[clique] - exact).sum() < 0.08 * model.total
        if any(set(clique) <= set(c) for c in cliques):
            np.testing.assert_array_equal(found[clique], exact)


@pytest.mark.parametrize("clique", [("a", "a"), ("a", "nobody")])
def test_a_clique_that_is_none_is_said(clique: tuple[str, ...]) -> None:
    domain = Domain.from_sizes({"a": 2, "b": 3})
    mixture = MixtureModel(
        domain, 10.0, np.ones(1), {a: np.full((1, domain[a]), 1 / domain[a]) for a in "ab"}
    )
    for model in (GraphicalModel(domain, 10.0, {("a", "b"): np.zeros((2, 3))}), mixture):
        with pytest.raises(UsageError, match="none of this table"):
            model.marginal(clique)
