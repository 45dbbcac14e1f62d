"""One run with canaries: what one output proves when many made-up units were in it, each by its own coin.

A *score* for each canary is larger when the canary was in. The attacker guesses the surest of them: the share to guess is
fixed beforehand, or several shares are, which then split the error probability. Bounds: `one_run` for (epsilon, delta),
`f_one_run` for mu. Both hold for every generator, however the canaries disturb each other.

Two generators to put canaries into: a vector of noisy counts (each canary has a cell of its own in every marginal) and noisy
sums of clipped gradients (each canary has a direction of its own). `reference_sums` is the second, in a few lines.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attacks.guarantee import f_one_run, one_run
from attacks.guarantee.gaussian import epsilon_of

Floats = NDArray[np.float64]
Sides = NDArray[np.bool_]

SHARES = (1.0, 0.3, 0.1, 0.03)
"""Of the canaries, guesses that are made; each with its part of the error probability."""


@dataclass(frozen=True)
class OneRun:
    """Lower bounds from one output, valid together at `confidence`. `gaussian_epsilon`: the bound on mu at delta."""

    epsilon: float
    mu: float
    gaussian_epsilon: float
    canaries: int
    confidence: float
    guesses: tuple[tuple[int, int], ...]
    """(made, right) for each share."""

    def as_json(self) -> dict[str, Any]:
        return {
            "epsilon_lower": self.epsilon,
            "mu_lower": self.mu,
            "epsilon_lower_if_gaussian": self.gaussian_epsilon,
            "canaries": self.canaries,
            "confidence": self.confidence,
            "guesses": [{"made": made, "right": right} for made, right in self.guesses],
        }


def one_run_bounds(
    scores: Floats,
    sides: Sides,
    delta: float,
    confidence: float,
    *,
    middle: float | None = None,
    shares: Sequence[float] = SHARES,
) -> OneRun:
    """Bounds from a score and a coin for each canary, shape (canaries,).

    `middle`: scores above it mean "in"; known beforehand, or (None) the median of all scores, which knows no coin. Each
    share gives a bound on epsilon and one on mu: the error probability is split among all of them.
    """
    if scores.shape != sides.shape or scores.ndim != 1 or not len(scores):
        raise ValueError("a score and a coin for each canary")
    cut = float(np.median(scores)) if middle is None else middle
    surest = np.argsort(-np.abs(scores - cut), kind="stable")
    right = (scores > cut) == sides
    each = 1 - (1 - confidence) / (2 * len(shares))
    m = len(scores)
    guesses = []
    epsilon = mu = 0.0
    for share in shares:
        made = max(1, round(share * m))
        hits = int(right[surest[:made]].sum())
        guesses.append((made, hits))
        epsilon = max(epsilon, one_run.epsilon_lower_bound(m, made, hits, delta, each))
        mu = max(mu, f_one_run.mu_lower_bound(m, made, hits, each))
    return OneRun(epsilon, mu, epsilon_of(mu, delta), m, confidence, tuple(guesses))


def count_scores(cells: Sequence[NDArray[np.int64]], sigmas: Sequence[float]) -> Floats:
    """Scores from noisy counts: ``cells[i]`` are the canaries' own cells in marginal i, shape (canaries,). With `expected`
    counts of 0 or 1 this is the likelihood ratio, but for a constant that `middle` (one half of the precision) removes."""
    total = np.zeros(len(cells[0]))
    for counts, sigma in zip(cells, sigmas, strict=True):
        total += counts / sigma**2
    return total


def count_middle(sigmas: Sequence[float]) -> float:
    """Where a canary's score is as likely with it as without it."""
    return 0.5 * float(sum(1 / sigma**2 for sigma in sigmas))


def direction_scores(sums: Floats, clip: float) -> Floats:
    """Scores from noisy gradient sums, shape (steps, coordinates): canary j's gradient is `clip` along coordinate j."""
    return np.asarray(sums.sum(axis=0) / clip)


def reference_sums(
    inside: NDArray[np.bool_], sides: Sides, clip: float, sigma: float, rng: np.random.Generator
) -> Floats:
    """Noisy sums of one-hot gradients, shape (steps, canaries), for who is in which batch (`batches.poisson`).

    The textbook algorithm (Abadi and others 2016) in one line: what real code is compared with.
    """
    return np.asarray(clip * (inside & sides) + rng.normal(0.0, sigma * clip, inside.shape))
