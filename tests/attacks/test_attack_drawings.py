"""The drawings are well-formed, say in words what they show, and shade what the claim forbids."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from xml.etree import ElementTree

import known_leaks
import numpy as np
import pytest

from attacks import drawing
from attacks.drawing_parts import COLOURS, DASHES, FORBIDDEN, FORBIDDEN_EDGE, INK, MUTED, Axis
from attacks.evaluate import EVERYONE, Bound
from attacks.reidentification.nearest import CloserThanPeople, ClosestRecord
from attacks.result import SuiteResult
from attacks.split import Overlap
from attacks.suite import examine
from attacks.threat import Candidates, Claim, Game, Rows, View
from attacks.verdicts import conclude

ORDERED = np.arange(6) % 2 == 0
SVG = "{http://www.w3.org/2000/svg}"
DRAWINGS: dict[str, Callable[[SuiteResult], str]] = {
    "roc": drawing.roc,
    "trade-off": drawing.trade_off,
    "risk by isolation": drawing.risk_by_isolation,
    "epsilon bounds": drawing.epsilon_bounds,
}


@pytest.fixture(scope="module")
def result() -> SuiteResult:
    """A copy under a claim of epsilon 1, attacked by distances."""
    rng = np.random.default_rng(0)
    rows = known_leaks.population(900, rng, columns=6, cells=6)
    candidates = Candidates(Rows.of_records(rows, ORDERED), np.arange(900), ORDERED)
    member = np.arange(900) < 600
    view = View(Rows.of_records(rows.take(np.arange(600)), ORDERED), candidates, 2 / 3)
    game = Game(view, member, Claim(1.0, 1e-9))
    found = examine(
        game, (ClosestRecord("closest <record>"), CloserThanPeople()), 99, rng, lambda step, done: None
    )
    bound = Bound(0.8, 1e-9, 0.999, 400, 200, 170)
    bounded = [replace(attack, bound=bound if attack.group == EVERYONE else None) for attack in found]
    return conclude(game, bounded, (), Overlap(0.0, 0.0, 0.1), 0.01)


@pytest.mark.parametrize("kind", DRAWINGS)
def test_each_is_well_formed_and_described(kind: str, result: SuiteResult) -> None:
    drawn = DRAWINGS[kind](result)
    root = ElementTree.fromstring(drawn)
    assert root.tag == f"{SVG}svg"
    assert root.get("role") == "img"
    ids = {element.get("id"): element.text for element in root if element.get("id")}
    titles = (root.get("aria-labelledby") or "").split()
    assert len(titles) == 2
    assert all(ids[name] for name in titles)
    assert "<script" not in drawn
    assert "style=" not in drawn
    assert not re.search(r"nan|inf\b", drawn)
    assert "closest &lt;record&gt;" in drawn
    assert FORBIDDEN in drawn


@pytest.mark.parametrize("kind", DRAWINGS)
def test_without_a_claim_nothing_is_forbidden(kind: str, result: SuiteResult) -> None:
    drawn = DRAWINGS[kind](replace(result, claim=None))
    ElementTree.fromstring(drawn)
    assert FORBIDDEN not in drawn


@pytest.mark.parametrize("kind", DRAWINGS)
def test_nothing_attacked_nothing_drawn(kind: str, result: SuiteResult) -> None:
    assert DRAWINGS[kind](replace(result, attacks=(), member=np.zeros(0, bool))) == ""


def test_all_of_them_by_name(result: SuiteResult) -> None:
    assert list(drawing.drawings(result)) == ["roc", "trade_off", "risk_by_isolation", "epsilon_bounds"]
    assert drawing.drawings(replace(result, attacks=())) == {}


def test_the_shaded_region_is_what_the_claim_forbids(result: SuiteResult) -> None:
    """Its lower edge is the claim's largest true-positive rate, read back from the places on the page."""
    assert result.claim is not None
    root = ElementTree.fromstring(drawing.roc(result))
    polygon = next(element for element in root if element.get("fill") == FORBIDDEN)
    points = [tuple(map(float, pair.split(","))) for pair in (polygon.get("points") or "").split()]
    low = 0.01  # 300 controls carry a rate of 1/30
    sides = [(62.0, 362.0), (314.0, 14.0)]
    for x, y in points[:-1]:
        fpr, tpr = (
            low ** (1 - (at - start) / (end - start)) for at, (start, end) in zip((x, y), sides, strict=True)
        )
        assert tpr == pytest.approx(result.claim.tpr(fpr), rel=0.01)


def test_units_not_attacked_are_left_out(result: SuiteResult) -> None:
    some = np.arange(len(result.member)) % 3 == 0
    attacks = tuple(replace(a, scores=np.where(some, np.nan, a.scores)) for a in result.attacks)
    for draw in DRAWINGS.values():
        ElementTree.fromstring(draw(replace(result, attacks=attacks)))


def test_bounds_against_claims_marks_a_broken_promise() -> None:
    drawn = drawing.bounds_against_claims([drawing.Audited("a", 1.0, 0.3), drawing.Audited("b", 1.0, 2.5)])
    circles = [e.get("fill") for e in ElementTree.fromstring(drawn) if e.tag == f"{SVG}circle"]
    assert circles == [COLOURS[0], FORBIDDEN_EDGE]
    assert drawing.bounds_against_claims([]) == ""


def contrast(first: str, second: str) -> float:
    """Ratio of luminances (WCAG 2.2)."""

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    dark, light = sorted((luminance(first), luminance(second)))
    return (light + 0.05) / (dark + 0.05)


def test_every_colour_can_be_read() -> None:
    for colour in (INK, MUTED, FORBIDDEN_EDGE, *COLOURS):
        assert contrast(colour, "#ffffff") >= 4.5
    assert contrast(FORBIDDEN_EDGE, FORBIDDEN) >= 4.5
    assert len(set(COLOURS)) == len(set(DASHES)) == len(COLOURS)


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (0.0, 0.37), (0.0, 12.5), (0.0, 250.0)])
def test_an_axis_has_a_few_round_numbers(low: float, high: float) -> None:
    ticks = Axis(low, high, 0, 100).ticks()
    assert 3 <= len(ticks) <= 8
    assert ticks[0] == low
    assert ticks[-1] <= high + 1e-9
