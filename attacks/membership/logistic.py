"""Ridge logistic regression by Newton's method, for attacks that learn how to weigh what they see."""

from __future__ import annotations

import numpy as np

from attacks.threat import Floats, Mask

_NEWTON_STEPS = 25


def fitted(happened: Mask, covariates: Floats, ridge: float) -> Floats:
    """Intercept, unpenalised, and one weight per covariate; `ridge` times half of their squares is added to the loss.

    `happened` (n,), `covariates` (n, k); the loss is minus the log-likelihood summed over n.
    """
    design = np.column_stack([np.ones(len(happened)), covariates])
    rate = (happened.sum() + 0.5) / (len(happened) + 1.0)
    weights = np.zeros(design.shape[1])
    weights[0] = np.log(rate / (1.0 - rate))
    penalty = ridge * np.diag([0.0] + [1.0] * covariates.shape[1])
    penalty[0, 0] = 1e-9
    for _ in range(_NEWTON_STEPS):
        chance = _logistic(design @ weights)
        gradient = design.T @ (happened - chance) - penalty @ weights
        curvature = (design * (chance * (1.0 - chance))[:, None]).T @ design + penalty
        step = np.linalg.solve(curvature, gradient)
        weights = weights + step / max(1.0, float(np.abs(step).max()))
        if np.abs(step).max() < 1e-6:
            break
    return np.asarray(weights)


def chances(weights: Floats, covariates: Floats) -> Floats:
    """Probabilities under fitted weights, shape (n,)."""
    return _logistic(weights[0] + covariates @ weights[1:])


def _logistic(values: Floats) -> Floats:
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(values, -30.0, 30.0))))
