"""`network`: all pairs measured once, then triples where the model is wrong, explained by a trained mixture of products.

(GEM: Liu, Vietri and Wu 2021; MargNet: Chen, Gong and Wang 2025.) One-way marginals first, by which light cells are merged.
Then all pairs that somebody asked for, with noise; a mixture is trained to explain them. The noisy L1 errors of triples
against it say which are worth measuring; the training goes on with those. No junction tree limits what may be measured
together: the choice for tables in which everything hangs together.

*What it costs.* One-ways and errors are noise scales fixed by the plan. How the pairs share their budget follows from merged
sizes, and which triples are measured from the errors: each of the two is a Gaussian grant, as in `tree`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from dpsynth.budget import Cost
from dpsynth.domain import Clique, Domain
from dpsynth.gan.training import Schedule, Training, multiplications, require_torch
from dpsynth.measurement import Measurement
from dpsynth.mechanisms import coarse, oneway
from dpsynth.mechanisms.adaptive import candidates
from dpsynth.mechanisms.base import Fit, Mixed, Task
from dpsynth.pgm import MergedMixture, MixtureModel
from dpsynth.pgm.merged import within_shares
from dpsynth.pgm.problem import combine, estimate_total
from dpsynth.privacy import rounds, sensitivity
from dpsynth.privacy.curator import Curator
from dpsynth.privacy.events import Charge
from dpsynth.privacy.grants import fitting_costs
from dpsynth.privacy.merging import Merges, merged_domain
from dpsynth.progress import Progress, silent

PAIRS, ERRORS, TRIPLES = "network: all pairs", "network: errors of triples", "network: chosen triples"

PAIRS_SHARE, TOLD_SHARE = 0.6, 0.35
"""Of what the one-way marginals leave, for the pairs, where there are triples to choose from: without a target, with one."""

ERRORS_SHARE = 0.04
"""Of what the one-way marginals leave, for the errors of triples."""

NOISE_HEEDED = 0.4
"""How much of the expected noise counts against measuring a triple: the mixture averages the rest away."""

LIGHT = 5.0
"""Cells below so many standard deviations of a typical pair's noise are merged."""

MOST_TRIPLES = 45
"""Triples that are measured, at most."""

COMPONENTS = 800

RATE = 0.1

PULL, TOLD_PULL, MOST_PULL = 1.2, 2.0, 0.03
"""The pull towards independence, for each part of the records that the noise of a typical pair's cell is: without a
target, with one; and at most."""

STEPS = (200, 300)
"""With pairs alone, then with triples too, at most; fewer where a step is dear."""

WORK = 2e12
"""Multiplications of all steps together: about 30 seconds of one core."""


class Network:
    """One-way marginals, all pairs, and triples chosen by their errors; a mixture of products explains them."""

    name: ClassVar[str] = "network"

    def plan(self, task: Task, cost: Cost) -> tuple[Charge, ...]:
        """One-ways; a grant for the pairs; the errors of triples and a grant for the chosen ones, if there are any."""
        split, k = _split(task, cost), task.rows_per_unit
        charges = [oneway.charge(task.domain, split.ones, k)]
        if split.pairs is not None:
            charges.append(Charge(PAIRS, rounds.grant_event(split.pairs)))
        if split.triples is not None and split.errors is not None:
            equally = [1.0] * len(_triples(task))
            charges.append(Charge(ERRORS, sensitivity.measure_event(split.errors, k, equally)))
            charges.append(Charge(TRIPLES, rounds.grant_event(split.triples)))
        return tuple(charges)

    def cells(self, task: Task) -> int:
        """All pairs and all triples that may be asked for, merged or not, and the square of all cells side by side.

        Without PyTorch UsageError: a plan that cannot be trained is refused before anything is spent.
        """
        require_torch()
        asked = [*_pairs(task), *_triples(task)]
        return sum(task.domain.sizes) ** 2 + sum(task.domain.size(c) for c in asked)

    def noise(self, task: Task, cost: Cost) -> dict[Clique, float]:
        """The one-way marginals."""
        return oneway.noise(task.domain, _split(task, cost).ones, task.rows_per_unit)

    def chosen_noise(self, task: Task, cost: Cost) -> float | None:
        """None: merged sizes and errors decide the noise."""
        return None

    def measure(
        self, curator: Curator, task: Task, cost: Cost, fit: Fit, progress: Progress = silent
    ) -> Mixed:
        # what is asked was fixed by the sizes that were planned, whatever was discovered since
        planned = replace(task, domain=curator.planned)
        split, triples = _split(planned, cost), _triples(planned)
        found = oneway.measure(curator, split.ones)
        rest = split.pairs or split.ones
        merges = coarse.merges_for(task, found, LIGHT * _typical_noise(task, rest))
        noise = _typical_noise(task, rest) / _records(found)
        state = _State(task, found, merges, min(MOST_PULL, (TOLD_PULL if _told(task) else PULL) * noise))
        if split.pairs is not None:
            door = curator.coarsened(merges)
            shares = {pair: door.domain.size(pair) ** (2 / 3) for pair in _pairs(task)}
            state.add(_measured(door.within(PAIRS), shares, PAIRS))
        state.train(STEPS[0], RATE, _part(progress, 0.0, 0.4))
        if split.triples is not None and split.errors is not None:
            errors = door.errors(state.model.marginals(triples), split.errors, ERRORS)
            chosen = _chosen(door.domain, task, errors, split.triples)
            state.add(_measured(door.within(TRIPLES), chosen, TRIPLES))
            state.train(STEPS[1], RATE / 2, _part(progress, 0.4, 1.0))
        return state.released()


class _State:
    """What was released so far, and the mixture that explains it."""

    def __init__(self, task: Task, ones: Sequence[Measurement], merges: Merges, pull: float) -> None:
        self._task, self._merges, self._pull = task, merges, pull
        self._found = list(ones)
        self._domain = merged_domain(task.domain, merges)
        targets = combine(self._domain, ones, merges)
        shares: dict[str, NDArray[np.float64]] = {}
        for target in targets:
            counts = np.maximum(target.values, 0.3 * np.sqrt(target.variance))
            shares[target.clique[0]] = counts / counts.sum()
        self._training = Training(
            self._domain, shares, estimate_total(targets), COMPONENTS, task.workload.target
        )

    @property
    def model(self) -> MixtureModel:
        return self._training.model()

    def add(self, found: Sequence[Measurement]) -> None:
        self._found += found

    def train(self, steps: int, rate: float, progress: Progress) -> None:
        targets = combine(self._domain, self._found, self._merges)
        self._training.total = estimate_total(targets)
        work = multiplications(self._domain, [t.clique for t in targets], COMPONENTS)
        affordable = max(1, int(WORK * steps / sum(STEPS) / work))
        self._training.train(targets, Schedule(min(steps, affordable), rate, self._pull), progress)

    def released(self) -> Mixed:
        domain, inside = self._task.domain, self.model
        if not self._merges:
            return Mixed(tuple(self._found), inside)
        shares = within_shares(domain, self._found, self._merges)
        return Mixed(tuple(self._found), MergedMixture(domain, inside, self._merges, shares))


@dataclass(frozen=True)
class _Split:
    """Costs of the parts; None where there is nothing to ask."""

    ones: Cost
    pairs: Cost | None
    errors: Cost | None
    triples: Cost | None


def _split(task: Task, cost: Cost) -> _Split:
    if not _pairs(task):
        return _Split(cost, None, None, None)
    share = oneway.share(cost, task.rows_per_unit)
    ones, rest = cost.share(share), cost.share(1 - share)
    if not _triples(task):
        return _Split(ones, rest, None, None)
    pairs = TOLD_SHARE if _told(task) else PAIRS_SHARE
    return _Split(ones, rest.share(pairs), rest.share(ERRORS_SHARE), rest.share(1 - pairs - ERRORS_SHARE))


def _told(task: Task) -> bool:
    """Whether a target is named."""
    return task.workload.target is not None


def _pairs(task: Task) -> list[Clique]:
    """Those that somebody asked for."""
    return [p for p in itertools.combinations(task.domain.attributes, 2) if task.workload.weight(p) > 0]


def _triples(task: Task) -> list[Clique]:
    """Those that may be asked for: with the target, where there is one."""
    target = task.workload.target
    return [c for c in candidates(task) if len(c) == 3 and (target is None or target in c)]


def _records(ones: Sequence[Measurement]) -> float:
    """The number of records, from the noisy one-way marginals."""
    weights = np.array([1.0 / (m.sigma**2 * m.values.size) for m in ones])
    return max(1.0, float(weights @ [m.total for m in ones] / weights.sum()))


def _typical_noise(task: Task, pairs: Cost) -> float:
    """The noise scale, in rows, of a pair's cell."""
    return task.rows_per_unit * math.sqrt(max(1, len(_pairs(task))) / (2 * pairs.rho))


def pair_error(task: Task, cost: Cost, rows: int) -> float | None:
    """The part that noise has in the error of a pair, mean over pairs: the expected total variation of what is measured,
    light cells merged, in a table of `rows` rows. None where no pair is measured."""
    split = _split(task, cost)
    if split.pairs is None:
        return None
    sigma = _typical_noise(task, split.pairs)
    heavy = max(2.0, rows / (LIGHT * sigma))
    cells = [math.prod(min(task.domain[a], heavy) for a in pair) for pair in _pairs(task)]
    errors = [min(1.0, n * sigma * math.sqrt(2 / math.pi) / (2 * rows)) for n in cells]
    return math.fsum(errors) / len(errors)


def _chosen(domain: Domain, task: Task, errors: Mapping[Clique, float], cost: Cost) -> dict[Clique, float]:
    """The triples whose errors outweigh their noise, one at least, and each one's share in rho (as in `tree`)."""
    triples = list(errors)
    weights = np.array([task.workload.weight(c) for c in triples])
    cells = np.array([domain.size(c) for c in triples], dtype=np.float64)
    gains = weights * np.array([errors[c] for c in triples])
    prices = (math.sqrt(2 / math.pi) * weights * cells) ** (2 / 3)
    order = np.argsort(-gains / prices, kind="stable")[:MOST_TRIPLES]
    noise = NOISE_HEEDED * task.rows_per_unit / math.sqrt(2 * cost.rho)
    values = np.cumsum(gains[order]) - noise * np.cumsum(prices[order]) ** 1.5
    return {triples[i]: float(prices[i]) for i in order[: int(np.argmax(values)) + 1]}


def _measured(door: Curator, shares: Mapping[Clique, float], purpose: str) -> list[Measurement]:
    """All of them at once, for all that the grant holds."""
    costs = fitting_costs(door.remaining, door.rows_per_unit, list(shares.values()))
    cliques = [clique for clique, parts in zip(shares, costs, strict=True) for _ in parts]
    flat = [part for parts in costs for part in parts]
    return door.measure(cliques, Cost(math.fsum(flat)), purpose, flat)


def _part(progress: Progress, start: float, end: float) -> Progress:
    """Progress through a part of the whole."""
    return lambda step, done: progress(step, start + (end - start) * done)
