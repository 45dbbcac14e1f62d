"""The model of the target put right by one noisy gradient of real records (DP-SGD with one step over all units).

A logistic model that was learnt from the generator's rows is wrong where the generator is. What is missing is in the
residuals of real records: ``g = sum over records of x (y - p(x))``, a row's indicators times what the model got wrong
of its label, clipped by unit. The generator's own rows have the curvature H of the loss, for nothing, so that one
gradient is enough for a Newton step.

*How far to go.* With noise of standard deviation s in each coordinate, and errors of the coefficients that are taken
for normal with standard deviation `EXPECTED`, the posterior mean of the errors given g = H e + noise is
``H (H H + (s / EXPECTED)**2)**-1 g``: a Newton step where the curvature drowns the noise, none where noise drowns it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dpsynth.budget import Cost
from dpsynth.gan.labels import Logistic, softmax
from dpsynth.gan.layout import Layout, Singles
from dpsynth.privacy import sensitivity
from dpsynth.privacy.sgd import Outer, Part, SgdPlan
from dpsynth.records import Records

Floats = NDArray[np.float64]

CLIP = 0.5
"""The largest residual (a chance) that counts in full."""
EXPECTED = 0.5
"""Standard deviation of the errors of coefficients."""
WIDEST = 1500
"""Cells of all columns side by side; with more, only the diagonal of the curvature is used."""


def plan_of(cost: Cost, columns: int, rows_per_unit: int) -> SgdPlan:
    """One sum over all units. A record's gradient has the norm sqrt(columns) |residuals|, and those of a record whose label
    got the chance 1 - r have a norm of sqrt(2) r at least."""
    clip = CLIP * math.sqrt(2 * columns) * rows_per_unit
    return SgdPlan(1.0, 1, sensitivity.sgd_sigma(cost, 1.0, 1), clip)


@dataclass(frozen=True, eq=False)
class Residuals:
    """Gradients of the log-likelihood of real labels; `target` is the number of the target's attribute."""

    layout: Layout
    target: int
    model: Logistic

    def gradient(self, records: Records) -> Sequence[Part]:
        """Each record's: the outer product of its indicators and its residuals, (width, labels)."""
        cells = records.matrix().reshape(len(records), len(self.layout.domain))
        inputs = np.zeros((len(records), self.layout.width))
        np.put_along_axis(inputs, cells + self.layout.starts, 1.0, axis=1)
        own = self.layout.columns(self.target)
        labels = inputs[:, own].copy()
        inputs[:, own] = 0.0
        scores = inputs @ self.model.coefficients.astype(np.float64) + self.model.constant
        return [Outer(inputs, labels - softmax(scores))]


def mended(model: Logistic, seen: Singles, noisy: Floats, plan: SgdPlan, records: float) -> Logistic:
    """The model after a step along the noisy sum of `Residuals.gradient` over about so many `records`; `seen`: rows of the
    generator, by which the curvature is computed."""
    labels = len(model.constant)
    gradient = noisy.reshape(-1, labels) / records
    error = (plan.sigma * plan.clip / records / EXPECTED) ** 2
    chances = model.chances(seen)
    coefficients = model.coefficients.astype(np.float64)
    # of all labels alike in chance, the inverse of diag(p) - p p' is this part of that of diag(p (1 - p))
    part = (labels - 1) / labels
    for label in range(labels):
        spread = chances[:, label] * (1 - chances[:, label])
        coefficients[:, label] += part * _step(seen, spread, gradient[:, label], error)
    return Logistic(coefficients.astype(np.float32), model.constant)


def _step(seen: Singles, spread: Singles, gradient: Floats, error: float) -> Floats:
    """``H (H H + error)**-1 gradient`` for the curvature ``H = mean of spread x x'``; 0 where no row has been."""
    if seen.shape[1] > WIDEST:
        diagonal = (seen.T @ spread).astype(np.float64) / len(seen)
        found: Floats = diagonal * gradient / (diagonal**2 + error)
        return found
    curvature = (seen.T @ (seen * spread[:, None])).astype(np.float64) / len(seen)
    within = curvature @ curvature + error * np.eye(len(curvature))
    stepped: Floats = curvature @ np.linalg.solve(within, gradient)
    return stepped
