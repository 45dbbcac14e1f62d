"""Shadow models: run a generator many times, with and without a few targets, and learn to tell the difference.

The strongest attack here and the dearest: the attacker knows all rows but the targets' and may run the generator
as often as he likes. Each target is in each run by a fair coin of its own; half of the runs teach, the other half
is judged. The coins are independent, so that permuting them is an exact test, and the one-run theorem holds for
all runs together as for one run with as many coins.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from attacks import evaluate, stats
from attacks.coding import Coder
from attacks.evaluate import FEWEST, AttackResult
from attacks.knowledge import Holds, Targets, ThreatModel, Wants
from attacks.membership.shadow_features import answers, learnt, question_sets, standardised, summary
from attacks.prepare import as_table, units_of
from attacks.result import INCONCLUSIVE, LEAK, NO_EVIDENCE, VIOLATION, SuiteResult
from attacks.threat import Candidates, Claim, Floats, Index, Mask
from dpsynth.errors import AuditError
from dpsynth.schema import Schema
from dpsynth.table import Table

Generator = Callable[[pd.DataFrame, np.random.Generator], pd.DataFrame]
"""From rows (a frame as the schema writes it) to synthetic rows; any callable."""
Progress = Callable[[str, float], None]

FIRST_LOOK = 16  # fits; the next look is at twice as many
_QUESTIONS = 64
_ALPHA, _ALPHA_BOUND = 0.05, 0.01
_DRAWS = 9_999
_VISIBLE = 3.5  # standard errors of the area: seen with a chance of four in five at the level of one look
_DELTA_UNCLAIMED = 1e-9
_NAMES = ("shadow models, summaries", "shadow models, questions")
_HOW = (
    "learns from runs with and without the target what its presence does to shares, means and correlations",
    "learns from runs with and without the target what its presence does to the number of rows that agree with it",
)


@dataclass(frozen=True, eq=False)
class ShadowResult(SuiteResult):
    """As of the suite, about pairs of a run and a target: `members` is the pairs in which the target was in.

    `pairs`: internal; the run and the target (its unit's number) of each pair judged. `fits`: runs in all.
    """

    pairs: pd.DataFrame = field(default_factory=pd.DataFrame, repr=False)
    fits: int = 0

    def scores(self) -> pd.DataFrame:
        return pd.concat([self.pairs, super().scores()], axis=1)


def shadow_attack(
    generator: Generator,
    rows: Table | pd.DataFrame,
    targets: int | Sequence[int] = 5,
    *,
    schema: Schema,
    claim: tuple[float, float] | None = None,
    most_fits: int = 128,
    time_budget: float | None = None,
    rng: np.random.Generator | None = None,
    progress: Progress | None = None,
) -> ShadowResult:
    """Attacks a generator through many runs of it. Internal: it is computed from real rows.

    `targets`: how many of the most isolated units, or their numbers (rows counted from 0, or units in the order of
    their first row). `claim`: the promised (epsilon, delta). It looks at 16, 32, 64, ... runs, at most `most_fits`,
    and stops at the first look with a violation, or with a leak when nothing was claimed; or when the next look
    would take it beyond `time_budget` (seconds by the clock on the wall). All looks together keep the error.

    Raises DataError when rows do not fit, AuditError A120 to A122 for targets, runs or a claim that make no sense.
    """
    rng = np.random.default_rng() if rng is None else rng
    looks, promised = _looks(most_fits), _claim(claim)
    game = _Game.of(as_table(rows, schema, "members"), targets, rng)
    tell = progress or _silent
    start = time.monotonic()
    for fits in looks:
        game.run(generator, fits, rng, lambda done: tell("running the generator", done / most_fits))
        found = _judged(game, promised, len(looks), rng)
        enough = found.verdict == VIOLATION or (found.verdict == LEAK and promised is None)
        if enough or (time_budget is not None and 2 * (time.monotonic() - start) > time_budget):
            break
    tell("done", 1.0)
    return found


def _silent(step: str, done: float) -> None:
    """Says nothing."""


def _looks(most: int) -> list[int]:
    if most < FIRST_LOOK:
        raise AuditError("A121", f"fewer than {FIRST_LOOK} runs show nothing", "raise most_fits")
    looks = [FIRST_LOOK]
    while 2 * looks[-1] <= most:
        looks.append(2 * looks[-1])
    return looks


def _claim(claim: tuple[float, float] | None) -> Claim | None:
    try:
        return None if claim is None else Claim(*claim)
    except (ValueError, TypeError):
        raise AuditError("A122", "the claim is no privacy promise", "give (epsilon, delta)") from None


@dataclass(eq=False)
class _Game:
    """The table, the targets, and what was seen so far: one entry per run."""

    table: Table
    unit: Index
    coder: Coder
    targets: Index
    isolated: bool
    sets: list[tuple[int, ...]]
    coins: list[Mask] = field(default_factory=list)
    summaries: list[Floats] = field(default_factory=list)
    answers: list[Floats] = field(default_factory=list)

    @classmethod
    def of(cls, table: Table, targets: int | Sequence[int], rng: np.random.Generator) -> _Game:
        unit = units_of(table)
        coder = Coder(table.schema, table, table.take(slice(0, 0)))
        chosen = _chosen(table, unit, coder, targets)
        sets = question_sets(len(coder.ordered), _QUESTIONS, rng)
        return cls(table, unit, coder, chosen, isinstance(targets, int), sets)

    def run(
        self, generator: Generator, fits: int, rng: np.random.Generator, tell: Callable[[int], None]
    ) -> None:
        """The generator until there are so many runs."""
        known = self.coder.rows(self.table).cell_hashes
        own = [known[self.unit == target] for target in self.targets]
        while len(self.coins) < fits:
            tell(len(self.coins))
            coin = rng.random(len(self.targets)) < 0.5
            out = np.isin(self.unit, self.targets[~coin])
            made = as_table(
                generator(self.table.take(~out).to_frame(), rng.spawn(1)[0]), self.table.schema, "synthetic"
            )
            rows = self.coder.rows(made)
            self.coins.append(coin)
            self.summaries.append(summary(rows, self.coder.ordered))
            self.answers.append(answers(rows, own, self.sets))

    def scores(self) -> tuple[Floats, Floats, Mask]:
        """Of both attacks on the later half of the runs, flat over (run, target); and whether the target was in."""
        taught = len(self.coins) // 2
        coin = np.array(self.coins)
        general, special = np.array(self.summaries), np.array(self.answers)
        first = np.empty(coin[taught:].shape)
        parts = []
        for t in range(len(self.targets)):
            first[:, t] = learnt(*_taught(general, coin[:, t], taught))
            parts.append(_taught(special[:, t], coin[:, t], taught))
        known, truth, asked = (np.concatenate(part) for part in zip(*parts, strict=True))
        second = (
            learnt(known, truth, asked).reshape(len(self.targets), -1).T
        )  # what an answer means is the same for all
        return first.ravel(), second.ravel(), coin[taught:].ravel()

    def pairs(self) -> pd.DataFrame:
        """The run and the target of each score."""
        runs = np.arange(len(self.coins) // 2, len(self.coins))
        return pd.DataFrame(
            {"run": np.repeat(runs, len(self.targets)), "target": np.tile(self.targets, len(runs))}
        )


def _taught(features: Floats, coin: Mask, taught: int) -> tuple[Floats, Mask, Floats]:
    known, asked = standardised(features[:taught], features[taught:])
    return known, coin[:taught], asked


def _chosen(table: Table, unit: Index, coder: Coder, targets: int | Sequence[int]) -> Index:
    """The numbers of the units to attack."""
    order = np.argsort(unit, kind="stable")
    known, dense = np.unique(unit[order], return_inverse=True)
    if isinstance(targets, int):
        if not 0 < targets < len(known):
            raise AuditError("A120", "there are not so many targets", "name fewer than there are units")
        candidates = Candidates(coder.rows(table).take(order), dense.astype(np.int64), coder.ordered)
        return np.sort(known[np.argsort(-candidates.isolation, kind="stable")[:targets]]).astype(np.int64)
    named = np.unique(np.asarray(list(targets), np.int64))
    if not 0 < len(named) < len(known) or not np.isin(named, known).all():
        raise AuditError(
            "A120", "a target is no unit of the table, or all units are targets", "name some units"
        )
    return named


def _judged(game: _Game, claim: Claim | None, looks: int, rng: np.random.Generator) -> ShadowResult:
    """What the runs so far show; p-values and bounds are those of all looks that are ever made."""
    *scores, member = game.scores()
    fits, targets = len(game.coins), len(game.targets)
    if min(int(member.sum()), int((~member).sum())) < FEWEST:
        headline = f"Nothing can be concluded: {fits} runs with {targets} targets are too few."
        return _result(game, INCONCLUSIVE, headline, claim, (), member)
    found = [
        _measured(name, how, values, member, game, claim, looks, rng)
        for name, how, values in zip(_NAMES, _HOW, scores, strict=True)
    ]
    family = stats.holm([result.p_value for result in found])
    attacks = tuple(
        replace(result, adjusted_p=min(1.0, p * looks)) for result, p in zip(found, family, strict=True)
    )
    return _result(game, *_verdict(attacks, claim, fits, targets, member), claim, attacks, member)


def _measured(
    name: str,
    how: str,
    scores: Floats,
    member: Mask,
    game: _Game,
    claim: Claim | None,
    looks: int,
    rng: np.random.Generator,
) -> AttackResult:
    holds = (Holds.REFERENCE, Holds.SCHEMA, Holds.REFITS)
    threat = ThreatModel(holds, Wants.MEMBERSHIP, how, Targets.ISOLATED if game.isolated else Targets.NAMED)
    result = evaluate.judged(name, threat, evaluate.EVERYONE, scores, member, claim, _DRAWS, rng)
    delta = claim.delta if claim else _DELTA_UNCLAIMED
    alpha = _ALPHA_BOUND / (len(_NAMES) * looks)
    everyone = np.ones(len(member), bool)
    return replace(result, bound=evaluate.bound(scores, member, everyone, 0.0, delta, alpha, rng))


def _verdict(
    attacks: tuple[AttackResult, ...], claim: Claim | None, fits: int, targets: int, member: Mask
) -> tuple[str, str]:
    worst = min(attacks, key=lambda a: (a.adjusted_p, -a.auc.value))
    seen = f"after {fits} runs with {targets} targets"
    proven = max((a.bound.epsilon, a.name) for a in attacks if a.bound)
    if claim is not None and proven[0] > claim.epsilon:
        return VIOLATION, (
            f"The generator reveals more about its targets than was promised: {seen} '{proven[1]}' proves an epsilon "
            f"of at least {proven[0]:.2f} (99 % confidence, all looks counted); the promise is {claim}."
        )
    if worst.adjusted_p <= _ALPHA:
        against = "No privacy was promised that it could be measured against."
        if claim is not None:
            against = f"No attack proves more than the promise ({claim}) allows."
        return LEAK, (
            f"The generator's output tells whether a target was in: {seen} '{worst.name}' ranks a run with the target "
            f"above one without it {100 * worst.auc.value:.3g} % of the time (p = {worst.adjusted_p:.2g}). {against}"
        )
    noise = math.sqrt((len(member) + 1) / (12.0 * int(member.sum()) * int((~member).sum())))
    return NO_EVIDENCE, (
        f"No shadow model told runs with a target from runs without it, {seen}; an area below about "
        f"{min(1.0, 0.5 + _VISIBLE * noise):.2f} they would have missed. This is no proof of privacy."
    )


def _result(
    game: _Game,
    verdict: str,
    headline: str,
    claim: Claim | None,
    attacks: tuple[AttackResult, ...],
    member: Mask,
) -> ShadowResult:
    bound = None if verdict != LEAK else "within" if claim else "none claimed"
    inside = int(member.sum())
    return ShadowResult(
        verdict, headline, bound, claim, "run", inside, len(member) - inside, attacks, (), None, True,
        member=member, pairs=game.pairs(), fits=len(game.coins),
    )  # fmt: skip
