"""Lower bounds from many fits on two neighbouring tables, valid for any generator and any score.

Each *trial* tosses a fair coin, fits the generator on the table without (0) or with (1) the unit, and turns what was
released into named scores. Two independent ways to certify, which share the error probability:

* *Halves*: the first half of the trials picks a score, a direction and a threshold; the second half certifies the rates
  with exact binomial intervals (Clopper and Pearson). Strong where a fault shows rarely but surely.
* *Guesses*: after a pilot, each trial's coin is guessed by a rule made from earlier trials only. Whatever came before, a
  guess is right with probability at most Phi(mu / 2) under mu-GDP, and (e^epsilon + delta) / (e^epsilon + 1) under
  (epsilon, delta)-DP, so that the number of right ones is below a binomial one: every trial certifies, none is given away
  for choosing. One rate instead of two: this is what comes close to the claim of an honest Gaussian mechanism.

Looks are fixed in advance and share the error probability, so that a campaign may stop at the first that convicts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from attacks.guarantee.gaussian import epsilon_from_accuracy, epsilon_of, mu_from_accuracy
from attacks.guarantee.sigma import finite
from attacks.stats import clopper_pearson

Floats = NDArray[np.float64]
Sides = NDArray[np.bool_]

PILOT = 50
"""Trials before the first guess."""
GROWTH = 1.25
"""The rule of the guesses is made anew when so many times the trials are there."""
GUESS_SHARE = 0.8
"""Of a look's error probability, for the guesses; the halves have the rest."""
LAST_SHARE = 0.8
"""Of the whole error probability, for the last look; the earlier ones share the rest equally."""
CUTS = 400
"""Thresholds that are tried for one score, at most."""


@dataclass(frozen=True)
class Rule:
    """Guess "with the unit" when ``sign * scores[score] > threshold``."""

    score: int
    sign: int
    threshold: float

    def guess(self, scores: Floats) -> Sides:
        return np.asarray(self.sign * scores[:, self.score] > self.threshold)


@dataclass(frozen=True)
class Bound:
    """What the trials of one look prove at `confidence`: both lower bounds together, and where they come from.

    `epsilon`: at the claim's delta, for any generator. `mu`: the Gaussian-DP estimate, a bound if the generator is
    Gaussian-private with some mu. `score`: the one that was strongest.
    """

    epsilon: float
    mu: float
    trials: int
    confidence: float
    score: str
    way: str

    def as_json(self) -> dict[str, Any]:
        return {
            "epsilon_lower": finite(self.epsilon),
            "mu_lower": finite(self.mu),
            "trials": self.trials,
            "confidence": self.confidence,
            "score": self.score,
            "way": self.way,
        }


def bound(
    scores: Floats,
    sides: Sides,
    names: Sequence[str],
    delta: float,
    confidence: float,
    known: tuple[str, float] | None = None,
) -> Bound:
    """The better of both ways. `scores` (trials, scores) in the order of the trials, NaN for "not there"; `sides` (trials,)
    are the coins. `known`: a score and the threshold above which it means "with the unit", if theory gave them before the
    first trial (a likelihood ratio and 0): then nothing is learned and every trial is a guess."""
    if scores.ndim != 2 or len(scores) != len(sides) or scores.shape[1] != len(names):
        raise ValueError("scores have a row for each trial and a column for each name")
    values = np.where(np.isnan(scores), -np.inf, scores)
    alpha = 1 - confidence
    found = [
        _guesses(values, sides, names, delta, GUESS_SHARE * alpha, known),
        *_halves(values, sides, names, delta, (1 - GUESS_SHARE) * alpha),
    ]
    best_mu = max(found, key=lambda each: each.mu)
    best = max(found, key=lambda each: each.epsilon)
    told = best if best.epsilon > 0 else best_mu
    return Bound(best.epsilon, best_mu.mu, len(sides), confidence, told.score, told.way)


def gaussian_epsilon(found: Bound, delta: float) -> float:
    """The Gaussian-DP estimate as an epsilon."""
    return epsilon_of(found.mu, delta)


@dataclass(frozen=True)
class Looks:
    """Numbers of trials at which a campaign looks at its results, fixed before the first; the last is its end."""

    at: tuple[int, ...]
    confidence: float

    @classmethod
    def doubling(cls, trials: int, confidence: float, first: int = 250) -> Looks:
        """At the end and at halves of it, none before `first` trials."""
        at = [trials]
        while at[-1] // 2 >= first:
            at.append(at[-1] // 2)
        return cls(tuple(reversed(at)), confidence)

    def confidence_of(self, look: int) -> float:
        """Of the look with this number, so that all together keep the whole's (union bound)."""
        alpha, earlier = 1 - self.confidence, len(self.at) - 1
        if earlier == 0:
            return self.confidence
        if look == earlier:
            return 1 - alpha * LAST_SHARE
        return 1 - alpha * (1 - LAST_SHARE) / earlier


def _guesses(
    scores: Floats,
    sides: Sides,
    names: Sequence[str],
    delta: float,
    alpha: float,
    known: tuple[str, float] | None,
) -> Bound:
    if known is None:
        right, made, rule = guessed(scores, sides)
    else:
        rule, made = Rule(list(names).index(known[0]), 1, known[1]), len(sides)
        right = int((rule.guess(scores) == sides).sum())
    if not made:
        return Bound(0.0, 0.0, len(sides), 1 - alpha, names[0], "guesses")
    rate = clopper_pearson(right, made, 1 - 2 * alpha).low  # one-sided
    epsilon, mu = epsilon_from_accuracy(rate, delta), mu_from_accuracy(rate)
    return Bound(epsilon, mu, len(sides), 1 - alpha, names[rule.score], "guesses")


def guessed(scores: Floats, sides: Sides) -> tuple[int, int, Rule]:
    """(right guesses, guesses, the last rule): each trial guessed by a rule made from the ones before."""
    right = made = 0
    rule, start = Rule(0, 1, 0.0), min(PILOT, len(sides))
    while start < len(sides):
        rule = _most_accurate(scores[:start], sides[:start])
        stop = min(len(sides), max(start + 1, math.ceil(start * GROWTH)))
        right += int((rule.guess(scores[start:stop]) == sides[start:stop]).sum())
        made += stop - start
        start = stop
    return right, made, rule


def _most_accurate(scores: Floats, sides: Sides) -> Rule:
    """The score and direction of the largest gain; of the thresholds that gain as much but for chance, the middle one."""
    best, chosen = -1.0, Rule(0, 1, 0.0)
    for rules, hits, alarms in _rules(scores, sides):
        gain = np.asarray(hits - alarms)
        if gain.max() > best:
            best = float(gain.max())
            near = np.flatnonzero(gain >= best - 1 / math.sqrt(len(sides)))
            chosen = rules[near[len(near) // 2]]
    return chosen


def _halves(scores: Floats, sides: Sides, names: Sequence[str], delta: float, alpha: float) -> list[Bound]:
    """One bound from the threshold that promises the largest epsilon, one from that of the largest mu."""
    half = len(sides) // 2
    first, rest = (scores[:half], sides[:half]), (scores[half:], sides[half:])
    found = []
    for by_mu in (False, True):
        rule = _most_certain(*first, delta, alpha / 2, by_mu)
        if rule is not None:
            found.append(_certified(rule, *rest, names, delta, alpha / 2))
    return found


def _most_certain(scores: Floats, sides: Sides, delta: float, alpha: float, by_mu: bool) -> Rule | None:
    """The rule whose bound would be largest if the second half came out as the first."""
    best, chosen = 0.0, None
    positives, negatives = int(sides.sum()), int((~sides).sum())
    if not positives or not negatives:
        return None
    for rules, hits, alarms in _rules(scores, sides):
        found = _both(
            np.rint(hits * positives), positives, np.rint(alarms * negatives), negatives, delta, alpha
        )
        at = int(found[by_mu].argmax())
        if found[by_mu][at] > best:
            best, chosen = float(found[by_mu][at]), rules[at]
    return chosen


def _certified(
    rule: Rule, scores: Floats, sides: Sides, names: Sequence[str], delta: float, alpha: float
) -> Bound:
    guess = rule.guess(scores)
    hits, alarms = np.array([(guess & sides).sum()]), np.array([(guess & ~sides).sum()])
    positives, negatives = int(sides.sum()), int((~sides).sum())
    epsilon, mu = 0.0, 0.0
    if positives and negatives:
        bounds = _both(hits, positives, alarms, negatives, delta, alpha)
        epsilon, mu = float(bounds[0][0]), float(bounds[1][0])
    return Bound(epsilon, mu, len(sides), 1 - alpha, names[rule.score], "halves")


def _both(
    hits: NDArray[Any], positives: int, alarms: NDArray[Any], negatives: int, delta: float, alpha: float
) -> tuple[Floats, Floats]:
    """(epsilon, mu) lower bounds of several thresholds: the lower end of the one rate and the upper end of the other
    (Clopper and Pearson) share alpha. Both directions of epsilon follow from these two."""
    tail = alpha / 2
    least = _low(hits, positives, tail)
    most = 1 - _low(negatives - alarms, negatives, tail)
    with np.errstate(divide="ignore", invalid="ignore"):
        forward = np.log((least - delta) / most)
        backward = np.log((1 - most - delta) / (1 - least))
        mu = special.ndtri(least) - special.ndtri(most)
    epsilon = np.maximum(np.nan_to_num(forward, nan=0.0), np.nan_to_num(backward, nan=0.0))
    return np.maximum(epsilon, 0.0), np.maximum(np.nan_to_num(mu, nan=0.0, neginf=0.0), 0.0)


def _low(hits: NDArray[Any], trials: int, tail: float) -> Floats:
    """The lower ends of exact intervals; 0 where nothing was hit."""
    found = special.betaincinv(np.maximum(hits, 1), trials - np.maximum(hits, 1) + 1, tail)
    return np.asarray(np.where(hits > 0, found, 0.0))


def _rules(scores: Floats, sides: Sides) -> list[tuple[list[Rule], Floats, Floats]]:
    """For each score and direction: rules, and the rates at which they name trials with and without the unit."""
    found = []
    for column in range(scores.shape[1]):
        for sign in (1, -1):
            signed = sign * scores[:, column]
            cuts = _cuts(signed)
            ins, outs = np.sort(signed[sides]), np.sort(signed[~sides])
            hits = 1 - np.searchsorted(ins, cuts, side="right") / max(1, len(ins))
            alarms = 1 - np.searchsorted(outs, cuts, side="right") / max(1, len(outs))
            found.append(([Rule(column, sign, float(cut)) for cut in cuts], hits, alarms))
    return found


def _cuts(values: Floats) -> Floats:
    """Thresholds between neighbouring values, `CUTS` at most; none where all values are one."""
    distinct = np.unique(values)
    if len(distinct) > CUTS + 1:
        distinct = np.unique(np.quantile(values, np.linspace(0, 1, CUTS + 1), method="inverted_cdf"))
    if len(distinct) == 1:
        return distinct
    lower, upper = distinct[:-1], distinct[1:]
    with np.errstate(invalid="ignore"):
        middle = np.where(np.isfinite(lower) & np.isfinite(upper), (lower + upper) / 2, lower)
    return np.asarray(np.where(middle >= upper, lower, middle))
