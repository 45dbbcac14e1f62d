"""White box, one fit: real noise and measured sensitivity of every question that a method asks, beside what it was charged.

mu of a question's Gaussian part is the exact answer's movement over the real noise scale. The movement is measured on
neighbours that differ in one awkward unit (`tables`), the real scale comes with an interval from the residuals of
every released cell (`attacks.guarantee.sigma`). Of a choice, the spread of the log-odds is measured against the
charged epsilon; `choices` checks the odds themselves.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attacks.guarantee.gaussian import epsilon_of, mu_of
from attacks.guarantee.sigma import Scale, discrete, finite, scale
from dpsynth.budget import Budget
from dpsynth.errors import BudgetError
from dpsynth.guarantee.findings import Beside, Fault, Findings
from dpsynth.guarantee.rehearsing import NotAsPlanned, receipt_of, watched_fit
from dpsynth.guarantee.tables import Tables, people
from dpsynth.guarantee.witness import Answer, Part
from dpsynth.privacy.accounting import certify
from dpsynth.privacy.events import BoundedRange, DiscreteGaussian, DpSgd, Event, flatten
from dpsynth.privacy.gaussian import bounded_range_mu
from dpsynth.privacy.gdp import event_mu
from dpsynth.privacy.zcdp import Unpriceable
from dpsynth.synthesis import Plan, plan

Floats = NDArray[np.float64]
CONFIDENCE = 1 - 1e-6
"""Of all intervals of one audit together: an honest method is accused once in a million audits."""


def audit_method(
    method: str,
    budget: Budget,
    *,
    tables: Tables | None = None,
    confidence: float = CONFIDENCE,
    fits: int = 3,
) -> Findings:
    """A few fits of `method` under `budget` on made-up tables, every answer checked. A second or two."""
    chosen = people() if tables is None else tables
    preview = plan(chosen.schema, method=method, epsilon=budget.epsilon, delta=budget.delta)
    receipt, others = receipt_of(preview), [chosen.joined(each) for each in chosen.neighbours]
    try:
        runs = [watched_fit(chosen.base, others, chosen.schema, preview, receipt)[1] for _ in range(fits)]
    except (NotAsPlanned, BudgetError) as problem:
        return Findings(f"white box: {method}", faults=(Fault("charges as planned", method, str(problem)),))
    return judged(runs, preview, chosen, confidence)


def judged(
    runs: Sequence[Sequence[Answer]], preview: Plan, tables: Tables, confidence: float = CONFIDENCE
) -> Findings:
    """What the answers of several watched fits of one plan say."""
    answers = [answer for run in runs for answer in run]
    each = 1 - (1 - confidence) / 3
    bounds = [*by_purpose(runs, each), *by_marginal(runs, preview, each), whole(runs, preview, each)]
    names = [neighbour.name for neighbour in tables.neighbours]
    faults = [*structural(answers, preview), *too_far(answers, tables, names)]
    unknown = sorted({a.question for a in answers if not a.known})
    notes = tuple(f"no audit repeats the question '{name}'" for name in unknown)
    return Findings(f"white box: {preview.method}", tuple(bounds), tuple(faults), notes)


def by_purpose(runs: Sequence[Sequence[Answer]], confidence: float) -> list[Beside]:
    """Of each purpose: mu from movement and residuals, beside the mu of the Gaussian parts charged for it.

    The residuals of all runs are one sample; of the movements, which are exact, the run's in which mu is furthest above
    its charge counts.
    """
    purposes = list(dict.fromkeys(a.purpose for run in runs for a in run if a.parts))
    each = 1 - (1 - confidence) / max(1, len(purposes))
    found = []
    for purpose in purposes:
        mine = [[a for a in run if a.purpose == purpose] for run in runs]
        noise = _scale([a for run in mine for a in run], each)
        moved, claim = max((_moved_and_claim(run) for run in mine if run), key=lambda both: both[0] - both[1])
        facts = {"sigma": noise.as_json(), "moved_over_stated": moved}
        found.append(Beside(purpose, _over(moved, noise.high), _over(moved, noise.low), claim, facts))
    return found


def by_marginal(runs: Sequence[Sequence[Answer]], preview: Plan, confidence: float) -> list[Beside]:
    """Single marginals whose own noise is too small: a pool would hide one among many. Only what is accused is listed."""
    parts: dict[str, list[Part]] = {}
    for a in (a for run in runs for a in run):
        for part in a.parts:
            parts.setdefault(f"{a.purpose}: {part.name}", []).append(part)
    found = []
    for name, mine in parts.items():
        residuals = np.concatenate([part.residuals for part in mine])
        sigmas = np.concatenate([np.full(len(part.residuals), part.sigma) for part in mine])
        noise = discrete(residuals, sigmas, 1 - (1 - confidence) / len(parts))
        if noise.high < 1:
            sigma = min(part.sigma for part in mine)
            moved = max(float(part.moved.max(initial=0.0)) for part in mine) / sigma
            claim = moved * (1 + 1 / (24 * sigma**2))
            facts = {"sigma": noise.as_json()}
            found.append(Beside(name, _over(moved, noise.high), _over(moved, noise.low), claim, facts))
    return found


def _moved_and_claim(answers: Sequence[Answer]) -> tuple[float, float]:
    moved = np.sum([a.moved_over_stated for a in answers], axis=0)
    claim = math.sqrt(math.fsum(_gaussian_mu(e) ** 2 for a in answers for e in a.events))
    return math.sqrt(float(moved.max(initial=0.0))), claim


def whole(runs: Sequence[Sequence[Answer]], preview: Plan, confidence: float) -> Beside:
    """The run: mu of all Gaussian parts from below, with the choices' measured spread from above; epsilon beside them."""
    noise = _scale([a for run in runs for a in run], confidence)
    each = [_low_and_high(run, noise) for run in runs]
    lowest, highest = max(low for low, _ in each), max(high for _, high in each)
    delta = preview.budget.delta
    claim = claimed_mu(preview)
    facts: dict[str, Any] = {
        "epsilon_lower": finite(epsilon_of(lowest, delta)),
        "epsilon_upper": finite(epsilon_of(highest, delta)),
        "epsilon_claim": preview.budget.epsilon,
        "delta": delta,
        "sigma": noise.as_json(),
    }
    trains = any(isinstance(e, DpSgd) for e in flatten([charge.event for charge in preview.charges]))
    about = "the whole run but for its gradients" if trains else "the whole run"
    return Beside(about, lowest, highest, claim, facts)


def claimed_mu(preview: Plan) -> float:
    """The plan's mu; of events without one, such as training on batches, that of the promised epsilon."""
    try:
        return math.sqrt(math.fsum(_mu(charge.event) ** 2 for charge in preview.charges))
    except Unpriceable:
        return mu_of(preview.budget.epsilon, preview.budget.delta)


def _low_and_high(answers: Sequence[Answer], noise: Scale) -> tuple[float, float]:
    moved = np.sum([a.moved_over_stated for a in answers], axis=0)
    spread = np.sum([[bounded_range_mu(s) ** 2 if s > 0 else 0.0 for s in a.choice] for a in answers], axis=0)
    gaussian = moved / noise.low**2 if noise.low > 0 else np.full_like(moved, math.inf)
    low = _over(math.sqrt(float(moved.max(initial=0.0))), noise.high)
    return low, math.sqrt(float((gaussian + spread).max(initial=0.0)))


def structural(answers: Sequence[Answer], preview: Plan) -> list[Fault]:
    """Each answer charged once, before it was counted; stated noise as charged; the charges' price within the budget."""
    found = []
    for a in answers:
        if not a.charged_first:
            found.append(Fault("charge before count", a.purpose, f"'{a.question}' was not charged first"))
        stated = sorted({part.sigma for part in a.parts})
        charged = sorted({e.sigma for e in flatten(a.events) if isinstance(e, DiscreteGaussian)})
        if a.known and stated != charged:
            found.append(
                Fault("stated noise", a.purpose, "the noise that was stated is not what was charged")
            )
    spent = certify([charge.event for charge in preview.charges], preview.budget.delta).epsilon
    if spent > preview.budget.epsilon * (1 + 1e-9):
        words = f"the plan costs epsilon {spent:.4g}, promised {preview.budget.epsilon:g}"
        found.append(Fault("price of the plan", preview.method, words))
    return list(dict.fromkeys(found))


def too_far(answers: Sequence[Answer], tables: Tables, names: Sequence[str]) -> list[Fault]:
    """Movements above the bound that the charges are computed from: rows per unit, and the epsilon of a choice."""
    k = tables.schema.unit.rows_per_unit
    found = []
    for a in answers:
        bound = 1 if a.question == "unit_sizes" else k
        for i in map(int, np.flatnonzero(a.rows_moved > bound)):
            words = f"unit '{names[i]}' moves an answer by {a.rows_moved[i]:g} rows, at most {bound} may be"
            found.append(Fault("sensitivity", a.purpose, words))
        for i in map(int, np.flatnonzero(a.clips > 1)):
            words = f"unit '{names[i]}' moves a gradient sum by {a.clips[i]:.4g} clips, at most 1 may be"
            found.append(Fault("clipped gradient", a.purpose, words))
        charged = sum(e.epsilon for e in flatten(a.events) if isinstance(e, BoundedRange))
        for i in map(int, np.flatnonzero(a.choice > charged * (1 + 1e-9))):
            words = f"unit '{names[i]}' spreads the log-odds by {a.choice[i]:.3g}, charged {charged:.3g}"
            found.append(Fault("range of a choice", a.purpose, words))
    return list(dict.fromkeys(found))


def _scale(answers: Sequence[Answer], confidence: float) -> Scale:
    parts = [part for a in answers for part in a.parts]
    residuals = np.concatenate([part.residuals for part in parts])
    return scale(residuals, np.concatenate([np.full(len(p.residuals), p.sigma) for p in parts]), confidence)


def _over(moved: float, ratio: float) -> float:
    if moved == 0:
        return 0.0
    return math.inf if ratio == 0 else moved / ratio


def _gaussian_mu(event: Event) -> float:
    parts = [e for e in flatten([event]) if isinstance(e, DiscreteGaussian)]
    return math.sqrt(math.fsum(_mu(part) ** 2 for part in parts))


def _mu(event: Event) -> float:
    """The price of an event; of noise below the accountant's smallest scale the plain one (an audit's table of two rows)."""
    try:
        return event_mu(event)
    except Unpriceable:
        if isinstance(event, DiscreteGaussian):
            return event.sensitivity / event.sigma * math.sqrt(event.count)
        raise
