"""From results to one of four verdicts, and the sentence that a compliance officer reads. Never "safe"."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from attacks.controls import ALPHA
from attacks.evaluate import EVERYONE, MOST_ISOLATED, AttackResult
from attacks.knowledge import Holds
from attacks.result import (
    CELLS,
    INCONCLUSIVE,
    LEAK,
    NEGATIVE,
    NO_EVIDENCE,
    POSITIVE,
    VIOLATION,
    ControlResult,
    SuiteResult,
)
from attacks.split import Overlap
from attacks.stats import auc, percent
from attacks.threat import Claim, Game

TOO_MUCH_OVERLAP = 0.05  # of the held-out units
_SURE = 1.0 - 1e-6
_FEW_COPIES = 25  # rows: fewer copied ones hardly show, whoever is held out
_SMALL = 100  # held-out units of a group: fewer show only a large leak

WEAK_ABOVE = 0.005  # an adjusted p-value above it is called weak in words
WEAK = " It may be chance: of 100 tables without any leak, 5 are told so."


def nothing(
    problem: str, entity: str, claim: Claim | None, split_is_random: bool, warnings: tuple[str, ...]
) -> SuiteResult:
    """INCONCLUSIVE, because there was nothing to attack with."""
    headline = f"Nothing can be concluded: {problem}."
    return SuiteResult(
        INCONCLUSIVE, headline, None, claim, entity, 0, 0, (), (), None, split_is_random, warnings
    )


def conclude(
    game: Game,
    attacks: Sequence[AttackResult],
    controls: Sequence[ControlResult],
    overlap: Overlap,
    must_see: float,
    left_out: tuple[str, ...] = (),
    copied: float | None = None,
) -> SuiteResult:
    """The verdict: the strongest that the controls and the split allow."""
    case = _Case(game, tuple(attacks), tuple(controls), overlap, must_see, copied)
    verdict, headline = case.decide()
    if left_out:
        headline += f" Left out for lack of time: {', '.join(left_out)}."
    bound = None if verdict != LEAK else "within" if game.claim else "none claimed"
    return SuiteResult(
        verdict, headline, bound, game.claim, game.entity, game.members, game.controls, case.attacks,
        case.controls, case.smallest_share, game.split_is_random, case.warnings(), game.member, left_out,
        game.view.candidates.isolation, case.knows_held_out, sampled=game.view.sampled,
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class _Case:
    game: Game
    attacks: tuple[AttackResult, ...]
    controls: tuple[ControlResult, ...]
    overlap: Overlap
    must_see: float
    copied: float | None = None  # of the held-out rows, where that shows that the table was made from them

    def decide(self) -> tuple[str, str]:
        """The first rule that applies, and its sentence.

        A declared coin makes the bound hold whatever the controls say: nothing outweighs it then.
        """
        proof = ((VIOLATION, self._violation),) if self.game.coin is not None else ()
        rules: tuple[tuple[str, Callable[[], str | None]], ...] = (
            *proof,
            (INCONCLUSIVE, self._overlapping),
            (INCONCLUSIVE, self._false_alarm),
            (VIOLATION, self._violation),
            (LEAK, self._leak),
            (INCONCLUSIVE, self._made_from_held_out),
            (INCONCLUSIVE, self._swapped),
            (INCONCLUSIVE, self._missed),
        )
        for verdict, rule in rules:
            sentence = rule()
            if sentence is not None:
                return verdict, sentence
        return NO_EVIDENCE, self._no_evidence()

    @cached_property
    def knows_held_out(self) -> bool:
        """Whether the table shows that it was made from held-out rows, whatever the verdict rests on."""
        return self._made_from_held_out() is not None or self._swapped() is not None

    @property
    def smallest_share(self) -> float | None:
        """The smallest share of the rows whose copied cells were seen."""
        cells = [c for c in self.controls if c.kind in (POSITIVE, CELLS) and c.seen]
        if self.game.view.has_finer_values:  # then a word-for-word copy says nothing about copied cells
            cells = [c for c in cells if c.kind == CELLS or c.share == 1.0]
        return min((c.share for c in cells if c.share is not None), default=None)

    @property
    def _believed(self) -> tuple[AttackResult, ...]:
        """All attacks; without a coin, and where the files may be swapped, only those that were not taught by them: who
        is told which file is which learns to tell them apart either way round."""
        if self.game.coin is not None or not self.knows_held_out:
            return self.attacks
        return tuple(attack for attack in self.attacks if Holds.HALF not in attack.threat.holds)

    @property
    def _worst(self) -> AttackResult:
        return min(self._believed, key=lambda a: (a.adjusted_p, -a.auc.value))

    @property
    def _people(self) -> str:
        return "people" if self.game.entity == "person" else f"{self.game.entity}s"

    def _false_alarm(self) -> str | None:
        failed = [c for c in self.controls if c.kind == NEGATIVE and not c.passed]
        if not failed:
            return None
        return (
            f"Nothing can be concluded: a table that leaks nothing ({failed[0].name}) raised an alarm too, "
            f"so the members and the held-out {self._people} differ by more than chance."
        )

    def _violation(self) -> str | None:
        claim = self.game.claim
        if claim is None or not self.game.split_is_random:
            return None
        bounds = [(a.bound.epsilon, a.name) for a in self._believed if a.bound]
        proven = [(epsilon, name) for epsilon, name in bounds if epsilon > claim.epsilon]
        if not proven:
            return None
        epsilon, name = max(proven)
        return (
            f"The table reveals more about the {self._people} in the training data than was promised: the "
            f"attack '{name}' proves an epsilon of at least {epsilon:.2f} (99 % confidence, all attacks "
            f"counted); the promise is {claim}."
        )

    def _leak(self) -> str | None:
        worst = self._worst
        if worst.adjusted_p > ALPHA:
            return None
        strength = _strength(worst, self.game.entity)
        return (
            f"The table tells {self._people} of the training data from others: the attack '{worst.label}' "
            f"sees it (p = {worst.adjusted_p:.2g}, all attacks counted); {strength}. {self._against_claim()}"
            f"{WEAK if worst.adjusted_p > WEAK_ABOVE else ''}"
        )

    def _against_claim(self) -> str:
        if not self.game.split_is_random:
            return "It may be drift between the files: the split is not known to be random."
        if self.game.claim is None:
            return "No privacy was promised that it could be measured against."
        return f"No attack proves more than the promise ({self.game.claim}) allows."

    def _made_from_held_out(self) -> str | None:
        if self.copied is None:
            return None
        return (
            f"Nothing can be concluded: {percent(self.copied)} of the held-out rows stand in the table, far more than "
            "there would be had it been made without them; what it gives away about the members it gives away about "
            "them too. Hold rows out before anything is trained."
        )

    def _swapped(self) -> str | None:
        """Clearly closer to the held-out units than to the members: the files are not what they are said to be."""
        for attack in self.attacks:
            tried = ~np.isnan(attack.scores)
            if attack.group != EVERYONE or attack.is_blind or attack.success:
                continue
            area = auc(attack.scores[tried], self.game.member[tried], _SURE)
            if area.high < 0.5:
                return (
                    f"Nothing can be concluded: the table is closer to the held-out {self._people} than to the "
                    f"members ('{attack.name}' ranks a member above them {percent(area.value)} of the time). Were "
                    "the two files swapped, was it made from the held-out rows too, or were rows near the members' taken "
                    "out of it? (That gives the members away as well.)"
                )
        return None

    def _missed(self) -> str | None:
        missed = [c for c in self.controls if c.kind == POSITIVE and not c.passed]
        if not missed:
            return None
        share = self.smallest_share
        able = f"the smallest share that they see is {percent(share)}" if share else "they see no copy"
        return (
            f"Nothing can be concluded: with {self.game.controls:,} held-out {self._people} the attacks did "
            f"not see a planted {missed[0].name}; {able}. {self._way_out(missed[0])}, or say that less is enough (in the "
            "library: must_see)."
        )

    def _way_out(self, missed: ControlResult) -> str:
        rows = len(self.game.view.synthetic)
        copies = round(rows * (missed.share or 1.0))
        if copies < _FEW_COPIES:
            return f"Of the {rows:,} synthetic rows that is {copies:,}, too few to show: attack more rows"
        return "Hold out more (in a project: audit: {holdout: 0.3})"

    def _overlapping(self) -> str | None:
        if self.overlap.excess <= TOO_MUCH_OVERLAP:
            return None
        return f"Nothing can be concluded: {self._both()}. Rows are in both files, so these are no controls."

    def _no_evidence(self) -> str:
        names = len({attack.name for attack in self.attacks})
        return (
            f"None of {names} attacks told {self._members} from the {self.game.controls:,} held out. They would have "
            f"seen {self._would_have_seen()}; a reversible recoding of every row they would not. This is no proof of "
            "privacy."
        )

    @property
    def _members(self) -> str:
        view = self.game.view
        if view.sampled == 1.0:
            return f"the {self.game.members:,} {self._people} of the training data"
        return (
            f"a sample of {self.game.members:,} {self._people}, {percent(view.sampled)} of the training data,"
        )

    def _would_have_seen(self) -> str:
        cells = self.smallest_share or 1.0
        if not self.game.view.has_finer_values:
            return f"a copy of {percent(cells)} of the rows"
        if cells <= self.must_see:
            return f"a copy of {percent(cells)} of the rows, were it of their cells only"
        return f"a copy of {percent(self.must_see)} of the rows, or of the cells of {percent(cells)} of them"

    def _both(self) -> str:
        return (
            f"{percent(self.overlap.rate)} of the held-out {self._people} have a row that is also a "
            f"member's, where chance gives {percent(self.overlap.expected)}"
        )

    def warnings(self) -> tuple[str, ...]:
        """What weakens the result, in words."""
        more = self.overlap.excess
        left_out = more <= TOO_MUCH_OVERLAP and self.game.coin is None
        rest = "so many of them were left out" if left_out else "that weakens every attack"
        found = [f"{self._both()}; {rest}"] if more > 0 else []
        if self.game.looks_at_isolated and all(attack.group != MOST_ISOLATED for attack in self.attacks):
            found.append(f"too few {self._people} to look at the most isolated 5 % by themselves")
        small = sorted(set(self.game.groups) - {attack.group for attack in self.attacks})
        if small:
            found.append(f"too few {self._people} to look at by themselves: {', '.join(small)}")
        held = {
            group: max(a.controls for a in self.attacks if a.group == group)
            for group in {a.group for a in self.attacks} & set(self.game.groups)
        }
        weak = {group: count for group, count in held.items() if count < _SMALL}
        if weak:
            found.append(
                f"so few held-out {self._people} that only a large leak would show: "
                f"{', '.join(f'{name} ({count})' for name, count in sorted(weak.items()))}"
            )
        if self.game.controls < 1_000:
            found.append(
                f"{self.game.controls:,} held-out {self._people} are too few for true-positive rates at "
                f"false-positive rates below {percent(10 / self.game.controls)}"
            )
        return tuple(found)


def _strength(attack: AttackResult, entity: str) -> str:
    found = attack.success
    if found is not None and found.excess.low > 0:
        return (
            f"its guess is right for {percent(found.members.value)} of the members and "
            f"{percent(found.controls.value)} of the held-out"
        )
    rate = next((r for r in attack.rates if r.rate is not None and r.rate.low > r.fpr), None)
    if rate is not None and rate.rate is not None:
        return (
            f"it names {percent(rate.rate.value)} of the members at a false-alarm rate of {percent(rate.fpr)}"
        )
    return f"it ranks a member above a held-out {entity} {percent(attack.auc.value)} of the time"
