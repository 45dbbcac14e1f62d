"""AIM: measure next what the model explains worst (McKenna, Mullins, Sheldon and Miklau 2022).

One-way marginals first. Then rounds inside one Gaussian grant: a marginal of up to three attributes is chosen
privately, by how far the model is from the data beyond what the noise of a measurement would hide; it is measured, and the
model fitted again. A measurement that tells no more than its noise halves the noise of the rounds to come. The last round
spends what is left. How large the model may grow depends on past choices and on what is spent, never on a score.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np

from dpsynth.budget import Cost
from dpsynth.domain import Clique
from dpsynth.mechanisms import oneway
from dpsynth.mechanisms.adaptive import (
    L1_OF_NOISE,
    begin,
    behind,
    candidates,
    inner,
    question,
    scored_cells,
    weigh,
)
from dpsynth.mechanisms.base import Fit, Found, Task
from dpsynth.mechanisms.rooms import Room
from dpsynth.privacy import rounds
from dpsynth.privacy.curator import Curator
from dpsynth.privacy.events import Charge
from dpsynth.privacy.rounds import Round
from dpsynth.progress import Progress, silent

ROUNDS, ROUND = "aim: all rounds", "aim: choose and measure"

CHOICE_SHARE = 0.1
"""Of a round's cost, for the choice."""

ROUNDS_PER_ATTRIBUTE = 16
"""How many rounds there would be if the noise were never halved."""

INFORMATIVE = 0.5
"""A measurement that moves the model by less than this part of its expected noise halves the noise to come."""

SPENT = 1e-3
"""The loop ends when no more than this share of the grant is left."""


class Aim:
    """Noisy one-way marginals, then marginals of up to three attributes chosen one by one."""

    name: ClassVar[str] = "aim"

    def plan(self, task: Task, cost: Cost) -> tuple[Charge, ...]:
        """One-ways, and one grant for all rounds; a single attribute has the one-way only."""
        ones, loop = _split(task, cost)
        charges = [oneway.charge(task.domain, ones, task.rows_per_unit)]
        if loop is not None:
            charges.append(Charge(ROUNDS, rounds.grant_event(loop)))
        return tuple(charges)

    def cells(self, task: Task) -> int:
        return scored_cells(task)

    def noise(self, task: Task, cost: Cost) -> dict[Clique, float]:
        return oneway.noise(task.domain, _split(task, cost)[0], task.rows_per_unit)

    def chosen_noise(self, task: Task, cost: Cost) -> float | None:
        """None: how often the noise is halved depends on the data."""
        return None

    def measure(
        self, curator: Curator, task: Task, cost: Cost, fit: Fit, progress: Progress = silent
    ) -> Found:
        ones, loop = _split(task, cost)
        found = oneway.measure(curator, ones)
        if loop is None:
            return Found(tuple(found), fit(task.domain, found))
        start = Found(tuple(found), begin(task, found, loop, fit))
        door = behind(curator, start.generator).within(ROUNDS)
        return adapt(door, task, loop, start, fit, progress)


def adapt(
    door: Curator,
    task: Task,
    loop: Cost,
    start: Found,
    fit: Fit,
    progress: Progress,
    rounds_each: float = ROUNDS_PER_ATTRIBUTE,
) -> Found:
    """AIM's rounds behind a grant of `loop`, from a model that there is already.

    `rounds_each`: how many there would be for each attribute if the noise were never halved.
    """
    k, found, model = door.rows_per_unit, list(start.measurements), start.generator
    asked = candidates(replace(task, domain=door.domain))
    weights, room = weigh(task, asked), Room(door.domain, [*task.zeros, *(m.clique for m in found)])
    whole = door.remaining
    now = rounds.round_of(loop.share(1 / (rounds_each * len(task.domain))), CHOICE_SHARE)
    while (left := door.remaining) > SPENT * whole:
        progress("measuring", 1 - left / whole)
        now = _affordable(now, left, k)
        limit = task.max_cells * (1 - (left - now.price(k)) / whole)
        fitting = room.fits(asked, limit)
        ask = question(inner(model), fitting, weights, now.sigma(k))
        newest = door.choose_and_measure(ask.estimates, now, ROUND, ask.penalties, ask.weights)
        found.append(newest)
        room.add(newest.clique)
        model = fit(task.domain, found, start=model)
        moved = np.abs(inner(model).marginal(newest.clique) - ask.estimates[newest.clique]).sum()
        if moved <= INFORMATIVE * L1_OF_NOISE * newest.sigma * newest.values.size:
            now = now.times(4.0)
    return Found(tuple(found), model)


def _affordable(now: Round, left: float, rows_per_unit: int) -> Round:
    """The round, or all that is left when it would not leave enough for another; its noise has a Gaussian price."""
    least = rounds.smallest_noise(rows_per_unit, CHOICE_SHARE)
    if now.rho > least.rho:
        now = least
    return rounds.spending(left, CHOICE_SHARE, rows_per_unit) if left < 2 * now.price(rows_per_unit) else now


def _split(task: Task, cost: Cost) -> tuple[Cost, Cost | None]:
    """(for the one-ways, for the rounds)."""
    if len(task.domain) == 1:
        return cost, None
    share = oneway.share(cost, task.rows_per_unit)
    return cost.share(share), cost.share(1 - share)
