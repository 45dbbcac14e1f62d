"""The four lines, against counting; and prices that never exceed the cost."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpsynth.budget import Cost
from dpsynth.privacy import sensitivity
from dpsynth.privacy.events import DiscreteGaussian, flatten
from dpsynth.privacy.zcdp import event_rho

costs = st.floats(1e-8, 1e3).map(Cost)
rows = st.integers(1, 20)


@given(costs, rows, st.integers(1, 50))
def test_sigma_costs_at_most_the_cost_and_hardly_less(cost: Cost, k: int, m: int) -> None:
    rho = event_rho(DiscreteGaussian(sensitivity.gaussian_sigma(cost, k, m), k, m))
    assert cost.rho * (1 - 3e-5) < rho <= cost.rho * (1 + 1e-12)


@given(costs, rows, st.lists(st.floats(0.01, 100), min_size=1, max_size=20))
def test_weighted_measurements_cost_at_most_the_cost(cost: Cost, k: int, weights: list[float]) -> None:
    event = sensitivity.measure_event(cost, k, weights)
    assert cost.rho * (1 - 3e-5) < event_rho(event) <= cost.rho * (1 + 1e-12)
    counts = sum(part.count for part in flatten([event]) if isinstance(part, DiscreteGaussian))
    assert counts == len(weights)


@given(costs)
def test_a_choice_costs_at_most_the_cost(cost: Cost) -> None:
    rho = event_rho(sensitivity.select_event(cost))
    assert cost.rho * (1 - 3e-5) < rho <= cost.rho * (1 + 1e-12)


def test_shares_follow_the_weights() -> None:
    one, two = sensitivity.sigmas(Cost(0.01), 1, [1.0, 4.0])
    assert one / two == pytest.approx(2, rel=1e-4)
    event = sensitivity.measure_event(Cost(0.01), 3, [1.0, 1.0, 1.0])
    assert event == DiscreteGaussian(sensitivity.gaussian_sigma(Cost(0.01), 3, 3), 3, 3)


@pytest.mark.parametrize("k", [0, -1, 1.5, True])
def test_rows_per_unit_is_a_number_of_rows(k: int) -> None:
    with pytest.raises(ValueError, match="rows_per_unit"):
        sensitivity.gaussian_sigma(Cost(1.0), k, 1)


@pytest.mark.parametrize("k", [1, 3])
def test_lines_against_counting(k: int) -> None:
    """Random tables: a unit of k rows moves answers by at most the stated bounds, which are reached."""
    rng = np.random.default_rng(k)
    l1, l2, joint, score = [], [], [], []
    for trial in range(300):
        table = rng.integers(0, 3, (12, 2))
        unit = rng.integers(0, 3, (k, 2)) if trial % 2 else np.full((k, 2), 1)
        weight = int(rng.integers(1, 4))
        estimate = rng.integers(0, 9, (3, 3))
        first, both = (np.zeros((3, 3), int) for _ in range(2))
        np.add.at(first, tuple(table.T), 1)
        np.add.at(both, tuple(np.concatenate([table, unit]).T), 1)
        moves = [(both - first).ravel(), (both - first).sum(0), (both - first).sum(1)]
        l1 += [np.abs(move).sum() for move in moves]
        l2 += [float(np.sqrt((move**2).sum())) for move in moves]
        joint.append(math.sqrt(sum(float((move**2).sum()) for move in moves)))
        change = weight * (np.abs(both - estimate).sum() - np.abs(first - estimate).sum())
        score.append(abs(change) / sensitivity.l1_score_sensitivity(k, weight))
    assert max(l1) == sensitivity.marginal_l1(k)
    assert max(l2) == pytest.approx(sensitivity.marginal_l1(k))
    assert max(joint) == pytest.approx(sensitivity.marginals_l2(k, 3))
    assert max(score) == 1
