"""Runs the attacks on planted outputs: would they have seen a leak, and do they raise an alarm at none?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from attacks.evaluate import AttackResult
from attacks.planted import Nursery, leaky, recoded
from attacks.result import ControlResult
from attacks.threat import Game

Progress = Callable[[str, float], None]
Examine = Callable[[Game, int], Sequence[AttackResult]]
"""Every attack on a game, with this many permutations."""

ALPHA = 0.05  # family-wise: a leak is called, and a planted one seen, at this level
ALPHA_NEGATIVE = 0.01  # family-wise: a negative control fails at this level
DRAWS_NEGATIVE = 1_999
DRAWS_POSITIVE = 999
SHARES = (0.001, 0.003, 0.01, 0.03, 0.1)
_MOST = 7  # controls in one suite


def run_controls(
    game: Game, examine: Examine, must_see: float, rng: np.random.Generator, tell: Progress
) -> tuple[ControlResult, ...]:
    """Negative, positive and recoded outputs; then other copied shares until seeing starts or stops."""
    found: list[ControlResult] = []
    for name, kind, planted, share in _outputs(game, must_see, rng, found):
        tell(f"control: {name}", min(len(found), _MOST) / _MOST)
        draws = DRAWS_NEGATIVE if kind == "negative" else DRAWS_POSITIVE
        found.append(_judge(name, kind, share, examine(planted, draws)))
    return tuple(found)


def _outputs(
    game: Game, must_see: float, rng: np.random.Generator, found: list[ControlResult]
) -> Iterator[tuple[str, str, Game, float | None]]:
    """The planted outputs one after the other; what comes last depends on what was `found` before."""
    nursery = Nursery.of(game, rng)
    yield "fresh reference rows", "negative", nursery.fresh(rng), None
    yield "independent columns fitted on reference rows", "negative", nursery.independent(rng), None
    del nursery
    yield "copy of every row", "positive", leaky(game, 1.0, rng), 1.0
    yield "copy of every row, recoded", "blind spot", recoded(game, rng), 1.0
    yield _name(must_see), "positive", leaky(game, must_see, rng), must_see
    start = found[-1].seen
    smaller = [share for share in reversed(SHARES) if share < must_see]
    larger = [share for share in SHARES if share > must_see]
    for share in smaller if start else larger:
        yield _name(share), "sensitivity", leaky(game, share, rng), share
        if found[-1].seen != start:
            return


def _name(share: float) -> str:
    return f"copy of {percent(share)} of the rows"


def percent(share: float) -> str:
    """0.01 as ``1 %``."""
    return f"{100 * share:.3g} %"


def _judge(name: str, kind: str, share: float | None, results: Sequence[AttackResult]) -> ControlResult:
    best = min(results, key=lambda r: (r.adjusted_p, -r.auc.value))
    seen = best.adjusted_p <= (ALPHA_NEGATIVE if kind == "negative" else ALPHA)
    passed = seen if kind == "positive" else not seen if kind == "negative" else True
    return ControlResult(name, kind, share, seen, passed, best.label, best.adjusted_p)
