"""Consistency: closed forms against simulation, and a table that is off must be seen."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from dpsynth.consistency import consistency, mean_absolute_noise, noisy_total
from dpsynth.domain import Clique, Domain
from dpsynth.measurement import Measurement
from dpsynth.records import Records

DOMAIN = Domain.of(age=6, plan=3, sick=2)


def rows(n: int, rng: np.random.Generator, tilt: float = 0.0) -> Records:
    age = rng.integers(0, 6, n)
    plan = np.where(rng.random(n) < 0.7, age // 2, rng.integers(0, 3, n))
    sick = (rng.random(n) < 0.1 + 0.1 * age + tilt).astype(np.int64)
    return Records.of(DOMAIN, {"age": age, "plan": plan, "sick": sick})


def exact(records: Records, clique: Clique) -> NDArray[np.int64]:
    shape = records.domain.shape(clique)
    flat = np.ravel_multi_index([records[a].astype(np.int64) for a in clique], shape)
    return np.bincount(flat, minlength=math.prod(shape)).reshape(shape)


def measured(records: Records, clique: Clique, sigma: float, rng: np.random.Generator) -> Measurement:
    counts = exact(records, clique)
    noise = np.rint(rng.normal(0, sigma, counts.shape)).astype(np.int64)
    return Measurement(clique, counts + noise, sigma)


@pytest.mark.parametrize("sigma", [0.3, 1.0, 3.7, 9.99, 10.01, 60.0])
def test_mean_absolute_noise_is_the_sum_over_all_integers(sigma: float) -> None:
    x = np.arange(1, int(40 * sigma) + 50)
    weight = np.exp(-(x.astype(float) ** 2) / (2 * sigma**2))
    assert mean_absolute_noise(sigma) == pytest.approx(
        2 * (x * weight).sum() / (1 + 2 * weight.sum()), rel=1e-6
    )


def test_a_perfect_model_is_explained_by_the_noise_and_the_error_is_as_predicted() -> None:
    rng = np.random.default_rng(1)
    private = rows(4000, rng)
    cliques: list[Clique] = [("age", "plan"), ("plan", "sick"), ("age",)]
    errors: dict[Clique, list[float]] = {c: [] for c in cliques}
    beyond = explained = 0
    for _ in range(300):
        released = [measured(private, c, 12.0, rng) for c in cliques]
        found = consistency(private, released, DOMAIN)
        explained += found.consistent
        for one in found.cliques:
            values = next(m.values for m in released if m.clique == one.clique)
            truth = exact(private, one.clique) / 4000
            error = float(np.abs(values / found.total - truth).sum() / 2)
            errors[one.clique].append(error)
            beyond += error > one.error_99
    assert explained >= 0.985 * 900
    assert beyond <= 0.015 * 900
    for one in found.cliques:
        assert np.mean(errors[one.clique]) == pytest.approx(one.expected_error, rel=0.07)


def test_a_table_that_is_off_is_not_explained_by_the_noise() -> None:
    rng = np.random.default_rng(2)
    private, wrong = rows(4000, rng), rows(4000, rng, tilt=0.1)
    released = [measured(private, c, 5.0, rng) for c in [("age", "sick"), ("age", "plan")]]
    found = consistency(wrong, released, DOMAIN)
    assert [c.consistent for c in found.cliques] == [False, True]
    assert found.cliques[0].clique == ("age", "sick")  # worst first


def test_repeated_measurements_of_one_clique_are_merged_whatever_their_axes() -> None:
    rng = np.random.default_rng(3)
    private = rows(2000, rng)
    one, other = measured(private, ("age", "plan"), 4.0, rng), measured(private, ("plan", "age"), 3.0, rng)
    (merged,) = consistency(private, [one, other], DOMAIN).cliques
    assert merged.sigma == pytest.approx(1 / math.sqrt(1 / 16 + 1 / 9))
    by_hand = (one.values / 16 + other.values.T / 9) / (1 / 16 + 1 / 9)
    total, _ = noisy_total([one, other])
    assert merged.distance == pytest.approx(
        np.abs(exact(private, ("age", "plan")) / 2000 - by_hand / total).sum() / 2
    )


def test_the_total_has_the_stated_spread() -> None:
    rng = np.random.default_rng(4)
    private = rows(500, rng)
    drawn = [
        noisy_total([measured(private, c, 7.0, rng) for c in [("age",), ("plan",)]]) for _ in range(1000)
    ]
    totals = np.array([total for total, _ in drawn])
    assert totals.mean() == pytest.approx(500, abs=4 * drawn[0][1] / math.sqrt(1000))
    assert totals.std() == pytest.approx(drawn[0][1], rel=0.1)


def test_noise_that_drowns_the_rows_is_an_error_of_one() -> None:
    rng = np.random.default_rng(5)
    private = rows(10, rng)
    (one,) = consistency(private, [measured(private, ("age", "plan"), 500.0, rng)], DOMAIN).cliques
    assert one.expected_error == one.error_99 == 1.0


def test_nothing_to_compare_is_refused() -> None:
    rng = np.random.default_rng(6)
    with pytest.raises(ValueError, match="nothing to compare"):
        consistency(rows(10, rng), [], DOMAIN)


def test_the_json_has_the_numbers() -> None:
    rng = np.random.default_rng(7)
    private = rows(1000, rng)
    found = consistency(private, [measured(private, ("age",), 5.0, rng)], DOMAIN)
    twin = found.as_json()
    assert twin["marginals"] == 1
    assert twin["by_clique"][0]["columns"] == ["age"]
    assert twin["mean_expected_error"] == pytest.approx(found.mean_expected_error, rel=1e-5)
