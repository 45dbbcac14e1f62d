"""Runs the attacks on planted outputs: would they have seen a leak, and do they raise an alarm at none?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from attacks.evaluate import AttackResult
from attacks.planted import Nursery, leaky, recoded, with_fewer_units
from attacks.result import BLIND_SPOT, CELLS, NEGATIVE, POSITIVE, ControlResult
from attacks.stats import percent
from attacks.threat import Game

Progress = Callable[[str, float], None]
Examine = Callable[[Game, int], Sequence[AttackResult]]
"""Every attack on a game, with this many permutations."""

ALPHA = 0.05  # family-wise: a leak is called, and a planted one seen, at this level
ALPHA_NEGATIVE = 0.01  # family-wise: a negative control fails at this level
DRAWS_NEGATIVE = 1_999
DRAWS_POSITIVE = 999
SHARES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
_MOST = 8  # controls in one suite


def run_controls(
    game: Game, examine: Examine, must_see: float, rng: np.random.Generator, tell: Progress
) -> tuple[ControlResult, ...]:
    """Negative, positive and recoded outputs; then other copied shares until seeing starts or stops."""
    found: list[ControlResult] = []
    for name, kind, planted, share in _outputs(game, must_see, rng, found):
        tell(f"control: {name}", min(len(found), _MOST) / _MOST)
        draws = DRAWS_NEGATIVE if kind == NEGATIVE else DRAWS_POSITIVE
        found.append(_judge(name, kind, share, examine(planted, draws)))
    return tuple(found)


def _outputs(
    game: Game, must_see: float, rng: np.random.Generator, found: list[ControlResult]
) -> Iterator[tuple[str, str, Game, float | None]]:
    """The planted outputs one after the other; what comes last depends on what was `found` before."""
    nursery = Nursery.of(game, rng)
    yield "fresh reference rows", NEGATIVE, nursery.fresh(rng), None
    yield "independent columns fitted on reference rows", NEGATIVE, nursery.independent(rng), None
    del nursery
    few = with_fewer_units(game)
    yield "copy of every row", POSITIVE, leaky(few, 1.0, rng, verbatim=False), 1.0
    yield "copy of every row, recoded", BLIND_SPOT, recoded(few, rng), 1.0
    del few
    yield _name(must_see), POSITIVE, leaky(game, must_see, rng, verbatim=True), must_see
    seen = found[-1].seen
    cells = "the cells of " if game.view.has_finer_values else ""
    if cells:  # else a copy of the cells is a copy word for word
        yield _name(must_see, cells), CELLS, leaky(game, must_see, rng, verbatim=False), must_see
        seen = found[-1].seen
    smaller = [share for share in reversed(SHARES) if share < must_see]
    larger = [share for share in SHARES if share > must_see]
    for share in smaller if seen else larger:
        yield _name(share, cells), CELLS, leaky(game, share, rng, verbatim=False), share
        if found[-1].seen != seen:
            return


def _name(share: float, what: str = "") -> str:
    return f"copy of {what}{percent(share)} of the rows"


def _judge(name: str, kind: str, share: float | None, results: Sequence[AttackResult]) -> ControlResult:
    best = min(results, key=lambda r: (r.adjusted_p, -r.auc.value))
    seen = best.adjusted_p <= (ALPHA_NEGATIVE if kind == NEGATIVE else ALPHA)
    passed = seen if kind == POSITIVE else not seen if kind == NEGATIVE else True
    return ControlResult(name, kind, share, seen, passed, best.label, best.adjusted_p)
