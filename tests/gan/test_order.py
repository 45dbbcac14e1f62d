"""Order of columns in a generator's logits: what is moved, what is not, and what it brings under noise."""

from __future__ import annotations

from typing import Any

import numpy as np

from dpsynth.domain import Domain
from dpsynth.gan import table as table_module
from dpsynth.gan.layout import Layout
from dpsynth.gan.order import SHARED, after, along, roots
from dpsynth.gan.table import LogitTable
from dpsynth.gan.training import Schedule, Training
from dpsynth.pgm.problem import Target
from dpsynth.progress import silent

DOMAIN = Domain.of(a=3, x=24, z=25)
LAYOUT = Layout(DOMAIN)
Array = np.ndarray[Any, Any]


def test_ordered_cells_move_together_and_the_others_by_themselves() -> None:
    found = roots(LAYOUT, {"x": 24, "z": 23})
    assert set(found) == {1, 2}
    covariance = found[2].astype(np.float64) @ found[2]
    assert np.abs(np.diag(covariance) - 1).max() < 1e-5
    assert np.abs(covariance[:23, 23:]).max() < 1e-6
    assert abs(covariance[23, 24]) < 1e-6
    assert SHARED > covariance[0, 1] > covariance[0, 5] > covariance[0, 22] > 0
    assert np.linalg.eigvalsh(covariance).min() > (1 - SHARED) / 2
    rows = np.random.default_rng(0).standard_normal((6, LAYOUT.width)).astype(np.float32)
    moved = along(LAYOUT, found, rows)
    assert (moved[:, :3] == rows[:, :3]).all()
    assert (moved[:, 50:] == rows[:, 50:]).all()
    assert np.allclose(moved[:, 3:27], rows[:, 3:27] @ found[1])


def test_merged_runs_stay_in_order_and_heaps_do_not() -> None:
    runs, heap = np.repeat(np.arange(12), 2), np.arange(25) % 5
    assert after({"x": 23, "z": 25}, {"x": runs, "z": heap}) == {"x": 12}


def test_noise_of_an_ordered_pair_is_averaged_away() -> None:
    """A smooth density under noise: with the order of its columns known, the error is less by a third at least."""
    x, z = np.arange(24)[:, None] / 24, np.arange(25) / 25
    truth = np.exp(-4 * (x - z) ** 2)
    truth *= 20_000 / truth.sum()
    sigma = 8.0
    noisy = truth + sigma * np.random.default_rng(2).standard_normal(truth.shape)
    ones = {"a": np.full(3, 1 / 3), "x": truth.sum(1) / 20_000, "z": truth.sum(0) / 20_000}

    def error(ordered: dict[str, int]) -> float:
        training = Training(DOMAIN, ones, 20_000.0, 60, ordered=ordered)
        training.train(
            [Target(("x", "z"), noisy, np.full(truth.shape, sigma**2))], Schedule(60, 0.1, 0.1), silent
        )
        return float(np.abs(training.model().marginal(("x", "z")) - truth).sum() / 40_000)

    assert error({"x": 24, "z": 25}) < 0.67 * error({})


def test_the_table_climbs_along_the_gradient_of_what_it_trains(monkeypatch: Any) -> None:
    """Against a difference quotient, through the softmax and the roots."""
    seen: list[Array] = []
    monkeypatch.setattr(LogitTable, "_climb", lambda self, gradient, rate: seen.append(gradient))
    monkeypatch.setattr(table_module, "ANCHOR", 0.0)
    slope = np.random.default_rng(1).standard_normal((4, LAYOUT.width)).astype(np.float32)

    class Fixed:
        def slope(self, shares: Array) -> Array:
            return slope.copy()

    ones = np.concatenate([np.full(s, 1 / s) for s in DOMAIN.sizes]).astype(np.float32)
    table = LogitTable(LAYOUT, ones, 4, np.random.default_rng(0), ordered={"x": 24})
    table.improve(Fixed(), 0.1)  # type: ignore[arg-type]
    [gradient] = seen
    for place in [(0, 1), (1, 5), (2, 20), (3, 40)]:
        values = []
        for step in (-0.02, 0.02):
            table._free[place] += step
            values.append(float((table.shares.astype(np.float64) * slope).sum()))
            table._free[place] -= step
        assert abs((values[1] - values[0]) / 0.04 - gradient[place]) < 2e-3
