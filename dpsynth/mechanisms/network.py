"""`network`: pairs, then triples where the model is wrong, explained by a trained mixture of products.

(GEM: Liu, Vietri and Wu 2021; MargNet: Chen, Gong and Wang 2025.) One-way marginals first, by which light cells are merged.
The noisy L1 errors of independent columns say which pairs are worth measuring; a mixture is trained to explain those. The
noisy errors of triples against it say which of them are; the training goes on. No junction tree limits what may be
measured together: the choice for tables in which everything hangs together. A target of few values is drawn again in the
end, by a model of its own.

*What it costs.* One-ways, errors and the gradient of the target's model are noise scales fixed by the plan. Which pairs
and triples are measured, and how they share their budget, follows from the errors: each of the two is a Gaussian grant,
as in `tree`.
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
from dpsynth.gan import order
from dpsynth.gan.impossible import Impossible
from dpsynth.gan.training import Schedule, Training, multiplications, require_torch
from dpsynth.measurement import Measurement
from dpsynth.mechanisms import coarse, labelling, oneway
from dpsynth.mechanisms.adaptive import candidates
from dpsynth.mechanisms.base import Fit, Mixed, Task
from dpsynth.pgm import MergedMixture, MixtureModel
from dpsynth.pgm.following import followed
from dpsynth.pgm.merged import within_shares
from dpsynth.pgm.problem import combine, estimate_total
from dpsynth.privacy import rounds, sensitivity
from dpsynth.privacy.curator import Curator
from dpsynth.privacy.events import Charge
from dpsynth.privacy.grants import fitting_costs
from dpsynth.privacy.merging import Merges, merged_domain
from dpsynth.progress import Progress, silent

LOOKED, PAIRS = "network: errors of pairs", "network: chosen pairs"
ERRORS, TRIPLES = "network: errors of triples", "network: chosen triples"

LABEL_SHARE, LABEL_COST, LABEL_POWER = 0.3, 0.036, 1.0
"""Of what the one-way marginals leave, for the model of the target, where it is drawn again: up to this cost for one row;
above it the part falls with that power, as the mixture's own labels get better."""

PAIRS_SHARE = 0.6
"""Of the rest, for the pairs, where there are triples to choose from."""

ERRORS_SHARE = 0.04
"""Of the rest, for the errors of pairs, and as much for those of triples."""

NOISE_HEEDED = 0.4
"""How much of the expected noise counts against measuring a marginal: the mixture averages the rest away."""

LIGHT = 5.0
"""Cells below so many standard deviations of a typical pair's noise are merged."""

MOST_TRIPLES = 45
"""Triples that are measured, at most."""

COMPONENTS = 800

SEED = 0
"""Of what is no privacy noise, when the target is drawn again."""

RATES = (0.1, 0.05)
"""Of Adam, with pairs alone and with triples too."""

PARTS = ((0.0, 0.4), (0.4, 1.0))
"""Of the whole progress."""

PULL, MOST_PULL = 45.0, 0.7
"""The pull towards independence, for each part of the records that the noise of a typical pair's cell is; and at most."""

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
        for stage in split.stages:
            equally = [1.0] * len(stage.candidates)
            charges.append(Charge(stage.looked, sensitivity.measure_event(stage.errors, k, equally)))
            charges.append(Charge(stage.purpose, rounds.grant_event(stage.measured)))
        if split.label is not None:
            charges.append(labelling.charge(task, split.label))
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
        split = _split(planned, cost)
        found = oneway.measure(curator, split.ones)
        typical = _typical_noise(planned, split)
        merges = coarse.merges_for(task, found, LIGHT * typical)
        noise = typical / _records(found)
        state = _State(task, found, merges, min(MOST_PULL, PULL * noise))
        door = curator.coarsened(merges)
        for number, stage in enumerate(split.stages):
            errors = door.errors(state.marginals(stage.candidates), stage.errors, stage.looked)
            chosen = _chosen(door.domain, task, errors, stage)
            state.add(_measured(door.within(stage.purpose), chosen, stage.purpose))
            state.train(number, _part(progress, *PARTS[number]))
        if not split.stages:
            state.train(0, progress)
        if split.label is not None:
            state.relabel(door, split.label, noise)
        return state.released()


class _State:
    """What was released so far, and the mixture that explains it."""

    def __init__(self, task: Task, ones: Sequence[Measurement], merges: Merges, pull: float) -> None:
        self._task, self._merges, self._pull = task, merges, pull
        self._found = list(ones)
        self._domain = merged_domain(task.domain, merges)
        targets = combine(self._domain, ones, merges)
        self._ones: dict[str, NDArray[np.float64]] = {}
        for target in targets:
            counts = np.maximum(target.values, 0.3 * np.sqrt(target.variance))
            self._ones[target.clique[0]] = counts / counts.sum()
        self._total = estimate_total(targets)
        self._training: Training | None = None
        self._relabelled: MixtureModel | None = None

    @property
    def model(self) -> MixtureModel:
        """The mixture; before the first training independent columns, one component."""
        if self._relabelled is not None:
            return self._relabelled
        if self._training is None:
            tables = {a: shares[None] for a, shares in self._ones.items()}
            return MixtureModel(self._domain, self._total, np.ones(1), tables)
        return self._training.model()

    def marginals(self, cliques: Sequence[Clique]) -> Mapping[Clique, NDArray[np.float64]]:
        return self.model.marginals(cliques)

    def add(self, found: Sequence[Measurement]) -> None:
        self._found += found

    def train(self, number: int, progress: Progress) -> None:
        """Explain all that was measured so far, smoothed along orders; `number`: how often there was a training before."""
        targets = combine(self._domain, self._found, self._merges)
        self._total = estimate_total(targets)
        ordered = order.after(self._task.in_order, self._merges)
        if self._training is None:
            impossible = Impossible.of(self._domain, self._task.zeros, self._merges)
            target = self._task.workload.target
            self._training = Training(
                self._domain,
                self._ones,
                self._total,
                COMPONENTS,
                target,
                impossible,
                ordered,
            )
        self._training.total = self._total
        work = multiplications(self._domain, [t.clique for t in targets], COMPONENTS)
        steps = STEPS[number]
        affordable = max(1, int(WORK * steps / sum(STEPS) / work))
        schedule = Schedule(min(steps, affordable), RATES[number], self._pull)
        aims = followed(self._domain, targets, ordered, self._total)
        smooth = [replace(target, values=aim) for target, aim in zip(targets, aims, strict=True)]
        self._training.train(smooth, schedule, progress)

    def relabel(self, door: Curator, cost: Cost, noise: float) -> None:
        """The target drawn again by its own model, for this cost."""
        target = self._task.workload.target
        assert target is not None
        rng, wanted = np.random.default_rng(SEED), self._ones[target]
        self._relabelled = labelling.relabel(self.model, target, noise, rng, wanted=wanted, paid=(door, cost))

    def released(self) -> Mixed:
        domain, inside = self._task.domain, self.model
        if not self._merges:
            return Mixed(tuple(self._found), inside)
        shares = within_shares(domain, self._found, self._merges, self._task.in_order)
        return Mixed(tuple(self._found), MergedMixture(domain, inside, self._merges, shares))


@dataclass(frozen=True)
class _Stage:
    """Which marginals may be measured; costs of their errors and of those that are chosen; purposes; how many, at most."""

    candidates: Sequence[Clique]
    errors: Cost
    measured: Cost
    looked: str
    purpose: str
    most: int


@dataclass(frozen=True)
class _Split:
    """Costs of the parts: `stages` as far as there is something to ask, `label` where the target is drawn again."""

    ones: Cost
    stages: tuple[_Stage, ...]
    label: Cost | None


def _split(task: Task, cost: Cost) -> _Split:
    pairs, triples = _pairs(task), _triples(task)
    if not pairs:
        return _Split(cost, (), None)
    share = oneway.share(cost, task.rows_per_unit)
    ones, rest = cost.share(share), cost.share(1 - share)
    label = None
    if labelling.drawn_again(task) is not None:
        rho = cost.rho / task.rows_per_unit**2
        drawn = LABEL_SHARE * min(1.0, (LABEL_COST / rho) ** LABEL_POWER)
        label, rest = rest.share(drawn), rest.share(1 - drawn)
    part = PAIRS_SHARE if triples else 1.0
    errors = rest.share(ERRORS_SHARE)
    stages = [_Stage(pairs, errors, rest.share(part - ERRORS_SHARE), LOOKED, PAIRS, len(pairs))]
    if triples:
        left = rest.share(1 - part - ERRORS_SHARE)
        stages.append(_Stage(triples, errors, left, ERRORS, TRIPLES, MOST_TRIPLES))
    return _Split(ones, tuple(stages), label)


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


def _typical_noise(task: Task, split: _Split) -> float:
    """The noise scale, in rows, of a pair's cell, if all pairs are measured."""
    pairs = split.stages[0].measured if split.stages else split.ones
    return task.rows_per_unit * math.sqrt(max(1, len(_pairs(task))) / (2 * pairs.rho))


def pair_error(task: Task, cost: Cost, rows: int) -> float | None:
    """The part that noise has in the error of a pair, mean over pairs: the expected total variation of what is measured,
    light cells merged, in a table of `rows` rows. None where no pair is measured."""
    split = _split(task, cost)
    if not split.stages:
        return None
    sigma = _typical_noise(task, split)
    heavy = max(2.0, rows / (LIGHT * sigma))
    cells = [math.prod(min(task.domain[a], heavy) for a in pair) for pair in _pairs(task)]
    errors = [min(1.0, n * sigma * math.sqrt(2 / math.pi) / (2 * rows)) for n in cells]
    return math.fsum(errors) / len(errors)


def _chosen(domain: Domain, task: Task, errors: Mapping[Clique, float], stage: _Stage) -> dict[Clique, float]:
    """Those whose errors outweigh their noise, one at least, and each one's share in rho (as in `tree`)."""
    cliques = list(errors)
    weights = np.array([task.workload.weight(c) for c in cliques])
    cells = np.array([domain.size(c) for c in cliques], dtype=np.float64)
    gains = weights * np.array([errors[c] for c in cliques])
    prices = (math.sqrt(2 / math.pi) * weights * cells) ** (2 / 3)
    order = np.argsort(-gains / prices, kind="stable")[: stage.most]
    noise = NOISE_HEEDED * task.rows_per_unit / math.sqrt(2 * stage.measured.rho)
    values = np.cumsum(gains[order]) - noise * np.cumsum(prices[order]) ** 1.5
    return {cliques[i]: float(prices[i]) for i in order[: int(np.argmax(values)) + 1]}


def _measured(door: Curator, shares: Mapping[Clique, float], purpose: str) -> list[Measurement]:
    """All of them at once, for all that the grant holds."""
    costs = fitting_costs(door.remaining, door.rows_per_unit, list(shares.values()))
    cliques = [clique for clique, parts in zip(shares, costs, strict=True) for _ in parts]
    flat = [part for parts in costs for part in parts]
    return door.measure(cliques, Cost(math.fsum(flat)), purpose, flat)


def _part(progress: Progress, start: float, end: float) -> Progress:
    """Progress through a part of the whole."""
    return lambda step, done: progress(step, start + (end - start) * done)
