"""The generator: a table of logits. Each row is a product distribution over the cells, all rows weigh alike."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from dpsynth.gan.critic import Critic
from dpsynth.gan.impossible import Impossible
from dpsynth.gan.layout import Layout, Singles
from dpsynth.gan.order import along, roots

RATE = 0.05
"""Of Adam (Kingma and Ba 2015), while the critic learns; it falls to zero over the last half."""
FIRST, SECOND = 0.9, 0.999
"""Decay of Adam's two averages."""
SPREAD = 0.5
"""Standard deviation of the first logits around those of the one-way marginals."""
ANCHOR = 0.01
"""Weight of the pull of the mean of all rows towards the one-way marginals."""
FORBIDDING = 0.1
"""Weight of the share of records that cannot be, beside the critic's mean score."""


class LogitTable:
    """`rows` product distributions, which begin near the one-way shares `ones`, shape (width,); `impossible`: what they are
    kept away from; `ordered`: how many first cells of some attributes are in order; `pull`: weight of each row's
    relative entropy to the one-way shares, beside the critic's mean score."""

    def __init__(
        self,
        layout: Layout,
        ones: Singles,
        rows: int,
        rng: np.random.Generator,
        impossible: Impossible | None = None,
        ordered: Mapping[str, int] | None = None,
        pull: float = 0.0,
    ) -> None:
        self._layout = layout
        self._pull = pull
        self._roots = roots(layout, ordered or {})
        self._impossible = impossible
        self._ones = ones
        self._middle = np.log(np.maximum(ones, 1e-6))
        # logits less the middle, before neighbours are brought together
        self._free: Singles = np.float32(SPREAD) * rng.standard_normal((rows, layout.width), dtype=np.float32)
        self._mean = np.zeros_like(self._free)
        self._square = np.zeros_like(self._free)
        self._steps = 0

    @property
    def shares(self) -> Singles:
        """Shape (rows, width): each attribute's cells sum to 1 in each row."""
        return self._layout.softmax(self._middle + along(self._layout, self._roots, self._free))

    def improve(self, critic: Critic, rate: float) -> None:
        """One step of Adam up the critic's mean score, towards the one-way marginals and, by each row, independence."""
        shares = self.shares
        slope = critic.slope(shares) + np.float32(ANCHOR) * (self._ones - shares.mean(axis=0))
        slope -= np.float32(self._pull) * (np.log(np.maximum(shares, np.float32(1e-30))) - self._middle)
        if self._impossible is not None and self._impossible.tables:
            slope -= np.float32(FORBIDDING) * self._impossible.slope(shares)
        gradient = self._layout.through_softmax(shares, slope)
        self._climb(along(self._layout, self._roots, gradient), rate)

    def _climb(self, gradient: Singles, rate: float) -> None:
        self._steps += 1
        self._mean += np.float32(1 - FIRST) * (gradient - self._mean)
        self._square += np.float32(1 - SECOND) * (gradient * gradient - self._square)
        first, second = 1 - FIRST**self._steps, 1 - SECOND**self._steps
        scale = np.sqrt(self._square / np.float32(second)) + np.float32(1e-8)
        self._free += np.float32(rate / first) * self._mean / scale
