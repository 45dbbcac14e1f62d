"""The default set of attacks with their controls, and one verdict."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from attacks import evaluate, verdicts
from attacks.evaluate import EVERYONE, FEWEST, GUESSES, AttackResult
from attacks.membership.joins import Join
from attacks.membership.marginals import MarginalRatio
from attacks.planted import Nursery, overlap, thinned
from attacks.prepare import as_table, prepare
from attacks.reidentification.nearest import CloserThanPeople, ClosestRecord
from attacks.result import ControlResult, SuiteResult
from attacks.threat import Attack, Claim, Floats, Game, Mask, View
from dpsynth.domain import Clique
from dpsynth.errors import AuditError
from dpsynth.schema import Schema
from dpsynth.table import Table

Progress = Callable[[str, float], None]
"""Called with the step in words and how much of the suite is done, in [0, 1]."""

ALPHA = 0.05  # family-wise: a leak is called at this level
ALPHA_NEGATIVE = 0.01  # family-wise: a negative control fails at this level
ALPHA_BOUND = 0.01  # family-wise: a violation is called at this level
DELTA_UNCLAIMED = 1e-9
ISOLATED = 0.05
DRAWS = 9_999
DRAWS_CONTROL = 1_999
SHARES = (0.1, 0.03, 0.01, 0.003, 0.001)


def default_attacks(view: View) -> tuple[Attack, ...]:
    """The default set for what this attacker holds."""
    chosen: list[Attack] = []
    if view.has_finer_values:
        chosen.append(
            Join("exact row", "the synthetic rows; looks for the target's row, word for word", cells=False)
        )
    chosen += [
        Join("exact cells", "the synthetic rows and the schema; looks for a row in all the target's cells"),
        Join(
            "all cells but one",
            "the synthetic rows and the schema; looks for a row in all the target's cells but one",
            mismatches=1,
        ),
        ClosestRecord(),
        CloserThanPeople(),
        MarginalRatio(),
    ]
    if view.cliques:
        knows = "also which tables of counts the generator measured; compares only those"
        chosen.append(MarginalRatio("marginal ratio, cliques known", knows, known=True))
    return tuple(chosen)


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
    attacks: Sequence[Attack] | None = None,
    coin: float | None = None,
    must_see: float = 0.01,
) -> SuiteResult:
    """Attacks a synthetic table and says what was found. The result is internal: it was computed from real rows.

    `members`: the rows that the generator was trained on; `controls`: rows of other units from the same source,
    held out by chance. `claim`: the promised (epsilon, delta) for one unit, None for none. `cliques`: the
    marginals that the generator measured, when known. `split_is_random`: False when something other than chance may
    tell members from controls (a vendor's files); the strongest verdict is then LEAK. `coin`: the probability with
    which each unit was held out by a coin of its own, when declared; it sharpens the bound on epsilon.
    `must_see`: the copied share of the rows that the attacks have to see when it is planted; else INCONCLUSIVE.
    `rng` decides ties, permutations and planted outputs; without it the operating system does.

    Raises DataError when rows do not fit the schema, AuditError (A1xx) when the input is unusable.
    """
    rng = np.random.default_rng() if rng is None else rng
    tell: Progress = (lambda step, done: None) if progress is None else progress
    promised = _claim(claim)
    if not 0 < must_see <= 1:
        raise AuditError("A105", "must_see is not a share", "give a number above 0 and at most 1")
    tell("reading", 0.0)
    tables = [as_table(synthetic, schema, "synthetic"), as_table(members, schema, "members")]
    held_out = None if controls is None or len(controls) == 0 else as_table(controls, schema, "controls")
    prepared = prepare(
        *tables, held_out, schema, promised, cliques=None if cliques is None else tuple(cliques),
        split_is_random=split_is_random, coin=_coin(coin), rng=rng,
    )  # fmt: skip
    if prepared.game is None:
        return verdicts.nothing(
            prepared.problem, schema.unit.entity, promised, split_is_random, prepared.warnings
        )
    result = run_game(prepared.game, rng, attacks=attacks, progress=tell, must_see=must_see)
    return replace(result, warnings=(*prepared.warnings, *result.warnings))


def _claim(claim: tuple[float, float] | None) -> Claim | None:
    if claim is None:
        return None
    try:
        return Claim(float(claim[0]), float(claim[1]))
    except (ValueError, TypeError, IndexError):
        raise AuditError(
            "A104", "the claim is no privacy promise", "give (epsilon, delta), epsilon >= 0, 0 <= delta < 1"
        ) from None


def _coin(coin: float | None) -> float | None:
    if coin is not None and not 0 < coin < 1:
        raise AuditError(
            "A106",
            "the hold-out probability is not between 0 and 1",
            "give the declared probability, or None",
        )
    return coin


def run_game(
    game: Game, rng: np.random.Generator, *, attacks: Sequence[Attack] | None = None, progress: Progress | None = None,
    must_see: float = 0.01,
) -> SuiteResult:  # fmt: skip
    """The suite on a prepared game."""
    tell: Progress = (lambda step, done: None) if progress is None else progress
    if min(game.members // 2, game.controls) < FEWEST:
        short = f"{game.members} members and {game.controls} held-out {game.entity}s are too few for any conclusion"
        return verdicts.nothing(short, game.entity, game.claim, game.split_is_random, ())
    chosen = tuple(default_attacks(game.view) if attacks is None else attacks)
    if not chosen or len({attack.name for attack in chosen}) < len(chosen):
        raise AuditError(
            "A107", "no attacks, or two of the same name", "give at least one, each with a name of its own"
        )
    found = examine(game, chosen, DRAWS, rng, lambda step, done: tell(step, 0.3 * done))
    if game.split_is_random:
        found = with_bounds(found, game, rng)
    controls = run_controls(game, chosen, must_see, rng, lambda step, done: tell(step, 0.3 + 0.7 * done))
    return verdicts.conclude(game, found, controls, overlap(game, rng), must_see)


def examine(
    game: Game, attacks: Sequence[Attack], draws: int, rng: np.random.Generator, tell: Progress
) -> tuple[AttackResult, ...]:
    """Every attack on every group, with p-values adjusted over all of them."""
    groups = _groups(game)
    results: list[AttackResult] = []
    for i, attack in enumerate(attacks):
        tell(f"attack: {attack.name}", i / len(attacks))
        scores = _checked(attack, attack(game.view, rng), game)
        results += [
            evaluate.measure(attack, name, chosen, scores, game, draws, rng)
            for name, chosen in groups.items()
        ]
    return evaluate.adjusted(results)


def _groups(game: Game) -> dict[str, Mask]:
    """Everyone, the most isolated 5 %, declared groups: those with enough members and controls to say anything."""
    isolation = game.view.candidates.isolation
    groups = {
        EVERYONE: np.ones(len(game.member), bool),
        f"most isolated {ISOLATED:.0%}": isolation >= np.quantile(isolation, 1 - ISOLATED),
    }
    groups.update(game.groups)
    enough = {
        n: g for n, g in groups.items() if min((g & game.member).sum(), (g & ~game.member).sum()) >= FEWEST
    }
    return {EVERYONE: groups[EVERYONE], **enough}


def _checked(attack: Attack, scores: Floats, game: Game) -> Floats:
    scores = np.asarray(scores, np.float64)
    if scores.shape != game.member.shape or np.isnan(scores).any():
        raise AuditError(
            "A108",
            f"attack '{attack.name}' did not give one number per {game.entity}",
            "return one score per candidate unit",
        )
    return scores


def with_bounds(
    results: Sequence[AttackResult], game: Game, rng: np.random.Generator
) -> tuple[AttackResult, ...]:
    """The results on everyone with their lower bounds on epsilon, 99 % over all attacks and ways to guess."""
    target, bias = thinned(game, rng)
    delta = game.claim.delta if game.claim else DELTA_UNCLAIMED
    family = [result for result in results if result.group == EVERYONE]
    alpha = ALPHA_BOUND / (len(family) * GUESSES)
    return tuple(
        replace(r, bound=evaluate.bound(r.scores, game.member, target, bias, delta, alpha, rng))
        if r.group == EVERYONE
        else r
        for r in results
    )


def run_controls(
    game: Game, attacks: Sequence[Attack], must_see: float, rng: np.random.Generator, tell: Progress
) -> tuple[ControlResult, ...]:
    """Negative, positive and recoded outputs, planted and attacked like the real one."""
    nursery = Nursery.of(game, rng)

    def look(name: str, kind: str, planted: Game, share: float | None, done: float) -> ControlResult:
        tell(f"control: {name}", done)
        return _control(
            name, kind, share, must_see, examine(planted, attacks, DRAWS_CONTROL, rng, lambda *_: None)
        )

    found = [
        look("fresh reference rows", "negative", nursery.fresh(rng), None, 0.0),
        look(
            "independent columns fitted on reference rows", "negative", nursery.independent(rng), None, 0.15
        ),
        look("copy of every row", "positive", nursery.leaky(1.0, rng), 1.0, 0.3),
        look("copy of every row, recoded", "blind spot", nursery.recoded(rng), 1.0, 0.45),
    ]
    share = must_see
    found.append(look(_copy(share), "positive", nursery.leaky(share, rng), share, 0.6))
    smaller = [s for s in SHARES if s < must_see]
    larger = [s for s in reversed(SHARES) if s > must_see]
    for i, share in enumerate(smaller if found[-1].seen else larger):
        result = look(_copy(share), "sensitivity", nursery.leaky(share, rng), share, 0.7 + 0.1 * i)
        found.append(result)
        if result.seen != found[4].seen:
            break
    return tuple(found)


def _copy(share: float) -> str:
    return f"copy of {share:.1%} of the rows".replace(".0%", "%").replace("%", " %")


def _control(
    name: str, kind: str, share: float | None, must_see: float, results: Sequence[AttackResult]
) -> ControlResult:
    best = min(results, key=lambda r: (r.adjusted_p, -r.auc.value))
    seen = best.adjusted_p <= (ALPHA_NEGATIVE if kind == "negative" else ALPHA)
    passed = seen if kind == "positive" else not seen if kind == "negative" else True
    return ControlResult(name, kind, share, seen, passed, best.label, best.adjusted_p)
