"""Noisy gradients: what one unit moves a sum, how noisy it is, who is in a batch and how many batches there are.

The real `Curator.noisy_gradients` runs on made-up records whose gradients are as bad as can be: far longer than the
clip, all of a unit's rows alike, infinite, not a number. Compared with the event that was charged.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from attacks.guarantee.batches import oddities
from attacks.guarantee.canaries import OneRun, direction_scores, one_run_bounds
from attacks.guarantee.sigma import chi_square, finite
from dpsynth.domain import Domain
from dpsynth.guarantee.findings import Beside, Fault, Findings
from dpsynth.privacy import intake
from dpsynth.privacy.accounting import certify
from dpsynth.privacy.curator import Curator
from dpsynth.privacy.events import DpSgd, Event
from dpsynth.privacy.intake import Intake
from dpsynth.privacy.rehearsal import Noted, exact_door, real_coins, scripted
from dpsynth.privacy.sgd import Dense, SgdPlan
from dpsynth.records import Records

Floats = NDArray[np.float64]
K = 3
CLIP = 0.5
COORDINATES = 60
EVERYBODY = 1 - 2.0**-52
"""A rate at which everybody is in every batch, almost surely."""

BAD: dict[str, tuple[int, Callable[[int], Floats]]] = {
    "long": (1, lambda n: np.full((n, COORDINATES), 1e6)),
    "alike": (K, lambda n: np.full((n, COORDINATES), 1.0)),
    "many rows": (40, lambda n: np.full((n, COORDINATES), 1.0)),
    "one way": (K, lambda n: np.eye(COORDINATES)[:1].repeat(n, axis=0) * 7.0),
    "infinite": (1, lambda n: np.full((n, COORDINATES), np.inf)),
    "not a number": (1, lambda n: np.full((n, COORDINATES), np.nan)),
    "tiny": (K, lambda n: np.full((n, COORDINATES), 1e-12)),
}
"""Units that are added: their rows and these rows' gradients."""


def audit_gradients(confidence: float = 1 - 1e-6, steps: int = 200, rate: float = 0.1) -> Findings:
    """Everything about noisy gradients that can be measured on one machine in a second."""
    noted = Noted()
    plan = SgdPlan(rate, steps, 1.3, CLIP)
    faults = [*_movement_faults(plan), *_sampling_faults(plan, noted)]
    event = _charged(noted)
    bound = _mu_of_a_sum(plan, event, confidence)
    return Findings("noisy gradients", (bound,), tuple(faults))


def movement(name: str, plan: SgdPlan) -> float:
    """How far this unit moves the exact sum, in units of the clip; infinite when it makes it not finite."""
    rows, gradient = BAD[name]
    one, other = (_exact_sum(_people(extra), plan, gradient) for extra in (0, rows))
    moved = float(np.linalg.norm(other - one)) / plan.clip
    return moved if math.isfinite(moved) else math.inf


def _movement_faults(plan: SgdPlan) -> list[Fault]:
    found = []
    for name in BAD:
        moved = movement(name, plan)
        if moved > 1:
            words = f"unit '{name}' moves a sum by {moved:.4g} clips, at most 1 may be"
            found.append(Fault("clipped gradient", name, words))
    return found


def _mu_of_a_sum(plan: SgdPlan, event: DpSgd, confidence: float) -> Beside:
    """One sum without sampling: the largest movement over the real noise, beside one over the charged sigma."""
    everybody = SgdPlan(EVERYBODY, 40, plan.sigma, plan.clip)
    table = _people(0)
    sums = np.array(
        list(Curator(table.engine, Noted(), real_coins()).noisy_gradients(everybody, _quiet, "audit"))
    )
    residuals = (sums / plan.clip).ravel()
    noise = chi_square(residuals, np.full(len(residuals), event.sigma), confidence)
    moved = max(movement(name, plan) for name in BAD)
    low = math.inf if noise.high == 0 else moved / (event.sigma * noise.high)
    high = math.inf if noise.low == 0 else moved / (event.sigma * noise.low)
    facts = {"sigma": noise.as_json(), "moved_clips": finite(moved)}
    return Beside("one gradient sum", low, high, 1 / event.sigma, facts)


def _sampling_faults(plan: SgdPlan, noted: Noted, units: int = 400) -> list[Fault]:
    """Who is in which batch, seen by a gradient that looks; against the charged rate and number of steps."""
    domain = Domain.of(unit=units)
    records = Records.of(domain, {"unit": np.arange(units)})
    table = _taken(records, [b"%d" % i for i in range(units)], 1)
    seen: list[NDArray[np.int64]] = []

    def look(batch: Records) -> Sequence[Dense]:
        seen.append(np.asarray(batch["unit"], np.int64))
        return [Dense(np.zeros((len(batch), 1)))]

    inside = []
    for _ in Curator(table.engine, noted, real_coins()).noisy_gradients(plan, look, "audit"):
        who = np.concatenate(seen) if seen else np.zeros(0, np.int64)
        inside.append(np.bincount(who, minlength=units) > 0)
        seen.clear()
    event = _charged(noted)
    faults = [
        Fault("batches as accounted", f"batches: {odd.name}", f"{odd.words} (p = {odd.p_value:.1g})")
        for odd in oddities(np.array(inside), event.rate)
    ]
    if len(inside) != event.steps:
        words = f"{len(inside)} sums came, {event.steps} were charged"
        faults.append(Fault("steps as accounted", "steps", words))
    return faults


def one_run_of_gradients(
    canaries: int = 2000, plan: SgdPlan | None = None, delta: float = 1e-5, confidence: float = 0.99
) -> tuple[OneRun, float]:
    """Canaries with a direction each in one training by the real code: the bounds, and the epsilon that was charged."""
    chosen = plan or SgdPlan(0.2, 100, 2.0, CLIP)
    sides = np.random.default_rng().random(canaries) < 0.5
    numbers = np.flatnonzero(sides)
    records = Records.of(Domain.of(unit=canaries), {"unit": numbers})
    table = _taken(records, [b"%d" % i for i in numbers], 1)

    def along(batch: Records) -> Sequence[Dense]:
        values = np.zeros((len(batch), canaries))
        values[np.arange(len(batch)), batch["unit"]] = 2 * chosen.clip
        return [Dense(values)]

    noted = Noted()
    sums = np.array(
        list(Curator(table.engine, noted, real_coins()).noisy_gradients(chosen, along, "canaries"))
    )
    scores = direction_scores(sums, chosen.clip)
    found = one_run_bounds(scores, sides, delta, confidence)
    return found, certify([_charged(noted)], delta).epsilon


def _people(extra: int) -> Intake:
    """Twenty ordinary units, and one more with `extra` rows."""
    labels = [0] * 20 + [1] * extra
    units = [b"%d" % i for i in range(20)] + [b"new"] * extra
    return _taken(Records.of(Domain.of(new=2), {"new": np.array(labels)}), units, K)


def _taken(records: Records, units: list[bytes], rows_per_unit: int) -> Intake:
    return intake.take_in(records, units, rows_per_unit=rows_per_unit, holdout=0.0, stream=scripted())


def _exact_sum(table: Intake, plan: SgdPlan, bad: Callable[[int], Floats]) -> Floats:
    def gradient(batch: Records) -> Sequence[Dense]:
        values = np.zeros((len(batch), COORDINATES))
        new = batch["new"] == 1
        values[new] = bad(int(new.sum()))
        return [Dense(values)]

    once = SgdPlan(plan.rate, 1, plan.sigma, plan.clip)
    [total] = exact_door(table.engine).noisy_gradients(once, gradient, "exact")
    return total


def _quiet(batch: Records) -> Sequence[Dense]:
    return [Dense(np.zeros((len(batch), COORDINATES)))]


def _charged(noted: Noted) -> DpSgd:
    events: list[Event] = noted.events
    return next(event for event in events if isinstance(event, DpSgd))
