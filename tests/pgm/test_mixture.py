"""Mixtures of products against the whole joint table, written out."""

from __future__ import annotations

import json

import numpy as np
import pytest
from brute_force import project
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2

from dpsynth.domain import Domain
from dpsynth.errors import CapacityError
from dpsynth.measurement import Merges
from dpsynth.pgm import MergedMixture, MixtureModel, mixture, sampling
from dpsynth.records import Records

Floats = np.ndarray


def joint(model: MixtureModel) -> Floats:
    """Every record's probability, by its definition."""
    found = np.zeros(model.domain.sizes)
    for k, weight in enumerate(model.weights.astype(float) / model.weights.astype(float).sum()):
        product: Floats = np.array(weight)
        for table in model.tables.values():
            row = table[k].astype(float)
            product = np.multiply.outer(product, row / row.sum())
        found += product
    return found


def random_mixture(
    domain: Domain, components: int, rng: np.random.Generator, zeros: float = 0.0, dtype: type = np.float64
) -> MixtureModel:
    def shares(rows: int, cells: int) -> Floats:
        found = rng.gamma(0.5, size=(rows, cells)) + 1e-3
        found[:, 1:][rng.random((rows, cells - 1)) < zeros] = 0.0
        return np.asarray((found / found.sum(axis=1, keepdims=True)).astype(dtype))

    tables = {a: shares(components, domain[a]) for a in domain.attributes}
    return MixtureModel(domain, 100.0, shares(1, components)[0], tables)


@st.composite
def mixtures(draw: st.DrawFn) -> MixtureModel:
    sizes = draw(st.lists(st.integers(1, 4), min_size=1, max_size=5))
    domain = Domain(tuple("abcde"[: len(sizes)]), tuple(sizes))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    zeros, dtype = draw(st.sampled_from([0.0, 0.4])), draw(st.sampled_from([np.float32, np.float64]))
    return random_mixture(domain, draw(st.integers(1, 6)), rng, zeros, dtype)


@given(mixtures(), st.data())
@settings(max_examples=120, deadline=None)
def test_marginals_are_those_of_the_joint_table(model: MixtureModel, data: st.DataObject) -> None:
    names = st.lists(st.sampled_from(model.domain.attributes), max_size=4, unique=True).map(tuple)
    cliques = data.draw(st.lists(names, min_size=1, max_size=3))
    found = model.marginals(cliques)
    for clique in cliques:
        expected = project(model.domain, joint(model), clique) * model.total
        assert found[clique].shape == model.domain.shape(clique)
        np.testing.assert_allclose(found[clique], expected, rtol=1e-9, atol=1e-9)
        np.testing.assert_array_equal(model.approximate([clique])[clique], found[clique])


@given(mixtures())
@settings(max_examples=60, deadline=None)
def test_likelihoods_are_those_of_the_joint_table(model: MixtureModel) -> None:
    cells = np.indices(model.domain.sizes).reshape(len(model.domain), -1)
    records = Records.of(model.domain, dict(zip(model.domain.attributes, cells, strict=True)))
    np.testing.assert_allclose(np.exp(model.log_likelihood(records)), joint(model).ravel(), atol=1e-12)


@given(mixtures(), st.data())
@settings(max_examples=120, deadline=None)
def test_conditioning_is_exact(model: MixtureModel, data: st.DataObject) -> None:
    names = data.draw(st.lists(st.sampled_from(model.domain.attributes), max_size=3, unique=True))
    share = st.sampled_from([0.0, 0.0, 0.3, 1.0])
    weights = {}
    table = joint(model)
    for a in names:
        size = model.domain[a]
        weights[a] = np.array(data.draw(st.lists(share, min_size=size, max_size=size)))
        axis = model.domain.index(a)
        table = table * weights[a].reshape([-1 if i == axis else 1 for i in range(table.ndim)])
    if not table.any():
        with pytest.raises(ValueError, match="possible"):
            model.conditioned(weights)
        return
    given_it = model.conditioned(weights)
    assert given_it.total == pytest.approx(model.total * table.sum())
    np.testing.assert_allclose(joint(given_it), table / table.sum(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("weights", [np.ones(2), np.full(3, 1.1), np.array([1.0, np.nan, 0.0]), -np.ones(3)])
def test_weights_that_are_no_shares_are_refused(weights: Floats) -> None:
    model = random_mixture(Domain.of(a=3, b=2), 4, np.random.default_rng(1))
    with pytest.raises(ValueError, match="shares"):
        model.conditioned({"a": weights})


@given(mixtures(), st.integers(0, 300), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_any_mixture_any_number_of_records(model: MixtureModel, n: int, seed: int) -> None:
    records = model.sample(n, np.random.default_rng(seed))
    assert len(records) == n
    if n:
        assert not counts_of(records)[joint(model).ravel() == 0].any()


def counts_of(records: Records) -> Floats:
    flat = np.ravel_multi_index([c.astype(np.int64) for c in records.columns], records.domain.sizes)
    return np.bincount(flat, minlength=records.domain.size())


def p_value(counts: Floats, probabilities: Floats) -> float:
    """Pearson's chi-squared; systematic rounding only makes the statistic smaller."""
    expected = probabilities.ravel() * counts.sum()
    return float(chi2.sf(((counts - expected) ** 2 / expected).sum(), len(counts) - 1))


def test_a_large_sample_has_the_joint_distribution() -> None:
    model = random_mixture(Domain.of(a=3, b=4, c=2), 5, np.random.default_rng(2))
    counts = counts_of(model.sample(400_000, np.random.default_rng(3)))
    assert p_value(counts, joint(model)) > 1e-6
    moved = model.weights + np.array([0.01, -0.01, 0, 0, 0])
    lie = MixtureModel(model.domain, 1.0, moved, model.tables)
    assert p_value(counts, joint(lie)) < 1e-6


def test_single_records_are_independent_draws() -> None:
    model = random_mixture(Domain.of(a=3, b=2), 3, np.random.default_rng(4))
    rng = np.random.default_rng(5)
    counts = sum(counts_of(model.sample(1, rng)) for _ in range(1500))
    assert 1e-6 < p_value(counts, joint(model)) < 1 - 1e-6
    assert p_value(counts, np.full(6, 1 / 6)) < 1e-6


def test_rounding_beats_independent_draws_by_far() -> None:
    model, n = random_mixture(Domain.of(a=8, b=6), 20, np.random.default_rng(6)), 20_000
    for clique in [("a",), ("b",)]:
        found = np.bincount(
            model.sample(n, np.random.default_rng(7))[clique[0]], minlength=model.domain[clique[0]]
        )
        assert np.abs(found / n - model.marginal(clique) / 100).sum() / 2 < 20 / n
    drawn = np.random.default_rng(8).multinomial(n, model.marginal(("a",)) / 100)
    assert np.abs(drawn / n - model.marginal(("a",)) / 100).sum() / 2 > 20 / n


def test_batches_are_the_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "BLOCK", 64)
    model = random_mixture(Domain.of(a=3, b=300), 5, np.random.default_rng(9))
    whole = model.sample(200, np.random.default_rng(10)).matrix()
    rng = np.random.default_rng(10)
    batches = [batch.matrix() for batch in model.sample_batches(200, rng)]
    assert [len(batch) for batch in batches] == [64, 64, 64, 8]
    np.testing.assert_array_equal(np.concatenate(batches), whole)
    assert [len(batch) for batch in model.sample_batches(0, rng)] == [0]
    with pytest.raises(ValueError):
        model.sample(-1, rng)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_it_comes_back_from_a_file(dtype: type) -> None:
    model = random_mixture(Domain.of(a=5, b=2), 7, np.random.default_rng(11), dtype=dtype)
    facts, arrays = model.state()
    again = MixtureModel.from_state(json.loads(json.dumps(facts)), arrays)
    assert again.tables["a"].dtype == dtype
    np.testing.assert_array_equal(again.marginal(("a", "b")), model.marginal(("a", "b")))
    one, two = (m.sample(50, np.random.default_rng(12)) for m in (model, again))
    np.testing.assert_array_equal(one.matrix(), two.matrix())
    with pytest.raises(ValueError):
        MixtureModel.from_state(facts, {**arrays, "weights": np.ones(7, dtype=np.int64)})
    with pytest.raises(KeyError):
        MixtureModel.from_state(facts, {"weights": arrays["weights"]})


@pytest.mark.parametrize(
    ("weights", "table"),
    [
        (np.ones(2), np.ones((2, 1))),
        (np.array([0.5, np.nan]), np.ones((2, 1))),
        (np.array([1.5, -0.5]), np.ones((2, 1))),
        (np.array([]), np.ones((0, 1))),
        (np.full(2, 0.5), np.ones((3, 1))),
        (np.full(2, 0.5), np.full((2, 1), 0.9)),
        (np.full((2, 1), 0.5), np.ones((2, 1))),
    ],
)
def test_what_is_no_distribution_is_refused(weights: Floats, table: Floats) -> None:
    with pytest.raises(ValueError):
        MixtureModel(Domain.of(a=1), 10.0, weights, {"a": table})
    with pytest.raises(ValueError):
        MixtureModel(Domain.of(a=1), 0.0, np.ones(1), {"a": np.ones((1, 1))})
    with pytest.raises(ValueError):
        MixtureModel(Domain.of(a=1), 1.0, np.ones(1), {"b": np.ones((1, 1))})


def test_work_is_done_in_pieces_and_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    model = random_mixture(Domain.of(a=3, b=4, c=5), 11, np.random.default_rng(13))
    whole = model.marginal(("c", "a", "b"))
    records = model.sample(30, np.random.default_rng(14))
    logs = model.log_likelihood(records)
    monkeypatch.setattr(mixture, "WORK_CELLS", 25)
    np.testing.assert_allclose(model.marginal(("c", "a", "b")), whole)
    np.testing.assert_allclose(model.log_likelihood(records), logs)
    monkeypatch.setattr(mixture, "MAX_QUERY_CELLS", 59)
    with pytest.raises(CapacityError):
        model.marginal(("c", "a", "b"))


def test_merged_cells_are_spread_out_again() -> None:
    domain, merges = Domain.of(a=5, b=2), {"a": np.array([0, 1, 1, 0, 1])}
    shares = {"a": np.array([0.25, 0.5, 0.0, 0.75, 0.5])}
    inside = random_mixture(Domain.of(a=2, b=2), 4, np.random.default_rng(15))
    model = MergedMixture(domain, inside, merges, shares)
    table = joint(inside)[merges["a"]] * shares["a"][:, None]
    np.testing.assert_allclose(model.marginal(("b", "a")), table.T * 100, atol=1e-9)
    evidence = {"a": np.array([1.0, 0.5, 1.0, 0.0, 0.0])}
    given_it = model.conditioned(evidence)
    assert isinstance(given_it, MergedMixture)
    np.testing.assert_allclose(given_it.marginal(("a", "b")), 100 * table * evidence["a"][:, None], atol=1e-9)
    facts, arrays = model.state()
    again = MergedMixture.from_state(json.loads(json.dumps(facts)), arrays)
    one, two = (m.sample(500, np.random.default_rng(16)) for m in (model, again))
    np.testing.assert_array_equal(one.matrix(), two.matrix())
    assert (
        p_value(
            counts_of(model.sample(100_000, np.random.default_rng(17)))[[0, 1, 2, 3, 6, 7, 8, 9]],
            table.ravel()[[0, 1, 2, 3, 6, 7, 8, 9]],
        )
        > 1e-6
    )
    cells: Merges = model.merges
    assert set(cells) == {"a"}
