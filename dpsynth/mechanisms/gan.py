"""GAN: a critic trained by noisy gradients (DP-SGD) against a generator that is a mixture of product distributions.

Noisy one-way marginals first: they say which cells are too light to be told apart, and where the generator begins. Then
the critic takes noisy gradient steps over secret Poisson batches of units, all of them one charge of constant rate,
noise and number; after each, the generator takes several steps up the critic's score, which cost nothing. Without
data in between it goes on until it stands still. A declared target is crossed with every pair, and in the end its
values are drawn again by a logistic model of the generator, which one more noisy gradient puts right (`Gan.label`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from dpsynth.budget import Cost
from dpsynth.domain import Clique
from dpsynth.gan import order
from dpsynth.gan.critic import Critic, weights
from dpsynth.gan.impossible import Impossible
from dpsynth.gan.layout import Layout
from dpsynth.gan.table import RATE, LogitTable
from dpsynth.measurement import Merges
from dpsynth.mechanisms import labelling, oneway
from dpsynth.mechanisms.base import Fit, Found, Mixed, Task
from dpsynth.mechanisms.coarse import merges_for
from dpsynth.pgm import MergedMixture, MixtureModel, Model
from dpsynth.pgm.merged import within_shares
from dpsynth.privacy import sensitivity
from dpsynth.privacy.curator import Curator
from dpsynth.privacy.events import Charge
from dpsynth.privacy.merging import merge_counts
from dpsynth.privacy.sgd import SgdPlan
from dpsynth.progress import Progress, silent
from dpsynth.threads import one_thread

CRITIC = "gan: critic"

ONEWAY_SHARE = 0.1
"""Of the whole cost, for the one-way marginals; the critic has the rest."""
STANDS_OUT = 6.0
"""A cell stays single from this many standard deviations of a pair's noise on."""
ROWS_PER_CELL = 4
"""Components of the generator, at most, for each cell of all columns together."""
SLOWING = 4.0
"""The generator's steps shrink over the last part of them: one in so many."""
FINEST = (64, 32, 16, 8, 4)
"""Cells lighter than this part of all records are merged; the finest that fits the limit on cells."""
PULL = 45.0
"""The pull towards independence, for each part of the records that the noise of a pair's cell is, beside half the squared
errors of pairs in units of that noise (`network.PULL`)."""
SEED = 0
"""Of all that is random in training and not private: the same noisy gradients make the same model."""


@dataclass(frozen=True)
class Gan:
    """`steps` noisy gradients over batches of `rate` of all units; `moves` of the generator after each, and `tail` more
    in the end. `rows`: components of the generator, fewer where all columns together have few cells. `label`: the part of
    what the one-ways leave that the model of the target gets; with 0 it is learnt from the generator alone."""

    name: ClassVar[str] = "gan"
    steps: int = 64
    rate: float = 0.5
    moves: int = 8
    tail: int = 200
    rows: int = 1000
    label: float = 0.15

    def plan(self, task: Task, cost: Cost) -> tuple[Charge, ...]:
        """One-ways, and all steps of the critic; a single attribute has the one-way only."""
        split = self._split(task, cost)
        charges = [oneway.charge(task.domain, split.ones, task.rows_per_unit)]
        if split.critic is not None:
            charges.append(Charge(CRITIC, self._training(task, split.critic).event))
        if split.label is not None:
            charges.append(labelling.charge(task, split.label))
        return tuple(charges)

    def cells(self, task: Task) -> int:
        """One-way counts, and the critic's coordinates."""
        return sum(task.domain.sizes) + _most_cells(task, _finest(task))

    def noise(self, task: Task, cost: Cost) -> dict[Clique, float]:
        return oneway.noise(task.domain, self._split(task, cost).ones, task.rows_per_unit)

    def chosen_noise(self, task: Task, cost: Cost) -> float | None:
        """None: there are no other marginals."""
        return None

    def measure(
        self, curator: Curator, task: Task, cost: Cost, fit: Fit, progress: Progress = silent
    ) -> Found | Mixed:
        # what is asked was fixed by the sizes that were planned, whatever was discovered since
        planned = replace(task, domain=curator.planned)
        split = self._split(planned, cost)
        found = tuple(oneway.measure(curator, split.ones))
        independent = fit(task.domain, found)
        if split.critic is None:
            return Found(found, independent)
        light = self._light(planned, split.critic, independent.total)
        merges = merges_for(task, [m for m in found if m.clique != (labelling.drawn_again(planned),)], light)
        door = curator.coarsened(merges) if merges else curator
        with one_thread():
            inside = self._trained(door, planned, split, independent, merges, progress)
        if not merges:
            return Mixed(found, inside)
        shares = within_shares(task.domain, found, merges, task.in_order)
        return Mixed(found, MergedMixture(task.domain, inside, merges, shares))

    def _split(self, task: Task, cost: Cost) -> _Split:
        if len(task.domain) == 1:
            return _Split(cost, None, None)
        ones, rest = cost.share(ONEWAY_SHARE), cost.share(1 - ONEWAY_SHARE)
        if not self.label or labelling.drawn_again(task) is None:
            return _Split(ones, rest, None)
        return _Split(ones, rest.share(1 - self.label), rest.share(self.label))

    def _training(self, task: Task, cost: Cost) -> SgdPlan:
        """A record's gradient has norm 1: that of a unit is at most the number of its records."""
        sigma = sensitivity.sgd_sigma(cost, self.rate, self.steps)
        return SgdPlan(self.rate, self.steps, sigma, float(task.rows_per_unit))

    def _light(self, task: Task, cost: Cost, total: float) -> float:
        """The count below which a cell is merged with others: for the noise of a pair, and for the limit on cells."""
        return max(STANDS_OUT * _pair_noise(task, cost), total / _finest(task))

    def _trained(
        self, door: Curator, task: Task, split: _Split, independent: Model, merges: Merges, progress: Progress
    ) -> MixtureModel:
        """The critic's and the generator's steps; `independent` begins on the cells before `merges`."""
        assert split.critic is not None
        layout = Layout(door.domain)
        target = labelling.drawn_again(task)
        rng = np.random.default_rng(SEED)
        ones = {
            a: merge_counts(independent.marginal((a,)), (a,), merges) / independent.total
            for a in door.domain.attributes
        }
        rows = min(self.rows, ROWS_PER_CELL * layout.width)
        impossible = Impossible.of(door.domain, task.zeros, merges)
        ordered = order.after(replace(task, domain=independent.domain).in_order, merges)
        crossed = None if target is None else door.domain.index(target)
        critic = Critic(layout, crossed, self.rate * independent.total)
        noise = _pair_noise(task, split.critic) / independent.total
        pull = PULL * noise * critic.noise_energy(noise)
        generator = LogitTable(layout, layout.joined(ones), rows, rng, impossible, ordered, pull)
        whole, done = self.steps * self.moves + self.tail, 0
        plan = self._training(task, split.critic)
        for noisy in door.noisy_gradients(plan, critic.gradient, CRITIC):
            progress("training", done / whole)
            critic.learn(noisy)
            done = self._improved(generator, critic, done, self.moves)
        for _ in range(0, self.tail, self.moves):
            progress("training", min(1.0, done / whole))
            done = self._improved(generator, critic, done, self.moves)
        shares = generator.shares
        mix = np.full(len(shares), 1 / len(shares), dtype=np.float32)
        found = MixtureModel(door.domain, independent.total, mix, layout.apart(shares))
        if target is None:
            return found
        paid = None if split.label is None else (door, split.label)
        return labelling.relabel(found, target, noise, rng, wanted=ones[target], paid=paid)

    def _improved(self, generator: LogitTable, critic: Critic, done: int, moves: int) -> int:
        """Steps of the generator, slower towards the end; how many were done."""
        whole = self.steps * self.moves + self.tail
        for step in range(done, done + moves):
            generator.improve(critic, RATE * min(1.0, SLOWING * max(0.0, 1 - step / whole)))
        return done + moves


@dataclass(frozen=True)
class _Split:
    """Costs: for the one-ways, for the critic (None with one attribute), for the target's model (None: nothing)."""

    ones: Cost
    critic: Cost | None
    label: Cost | None


def _weights(task: Task) -> NDArray[np.float64]:
    """Of the critic's cliques."""
    attributes = len(task.domain)
    crossed = 0 if labelling.drawn_again(task) is None else math.comb(attributes - 1, 2)
    return weights(math.comb(attributes, 2), crossed)


def _pair_noise(task: Task, cost: Cost) -> float:
    """Standard deviation (rows) of what all of the critic's steps together tell of one cell of a pair."""
    return task.rows_per_unit / (float(_weights(task)[0]) * math.sqrt(2 * cost.rho))


def _finest(task: Task) -> int:
    """How many cells of a column may stand out at most, so that the critic keeps within the limit on cells."""
    return next((f for f in FINEST if _most_cells(task, f) <= task.max_cells), FINEST[-1])


def _most_cells(task: Task, finest: int) -> int:
    """Cells of all cliques when each column has `finest` heavy cells at most, a merged one between any two."""
    target = labelling.drawn_again(task)
    sizes = [
        min(size, 2 * finest + 2)
        for a, size in zip(task.domain.attributes, task.domain.sizes, strict=True)
        if a != target
    ]
    pairs = (sum(sizes) ** 2 - sum(size**2 for size in sizes)) // 2
    labels = 0 if target is None else task.domain[target]
    return pairs * (1 + labels) + sum(sizes) * labels
