"""From results to one of four verdicts, and the sentence that a compliance officer reads. Never "safe"."""

from __future__ import annotations

from collections.abc import Sequence

from attacks.evaluate import AttackResult
from attacks.result import INCONCLUSIVE, LEAK, NO_EVIDENCE, VIOLATION, ControlResult, SuiteResult
from attacks.threat import Claim, Game

_LEVEL = 0.05
_CLEAR = 4.0  # standard errors
_TOO_MUCH_OVERLAP = 0.2

Overlap = tuple[float, float, float]


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
) -> SuiteResult:
    """The verdict; the strongest that the controls and the split allow."""
    warnings = [*_overlap_words(game, overlap), *_size_words(game, attacks)]
    share = min(
        (c.share for c in controls if c.seen and c.share is not None and c.kind != "blind spot"), default=None
    )
    verdict, headline = _verdict(game, attacks, controls, overlap, share, must_see)
    bound = None if verdict != LEAK else "within" if game.claim else "none claimed"
    return SuiteResult(
        verdict, headline, bound, game.claim, game.entity, game.members, game.controls, tuple(attacks), tuple(controls),
        share, game.split_is_random, tuple(warnings), game.member,
    )  # fmt: skip


def _verdict(
    game: Game, attacks: Sequence[AttackResult], controls: Sequence[ControlResult], overlap: Overlap,
    share: float | None, must_see: float,
) -> tuple[str, str]:  # fmt: skip
    alarms = [c for c in controls if c.kind == "negative" and not c.passed]
    if alarms:
        return INCONCLUSIVE, _alarm_words(alarms[0], game)
    broken = _violated(game, attacks)
    if broken is not None:
        return VIOLATION, _violation_words(broken, game)
    worst = min(attacks, key=lambda a: (a.adjusted_p, -a.auc.value))
    if worst.adjusted_p <= _LEVEL:
        return LEAK, _leak_words(worst, game)
    missed = [c for c in controls if c.kind == "positive" and not c.passed]
    if missed:
        return INCONCLUSIVE, _missed_words(missed, game, share, must_see)
    if _excess(overlap) > _TOO_MUCH_OVERLAP * (1 - overlap[1]):
        return INCONCLUSIVE, f"Nothing can be concluded: {_both(game, overlap)}, so they are no controls."
    return NO_EVIDENCE, _nothing_found_words(attacks, game, share)


def _violated(game: Game, attacks: Sequence[AttackResult]) -> AttackResult | None:
    if game.claim is None or not game.split_is_random:
        return None
    proven = [a for a in attacks if a.bound is not None and a.bound.epsilon > game.claim.epsilon]
    return max(proven, key=lambda a: a.bound.epsilon if a.bound else 0.0, default=None)


def _violation_words(attack: AttackResult, game: Game) -> str:
    assert attack.bound is not None
    return (
        f"The table reveals more about the {_people(game)} in the training data than was promised: the attack '{attack.name}' "
        f"proves an epsilon of at least {attack.bound.epsilon:.2f} (99 % confidence, all attacks counted); promised was "
        f"{game.claim}."
    )


def _leak_words(attack: AttackResult, game: Game) -> str:
    rate = next((r for r in attack.rates if r.rate is not None), None)
    names = (
        f"it names {rate.rate.value:.1%} of the members at a false-alarm rate of {rate.fpr:.1%}"
        if rate and rate.rate
        else f"it ranks a member above a held-out {game.entity} {attack.auc.value:.1%} of the time"
    )
    measure = (
        "which is within what the promise allows"
        if game.claim
        else "and no privacy promise was made to compare it with"
    )
    drift = (
        ""
        if game.split_is_random
        else " It may be drift between the files: the split is not known to be random."
    )
    return (
        f"The table tells {_people(game)} of the training data from others: '{attack.label}' sees it (p = {attack.adjusted_p:.2g}, "
        f"all attacks counted); {names}, {measure}.{drift}"
    )


def _nothing_found_words(attacks: Sequence[AttackResult], game: Game, share: float | None) -> str:
    names = len({attack.name for attack in attacks})
    seen = f"They would have seen a copy of {share:.1%} of the rows" if share else "They see no copies"
    return (
        f"None of {names} attacks told the {game.members:,} {_people(game)} of the training data from {game.controls:,} held out. "
        f"{seen}; a reversible recoding of every row they would not. This is no proof of privacy."
    )


def _alarm_words(control: ControlResult, game: Game) -> str:
    return (
        f"Nothing can be concluded: rows that leak nothing ({control.name}) raised an alarm too, so the members and the held-out "
        f"{_people(game)} differ by more than chance."
    )


def _missed_words(missed: Sequence[ControlResult], game: Game, share: float | None, must_see: float) -> str:
    able = (
        f"the smallest share they see is {share:.1%}"
        if share is not None and share > must_see
        else "they see no planted copy"
    )
    return (
        f"Nothing can be concluded: a planted {missed[0].name} went unseen with {game.controls:,} held-out {_people(game)}; {able}. "
        "Hold out more."
    )


def _people(game: Game) -> str:
    return "people" if game.entity == "person" else f"{game.entity}s"


def _excess(overlap: Overlap) -> float:
    rate, expected, error = overlap
    return rate - expected if rate - expected > _CLEAR * error else 0.0


def _both(game: Game, overlap: Overlap) -> str:
    return (
        f"{overlap[0]:.1%} of the held-out {_people(game)} have a row that is also a member's row, where {overlap[1]:.1%} "
        "are expected by chance"
    )


def _overlap_words(game: Game, overlap: Overlap) -> list[str]:
    return [f"{_both(game, overlap)}; they weaken every attack"] if _excess(overlap) > 0.01 else []


def _size_words(game: Game, attacks: Sequence[AttackResult]) -> list[str]:
    found = []
    if not any(a.group.startswith("most isolated") for a in attacks):
        found.append(f"too few {_people(game)} to look at the most isolated 5 % by themselves")
    if game.controls < 1_000:
        found.append(
            f"{game.controls:,} held-out {_people(game)} carry no true-positive rate at false-positive rates below {10 / game.controls:.1%}"
        )
    return found
