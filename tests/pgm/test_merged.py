"""Merged cells: estimation over them, and the model that spreads them out again, against the whole joint table."""

from __future__ import annotations

import json

import numpy as np
import pytest
from brute_force import joint, project, random_model

from dpsynth.domain import Domain
from dpsynth.measurement import Measurement
from dpsynth.pgm import GraphicalModel, MergedModel, fit
from dpsynth.pgm.merged import within_shares
from dpsynth.pgm.problem import combine, estimate_total
from dpsynth.records import Records

DOMAIN = Domain.of(a=5, b=2, c=4)
MERGES = {"a": np.array([0, 1, 1, 0, 1]), "c": np.array([0, 0, 0, 1])}
SHARES = {"a": np.array([0.25, 0.5, 0.0, 0.75, 0.5]), "c": np.array([0.2, 0.3, 0.5, 1.0])}


@pytest.fixture
def model() -> MergedModel:
    inside = random_model(Domain.of(a=2, b=2, c=2), [("a", "b"), ("b", "c")], np.random.default_rng(5))
    return MergedModel(DOMAIN, inside, MERGES, SHARES)


def table(model: MergedModel) -> np.ndarray:
    """Every record's probability, by its definition."""
    _, inside = joint(model.inside)
    a, c = MERGES["a"], MERGES["c"]
    spread = inside[a][:, :, c]
    return np.asarray(spread * SHARES["a"][:, None, None] * SHARES["c"][None, None, :])


@pytest.mark.parametrize("clique", [("a",), ("c", "a"), ("b",), ("a", "b", "c"), ("c", "b")])
def test_marginals_are_those_of_the_joint_table(model: MergedModel, clique: tuple[str, ...]) -> None:
    exact = project(DOMAIN, table(model), clique) * model.total
    np.testing.assert_allclose(model.marginal(clique), exact, atol=1e-9)
    np.testing.assert_allclose(model.marginals([clique, ("b",)])[clique], exact, atol=1e-9)
    assert model.approximate([clique])[clique].shape == DOMAIN.shape(clique)


def test_likelihoods_are_those_of_the_joint_table(model: MergedModel) -> None:
    cells = np.indices(DOMAIN.sizes).reshape(3, -1)
    records = Records.of(DOMAIN, dict(zip("abc", cells, strict=True)))
    np.testing.assert_allclose(np.exp(model.log_likelihood(records)), table(model).ravel(), atol=1e-12)


def test_samples_are_rounded_inside_merged_cells_too(model: MergedModel) -> None:
    n = 40_000
    records = model.sample(n, np.random.default_rng(1))
    counts = np.zeros(DOMAIN.sizes)
    np.add.at(counts, tuple(records[a] for a in "abc"), 1)
    assert np.abs(counts / n - table(model)).sum() / 2 < 0.015
    one = np.bincount(records["a"], minlength=5)
    np.testing.assert_allclose(one / n, project(DOMAIN, table(model), ("a",)), atol=3 / n)
    assert one[2] == 0


def test_evidence_about_original_cells(model: MergedModel) -> None:
    weights = {"a": np.array([1.0, 0.5, 1.0, 0.0, 0.0]), "c": np.array([0.0, 1.0, 0.0, 0.0])}
    given = model.conditioned(weights)
    exact = table(model) * weights["a"][:, None, None] * weights["c"][None, None, :]
    assert given.total == pytest.approx(model.total * exact.sum())
    np.testing.assert_allclose(given.marginal(("a", "b", "c")), model.total * exact, atol=1e-9)
    with pytest.raises(ValueError):
        model.conditioned({"a": np.array([0.0, 0.0, 1.0, 0.0, 0.0])})


def test_it_comes_back_from_a_file(model: MergedModel) -> None:
    facts, arrays = model.state()
    again = MergedModel.from_state(json.loads(json.dumps(facts)), arrays)
    assert again.domain == DOMAIN
    np.testing.assert_array_equal(again.marginal(("a", "c")), model.marginal(("a", "c")))
    one, two = (m.sample(50, np.random.default_rng(2)) for m in (model, again))
    assert all(np.array_equal(x, y) for x, y in zip(one.columns, two.columns, strict=True))


@pytest.mark.parametrize(
    "shares",
    [
        {"a": SHARES["a"]},
        {**SHARES, "a": SHARES["a"] * 1.01},
        {**SHARES, "a": np.array([0.25, 1.5, -0.5, 0.75, 0.0])},
        {**SHARES, "c": np.ones(3)},
    ],
)
def test_shares_that_are_none_are_refused(model: MergedModel, shares: dict[str, np.ndarray]) -> None:
    with pytest.raises(ValueError, match="shares"):
        MergedModel(DOMAIN, model.inside, MERGES, shares)


def test_full_counts_are_summed_to_merged_cells_with_their_variance() -> None:
    full = Measurement(("c", "a"), np.arange(20).reshape(4, 5), 2.0)
    coarse = Domain.of(a=2, b=2, c=2)
    (target,) = combine(coarse, [full], MERGES)
    summed = np.array([[0, 0], [0, 0]])
    np.add.at(summed, (MERGES["c"][:, None], MERGES["a"][None, :]), full.values)
    np.testing.assert_array_equal(target.values, summed.T)
    np.testing.assert_array_equal(target.variance, 4.0 * np.outer([2, 3], [3, 1]))
    assert estimate_total([target]) == full.values.sum()
    merged = Measurement(("a",), np.array([10, 20]), 1.0, {"a": MERGES["a"]})
    own = Measurement(("a",), np.array([4, 8, 8, 4, 8]), 1.0)
    (both,) = combine(coarse, [merged, own], MERGES)
    np.testing.assert_allclose(both.values, [(10 + 8 / 2) / 1.5, (20 + 24 / 3) / (4 / 3)])


def exact_measurements(records: Records, cliques: list[tuple[str, ...]]) -> list[Measurement]:
    found = []
    for clique in cliques:
        merges = {a: MERGES[a] for a in clique if a in MERGES and len(clique) > 1}
        cells = [MERGES[a][records[a]] if a in merges else records[a] for a in clique]
        shape = [2 if a in merges else DOMAIN[a] for a in clique]
        counts = np.zeros(shape, dtype=np.int64)
        np.add.at(counts, tuple(cells), 1)
        found.append(Measurement(clique, counts, 1.0, merges))
    return found


def test_a_fit_over_merged_cells_explains_what_was_measured() -> None:
    rng = np.random.default_rng(3)
    b = rng.integers(0, 2, 5000)
    a = np.where(rng.random(5000) < 0.8, b * 2, rng.integers(0, 5, 5000))
    records = Records.of(DOMAIN, {"a": a, "b": b, "c": rng.integers(0, 4, 5000)})
    found = exact_measurements(records, [("a",), ("b",), ("c",), ("a", "b"), ("c", "b")])
    model = fit(DOMAIN, found)
    assert isinstance(model, MergedModel)
    assert model.domain == DOMAIN
    assert model.inside.domain == Domain.of(a=2, b=2, c=2)
    for one in found:
        merged = model.inside.marginal(one.clique) if one.merges else model.marginal(one.clique)
        assert np.abs(merged - one.values).max() < 12
    warm = fit(DOMAIN, found, start=model)
    np.testing.assert_allclose(warm.marginal(("a", "b")), model.marginal(("a", "b")), atol=12)


def test_cells_are_merged_in_one_way() -> None:
    one = Measurement(("a",), np.array([1, 2]), 1.0, {"a": MERGES["a"]})
    other = Measurement(("a",), np.array([1, 2]), 1.0, {"a": np.array([0, 0, 0, 0, 1])})
    with pytest.raises(ValueError, match="two ways"):
        fit(DOMAIN, [one, other])
    with pytest.raises(ValueError):
        fit(DOMAIN, [Measurement(("b",), np.array([1, 2]), 1.0, {"b": np.array([0, 1, 1])})])
    assert isinstance(fit(DOMAIN, [Measurement(("b",), np.array([1, 2]), 1.0)]), GraphicalModel)


@pytest.mark.parametrize(
    "merges", [{"b": np.array([0, 1])}, {"a": np.array([0, 1, 2])}], ids=["not measured", "other shape"]
)
def test_a_measurement_says_truly_what_was_merged(merges: dict[str, np.ndarray]) -> None:
    with pytest.raises(ValueError):
        Measurement(("a",), np.array([1, 2]), 1.0, merges)


def test_inside_a_merged_cell_noise_is_spread_evenly_and_a_spike_stays() -> None:
    domain, cells = Domain.of(a=40), {"a": np.repeat([0, 1], 20)}
    rng = np.random.default_rng(4)
    values = np.rint(100 + rng.normal(0, 30, 40)).astype(np.int64)
    values[25] = 3000
    shares = within_shares(domain, [Measurement(("a",), values, 30.0)], cells)["a"]
    assert np.abs(shares[:20] - 1 / 20).sum() / 2 < 0.08
    assert shares[25] == pytest.approx(3000 / values[20:].sum(), rel=0.1)
    np.testing.assert_allclose([shares[:20].sum(), shares[20:].sum()], 1.0)
    np.testing.assert_allclose(within_shares(domain, [], cells)["a"], 1 / 20)


def test_a_merged_cell_cannot_be_where_nothing_that_it_holds_can() -> None:
    counts = Measurement(("a", "b"), np.array([[30, 40], [50, 60]]), 1.0, {"a": MERGES["a"]})
    zeros = np.zeros((5, 2), dtype=bool)
    zeros[[1, 2, 4], 1] = True  # all of merged cell 1
    zeros[0, 0] = True  # a part of merged cell 0
    found = fit(DOMAIN, [counts], zeros={("a", "b"): zeros})
    assert isinstance(found, MergedModel)
    table = found.inside.marginal(("a", "b"))
    assert table[1, 1] == 0
    assert (table.ravel()[:3] > 10).all()
