"""The target's values drawn again, given all other columns: by a logistic model of what the generator knows.

Pairs say how each column goes with the target; rows of a mixture also show differences between its components that are
noise. A multinomial logistic regression, learnt from the mixture's own rows, keeps the first and averages the second
away. That costs nothing: no private row is seen (`target.py` may put the regression right by one noisy gradient, which
does cost). Each component is then split by the target's value: a cell's share is multiplied by the mean chance of that
value among the component's rows if they were in that cell, so that within a component every column goes with the
target as the regression says, and keeps its own distribution.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

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
ITERATIONS = 40
ROUNDS = 8
"""Corrections of the constants, so that the values have the shares that were asked for."""


@dataclass(frozen=True, eq=False)
class Logistic:
    """``softmax(inputs @ coefficients + constant)``; `coefficients` (width, labels), zero in the target's own columns."""

    coefficients: Singles
    constant: Singles

    def scores(self, inputs: Singles) -> Singles:
        """Shape (rows, labels); the columns of the target do not count."""
        found: Singles = inputs @ self.coefficients + self.constant
        return found

    def chances(self, inputs: Singles) -> Singles:
        """Of each label, shape (rows, labels)."""
        return softmax(self.scores(inputs))


Mend = Callable[[Logistic, Singles], Logistic]
"""(model, rows of the generator it was learnt from) -> a better model."""


def relabelled(
    layout: Layout,
    shares: Singles,
    target: int,
    noise: float,
    rng: np.random.Generator,
    *,
    mend: Mend | None = None,
    wanted: Singles | None = None,
) -> tuple[Singles, Singles]:
    """(weights, shares): components split by the target's value, shapes (labels * rows,) and (labels * rows, width).

    `noise`: standard deviation of what was learned of a pair's cell, as a share of all records. The more there is, the
    less a component's own labels are believed beside the regression's (a mean of logarithms). `wanted`: the shares of the
    target's values; those of the components when None.
    """
    own = layout.columns(target)
    seen = drawn(layout, shares, max(4, min(DRAWS, MOST_VALUES // (len(shares) * layout.width))), rng)
    draws = len(seen) // len(shares)
    seen[:, own] = 0
    model = regression(seen, np.repeat(shares[:, own], draws, axis=0), own)
    if mend is not None:
        model = mend(model, seen)
    belief = np.float32(1 / (1 + (noise / EVEN) ** 2))
    model = Logistic((1 - belief) * model.coefficients, (1 - belief) * model.constant)
    known = belief * np.log(np.maximum(shares[:, own], np.float32(1e-12)))
    scores = model.scores(seen) + np.repeat(known, draws, axis=0)
    share = shares[:, own].mean(axis=0) if wanted is None else wanted
    scores += constants(scores, share)
    return split(layout, shares, target, model.coefficients, seen, scores)


def split(
    layout: Layout, shares: Singles, target: int, coefficients: Singles, seen: Singles, scores: Singles
) -> tuple[Singles, Singles]:
    """Components by the target's value. `seen`: as many rows of each component in turn, whose labels have `scores`.

    How a cell goes with a label is no matter of how many of the rows are in it: each row is put into every cell of a
    column in turn, its other columns left as they are.
    """
    rows, draws = len(shares), len(seen) // len(shares)
    own = layout.columns(target)
    labels = own.stop - own.start
    mass = softmax(scores).reshape(rows, draws, labels).mean(axis=1)
    tables = np.repeat(shares[None], labels, axis=0)
    for attribute in range(len(layout.domain)):
        columns = layout.columns(attribute)
        if attribute == target:
            tables[:, :, columns] = np.eye(labels, dtype=np.float32)[:, None, :]
            continue
        others = scores - seen[:, columns] @ coefficients[columns]
        for column in range(columns.start, columns.stop):
            moved = softmax(others + coefficients[column])
            tables[:, :, column] *= moved.reshape(rows, draws, labels).mean(axis=1).T
        sums = tables[:, :, columns].sum(axis=2, keepdims=True)
        tables[:, :, columns] /= np.maximum(sums, np.float32(1e-30))
        empty = np.broadcast_to(sums <= 0, tables[:, :, columns].shape)
        tables[:, :, columns][empty] = np.broadcast_to(shares[:, columns], empty.shape)[empty]
    weights = mass.T.reshape(-1) / rows
    return weights / weights.sum(), tables.reshape(labels * rows, layout.width)


def constants(scores: Singles, wanted: Singles) -> Singles:
    """What to add to the scores, shape (labels,), so that the mean chances are those wanted."""
    found = np.zeros(scores.shape[1], dtype=np.float32)
    for _ in range(ROUNDS):
        mean = softmax(scores + found).mean(axis=0)
        found += np.log(np.maximum(wanted, 1e-12) / np.maximum(mean, 1e-12)).astype(np.float32)
    return found


def softmax(scores: NDArray[Any]) -> NDArray[Any]:
    """Over the last axis."""
    found: NDArray[Any] = np.exp(scores - scores.max(axis=-1, keepdims=True))
    found /= found.sum(axis=-1, keepdims=True)
    return found


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


def regression(inputs: Singles, wanted: Singles, own: slice) -> Logistic:
    """Multinomial logistic regression of label shares `wanted` (rows, labels) on `inputs`, by L-BFGS.

    The columns `own` of the inputs are zero, and so are their coefficients.
    """
    from scipy import optimize  # slow to load

    rows, width = inputs.shape
    labels = wanted.shape[1]
    constant = np.log(np.maximum(wanted.mean(axis=0, dtype=np.float64), 1e-12)).astype(np.float32)

    def loss(flat: Floats) -> tuple[float, Floats]:
        model = Logistic(flat.reshape(width, labels).astype(np.float32), constant)
        chances = model.chances(inputs)
        logs = np.log(np.maximum(chances, np.float32(1e-30)))
        value = -float((wanted * logs).sum(dtype=np.float64)) / rows
        slope = inputs.T @ (chances - wanted) / np.float32(rows)
        pull = PULL / width
        return value + pull * float(flat @ flat) / 2, slope.ravel().astype(np.float64) + pull * flat

    start = np.zeros(width * labels)
    found = optimize.minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": ITERATIONS}).x
    coefficients = found.reshape(width, labels).astype(np.float32)
    coefficients[own] = 0
    return Logistic(coefficients, constant)
