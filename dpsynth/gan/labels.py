"""The target's values drawn again, given all other columns: by a logistic model of what the generator knows.

Pairs say how each column goes with the target; rows of a mixture also show differences between its components that are
noise. A multinomial logistic regression, learnt from the mixture's own rows, keeps the first and averages the second
away. It costs nothing: no private row is seen. Each component is then split by the target's value: a cell's share is
multiplied by the mean chance of that value among the component's rows in the cell, so that within a component every
column goes with the target as the regression says, and keeps its own distribution.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dpsynth.gan.layout import Layout, Singles

Floats = NDArray[np.float64]

DRAWS = 64
"""Rows drawn from each component."""
MOST_VALUES = 40_000_000
"""Indicators of all rows together; more components or cells have fewer rows each."""
EVEN = 3e-4
"""The noise at which a component's own labels weigh as much as the regression's."""
PULL = 1e-3
"""Weight of the squared coefficients, for each row and column of the regression."""
PRIOR = 2.0
"""Rows with the component's mean chance that each cell counts beside those that were drawn."""
ITERATIONS = 40


def relabelled(
    layout: Layout, shares: Singles, target: int, noise: float, rng: np.random.Generator
) -> tuple[Singles, Singles]:
    """(weights, shares): components split by the target's value, shapes (labels * rows,) and (labels * rows, width).

    `noise`: standard deviation of what the critic learned of a pair's cell, as a share of all records. The more there is,
    the less a component's own labels are believed beside the regression's (a mean of logarithms).
    """
    rows = len(shares)
    draws = max(4, min(DRAWS, MOST_VALUES // (rows * layout.width)))
    seen = drawn(layout, shares, draws, rng)
    own = layout.columns(target)
    inputs = seen.copy()
    inputs[:, own] = 0
    known = np.repeat(shares[:, own], draws, axis=0).astype(np.float64)
    belief = 1 / (1 + (noise / EVEN) ** 2)
    said = regression(inputs, known, own)
    logs = (1 - belief) * np.log(np.maximum(said, 1e-12)) + belief * np.log(np.maximum(known, 1e-12))
    chances = np.exp(logs - logs.max(axis=1, keepdims=True))
    chances /= chances.sum(axis=1, keepdims=True)
    split, weights = [], []
    cubes = seen.reshape(rows, draws, layout.width)
    counts = cubes.sum(axis=1) + np.float32(PRIOR)
    for label in range(own.stop - own.start):
        chance = chances[:, label].reshape(rows, draws).astype(np.float32)
        mass = chance.mean(axis=1)
        given = (np.einsum("kd,kdw->kw", chance, cubes) + np.float32(PRIOR) * mass[:, None]) / counts
        table = layout.softmax(np.log(np.maximum(shares * given, 1e-30)))
        table[:, own] = np.arange(own.stop - own.start) == label
        split.append(table)
        weights.append(mass / rows)
    whole = np.concatenate(weights)
    return whole / whole.sum(), np.concatenate(split)


def drawn(layout: Layout, shares: Singles, draws: int, rng: np.random.Generator) -> Singles:
    """Indicators of `draws` rows of each component, shape (rows * draws, width)."""
    found = np.zeros((len(shares) * draws, layout.width), dtype=np.float32)
    for attribute in range(len(layout.domain)):
        own = layout.columns(attribute)
        edges = np.cumsum(shares[:, own], axis=1)
        picks = rng.random((len(shares), draws, 1), dtype=np.float32) * edges[:, None, -1:]
        cells = (picks >= edges[:, None, :-1]).sum(axis=2).ravel()
        found[np.arange(len(found)), own.start + cells] = 1
    return found


def regression(inputs: Singles, wanted: Floats, own: slice) -> Floats:
    """Multinomial logistic regression of label shares `wanted` (rows, labels) on `inputs`: its fitted shares.

    The columns `own` of the inputs are zero: there the coefficients stand for constants.
    """
    from scipy import optimize  # slow to load

    rows, width = inputs.shape
    labels = wanted.shape[1]
    constant = np.log(np.maximum(wanted.mean(axis=0), 1e-12))

    def fitted(flat: Floats) -> Floats:
        scores = inputs @ flat.reshape(width, labels).astype(np.float32) + constant
        raised: Floats = np.exp(scores - scores.max(axis=1, keepdims=True))
        shares: Floats = raised / raised.sum(axis=1, keepdims=True)
        return shares

    def loss(flat: Floats) -> tuple[float, Floats]:
        chances = fitted(flat)
        value = -float((wanted * np.log(np.maximum(chances, 1e-300))).sum()) / rows
        slope = inputs.T @ (chances - wanted).astype(np.float32) / rows
        pull = PULL / width
        return value + pull * float(flat @ flat) / 2, slope.ravel().astype(np.float64) + pull * flat

    start = np.zeros(width * labels)
    found = optimize.minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": ITERATIONS})
    return fitted(found.x)
