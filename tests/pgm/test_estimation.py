"""Estimation: reproduces what is measured well, stops where the noise begins, refuses what is too large."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from brute_force import SHAPES, joint, models, project, random_model
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dpsynth.domain import Clique, Domain
from dpsynth.errors import CapacityError
from dpsynth.measurement import Measurement
from dpsynth.pgm import GraphicalModel, fit, fit_with_report
from dpsynth.pgm.problem import combine, estimate_total, expected_loss, maximal_cliques

Floats = np.ndarray


def measured(
    model: GraphicalModel, cliques: list[Clique], sigma: float, rng: np.random.Generator, total: float = 1e5
) -> list[Measurement]:
    """Noisy counts of `total` records distributed as the model."""
    noisy = [
        model.marginal(c) * (total / model.total) + rng.normal(0, sigma, model.domain.shape(c))
        for c in cliques
    ]
    return [Measurement(c, np.rint(n).astype(np.int64), sigma) for c, n in zip(cliques, noisy, strict=True)]


def distance(one: GraphicalModel, two: GraphicalModel, clique: Clique) -> float:
    return float(0.5 * np.abs(one.marginal(clique) / one.total - two.marginal(clique) / two.total).sum())


@pytest.mark.parametrize("shape", SHAPES)
def test_precise_measurements_are_reproduced(shape: str) -> None:
    domain, cliques = SHAPES[shape]
    truth = random_model(domain, cliques, np.random.default_rng(31))
    model = fit(domain, measured(truth, cliques, 3.0, np.random.default_rng(32)))
    assert model.total == pytest.approx(1e5, abs=50)
    for clique in cliques:
        assert distance(model, truth, clique) < 1e-3


def test_the_joint_of_a_cycle_is_found_where_the_truth_has_that_form() -> None:
    domain, cliques = SHAPES["cycle"]
    truth = random_model(domain, cliques, np.random.default_rng(33))
    model = fit(domain, measured(truth, cliques, 0.5, np.random.default_rng(34)))
    assert distance(model, truth, domain.attributes) < 5e-3
    lie = random_model(domain, cliques, np.random.default_rng(35))
    assert distance(model, lie, domain.attributes) > 5e-2


def test_what_is_not_measured_together_is_independent() -> None:
    domain = Domain.of(a=3, b=4, c=2)
    truth = random_model(domain, [("a", "b", "c")], np.random.default_rng(36))
    model = fit(domain, measured(truth, [("a",), ("b", "c")], 5.0, np.random.default_rng(37)))
    product = np.multiply.outer(model.marginal(("a",)), model.marginal(("b", "c"))) / model.total
    np.testing.assert_allclose(model.marginal(("a", "b", "c")), product, rtol=1e-9)


def test_an_attribute_that_nobody_measured_is_uniform() -> None:
    domain = Domain.of(a=3, b=5)
    model = fit(domain, [Measurement(("a",), np.array([10, 20, 30]), 1.0)])
    np.testing.assert_allclose(model.marginal(("b",)), model.total / 5)


@given(models(max_scale=1.5), st.floats(0.5, 200.0), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_any_problem_ends_with_a_distribution(model: GraphicalModel, sigma: float, seed: int) -> None:
    assume(joint(model)[0] > -np.inf)
    rng = np.random.default_rng(seed)
    fitted, report = fit_with_report(model.domain, measured(model, list(model.cliques), sigma, rng, 2000.0))
    assert report.evaluations <= 1000
    _, probabilities = joint(fitted)
    for clique in fitted.cliques:
        expected = project(model.domain, probabilities, clique) * fitted.total
        np.testing.assert_allclose(fitted.marginal(clique), expected, atol=1e-6 * fitted.total)


def test_it_stops_where_the_noise_begins() -> None:
    domain = Domain.of(a=30, b=30, c=30)
    cliques: list[Clique] = [("a", "b"), ("b", "c")]
    truth = random_model(domain, cliques, np.random.default_rng(38))
    noisy = measured(truth, cliques, 60.0, np.random.default_rng(39), 2e4)
    model, report = fit_with_report(domain, noisy)
    assert report.loss <= report.goal
    assert report.loss > 0.9 * report.goal
    too_sure = [Measurement(m.clique, m.values, m.sigma / 3) for m in noisy]
    overfitted, _ = fit_with_report(domain, too_sure)
    assert sum(distance(model, truth, c) for c in cliques) < 0.9 * sum(
        distance(overfitted, truth, c) for c in cliques
    )


def test_the_goal_counts_the_cells_that_stand_out() -> None:
    quiet = Measurement(("a",), np.zeros(1000, dtype=np.int64), 10.0)
    assert expected_loss(combine(Domain.of(a=1000), [quiet])) == 475
    values = np.zeros(1000, dtype=np.int64)
    values[:21] = 1000
    loud = Measurement(("a",), values, 10.0)
    assert expected_loss(combine(Domain.of(a=1000), [loud])) == pytest.approx(475 - 21 + 1.35)
    everywhere = Measurement(("a",), np.full(1000, 1000), 10.0)
    assert expected_loss(combine(Domain.of(a=1000), [everywhere])) == 450


def test_measurements_of_one_set_are_combined_by_precision() -> None:
    domain = Domain.of(a=2, b=3)
    first = Measurement(("a", "b"), np.arange(6).reshape(2, 3), 1.0)
    second = Measurement(("b", "a"), 10 * np.arange(6).reshape(3, 2), 2.0)
    (target,) = combine(domain, [first, second])
    np.testing.assert_allclose(target.values, 0.8 * first.values + 0.2 * second.values.T)
    assert target.variance == pytest.approx(0.8)


def test_the_total_is_estimated_by_inverse_variance() -> None:
    """Its spread is that of the best linear estimate; a plain mean is seen to be worse."""
    domain, rng = Domain.of(a=50, b=2), np.random.default_rng(40)
    best = 1 / np.sqrt(1 / (50 * 100.0) + 1 / (2 * 4.0))
    found, plain = [], []
    for _ in range(2000):
        a = Measurement(("a",), np.rint(rng.normal(20, 10, 50)).astype(np.int64), 10.0)
        b = Measurement(("b",), np.rint(rng.normal(500, 2, 2)).astype(np.int64), 2.0)
        found.append(estimate_total(combine(domain, [a, b])))
        plain.append((a.total + b.total) / 2)
    assert abs(np.mean(found) - 1000) < 5 * best / np.sqrt(2000)
    assert np.std(found) < 1.1 * best < np.std(plain)


def test_the_total_is_at_least_one() -> None:
    model = fit(Domain.of(a=2), [Measurement(("a",), np.array([-5, -7]), 1.0)])
    assert model.total == 1.0


@pytest.mark.parametrize("shape", ["tree", "cycle", "triples"])
def test_zeros_are_kept_exactly(shape: str) -> None:
    domain, cliques = SHAPES[shape]
    truth = random_model(domain, cliques, np.random.default_rng(41))
    forbidden = np.zeros(domain.shape(("b", "a")), dtype=bool)
    forbidden[0, 1] = forbidden[1, 2] = True
    zeros = {("b", "a"): forbidden}
    model = fit(domain, measured(truth, cliques, 20.0, np.random.default_rng(42)), zeros=zeros)
    assert not model.marginal(("b", "a"))[forbidden].any()
    assert (model.marginal(("b", "a"))[~forbidden] > 0).all()
    records = model.sample(5000, np.random.default_rng(43))
    assert not forbidden[records["b"], records["a"]].any()


def test_zeros_that_leave_nothing_are_an_error() -> None:
    with pytest.raises(ValueError, match="possible"):
        fit(
            Domain.of(a=2),
            [Measurement(("a",), np.array([5, 7]), 1.0)],
            zeros={("a",): np.array([True, True])},
        )


def test_a_warm_start_saves_evaluations_and_changes_nothing_else() -> None:
    domain = Domain.of(a=12, b=10, c=8, d=9)
    cliques: list[Clique] = [("a", "b"), ("b", "c"), ("c", "d")]
    truth = random_model(domain, cliques, np.random.default_rng(44), 1.5)
    noisy = measured(truth, cliques, 5.0, np.random.default_rng(45))
    before, _ = fit_with_report(domain, noisy[:2])
    cold, cold_report = fit_with_report(domain, noisy)
    warm, warm_report = fit_with_report(domain, noisy, start=before)
    assert warm_report.evaluations <= cold_report.evaluations
    again, again_report = fit_with_report(domain, noisy, start=cold)
    assert again_report.evaluations == 1
    for clique in cliques:
        assert distance(warm, cold, clique) < 5e-3
        assert distance(again, cold, clique) < 1e-12


def test_what_is_too_large_is_refused_before_memory_is_touched() -> None:
    names = tuple(f"x{i:02}" for i in range(16))
    domain = Domain(names, (40,) * 16)
    pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    noisy = [Measurement(pair, np.zeros((40, 40), dtype=np.int64), 1.0) for pair in pairs]
    tracemalloc.start()
    with pytest.raises(CapacityError) as caught:
        fit(domain, noisy)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert caught.value.code == "DPS-C101"
    assert caught.value.exit_code == 8
    assert peak < 30e6


def test_maximal_cliques_cover_the_domain_once() -> None:
    domain = Domain.of(a=2, b=2, c=2, d=2)
    cliques: list[Clique] = [("b", "a"), ("a",), ("a", "b"), ("c", "b"), ()]
    assert maximal_cliques(domain, cliques) == [("a", "b"), ("b", "c"), ("d",)]


@pytest.mark.parametrize(
    "bad",
    [
        Measurement(("z",), np.array([1, 2]), 1.0),
        Measurement(("a",), np.array([1, 2, 3]), 1.0),
        Measurement((), np.array(5), 1.0),
    ],
)
def test_measurements_of_another_domain_are_refused(bad: Measurement) -> None:
    with pytest.raises(ValueError):
        fit(Domain.of(a=2, b=2), [bad])
    with pytest.raises(ValueError):
        fit(Domain.of(a=2, b=2), [])


def test_progress_grows_to_the_end() -> None:
    domain, cliques = SHAPES["chain"]
    truth = random_model(domain, cliques, np.random.default_rng(46))
    seen: list[tuple[str, float]] = []
    fit(
        domain,
        measured(truth, cliques, 3.0, np.random.default_rng(47)),
        progress=lambda s, f: seen.append((s, f)),
    )
    done = [f for _, f in seen]
    assert done == sorted(done)
    assert 0 <= done[0] <= done[-1] == 1.0
