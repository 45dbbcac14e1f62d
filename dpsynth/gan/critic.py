"""The critic: a score of a record that is linear in its pairs of cells, and in pairs crossed with the target.

``score(x) = sum over cliques c of weight_c * value_c[cells of x]``, trained to be high on real records and low on the
generator's. Its loss is the difference of the mean scores (an integral probability metric: Arjovsky, Chintala and
Bottou 2017; Mroueh, Sercu and Goel 2017) less half the squared values, so a record's gradient is its indicator vector
times the weights: of norm 1 for every record, when the squared weights sum to 1. Clipping never bites, and no part of the
budget buys the length of a gradient. On the side of the generator the expectation is exact: no fake record is drawn,
and the private noise is in the sum over real records alone.

The best such critic is known when the generator's marginals are: mean real indicators less expected ones. So what it
learned of the real records is a running mean of the noisy sums, and it follows the generator at once. With this loss a
real record's gradient does not depend on what the critic has learned: all steps together say as much of the table as
one noisy measurement of all these cliques at the same mu, taken batch by batch. (Critics that weigh records by how well
they are told apart, by a logistic or a hinge loss, learn less from the same budget: their gradients are shorter than the
clip, and old noise stays in them.)
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpsynth.gan.layout import Layout, Singles
from dpsynth.privacy.sgd import Indicators, Part
from dpsynth.records import Records

Floats = NDArray[np.float64]
Cells = NDArray[np.int64]

CROSSED = 0.5
"""Weight of a clique of three, for a pair's 1."""


class Critic:
    """`target`: number of the attribute that pairs are crossed with, None for pairs alone. `expected`: records in a
    batch, on average; a constant times a charged number."""

    def __init__(self, layout: Layout, target: int | None, expected: float) -> None:
        self._layout = layout
        self._target = target
        self._expected = expected
        attributes = len(layout.domain)
        pairs = list(itertools.combinations(range(attributes), 2))
        crossed = [pair for pair in pairs if target is not None and target not in pair]
        self._left, self._right = _columns(pairs)
        self._left_crossed, self._right_crossed = _columns(crossed)
        sizes, labels = layout.sizes, 1 if target is None else int(layout.sizes[target])
        self._sizes = (
            *(sizes[self._left] * sizes[self._right]).tolist(),
            *(sizes[self._left_crossed] * sizes[self._right_crossed] * labels).tolist(),
        )
        self._weights = weights(len(pairs), len(crossed))
        self._labels = labels
        self._places, self._places_crossed = self._scatter(pairs), self._scatter(crossed)
        self._mean = np.zeros(sum(self._sizes))
        self._sums = 0

    def gradient(self, records: Records) -> Sequence[Part]:
        """Each record's gradient: its weights, at the cells of all cliques. Shape (records, cliques)."""
        cells = records.matrix().reshape(len(records), len(self._layout.domain))
        parts = [self._pairs(cells, self._left, self._right)]
        if self._target is not None:
            both = self._pairs(cells, self._left_crossed, self._right_crossed)
            parts.append(both * self._labels + cells[:, [self._target]])
        found = np.concatenate(parts, axis=1)
        return [Indicators(found, self._sizes, np.broadcast_to(self._weights, found.shape))]

    def learn(self, noisy: Floats) -> None:
        """One more noisy sum over real records."""
        self._sums += 1
        self._mean += (noisy / self._expected - self._mean) / self._sums
        each = np.repeat(self._weights, self._sizes) * self._mean
        cut = sum(self._sizes[: len(self._left)])
        self._real = self._matrices(each[:cut], self._places, 1)[0]
        self._real_crossed = self._matrices(each[cut:], self._places_crossed, self._labels)

    def noise_energy(self, noise: float) -> float:
        """The part of noise in the squared values of pairs, if the noise of a pair's cell is `noise`, a share of records."""
        energy: float = sum(self._sizes[: len(self._left)]) * float(self._weights[0] * noise) ** 2
        return energy

    def slope(self, shares: Singles) -> Singles:
        """How the mean score of each component grows with its shares, shape (components, width), under the critic that is
        best against these components."""
        components, own = np.float32(len(shares)), np.float32(self._weights[0] ** 2)
        values = self._real - own * self._beside((shares.T @ shares) / components)
        slope: Singles = shares @ values
        if self._target is None:
            return slope
        labels = self._layout.columns(self._target)
        crossed = np.float32(CROSSED**2) * own
        for label, real in enumerate(self._real_crossed):
            share = shares[:, [labels.start + label]]
            fake = self._crossing((shares * share).T @ shares / components)
            raised = shares @ (real - crossed * fake)
            slope += share * raised
            slope[:, labels.start + label] += 0.5 * (shares * raised).sum(axis=1)
        return slope

    def _pairs(self, cells: Cells, left: Cells, right: Cells) -> Cells:
        found: Cells = cells[:, left] * self._layout.sizes[right] + cells[:, right]
        return found

    def _scatter(self, pairs: list[tuple[int, int]]) -> Cells:
        """For each cell of each pair, in order: its place in a (width, width) matrix."""
        width, starts, sizes = self._layout.width, self._layout.starts, self._layout.sizes
        blocks = [
            ((starts[a] + np.arange(sizes[a]))[:, None] * width + starts[b] + np.arange(sizes[b])).ravel()
            for a, b in pairs
        ]
        return np.concatenate([np.empty(0, dtype=np.int64), *blocks])

    def _matrices(self, flat: Floats, places: Cells, labels: int) -> Singles:
        """Symmetric matrices of pairs, one for each label, shape (labels, width, width)."""
        width = self._layout.width
        found = np.zeros((labels, width * width), dtype=np.float32)
        found[:, places] = flat.reshape(-1, labels).T
        square = found.reshape(labels, width, width)
        return square + square.transpose(0, 2, 1)

    def _beside(self, table: NDArray[Any]) -> Singles:
        """Only pairs of different attributes."""
        for attribute in range(len(self._layout.domain)):
            own = self._layout.columns(attribute)
            table[own, own] = 0
        return table

    def _crossing(self, table: NDArray[Any]) -> Singles:
        """Only pairs of different attributes that are not the target."""
        assert self._target is not None
        table = self._beside(table)
        labels = self._layout.columns(self._target)
        table[labels] = 0
        table[:, labels] = 0
        return table


def weights(pairs: int, crossed: int) -> Floats:
    """One weight per clique, pairs first; their squares sum to 1."""
    found = np.array([1.0] * pairs + [CROSSED] * crossed)
    scaled: Floats = found / math.sqrt(float((found**2).sum()))
    return scaled


def _columns(pairs: Sequence[tuple[int, int]]) -> tuple[Cells, Cells]:
    found = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return found[:, 0], found[:, 1]
