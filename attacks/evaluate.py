"""Scores and truth in, one result out: the same for every attack and every group of units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from attacks import stats
from attacks.guarantee.one_run import epsilon_lower_bound
from attacks.knowledge import ThreatModel
from attacks.stats import Interval, RateAt
from attacks.threat import Attack, Floats, Game, Mask

EVERYONE = "everyone"
_FEWEST_GUESSES = 25  # all right, they refute an epsilon of about 0.9; fewer hardly anything
_FOR_GROUPS = 0.2  # share of the family-wise error spent on groups
FEWEST = 10  # fewest members and controls for which a number means anything


@dataclass(frozen=True)
class Bound:
    """A lower bound on epsilon; `confidence` is that of this one bound, so that all together have 99 %."""

    epsilon: float
    delta: float
    confidence: float
    targets: int
    guesses: int
    right: int

    def as_json(self) -> dict[str, float]:
        return {
            "epsilon_at_least": self.epsilon, "delta": self.delta, "confidence": self.confidence,
            "targets": self.targets, "guesses": self.guesses, "right": self.right,
        }  # fmt: skip


@dataclass(frozen=True, eq=False)
class AttackResult:
    """What one attack achieved on one group of units. `scores` (units,) is for internal tables."""

    name: str
    threat: ThreatModel
    group: str
    members: int
    controls: int
    auc: Interval
    auc_allowed: float | None
    rates: tuple[RateAt, ...]
    p_value: float
    adjusted_p: float
    bound: Bound | None
    scores: Floats
    is_blind: bool = False  # gave every unit the same score: no test

    @property
    def label(self) -> str:
        return self.name if self.group == EVERYONE else f"{self.name} on the {self.group}"

    def as_json(self) -> dict[str, Any]:
        return {
            "attack": self.name,
            "knows": self.threat.words,
            "threat": self.threat.as_json(),
            "group": self.group,
            "members": self.members,
            "controls": self.controls,
            "auc": self.auc.as_json(),
            "auc_claim_allows_at_most": self.auc_allowed,
            "tpr_at_fpr": [rate.as_json() for rate in self.rates],
            "p_value": self.p_value,
            "adjusted_p_value": self.adjusted_p,
            "epsilon_bound": self.bound.as_json() if self.bound else None,
        }


def measure(
    attack: Attack, group: str, chosen: Mask, scores: Floats, game: Game, draws: int, rng: np.random.Generator
) -> AttackResult:
    """Rates and a p-value of one attack's scores on the chosen units; `adjusted_p` is not adjusted yet."""
    member, part = game.member[chosen], scores[chosen]
    rates = tuple(
        RateAt(fpr, stats.rate_at(part, member, fpr), game.claim.tpr(fpr) if game.claim else None)
        for fpr in stats.FIXED_FPR
    )
    p = stats.permutation_p(part, member, draws, rng)
    return AttackResult(
        attack.name, attack.threat, group, int(member.sum()), int((~member).sum()), stats.auc(part, member),
        game.claim.auc() if game.claim else None, rates, p, p, None, scores, bool((part == part[0]).all()),
    )  # fmt: skip


def adjusted(results: Sequence[AttackResult]) -> tuple[AttackResult, ...]:
    """The same results with p-values that keep the family-wise error (Holm, a fifth of it for the groups)."""
    whole = sum(result.group == EVERYONE for result in results)
    parts = len(results) - whole

    def weight(result: AttackResult) -> float:
        if result.is_blind:
            return 0.0
        return (1.0 - _FOR_GROUPS) / whole if result.group == EVERYONE else _FOR_GROUPS / parts

    family = stats.holm([result.p_value for result in results], [weight(result) for result in results])
    return tuple(replace(result, adjusted_p=p) for result, p in zip(results, family, strict=True))


def ways_to_guess(targets: int) -> list[int]:
    """How many targets are named "in": 25, 50, 100, ... up to half of them; besides, every target is guessed."""
    ways = []
    guesses = _FEWEST_GUESSES
    while guesses <= targets // 2:
        ways.append(guesses)
        guesses *= 2
    return ways


def bound(
    scores: Floats,
    member: Mask,
    target: Mask,
    bias: float,
    delta: float,
    alpha: float,
    rng: np.random.Generator,
) -> Bound | None:
    """The best one-run lower bound on epsilon over the ways to guess; `alpha` is for this attack.

    `target`: units whose membership is a fair coin, up to `bias` in log odds. Ties are broken by chance,
    which costs strength, never validity. None without targets.
    """
    m = int(target.sum())
    if m == 0:
        return None
    truth = member[target][np.lexsort((rng.random(m), -scores[target]))]
    half = m // 2
    ways = [(k, int(truth[:k].sum())) for k in ways_to_guess(m)]
    ways.append((m, int(truth[:half].sum() + (~truth[half:]).sum())))
    confidence = 1.0 - alpha / len(ways)
    found = [(epsilon_lower_bound(m, r, v, delta, confidence, bias), r, v) for r, v in ways]
    epsilon, guesses, right = max(found)
    return Bound(epsilon, delta, confidence, m, guesses, right)
