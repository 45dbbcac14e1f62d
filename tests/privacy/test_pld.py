"""Every kind of event as privacy loss, repetitions included, against brute force or a library."""

from __future__ import annotations

import math

import numpy as np
import pytest
from dp_accounting.pld import privacy_loss_distribution as library
from loss_oracle import Law, delta, epsilon, laplace_law, moved, noise_law, partitions, repeated, response_law
from scipy import special

from dpsynth.privacy import events as ev
from dpsynth.privacy.events import Event
from dpsynth.privacy.gaussian import gaussian_delta, gaussian_epsilon
from dpsynth.privacy.pld import loss_of
from dpsynth.privacy.sampled_gaussian import sampled_gaussian
from dpsynth.privacy.zcdp import Unpriceable

DELTAS = (1e-3, 1e-6, 1e-9, 1e-12)


@pytest.mark.parametrize(
    ("event", "law"),
    [
        (ev.PureDp(0.3, 7), repeated(response_law(0.3), 7)),
        (ev.DiscreteLaplace(5.0, 1, 20), repeated(laplace_law(5.0, 1), 20)),
        (ev.DiscreteGaussian(0.5, 1, 3), repeated(noise_law(0.5, 1), 3)),
        (ev.DiscreteGaussian(0.8, 2, 2), repeated(noise_law(0.8, 2), 2)),
        (ev.DiscreteGaussian(1.5, 1, 4), repeated(noise_law(1.5, 1), 4)),
        (ev.DiscreteGaussian(5.0, 3, 4), repeated(noise_law(5.0, 3), 4)),
        (ev.DiscreteGaussian(10.0, 1, 6), repeated(noise_law(10.0, 1), 6)),
        (ev.PartitionSelection(ev.DiscreteGaussian(10.0, 1, 6), 0.0), repeated(noise_law(10.0, 1), 6)),
        (ev.PartitionSelection(ev.DiscreteLaplace(5.0, 1, 20), 0.0), repeated(laplace_law(5.0, 1), 20)),
    ],
    ids=str,
)
def test_additive_noise_against_brute_force(event: Event, law: Law) -> None:
    """Never below the exact curve, and within 0.5 % of it."""
    for at in DELTAS:
        exact = epsilon(law, at)
        assert exact * (1 - 1e-9) <= loss_of([event]).epsilon(at) <= exact * 1.005


@pytest.mark.parametrize("sigma", [0.3, 0.5, 0.7, 0.9, 1.0, 1.4, 1.9])
@pytest.mark.parametrize("k", [2, 3, 5])
def test_small_noise_covers_every_spread_of_the_rows(sigma: float, k: int) -> None:
    loss = loss_of([ev.DiscreteGaussian(sigma, k)])
    for moves in partitions(k):
        if len(moves) < 5 or sigma < 1:
            law = moved(sigma, moves)
            assert all(loss.epsilon(at) >= epsilon(law, at) * (1 - 1e-9) for at in DELTAS), moves


def test_laplace_with_several_rows_covers_every_spread() -> None:
    loss = loss_of([ev.DiscreteLaplace(3.0, 4)])
    for moves in partitions(4):
        losses, p = np.zeros(1), np.ones(1)
        for move in moves:
            more, q = laplace_law(3.0, move)
            losses, p = np.add.outer(losses, more).ravel(), np.multiply.outer(p, q).ravel()
            losses, index = np.unique(np.round(losses, 9), return_inverse=True)
            p = np.bincount(index, p)
        assert all(
            delta((losses, p), e) <= loss.deltas(np.array([e]))[0] + 1e-12 for e in (0.1, 0.5, 1.0, 1.3)
        )


@pytest.mark.parametrize("spread", [(1,), (3, 5, 9), (2,) * 14])
def test_gaussians_compose_like_their_curves(spread: tuple[int, ...]) -> None:
    events: list[Event] = [ev.DiscreteGaussian(10.0 * s, 1, s) for s in spread]
    mu = math.sqrt(sum(s / (10 * s) ** 2 for s in spread))
    for at in DELTAS:
        assert 1 <= loss_of(events).epsilon(at) / gaussian_epsilon(mu, at) < 1.001


def test_one_poisson_sample_against_integration() -> None:
    """Both directions, by listing the outputs on a fine grid."""
    rate, sigma = 0.1, 1.3
    x = np.linspace(-18, 20, 400_001)
    q = np.exp(-((x / sigma) ** 2) / 2)
    p = (1 - rate) * q + rate * np.exp(-(((x - 1) / sigma) ** 2) / 2)
    p, q = p / p.sum(), q / q.sum()
    remove, add = sampled_gaussian(rate, sigma)
    for place in (0, 3, 7, 10, 40):
        e = place * remove.step
        assert remove.deltas(np.array([e]))[0] == pytest.approx(
            np.maximum(p - math.exp(e) * q, 0).sum(), rel=1e-4, abs=1e-12
        )
        assert add.deltas(np.array([e]))[0] == pytest.approx(
            np.maximum(q - math.exp(e) * p, 0).sum(), rel=1e-4, abs=1e-12
        )


@pytest.mark.parametrize(
    ("rate", "sigma", "steps", "fine"), [(0.05, 2.5, 200, 5e-4), (0.01, 0.8, 300, 1e-3), (0.3, 4.0, 50, 1e-3)]
)
def test_dp_sgd_within_one_percent_of_a_fine_grid(rate: float, sigma: float, steps: int, fine: float) -> None:
    """dp-accounting at a fine grid, which is an independent implementation."""
    grid = library.from_gaussian_mechanism(sigma, sampling_prob=rate, value_discretization_interval=fine)
    reference = grid.self_compose(steps)
    loss = loss_of([ev.DpSgd(rate, sigma, steps)])
    for at in (1e-5, 1e-8):
        assert loss.epsilon(at) == pytest.approx(reference.get_epsilon_for_delta(at), rel=0.01)


def test_dp_sgd_counts_its_steps_and_forgets_sampling_at_rate_one() -> None:
    assert loss_of([ev.DpSgd(1.0, 5.0, 9)]).epsilon(1e-6) == pytest.approx(gaussian_epsilon(0.6, 1e-6))
    almost = loss_of([ev.DpSgd(1 - 1e-9, 5.0, 9)]).epsilon(1e-6)
    assert almost == pytest.approx(gaussian_epsilon(0.6, 1e-6), rel=5e-3)
    few, many = (loss_of([ev.DpSgd(0.02, 1.0, steps)]).epsilon(1e-6) for steps in (100, 400))
    assert many > 1.6 * few


def test_choices_count_and_never_cost_more_than_their_gaussian() -> None:
    for count in (1, 13, 40):
        found = loss_of([ev.BoundedRange(0.1, count)]).epsilon(1e-6)
        mu = 2 * special.ndtri(1 / (1 + math.exp(-0.05))) * math.sqrt(count)
        assert found < gaussian_epsilon(mu, 1e-6)
        assert found > (0.99 * 0.1 if count == 1 else 0.6 * gaussian_epsilon(mu, 1e-6))


def test_choices_of_very_different_size_do_not_inflate_each_other() -> None:
    tiny = loss_of([ev.BoundedRange(1.0), ev.BoundedRange(1e-4, 15)]).epsilon(1e-6)
    assert tiny == pytest.approx(loss_of([ev.BoundedRange(1.0)]).epsilon(1e-6), rel=0.02)


def test_parts_compose_jointly() -> None:
    """A Gaussian and randomised response: the mixture of two shifted Gaussian curves, in closed form."""
    loss = loss_of([ev.Composed((ev.GdpGrant(0.5), ev.PureDp(1.0)))])
    p = 1 / (1 + math.exp(-1))
    for e in (0.0, 0.7, 2.0, 3.0):
        exact = p * gaussian_delta(0.5, e - 1) + (1 - p) * gaussian_delta(0.5, e + 1)
        assert exact * (1 - 1e-9) <= loss.deltas(np.array([e]))[0] <= exact * 1.01


def test_what_has_no_theorem_says_so() -> None:
    with pytest.raises(Unpriceable):
        loss_of([ev.GdpGrant(1.0), ev.ZcdpGrant(0.1)])
    with pytest.raises(Unpriceable):
        loss_of([ev.DiscreteGaussian(0.9, 9)])
