"""What a descent follows: measured tables, halfway to smooth ones along an ordered column."""

from __future__ import annotations

import numpy as np
import pytest

from dpsynth.domain import Domain
from dpsynth.measurement import Measurement
from dpsynth.pgm import fit_with_report, following
from dpsynth.pgm.following import SMOOTH, followed
from dpsynth.pgm.problem import Target

SIZES = {"a": 60, "b": 4}
DOMAIN = Domain.from_sizes(SIZES)
SIGMA = 40.0


def sloping() -> np.ndarray:
    """Shape (60, 4): what b is changes slowly along a, and in one cell at once."""
    along = np.linspace(0, 1, 60)[:, None]
    shares = np.array([0.4, 0.3, 0.2, 0.1]) * (1 - along) + np.array([0.1, 0.1, 0.3, 0.5]) * along
    table = 600 * shares
    table[30] = [0, 0, 0, 900]
    return table


def tables(truth: np.ndarray, seed: int) -> tuple[list[Target], np.ndarray]:
    rng = np.random.default_rng(seed)
    seen = truth + rng.normal(0, SIGMA, truth.shape)
    ones = [Target((a,), truth.sum(axis=1 - k), np.ones(n)) for k, (a, n) in enumerate(SIZES.items())]
    return [*ones, Target(("a", "b"), seen, np.full(truth.shape, SIGMA**2))], seen


def distance(one: np.ndarray, two: np.ndarray) -> float:
    return float(np.abs(one - two).mean())


def test_a_table_comes_nearer_to_the_truth_and_a_spike_stays() -> None:
    truth = sloping()
    for seed in range(5):
        targets, seen = tables(truth, seed)
        found = followed(DOMAIN, targets, {"a": 60}, truth.sum())[-1]
        assert distance(found, truth) < 0.75 * distance(seen, truth)
        assert abs(found[30, 3] - 900) < 4 * SIGMA


def test_an_order_that_is_none_is_found_out() -> None:
    """The same table, its rows shuffled: hardly anything may be smoothed away, though it is said to be in order."""
    truth = 8 * sloping()[np.random.default_rng(1).permutation(60)]
    targets, seen = tables(truth, 0)
    found = followed(DOMAIN, targets, {"a": 60}, truth.sum())[-1]
    assert distance(found, truth) < 1.05 * distance(seen, truth)


@pytest.mark.parametrize("ordered", [{}, {"a": 0}, {"a": 3}, {"b": 3}])
def test_without_an_order_to_speak_of_measured_tables_are_followed(ordered: dict[str, int]) -> None:
    targets, _ = tables(sloping(), 0)
    for target, aim in zip(targets, followed(DOMAIN, targets, ordered, 1.0), strict=True):
        np.testing.assert_array_equal(aim, target.values)


def test_cells_behind_the_order_and_unequal_noise_are_left_alone() -> None:
    truth = sloping()
    targets, seen = tables(truth, 0)
    found = followed(DOMAIN, targets, {"a": 40}, truth.sum())[-1]
    np.testing.assert_array_equal(found[40:], seen[40:])
    assert not np.allclose(found[:40], seen[:40])
    uneven = np.full(truth.shape, SIGMA**2)
    uneven[0] *= 3
    targets[-1] = Target(("a", "b"), seen, uneven)
    np.testing.assert_array_equal(followed(DOMAIN, targets, {"a": 60}, truth.sum())[-1], seen)


def test_a_table_of_very_many_cells_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    targets, seen = tables(sloping(), 0)
    monkeypatch.setattr(following, "MOST_CELLS", seen.size - 1)
    np.testing.assert_array_equal(followed(DOMAIN, targets, {"a": 60}, float(seen.sum()))[-1], seen)


def test_the_measured_table_itself_is_not_changed() -> None:
    targets, seen = tables(sloping(), 0)
    before = seen.copy()
    followed(DOMAIN, targets, {"a": 60}, float(seen.sum()))
    np.testing.assert_array_equal(targets[-1].values, before)


def test_a_fit_gains_by_it_and_still_stops_by_what_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    truth, errors = sloping(), {}
    for smooth in (0.0, SMOOTH):
        monkeypatch.setattr(following, "SMOOTH", smooth)
        found = []
        for seed in range(8):
            rng = np.random.default_rng(seed)
            seen = np.rint(truth + rng.normal(0, SIGMA, truth.shape)).astype(np.int64)
            measured = [Measurement(("a", "b"), seen, SIGMA)]
            model, report = fit_with_report(DOMAIN, measured, ordered={"a": 60})
            table = model.marginal(("a", "b"))
            found.append(distance(table, truth))
            loss = 0.5 * float(((table - seen) ** 2).sum()) / SIGMA**2
            assert report.loss == pytest.approx(loss, rel=1e-6)
        errors[smooth] = float(np.mean(found))
    assert errors[SMOOTH] < 0.95 * errors[0.0]
