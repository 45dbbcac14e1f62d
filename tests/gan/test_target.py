"""The model of the target: its residuals against automatic differentiation, its step against the truth, a unit's share."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dpsynth.budget import Cost
from dpsynth.domain import Domain
from dpsynth.engines.base import Drawn
from dpsynth.gan.labels import Logistic, regression
from dpsynth.gan.layout import Layout
from dpsynth.gan.target import Residuals, mended, plan_of
from dpsynth.privacy import sgd
from dpsynth.privacy.sgd import GRID, Outer, SgdPlan
from dpsynth.records import Records

DOMAIN = Domain.of(a=4, y=3, b=5)
LAYOUT = Layout(DOMAIN)
TARGET = 1
Array = np.ndarray[Any, Any]


def records_of(rows: int, strength: float, seed: int = 0) -> Records:
    """The label follows a + b, the more so the larger `strength`."""
    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, 4, rows), rng.integers(0, 5, rows)
    y = np.where(rng.random(rows) < strength, (a + b) // 3, rng.integers(0, 3, rows))
    return Records.of(DOMAIN, {"a": a, "y": y, "b": b})


def indicators(records: Records) -> tuple[Array, Array]:
    """(inputs, labels)."""
    cells = records.matrix() + LAYOUT.starts
    found = np.zeros((len(records), LAYOUT.width), dtype=np.float32)
    np.put_along_axis(found, cells, 1.0, axis=1)
    own = LAYOUT.columns(TARGET)
    labels = found[:, own].copy()
    found[:, own] = 0
    return found, labels


def model_of(records: Records) -> Logistic:
    inputs, labels = indicators(records)
    return regression(inputs, labels, LAYOUT.columns(TARGET))


def log_loss(model: Logistic, records: Records) -> float:
    inputs, labels = indicators(records)
    return -float((labels * np.log(model.chances(inputs))).sum() / len(records))


def test_residuals_are_the_gradients_of_automatic_differentiation() -> None:
    """Of the log-likelihood by the coefficients, record by record (torch.func), to 1e-6; and their norms."""
    import torch
    from torch.func import grad, vmap

    records = records_of(25, 0.8)
    inputs, labels = (torch.from_numpy(t.astype(np.float64)) for t in indicators(records))
    drawn = np.random.default_rng(1).normal(size=(LAYOUT.width, 3)).astype(np.float32)
    drawn[LAYOUT.columns(TARGET)] = 0
    model = Logistic(drawn, np.array([0.1, -0.2, 0.3], dtype=np.float32))
    constant = torch.from_numpy(model.constant.astype(np.float64))

    def likelihood(coefficients: Any, row: Any, label: Any) -> Any:
        return (label * torch.log_softmax(row @ coefficients + constant, 0)).sum()

    each = vmap(grad(likelihood), in_dims=(None, 0, 0))(
        torch.from_numpy(drawn.astype(np.float64)), inputs, labels
    ).numpy()
    [part] = Residuals(LAYOUT, TARGET, model).gradient(records)
    assert isinstance(part, Outer)
    assert np.abs(part.inputs[:, :, None] * part.deltas[:, None, :] - each).max() < 1e-6
    assert np.abs(part.squares() - (each**2).sum(axis=(1, 2))).max() < 1e-6


@pytest.mark.parametrize("rows_per_unit", [1, 3])
def test_a_unit_moves_the_sum_by_its_clip_at_most(rows_per_unit: int) -> None:
    plan = plan_of(Cost(0.1), 2, rows_per_unit)
    assert (plan.rate, plan.steps) == (1.0, 1)
    others, own = records_of(30, 0.5), records_of(rows_per_unit, 0.5, 2)
    wrong = Logistic(np.zeros((LAYOUT.width, 3), np.float32), np.array([40, -40, -40], np.float32))
    gradient = Residuals(LAYOUT, TARGET, wrong).gradient

    def total(records: Records, units: list[int]) -> Array:
        return sgd.exact_sum([Drawn(records, np.array(units))], gradient, plan.clip) / GRID

    both = Records(DOMAIN, tuple(np.concatenate(c) for c in zip(others.columns, own.columns, strict=True)))
    units = list(range(30))
    moved = total(both, [*units, *[30] * rows_per_unit]) - total(others, units)
    assert np.linalg.norm(moved) <= 1 + 1e-9


@pytest.mark.parametrize("rows_per_unit", [1, 2, 5])
def test_the_clip_counts_the_rows_of_a_unit(rows_per_unit: int) -> None:
    """It grows with them, so that all rows of the largest unit whose labels got one half count in full; noise is in units of
    the clip, so that its price stays."""
    plan, alone = plan_of(Cost(0.1), 2, rows_per_unit), plan_of(Cost(0.1), 2, 1)
    assert plan.clip == pytest.approx(rows_per_unit * alone.clip, rel=1e-12)
    assert plan.event == alone.event
    own = Records.of(DOMAIN, {name: np.zeros(rows_per_unit, dtype=np.int64) for name in DOMAIN.attributes})
    even = Logistic(np.zeros((LAYOUT.width, 3), np.float32), np.array([0, 0, -40], np.float32))
    gradient = Residuals(LAYOUT, TARGET, even).gradient
    counted = (
        sgd.exact_sum([Drawn(own, np.zeros(rows_per_unit, np.int64))], gradient, plan.clip) * plan.clip / GRID
    )
    [part] = gradient(own)
    assert isinstance(part, Outer)
    whole = np.einsum("ip,iq->pq", part.inputs, part.deltas).ravel()
    assert np.abs(counted - whole).max() < 0.01 * np.abs(whole).max()  # cut to the grid
    assert np.linalg.norm(whole) == pytest.approx(plan.clip, rel=1e-6)


def test_a_step_brings_a_wrong_model_near_the_truth_and_noise_stops_it() -> None:
    real, made = records_of(4_000, 0.9), records_of(4_000, 0.5, 1)
    begin, best = model_of(made), model_of(real)
    inputs, _ = indicators(made)
    gradient = Residuals(LAYOUT, TARGET, begin).gradient

    def stepped(sigma: float, noise: float) -> Logistic:
        plan = SgdPlan(1.0, 1, sigma, 2.0)
        exact = sgd.exact_sum([Drawn(real, np.arange(4_000))], gradient, plan.clip) * (plan.clip / GRID)
        drawn = np.random.default_rng(3).normal(0, noise * sigma * plan.clip, exact.shape)
        return mended(begin, inputs, exact + drawn, plan, 4_000.0)

    losses = [log_loss(m, real) for m in (begin, best, stepped(1.0, 0.0), stepped(1.0, 1.0))]
    assert losses[2] - losses[1] < 0.4 * (losses[0] - losses[1])
    assert losses[3] - losses[1] < 0.5 * (losses[0] - losses[1])
    drowned = stepped(1e5, 1.0)
    assert np.abs(drowned.coefficients - begin.coefficients).max() < 1.5
