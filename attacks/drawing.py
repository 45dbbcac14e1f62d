"""What the suite found, drawn: SVG as text, from result values. Internal, like the results.

Each drawing has a title and a description in words, and tells attacks apart by dashes as well as by colours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from attacks import stats
from attacks.drawing_parts import (
    COLOURS,
    DASHES,
    FORBIDDEN,
    FORBIDDEN_EDGE,
    INK,
    MUTED,
    Axis,
    Box,
    Point,
    area,
    bar,
    dot,
    figure,
    legend,
    line,
    shortened,
    stroke_of,
    text,
)
from attacks.evaluate import EVERYONE, AttackResult
from attacks.result import SuiteResult
from attacks.threat import Claim, Floats

_LEFT, _TOP, _SIDE = 62.0, 14.0, 300.0
_WIDTH = 400.0
_FINE = 120  # points of a claim's curve


@dataclass(frozen=True)
class Audited:
    """One model: the epsilon that was promised and the lower bound that attacks proved."""

    name: str
    promised: float
    at_least: float


def drawings(result: SuiteResult) -> dict[str, str]:
    """Every drawing of this result that there is something to draw for, by name."""
    made = {
        "roc": roc(result),
        "trade_off": trade_off(result),
        "risk_by_isolation": risk_by_isolation(result),
        "epsilon_bounds": epsilon_bounds(result),
    }
    return {name: drawn for name, drawn in made.items() if drawn}


def roc(result: SuiteResult, most: int = 5) -> str:
    """ROC curves of the `most` strongest attacks on logarithmic axes; what the claim forbids is shaded.

    From the false-positive rate on that ten controls carry. Empty when nothing was attacked or fewer than
    twenty controls were there.
    """
    low = _least_rate(result)
    if low is None:
        return ""
    start = 10.0 ** math.floor(math.log10(low) + 1e-9)
    box = Box(Axis(start, 1, _LEFT, _LEFT + _SIDE, True), Axis(start, 1, _TOP + _SIDE, _TOP, True))
    shown = _strongest(result, most)
    body = box.frame("wrongly accused (false-positive rate)", "caught (true-positive rate)")
    if result.claim:
        rates = np.geomspace(start, 1.0, _FINE).tolist()
        edge = [(f, result.claim.tpr(f)) for f in rates]
        body = _forbidden(box, [*edge, (start, 1.0)], edge) + body
        body.append(text(_LEFT + 8, _TOP + 16, "forbidden by the promise", fill=FORBIDDEN_EDGE))
    body.append(stroke_of(box.path([(start, start), (1, 1)]), MUTED, 1.5, "4 4"))
    for position, attack in enumerate(shown):
        fpr, tpr = _curve(result, attack)
        kept = [(float(f), float(t)) for f, t in zip(fpr, tpr, strict=True) if f >= low and t > 0]
        body.append(_drawn(box.path(kept), position))
    return _with_legend(
        result, shown, body, "roc", "How many members the attacks name", _rates_in_words(shown)
    )


def trade_off(result: SuiteResult, most: int = 5) -> str:
    """Both errors of the `most` strongest attacks; a curve below the claim's would break the promise."""
    if _least_rate(result) is None:
        return ""
    box = Box(Axis(0, 1, _LEFT, _LEFT + _SIDE), Axis(0, 1, _TOP + _SIDE, _TOP))
    shown = _strongest(result, most)
    body = box.frame("wrongly accused (false-positive rate)", "missed (false-negative rate)")
    if result.claim:
        edge = [(f, 1.0 - result.claim.tpr(f)) for f in _dense()]
        body = _forbidden(box, [(0.0, 0.0), *edge], edge) + body
        if result.claim.tpr(0.5) < 0.93:  # else there is no room for words
            body.append(text(_LEFT + 8, _TOP + _SIDE - 10, "forbidden by the promise", fill=FORBIDDEN_EDGE))
    body.append(stroke_of(box.path([(0, 1), (1, 0)]), MUTED, 1.5, "4 4"))
    for position, attack in enumerate(shown):
        fpr, tpr = _curve(result, attack)
        body.append(_drawn(box.path(list(zip(fpr.tolist(), (1.0 - tpr).tolist(), strict=True))), position))
    words = ", ".join(f"{attack.name}: area {attack.auc.value:.3f}" for attack in shown)
    return _with_legend(result, shown, body, "trade-off", "The two errors of the attacks", words)


def risk_by_isolation(result: SuiteResult, parts: int = 10) -> str:
    """The strongest attack's area on tenths of the units, from the most ordinary to the most isolated.

    With 95 % intervals.
    """
    attack = next(iter(_strongest(result, 1)), None)
    if attack is None or len(result.isolation) != len(result.member):
        return ""
    tenths = _areas(attack, result, parts)
    if not tenths:
        return ""
    box = Box(Axis(0, parts, _LEFT, _LEFT + _SIDE), Axis(0, 1, _TOP + 220, _TOP), percent=False)
    body = [line((_LEFT, box.y.at(v)), (_LEFT + _SIDE, box.y.at(v))) for v in box.y.ticks()]
    body += [text(_LEFT - 6, box.y.at(v) + 4, f"{v:g}", "end", 11, MUTED) for v in box.y.ticks()]
    if result.claim:
        top = box.y.at(result.claim.auc())
        body.insert(0, bar(_LEFT, _TOP, _SIDE, top - _TOP, FORBIDDEN))
    body.append(line(box.at((0, 0.5)), box.at((parts, 0.5)), MUTED, 1.5, "4 4"))
    for place, found in tenths:
        x = box.x.at(place + 0.5)
        body.append(line((x, box.y.at(found.low)), (x, box.y.at(found.high)), COLOURS[0], 2.0))
        body.append(dot((x, box.y.at(found.value)), COLOURS[0]))
    body.append(text(13, _TOP + 110, "area under the ROC curve", "middle", turned=True))
    body.append(text(_LEFT, _TOP + 238, "most ordinary", size=11, fill=MUTED))
    body.append(text(_LEFT + _SIDE, _TOP + 238, "most isolated", "end", 11, MUTED))
    body.append(text(_LEFT + _SIDE / 2, _TOP + 256, f"{result.entity}s in tenths by isolation", "middle"))
    said = "; ".join(f"part {place + 1} of {parts}: {found}" for place, found in tenths)
    words = f"Attack '{attack.name}'; 0.5 is guessing. {said}."
    return figure(_WIDTH, _TOP + 270, "risk-by-isolation", "Who is at risk", words, body)


def epsilon_bounds(result: SuiteResult) -> str:
    """The lower bound on epsilon that each attack proves, beside the claim."""
    found = [(attack.name, attack.bound.epsilon) for attack in result.attacks if attack.bound]
    if not found:
        return ""
    found.sort(key=lambda pair: -pair[1])
    claimed = result.claim.epsilon if result.claim else None
    most = max(epsilon for _, epsilon in found)
    high = max(1.0, 1.25 * most, min(1.25 * claimed, 8.0 * max(most, 0.5)) if claimed is not None else 0.0)
    left, row = 210.0, 22.0
    bottom = _TOP + row * len(found)
    axis = Axis(0, high, left, left + 250)
    body = []
    if claimed is not None and claimed < high:
        x = axis.at(claimed)
        body.append(bar(x, _TOP, axis.end - x, bottom - _TOP, FORBIDDEN))
        body.append(line((x, _TOP), (x, bottom), FORBIDDEN_EDGE, 2.0))
    for value in axis.ticks():
        body.append(line((axis.at(value), bottom), (axis.at(value), bottom + 4), MUTED))
        body.append(text(axis.at(value), bottom + 17, f"{value:g}", "middle", 11, MUTED))
    for position, (name, epsilon) in enumerate(found):
        y = _TOP + row * position
        body.append(text(left - 8, y + 15, shortened(name, 32), "end"))
        body.append(bar(left, y + 5, axis.at(epsilon) - left, 12, COLOURS[0]))
        body.append(text(axis.at(epsilon) + 5, y + 15, f"{epsilon:.2f}", size=11))
    said = "no epsilon is promised" if claimed is None else f"promised: epsilon {claimed:g}"
    body.append(
        text(left, bottom + 36, f"epsilon is at least (99 %, all attacks counted); {said}", "start", 11)
    )
    words = f"{said}. " + ", ".join(f"{name}: {epsilon:.2f}" for name, epsilon in found) + "."
    width = max(left + 310, left + 20 + 6.0 * (60 + len(said)))
    return figure(width, bottom + 48, "epsilon-bounds", "What the attacks prove", words, body)


def bounds_against_claims(models: Sequence[Audited]) -> str:
    """Several models: proven lower bound against promised epsilon, log axes; above the diagonal is a violation."""
    told = [model for model in models if model.promised > 0]
    if not told:
        return ""
    values = [v for m in told for v in (m.promised, m.at_least) if v > 0]
    low = 10.0 ** math.floor(math.log10(min(values)) - 1e-9)
    high = 10.0 ** math.ceil(math.log10(max(values)) + 1e-9)
    box = Box(
        Axis(low, high, _LEFT, _LEFT + _SIDE, True), Axis(low, high, _TOP + _SIDE, _TOP, True), percent=False
    )
    diagonal = [(low, low), (high, high)]
    body = _forbidden(box, [*diagonal, (low, high)], diagonal)
    body += box.frame("promised epsilon", "proven: epsilon at least")
    body.append(text(_LEFT + 8, _TOP + 16, "promise broken", fill=FORBIDDEN_EDGE))
    for model in told:
        x, y = box.at((model.promised, model.at_least))
        colour = FORBIDDEN_EDGE if model.at_least > model.promised else COLOURS[0]
        body.append(dot((x, y), colour, 4.0))
        near_edge = x > _LEFT + _SIDE - 70
        body.append(
            text(
                x - 7 if near_edge else x + 7,
                y - 5,
                shortened(model.name, 18),
                "end" if near_edge else "start",
                11,
            )
        )
    said = "; ".join(f"{m.name}: promised {m.promised:g}, at least {m.at_least:.2f}" for m in told)
    return figure(
        _WIDTH, _TOP + _SIDE + 46, "bounds-against-claims", "Bounds against promises", f"{said}.", body
    )


def _least_rate(result: SuiteResult) -> float | None:
    """The smallest false-positive rate that the controls carry; None when there is nothing to draw."""
    if not result.attacks or result.controls_held_out < 2 * stats.ENOUGH:
        return None
    return stats.ENOUGH / result.controls_held_out


def _strongest(result: SuiteResult, most: int) -> list[AttackResult]:
    """Attacks on everyone with the smallest p-values; at most as many as can be told apart."""
    everyone = [a for a in result.attacks if a.group == EVERYONE and not a.is_blind]
    return sorted(everyone, key=lambda a: (a.adjusted_p, -a.auc.value))[: min(most, len(COLOURS))]


def _curve(result: SuiteResult, attack: AttackResult) -> tuple[Floats, Floats]:
    """A thinned ROC curve, on the units that were attacked."""
    tried = ~np.isnan(attack.scores)
    fpr, tpr = stats.roc_points(attack.scores[tried], result.member[tried])
    places = np.geomspace(1, len(fpr), 150).astype(np.int64) - 1
    kept = np.unique(np.concatenate([places, len(fpr) - 1 - places]))
    return fpr[kept], tpr[kept]


def _areas(attack: AttackResult, result: SuiteResult, parts: int) -> list[tuple[int, stats.Interval]]:
    """Per part of the units in order of isolation, ties by their place: the area, where both sides are there."""
    order = np.argsort(result.isolation, kind="stable")
    found = []
    for place, units in enumerate(np.array_split(order, parts)):
        tried = units[~np.isnan(attack.scores[units])]
        member = result.member[tried]
        if min(member.sum(), (~member).sum()) >= stats.ENOUGH:
            found.append((place, stats.auc(attack.scores[tried], member)))
    return found


def _dense() -> list[float]:
    """False-positive rates, dense at the ends, where a claim's curve bends."""
    ends = np.geomspace(1e-6, 0.5, _FINE // 2)
    return [0.0, *ends.tolist(), *(1.0 - ends[::-1]).tolist(), 1.0]


def _forbidden(box: Box, corners: Sequence[Point], edge: Sequence[Point]) -> list[str]:
    return [area(box.path(corners)), stroke_of(box.path(edge), FORBIDDEN_EDGE, 1.5)]


def _drawn(points: list[Point], position: int) -> str:
    return stroke_of(points, COLOURS[position], 1.8, DASHES[position])


def _with_legend(
    result: SuiteResult, shown: Sequence[AttackResult], body: list[str], name: str, title: str, words: str
) -> str:
    entries = [(attack.name, COLOURS[i], DASHES[i]) for i, attack in enumerate(shown)]
    entries.append(("guessing", MUTED, "4 4"))
    if result.claim:
        entries.insert(0, (_promise(result.claim), FORBIDDEN_EDGE, ""))
    y = _TOP + _SIDE + 58
    body += legend(_LEFT - 40, y, entries)
    note = f"{result.members:,} members, {result.controls_held_out:,} held out; a curve may stray by chance"
    y += 18 * len(entries) + 2
    body.append(text(_LEFT - 40, y, note, size=11, fill=INK))
    allowed = "Shaded: forbidden by the promise. " if result.claim else ""
    return figure(_WIDTH, y + 10, f"attack-{name}", title, f"{allowed}{words}. {note}.", body)


def _promise(claim: Claim) -> str:
    return f"most that is allowed ({claim})"


def _rates_in_words(shown: Sequence[AttackResult]) -> str:
    said = []
    for attack in shown:
        rates = [r for r in attack.rates if r.rate is not None]
        told = [f"{100 * r.rate.value:.2g} % at {100 * r.fpr:g} %" for r in rates if r.rate]
        said.append(f"{attack.name}: {', '.join(told) or 'too few controls for a rate'}")
    return "; ".join(said)
