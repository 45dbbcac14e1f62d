"""Redrawn labels: exact where components know nothing, by the regression where they do."""

from __future__ import annotations

import numpy as np

from dpsynth.domain import Domain
from dpsynth.gan.labels import drawn, regression, relabelled
from dpsynth.gan.layout import Layout, Singles


def mixture(layout: Layout, rows: int, seed: int = 0) -> Singles:
    rng = np.random.default_rng(seed)
    return layout.softmax(rng.normal(0, 1, (rows, layout.width)).astype(np.float32))


def test_rows_are_drawn_from_their_component() -> None:
    layout = Layout(Domain.of(a=3, b=4))
    shares = mixture(layout, 5)
    seen = drawn(layout, shares, 4_000, np.random.default_rng(1)).reshape(5, 4_000, 7)
    assert (seen[:, :, :3].sum(axis=2) == 1).all()
    assert (seen[:, :, 3:].sum(axis=2) == 1).all()
    assert np.abs(seen.mean(axis=1) - shares).max() < 7 * np.sqrt(0.25 / 4_000)


def test_the_regression_finds_the_coefficients_it_was_made_with() -> None:
    rng = np.random.default_rng(2)
    inputs = np.zeros((4_000, 6), dtype=np.float32)
    inputs[np.arange(4_000), rng.integers(0, 3, 4_000)] = 1
    inputs[:, 3] = rng.random(4_000) < 0.5
    scores = inputs @ np.array([2.0, 0, -1, 1.5, 0, 0])
    chance = 1 / (1 + np.exp(-scores))
    wanted = np.stack([1 - chance, chance], axis=1).astype(np.float32)
    found = regression(inputs, wanted, slice(4, 6))
    assert np.abs(found.chances(inputs)[:, 1] - chance).max() < 0.01


def test_split_components_are_distributions_with_one_label_each() -> None:
    layout = Layout(Domain.of(a=3, y=3, b=4))
    shares = mixture(layout, 20)
    weights, split = relabelled(layout, shares, 1, 1e-3, np.random.default_rng(3))
    assert weights.shape == (60,)
    assert abs(float(weights.sum()) - 1) < 1e-5
    for attribute in range(3):
        assert np.allclose(split[:, layout.columns(attribute)].sum(axis=1), 1, atol=1e-5)
    assert np.array_equal(split[:, 3:6], np.repeat(np.eye(3), 20, axis=0))
    before, after = shares.mean(axis=0), weights @ split
    assert np.abs(before - after).max() < 0.02


def test_differences_between_components_are_averaged_away_and_slopes_kept() -> None:
    """Labels follow column a; components differ in their labels by noise: a model of the rows sees a alone."""
    layout = Layout(Domain.of(a=2, y=2))
    rng = np.random.default_rng(4)
    of_a = np.tile([0.0, 1.0], 200)
    label = np.clip(0.2 + 0.6 * of_a + rng.normal(0, 0.15, 400), 0.01, 0.99)
    shares = np.stack([1 - of_a, of_a, 1 - label, label], axis=1).astype(np.float32)
    weights, split = relabelled(layout, shares, 1, 1.0, rng)
    high = weights[400:] * (split[400:, 1] > 0.5)
    assert float(high.sum()) / 0.5 == np.clip(float(high.sum()) / 0.5, 0.76, 0.84)
    each = weights[400:] / (weights[:400] + weights[400:])
    assert each[of_a == 1].std() < 0.01
    weights, _ = relabelled(layout, shares, 1, 1e-9, rng)
    each = weights[400:] / (weights[:400] + weights[400:])
    assert np.abs(each - label).max() < 0.01
