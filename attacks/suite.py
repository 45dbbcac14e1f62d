"""The default set of attacks with their controls, and one verdict."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from attacks import evaluate, timing, verdicts
from attacks.asked import AnyAttack, Asked, parted, resolved
from attacks.controls import run_controls
from attacks.evaluate import EVERYONE, FEWEST, MOST_ISOLATED, AttackResult
from attacks.prepare import Files, as_table, groups_of, prepare
from attacks.result import SuiteResult
from attacks.split import fair_targets, held_out_in_table, overlap, without_shared
from attacks.threat import Attack, Claim, Floats, Game, Mask, most_targets
from attacks.word_for_word import WordForWord
from dpsynth.domain import Clique
from dpsynth.errors import AuditError
from dpsynth.schema import Schema
from dpsynth.table import Table

Progress = Callable[[str, float], None]
"""Called with the step in words and how much of the suite is done, in [0, 1]."""

ALPHA_BOUND = 0.009  # family-wise: a violation; 0.001 more is for the odds of the split (split.py)
DELTA_UNCLAIMED = 1e-9  # bounds on epsilon need a delta when nothing was claimed
ISOLATED = 0.05
DRAWS = 9_999
_TEACHING = 50  # fewest members and controls in each half for a combination of attacks


def run_suite(
    synthetic: Table | pd.DataFrame,
    members: Table | pd.DataFrame,
    controls: Table | pd.DataFrame | None,
    schema: Schema,
    claim: tuple[float, float] | None,
    *,
    cliques: Sequence[Clique] | None = None,
    split_is_random: bool = True,
    rng: np.random.Generator | None = None,
    progress: Progress | None = None,
    attacks: Sequence[AnyAttack | str] | None = None,
    secrets: Sequence[str] = (),
    quasi_identifiers: Sequence[str] = (),
    groups: Sequence[str] = (),
    coin: float | None = None,
    must_see: float = 0.01,
    time_budget: float | None = None,
    sampled: float = 1.0,
) -> SuiteResult:
    """Attacks a synthetic table and says what was found. Internal: it is computed from real rows.

    `members`: the rows that the generator was trained on; `controls`: rows of other units from the same
    source, held out by chance; both with all rows of a unit, or both cut to the schema's bound. `claim`: the
    promised (epsilon, delta) for one unit, None for none. `cliques`: the marginals that the generator
    measured, when known. `split_is_random`: False when something other than chance may tell members from
    controls (a vendor's files); the strongest verdict is then LEAK.

    `attacks`: your own (see `Attack`), besides or instead of "default". `secrets`: columns that nobody may learn
    about a target; `quasi_identifiers`: columns that an attacker may know of him (without any, all but the
    secret). `groups`: columns whose cells are groups to be looked at by themselves. `coin`: the probability with
    which each unit was held out by a coin of its own, when declared; it sharpens the bound on epsilon.
    `must_see`: the copied share of the rows that the attacks have to see when it is planted; else INCONCLUSIVE.
    `sampled`: the share of the training units that `members` hold, when they are a random sample of them; copies are
    planted in keeping with it. `time_budget`: CPU seconds; what does not fit is left out and named in the result.
    `rng` decides ties, permutations and planted outputs; without it the operating system does.

    Raises DataError when rows do not fit the schema, AuditError (A1xx) when the input is unusable.
    """
    rng = np.random.default_rng() if rng is None else rng
    promised = _claim(claim)
    _check_share(must_see, "A105", "must_see is not a share")
    if coin is not None:
        _check_share(coin, "A106", "the hold-out coin is not a probability")
    if not 0 < sampled <= 1:
        raise AuditError("A111", "sampled is not a share", "give a number above 0 and at most 1")
    asked = Asked(tuple(secrets), tuple(quasi_identifiers), tuple(groups))
    asked.check(list(schema.modelled))
    files = _files(synthetic, members, controls, schema)
    prepared = prepare(files, schema, None if cliques is None else tuple(cliques), rng)
    entity, odd, copied = schema.unit.entity, prepared.warnings, WordForWord.of(files, schema)
    if prepared.view is None:
        return replace(
            verdicts.nothing(prepared.problem, entity, promised, split_is_random, odd), word_for_word=copied
        )
    view = replace(prepared.view, sampled=sampled, prior=prepared.view.prior if coin is None else 1.0 - coin)
    parts = groups_of(view.candidates, schema, asked.groups)
    game = Game(view, prepared.member, promised, split_is_random, coin, entity, parts)
    result = run_game(
        game, rng, attacks=attacks, asked=asked, progress=progress, must_see=must_see, time_budget=time_budget
    )
    return replace(result, warnings=(*odd, *result.warnings), word_for_word=copied)


def _files(
    synthetic: Table | pd.DataFrame,
    members: Table | pd.DataFrame,
    controls: Table | pd.DataFrame | None,
    schema: Schema,
) -> Files:
    return Files(
        as_table(synthetic, schema, "synthetic"),
        as_table(members, schema, "members"),
        None if controls is None or len(controls) == 0 else as_table(controls, schema, "controls"),
    )


def _claim(claim: tuple[float, float] | None) -> Claim | None:
    if claim is None:
        return None
    try:
        return Claim(float(claim[0]), float(claim[1]))
    except (ValueError, TypeError, IndexError):
        fix = "give (epsilon, delta) with epsilon >= 0 and 0 <= delta < 1"
        raise AuditError("A104", "the claim is no privacy promise", fix) from None


def _check_share(value: float, code: str, problem: str) -> None:
    if not 0 < value < 1:
        raise AuditError(code, problem, "give a number above 0 and below 1")


def _silent(step: str, done: float) -> None:
    """Says nothing."""


def run_game(
    game: Game,
    rng: np.random.Generator,
    *,
    attacks: Sequence[AnyAttack | str] | None = None,
    asked: Asked | None = None,
    progress: Progress | None = None,
    must_see: float = 0.01,
    time_budget: float | None = None,
) -> SuiteResult:
    """The suite on a prepared game."""
    tell: Progress = _silent if progress is None else progress
    both = overlap(game, rng) if min(game.members, game.controls) >= FEWEST else None
    if both is not None and game.coin is None and 0.0 < both.excess <= verdicts.TOO_MUCH_OVERLAP:
        game = without_shared(game, both, rng)
    if min(game.members // 2, game.controls) < FEWEST:
        problem = f"{game.members} members and {game.controls} held-out {game.entity}s are too few"
        return verdicts.nothing(problem, game.entity, game.claim, game.split_is_random, ())
    chosen = resolved(attacks, game.view, asked or Asked())
    left_out: tuple[str, ...] = ()
    if time_budget is not None:
        tell("measuring how long the attacks take", 0.0)
        choice = timing.within(game, chosen, time_budget, DRAWS, rng)
        chosen, left_out = choice.attacks, choice.left_out
        game = replace(game, looks_at_isolated=choice.isolated)
    found = examine(game, chosen, DRAWS, rng, lambda step, done: tell(step, 0.3 * done))
    if game.split_is_random:
        found = with_bounds(found, game, rng)

    def again(planted: Game, draws: int) -> Sequence[AttackResult]:
        return examine(planted, chosen, draws, rng, _silent)

    controls = run_controls(game, again, must_see, rng, lambda step, done: tell(step, 0.3 + 0.7 * done))
    tell("done", 1.0)
    copied = held_out_in_table(game, rng)
    return verdicts.conclude(game, found, controls, both or overlap(game, rng), must_see, left_out, copied)


def examine(
    game: Game, attacks: Sequence[AnyAttack], draws: int, rng: np.random.Generator, tell: Progress
) -> tuple[AttackResult, ...]:
    """Every attack on every group, with p-values adjusted over all of them."""
    groups = _groups(game)
    results: list[AttackResult] = []
    alone, together = parted(attacks)

    def judge(attack: AnyAttack, scores: Floats) -> None:
        tried = ~np.isnan(scores)
        results.extend(
            evaluate.measure(attack, name, units & tried, scores, game, draws, rng)
            for name, units in groups.items()
            if name == EVERYONE or _is_large(units & tried, game)
        )

    found = []
    for i, attack in enumerate(alone):
        tell(f"attack: {attack.name}", i / len(attacks))
        found.append(_scores(attack, game, rng))
        judge(attack, found[-1])
    for combination in together if len(alone) > 1 else ():
        known = rng.permutation(len(game.member)) % 2 == 0
        if _can_teach(known, game):
            judge(combination, combination.combine(found, known, game.member))
    return evaluate.adjusted(results)


def _can_teach(known: Mask, game: Game) -> bool:
    """Whether both halves have members and controls enough to learn from and to judge by."""
    sides = (game.member, ~game.member)
    return min(int((half & side).sum()) for half in (known, ~known) for side in sides) >= _TEACHING


def _groups(game: Game) -> dict[str, Mask]:
    """Everyone, the most isolated 5 % (fewer where many are equally isolated), declared groups.

    Only those large enough to say anything.
    """
    groups = dict(game.groups)
    if game.looks_at_isolated:
        isolation = game.view.candidates.isolation
        groups = {MOST_ISOLATED: isolation > np.quantile(isolation, 1 - ISOLATED), **groups}
    large = {name: group for name, group in groups.items() if _is_large(group, game)}
    return {EVERYONE: np.ones(len(game.member), bool), **large}


def _is_large(group: Mask, game: Game) -> bool:
    return min(int((group & game.member).sum()), int((group & ~game.member).sum())) >= FEWEST


def _scores(attack: Attack, game: Game, rng: np.random.Generator) -> Floats:
    """One score per unit, NaN for units that this attack is not tried on."""
    most = most_targets(attack)
    view = (
        game.view
        if most is None or not _is_large(np.arange(len(game.member)) < most, game)
        else game.view.few(most)
    )
    found = np.asarray(attack(view, rng), np.float64)
    if found.shape != (view.candidates.units,) or np.isnan(found).any():
        problem = f"attack '{attack.name}' did not give one number per {game.entity}"
        raise AuditError("A108", problem, "return one score per candidate unit, larger for a member")
    return np.concatenate([found, np.full(len(game.member) - len(found), np.nan)])


def with_bounds(
    results: Sequence[AttackResult], game: Game, rng: np.random.Generator
) -> tuple[AttackResult, ...]:
    """The results on everyone with lower bounds on epsilon: 99 % over all attacks and ways to guess."""
    target, bias = fair_targets(game, rng)
    delta = game.claim.delta if game.claim else DELTA_UNCLAIMED
    alpha = ALPHA_BOUND / sum(result.group == EVERYONE for result in results)

    def bounded(result: AttackResult) -> AttackResult:
        if result.group != EVERYONE:
            return result
        tried = target & ~np.isnan(result.scores)
        found = evaluate.bound(result.scores, game.member, tried, bias, delta, alpha, rng)
        return replace(result, bound=found)

    return tuple(bounded(result) for result in results)
