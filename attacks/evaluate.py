"""Scores and truth in, one result out: the same for every attack and every group of units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from attacks import stats
from attacks.guarantee.one_run import epsilon_lower_bound
from attacks.knowledge import Targets, ThreatModel
from attacks.stats import Interval, RateAt
from attacks.threat import Attack, Claim, Combination, Floats, Game, Mask, right_above

EVERYONE = "everyone"
MOST_ISOLATED = "most isolated 5 %"
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


@dataclass(frozen=True)
class Success:
    """How often the guess about a target was right: members, controls, and the first minus the second.

    `allowed`: the most that the claim allows of that difference, at the controls' rate; None without a claim.
    """

    members: Interval
    controls: Interval
    excess: Interval
    allowed: float | None

    @classmethod
    def of(cls, right: Mask, member: Mask, claim: Claim | None) -> Success:
        inside, outside = (
            stats.wilson(int(right[side].sum()), int(side.sum())) for side in (member, ~member)
        )
        allowed = None if claim is None else claim.tpr(outside.value) - outside.value
        return cls(inside, outside, stats.difference(inside, outside), allowed)

    def as_json(self) -> dict[str, Any]:
        return {
            "members": self.members.as_json(), "controls": self.controls.as_json(),
            "excess": self.excess.as_json(), "claim_allows_excess_of_at_most": self.allowed,
        }  # fmt: skip


@dataclass(frozen=True, eq=False)
class AttackResult:
    """What one attack achieved on one group of units.

    `scores` (units,) is for internal tables; NaN for units that were not attacked. `success`: of an attack
    that guesses something else than membership.
    """

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
    success: Success | None = None

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
            "success": self.success.as_json() if self.success else None,
        }


def measure(
    attack: Attack | Combination,
    group: str,
    chosen: Mask,
    scores: Floats,
    game: Game,
    draws: int,
    rng: np.random.Generator,
) -> AttackResult:
    """Rates and a p-value of one attack's scores on the chosen units; `adjusted_p` is not adjusted yet."""
    member, part, claim = game.member[chosen], scores[chosen], game.claim
    result = judged(attack.name, _threat(attack, group), group, part, member, claim, draws, rng)
    above = right_above(attack)
    success = None if above is None else Success.of(part > above, member, claim)
    return replace(result, scores=scores, success=success)


def judged(
    name: str,
    threat: ThreatModel,
    group: str,
    scores: Floats,
    member: Mask,
    claim: Claim | None,
    draws: int,
    rng: np.random.Generator,
) -> AttackResult:
    """Rates and a p-value of these scores, one for each truth; neither is adjusted, and there is no bound yet."""
    rates = tuple(
        RateAt(fpr, stats.rate_at(scores, member, fpr), claim.tpr(fpr) if claim else None)
        for fpr in stats.FIXED_FPR
    )
    p = stats.permutation_p(scores, member, draws, rng)
    return AttackResult(
        name, threat, group, int(member.sum()), int((~member).sum()), stats.auc(scores, member),
        claim.auc() if claim else None, rates, p, p, None, scores, bool((scores == scores[0]).all()),
    )  # fmt: skip


def _threat(attack: Attack | Combination, group: str) -> ThreatModel:
    if group == EVERYONE:
        return attack.threat
    return attack.threat.against(Targets.ISOLATED if group == MOST_ISOLATED else Targets.GROUP)


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
