"""What fits into a time budget: each attack is timed on two small games, and its growth carried on.

Time is CPU time of this process, so that other work on the machine does not change what is left out. Nothing here
looks at who is a member beyond keeping some of both kinds in a small game.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from attacks import evaluate
from attacks.asked import AnyAttack, parted
from attacks.evaluate import EVERYONE, MOST_ISOLATED
from attacks.threat import Attack, Floats, Game, Mask, View, most_targets

Clock = Callable[[], float]

PASSES = 6.0
"""The suite in runs over the real output: that one, and up to eight controls, most of them cheaper."""

_UNITS, _ROWS = 1_500, 3_000  # of the larger pilot
_SELF = 1.5  # distances among the candidates: once for all of them, once without the reference units
_KEPT = 5  # fewest members and controls in a pilot


@dataclass(frozen=True)
class Choice:
    """What fits, and the names of what does not; `seconds` is the estimate for what was chosen."""

    attacks: tuple[AnyAttack, ...]
    isolated: bool
    left_out: tuple[str, ...]
    seconds: float


def within(
    game: Game,
    attacks: Sequence[AnyAttack],
    budget: float,
    draws: int,
    rng: np.random.Generator,
    clock: Clock = time.process_time,
) -> Choice:
    """The attacks that fit into `budget` seconds, in the order given; the first one always runs.

    What weighs the others' scores takes next to no time and stays.
    """
    alone, together = parted(attacks)
    pilots = _pilots(game, rng)
    chosen: list[Attack] = []
    out: list[str] = []
    spent = 0.0
    repeats = 1.0 + sum(float(group.mean()) for group in game.groups.values())
    for attack in alone:
        seconds = [_timed(attack, pilot, draws, repeats, rng, clock) for pilot in pilots]
        cost = PASSES * _carried_on(seconds, _growth(game, pilots[-1], most_targets(attack)))
        if chosen and spent + cost > budget:
            out.append(attack.name)
        else:
            chosen.append(attack)
            spent += cost
    lonely = _SELF * _carried_on([_loneliness(p, clock) for p in pilots], _growth(game, pilots[-1], None))
    isolated = spent + lonely <= budget
    out += [] if isolated else [MOST_ISOLATED]
    return Choice((*chosen, *together), isolated, tuple(out), spent + lonely * isolated)


def _pilots(game: Game, rng: np.random.Generator) -> tuple[Game, Game, Game]:
    """A small game twice (what is loaded on first use is not timed) and one of twice its size."""
    units, rows = len(game.member), len(game.view.synthetic)
    large = min(units, _UNITS), min(rows, _ROWS)
    order = _mixed(game.member, rng)
    chosen = rng.permutation(rows)
    small = _part(game, order, chosen, math.ceil(large[0] / 2), math.ceil(large[1] / 2))
    return small, replace(small, view=_fresh(small.view)), _part(game, order, chosen, *large)


def _fresh(view: View) -> View:
    """The same view with nothing computed yet."""
    candidates = replace(view.candidates, rows=replace(view.candidates.rows))
    return replace(view, candidates=candidates, synthetic=replace(view.synthetic))


def _mixed(member: Mask, rng: np.random.Generator) -> np.ndarray:
    """All units in random order, but a few of both kinds first."""
    order = rng.permutation(len(member))
    first = np.concatenate([order[member[order]][:_KEPT], order[~member[order]][:_KEPT]])
    return np.concatenate([first, order[~np.isin(order, first)]])


def _part(game: Game, order: np.ndarray, rows: np.ndarray, units: int, count: int) -> Game:
    chosen = np.zeros(len(game.member), bool)
    chosen[order[:units]] = True
    view = replace(
        game.view,
        candidates=game.view.candidates.take(chosen),
        synthetic=game.view.synthetic.take(rows[:count]),
        grown=None,
    )
    return replace(game, view=view, member=game.member[chosen], groups={})


def _growth(game: Game, pilot: Game, most: int | None) -> tuple[float, float]:
    """How much larger the game is than its pilot, in units attacked and in synthetic rows."""
    units = len(game.member) if most is None else min(most, len(game.member))
    return max(1.0, units / len(pilot.member)), len(game.view.synthetic) / len(pilot.view.synthetic)


def _timed(
    attack: Attack, pilot: Game, draws: int, repeats: float, rng: np.random.Generator, clock: Clock
) -> float:
    """One attack, and what it takes to judge it on everyone and on the groups."""
    start = clock()
    scores: Floats = np.asarray(attack(pilot.view, rng), np.float64)
    attacked = clock()
    if scores.shape == pilot.member.shape and not np.isnan(scores).any():  # else the suite refuses it
        everyone = np.ones(len(scores), bool)
        evaluate.measure(attack, EVERYONE, everyone, scores, pilot, draws, rng)
    return attacked - start + repeats * (clock() - attacked)


def _loneliness(pilot: Game, clock: Clock) -> float:
    start = clock()
    _ = _fresh(pilot.view).candidates.isolation
    return clock() - start


def _carried_on(seconds: Sequence[float], growth: tuple[float, float]) -> float:
    """From the two last pilots, the second twice as large in both sizes, to the game: a power between 1 and 2."""
    small, large = max(seconds[-2], 1e-6), max(seconds[-1], 1e-6)
    power = min(2.0, max(1.0, math.log2(large / small)))
    return large * math.pow(growth[0] * growth[1], power / 2.0)
