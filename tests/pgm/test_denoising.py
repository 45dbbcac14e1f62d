"""Noisy counts along an ordered column, smoothed."""

from __future__ import annotations

import numpy as np
import pytest

from dpsynth.domain import Domain
from dpsynth.measurement import Measurement
from dpsynth.pgm.denoising import denoised
from dpsynth.pgm.merged import within_shares

SIGMA = 30.0


def noisy(truth: np.ndarray, seed: int = 0) -> np.ndarray:
    return truth + np.random.default_rng(seed).normal(0, SIGMA, len(truth))


def distance(one: np.ndarray, two: np.ndarray) -> float:
    return float(np.abs(one - two).mean())


def test_a_slope_is_smoothed_and_a_spike_and_an_edge_stay() -> None:
    truth = np.concatenate([np.linspace(300, 60, 60), [3000.0], np.full(39, 0.0)])
    for seed in range(5):
        seen = noisy(truth, seed)
        found = denoised(seen, SIGMA)
        assert distance(found, truth) < 0.55 * distance(seen, truth)
        assert abs(found[60] - 3000) < 5 * SIGMA
        assert found[62:].max() < 3 * SIGMA
        assert (found >= 0).all()


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 300])
def test_without_noise_to_speak_of_counts_stay(size: int) -> None:
    counts = np.random.default_rng(size).integers(0, 1000, size).astype(float)
    np.testing.assert_allclose(denoised(counts, 1e-3), counts, rtol=1e-3)


def test_a_column_of_nothing_but_noise_is_level() -> None:
    found = denoised(noisy(np.full(128, 500.0)), SIGMA)
    assert np.abs(found - found.mean()).max() < SIGMA


def test_a_mirrored_column_gives_a_mirrored_answer() -> None:
    """Up to the ends, where the differences that the weights are learnt from are not quite the same."""
    seen = noisy(np.linspace(0, 400, 64))
    np.testing.assert_allclose(
        denoised(seen[::-1].copy(), SIGMA), denoised(seen, SIGMA)[::-1], atol=0.1 * SIGMA
    )


def test_shares_inside_merged_cells_follow_the_order_up_to_the_special_cells() -> None:
    domain = Domain.from_sizes({"a": 42})
    truth = np.concatenate([np.linspace(400, 0, 40), [900.0, 10.0]])
    cells = {"a": np.concatenate([np.repeat([0, 1], 20), [2, 3]])}
    seen = Measurement(("a",), np.rint(noisy(truth)).astype(np.int64), SIGMA)
    shares = within_shares(domain, [seen], cells, {"a": 40})["a"]
    np.testing.assert_allclose(np.bincount(cells["a"], shares), 1.0)
    assert shares[40] == shares[41] == 1.0
    sloping = truth[:40] / np.repeat([truth[:20].sum(), truth[20:40].sum()], 20)
    plain = within_shares(domain, [seen], cells)["a"]
    assert distance(shares[:40], sloping) < 0.7 * distance(plain[:40], sloping)


def test_cells_without_order_share_as_before() -> None:
    domain, cells = Domain.from_sizes({"a": 6}), {"a": np.array([0, 0, 0, 1, 1, 1])}
    seen = Measurement(("a",), np.array([500, 80, 20, 40, 900, 30]), SIGMA)
    plain = within_shares(domain, [seen], cells)["a"]
    for ordered in ({}, {"a": 0}, {"other": 6}):
        np.testing.assert_array_equal(within_shares(domain, [seen], cells, ordered)["a"], plain)
    np.testing.assert_allclose(within_shares(domain, [], cells, {"a": 6})["a"], 1 / 3)
