"""One evaluator for every attack: rates, intervals, permutation p-values, Holm.

Scores are one number per unit, larger for "was in the training data". Members and controls are exchangeable
units under the null hypothesis; the rows of a unit never are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from attacks.kernels import permuted_sums

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

FIXED_FPR = (0.001, 0.01, 0.1)
ENOUGH = 10  # a rate at false-positive rate a is shown when a times the controls is at least this
_TOP_SHARES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
_SAVAGE_UNIT = 1000.0  # integer weights: thousandths of a nat


@dataclass(frozen=True)
class Interval:
    """A rate or an area with its interval at `confidence`."""

    value: float
    low: float
    high: float
    confidence: float = 0.95

    def as_json(self) -> dict[str, float]:
        return {"value": self.value, "low": self.low, "high": self.high, "confidence": self.confidence}

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True)
class RateAt:
    """True-positive rate at a fixed false-positive rate; no rate where the controls cannot carry one."""

    fpr: float
    rate: Interval | None
    allowed: float | None  # what the claim allows at most; None without a claim

    def as_json(self) -> dict[str, Any]:
        rate = None if self.rate is None else self.rate.as_json()
        return {"fpr": self.fpr, "tpr": rate, "claim_allows_at_most": self.allowed}


def clopper_pearson(hits: int, trials: int, confidence: float = 0.95) -> Interval:
    """Exact binomial interval (Clopper and Pearson 1934)."""
    if not 0 <= hits <= trials or trials == 0:
        raise ValueError("needs 0 <= hits <= trials, trials > 0")
    tail = (1.0 - confidence) / 2.0
    low = 0.0 if hits == 0 else float(special.betaincinv(hits, trials - hits + 1, tail))
    high = 1.0 if hits == trials else float(special.betaincinv(hits + 1, trials - hits, 1.0 - tail))
    return Interval(hits / trials, low, high, confidence)


def wilson(hits: int, trials: int, confidence: float = 0.95) -> Interval:
    """Score interval of a rate (Wilson 1927)."""
    z = float(special.ndtri(0.5 + confidence / 2.0))
    rate, spread = hits / trials, z * z / trials
    middle = (rate + spread / 2.0) / (1.0 + spread)
    half = z * math.sqrt(rate * (1.0 - rate) / trials + spread / (4.0 * trials)) / (1.0 + spread)
    return Interval(rate, max(0.0, middle - half), min(1.0, middle + half), confidence)


def difference(first: Interval, second: Interval) -> Interval:
    """First rate minus second, from their `wilson` intervals (Newcombe 1998, method 10)."""
    value = first.value - second.value
    down = math.hypot(first.value - first.low, second.high - second.value)
    up = math.hypot(first.high - first.value, second.value - second.low)
    return Interval(value, value - down, value + up, first.confidence)


def ranks(scores: Floats) -> Floats:
    """Ranks from 1, ties at their mean."""
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2.0)[place])


def auc(scores: Floats, member: Mask, confidence: float = 0.95) -> Interval:
    """P[a member scores above a control] (ties count half), with Newcombe's interval.

    The interval solves ``|estimate - area| = z sd(area)`` with the variance of Hanley and McNeil (1982) at
    the *candidate* area (Newcombe 2006, method 5), so that it has width at an estimate of 0 or 1 too.
    """
    from scipy import optimize  # slow to load, and only this needs it

    members, controls = int(member.sum()), int((~member).sum())
    if members == 0 or controls == 0:
        raise ValueError("needs members and controls")
    place = ranks(scores)
    area = (float(place[member].sum()) - members * (members + 1) / 2.0) / (members * controls)
    z = float(special.ndtri(0.5 + confidence / 2.0))

    def excess(candidate: float) -> float:
        return abs(area - candidate) - z * math.sqrt(_area_variance(candidate, members, controls))

    inside = 1e-9  # at 0 and 1 the variance vanishes, and the estimate itself would pass for a root
    low = 0.0 if area < 2 * inside else float(optimize.brentq(excess, 0.0, area - inside))
    high = 1.0 if area > 1 - 2 * inside else float(optimize.brentq(excess, area + inside, 1.0))
    return Interval(area, low, high, confidence)


def _area_variance(area: float, members: int, controls: int) -> float:
    larger = (members + controls) / 2.0 - 1.0
    shape = 1.0 + larger * ((1.0 - area) / (2.0 - area) + area / (1.0 + area))
    return area * (1.0 - area) * shape / (members * controls)


def rate_at(scores: Floats, member: Mask, fpr: float, confidence: float = 0.95) -> Interval | None:
    """Share of members above the threshold that at most `fpr` of the controls pass; None if too few controls.

    The threshold is a control's score and members must pass it strictly, so that ties help nobody.
    """
    controls = np.sort(scores[~member])[::-1]
    allowed = math.floor(fpr * len(controls) + 1e-9)
    if allowed < ENOUGH or not member.any():
        return None
    hits = int((scores[member] > controls[allowed]).sum()) if allowed < len(controls) else int(member.sum())
    return clopper_pearson(hits, int(member.sum()), confidence)


def roc_points(scores: Floats, member: Mask) -> tuple[Floats, Floats]:
    """False- and true-positive rates at every distinct threshold, from (0, 0) to (1, 1)."""
    order = np.argsort(-scores, kind="stable")
    last_of_tie = np.append(np.diff(scores[order]) != 0, True)
    hits = np.cumsum(member[order])[last_of_tie]
    alarms = np.cumsum(~member[order])[last_of_tie]
    fpr = np.concatenate(([0.0], alarms / max(1, int((~member).sum()))))
    tpr = np.concatenate(([0.0], hits / max(1, int(member.sum()))))
    return fpr, tpr


def permutation_p(scores: Floats, member: Mask, draws: int, rng: np.random.Generator) -> float:
    """One-sided p-value of "members score no higher than controls", permuting which units are members.

    The statistic is the least of several permutation p-values: rank sum, Savage scores (-log rank) and the
    controls among the top 0.1 to 30 %; the same permutations give its own null distribution (Westfall and
    Young 1993), so that it is exact for any dependence among the units' scores. Never below 1 / (draws + 1).

    A tenth of the draws comes first; only a p-value below 0.1 is replaced by one from the full number. Valid:
    for a < 0.1, P[p <= a] is at most that of the second; for a >= 0.1 at most that of the first.
    """
    if member.all() or not member.any():
        raise ValueError("needs members and controls")
    evidence = _Evidence.of(scores)
    first = evidence.p_value(member, max(99, draws // 10), rng)
    return first if first >= 0.1 else evidence.p_value(member, draws, rng)


@dataclass(frozen=True, eq=False)
class _Evidence:
    """Statistics of one score that are small for controls of small scores: sums over the controls.

    `weights` (units, 2): doubled ranks and Savage scores, integers. `level`: the smallest of the top shares
    that the unit is in, `len(_TOP_SHARES)` for none.
    """

    weights: NDArray[np.int64]
    level: NDArray[np.uint8]

    @classmethod
    def of(cls, scores: Floats) -> _Evidence:
        n = len(scores)
        place = ranks(scores)
        savage = -_SAVAGE_UNIT * np.log((n + 1.0 - place) / n)
        weights = np.rint(np.stack([2.0 * place, savage], axis=1)).astype(np.int64)
        descending = np.sort(scores)[::-1]
        cuts = [_cut(descending, max(1, round(share * n))) for share in _TOP_SHARES]
        level = sum((scores < cut).astype(np.uint8) for cut in cuts)
        return cls(weights, np.asarray(level, np.uint8))

    def p_value(self, member: Mask, draws: int, rng: np.random.Generator) -> float:
        controls = ~member
        flip = 2 * int(controls.sum()) > len(member)  # draw the smaller group: the rest is the complement
        size = int((member if flip else controls).sum())
        levels = len(_TOP_SHARES)
        sums = permuted_sums(self.weights, self.level, levels, size, draws, int(rng.integers(2**62)))
        if flip:
            sums = self._sums(np.ones(len(member), bool)) - sums
        return _least_p(np.vstack([self._sums(controls), sums]))  # row 0: as observed

    def _sums(self, chosen: Mask) -> NDArray[np.int64]:
        tops = [int((self.level[chosen] <= k).sum()) for k in range(len(_TOP_SHARES))]
        return np.concatenate([self.weights[chosen].sum(axis=0), np.array(tops, np.int64)])


def _least_p(sums: NDArray[np.int64]) -> float:
    """Rank of row 0 among all rows by least p over the columns, then by the sum of log p; small: evidence."""
    rows = len(sums)
    each = np.stack([np.searchsorted(np.sort(column), column, side="right") for column in sums.T], axis=1)
    least = each.min(axis=1)
    total = np.log(each).sum(axis=1)
    as_strong = (least < least[0]) | ((least == least[0]) & (total <= total[0] + 1e-9))
    return int(as_strong.sum()) / rows


def _cut(descending: Floats, k: int) -> float:
    """The threshold nearest to the k-th largest score that does not cut a block of ties."""
    value = descending[min(k, len(descending)) - 1]
    start = int(np.searchsorted(-descending, -value, side="left"))
    stop = int(np.searchsorted(-descending, -value, side="right"))
    if start == 0 or stop - k <= k - start:
        return float(value)
    return float(descending[start - 1])


def holm(p_values: Sequence[float], weights: Sequence[float] | None = None) -> list[float]:
    """Adjusted p-values with the family-wise error kept under any dependence (Holm 1979, with his weights).

    A hypothesis of weight 0 is outside the family; its adjusted p-value is 1. Weights must not depend on who
    is a member.
    """
    share = [1.0] * len(p_values) if weights is None else list(weights)
    adjusted = [1.0] * len(p_values)
    order = sorted((i for i, w in enumerate(share) if w > 0), key=lambda i: p_values[i] / share[i])
    left, running = sum(share), 0.0
    for i in order:
        running = max(running, min(1.0, p_values[i] * left / share[i]))
        adjusted[i] = running
        left -= share[i]
    return adjusted


def percent(share: float) -> str:
    """0.01 as ``1 %``."""
    return f"{100 * share:.3g} %"
