"""A clique tree within a size limit: what hangs together is measured at once, in few stages.

One-way marginals first, by which light cells are merged. Each stage then asks for the noisy L1 errors of all pairs against
the model so far, grows a set of pairs whose junction tree has small bags, and measures those two- and three-way marginals
inside the bags whose errors outweigh their noise, each with noise of its own; then one estimation.

*What it costs.* The first charge and the errors of each stage are noise scales fixed by the plan. Which marginals a stage
measures, how many, and how they share its budget is computed from released answers. Their charge is therefore a Gaussian
grant: whatever the m marginals and their scales sigma_i, all chosen before the first of them is counted, the sum of their
mu_i^2 is held to the grant's mu^2 by its filter (Smith and Thakurta 2022), and the run composes as if the grant were one
Gaussian mechanism, fixed beforehand. With mu_i = (k / sigma_i)(1 + 1 / (24 sigma_i^2)) about, that is the price of plain
Gaussian noise but for 1 / (12 sigma^2): 0.1 % at sigma 9.

*How the budget is shared inside a stage.* With weights w_i, cells c_i and a budget rho, the expected L1 noise is
k sqrt(2 / pi) sum w_i c_i / sqrt(2 rho_i), least when rho_i is proportional to y_i = (sqrt(2 / pi) w_i c_i)^(2/3), and then
k (sum y_i)^(3/2) / sqrt(2 rho). Marginals are taken by gain over y_i as long as the sum of gains grows faster than that.

*How the constants were found.* By the model's own error, over exact 2-way marginals, on three tables (national2019, bank,
adult; means of 4 to 6 fits). At epsilon 1, with a tenth for errors, noise heeded at 0.4, triples worth as much as pairs and
cells light below 5 sigma: .0220, .0290, .0326; with the constants below and `pgm/denoising.py`: .0202, .0280, .0311; with
`pgm/following.py` too: .0194, .0276, .0309. Heavier cells cost adult 4 % at epsilon 10, hence `MOST_LIGHT`. Exact
counts of the same marginals would leave .006, .018, .017. Of what is not measured a good part cannot be known but by
measuring it: as many rows drawn from the model stray from it, in those pairs, by .013, .025, .027, where the model's errors
are .018, .037, .047. Three or four stages, or other shares of two, gain nothing.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dpsynth.budget import Cost
from dpsynth.domain import Clique, Domain
from dpsynth.measurement import Measurement
from dpsynth.mechanisms import bags, coarse, oneway
from dpsynth.mechanisms.base import Fit, Found, Task
from dpsynth.privacy import rounds, sensitivity
from dpsynth.privacy.curator import Curator
from dpsynth.privacy.events import Charge
from dpsynth.privacy.grants import fitting_costs
from dpsynth.progress import Progress, silent

ERRORS, MARGINALS, PAIR = "tree: errors of all pairs", "tree: chosen marginals", "tree: the only pair"

STAGES = (0.5, 0.5)
"""Shares of the stages in what the one-way marginals leave."""

ERRORS_SHARE = 0.05
"""Of a stage's cost, for the errors of all pairs."""

NOISE_HEEDED = 0.3
"""How much of the expected noise counts against measuring a marginal: the model averages the rest away."""

TRIPLE = 0.5
"""What a triple is taken to mend of the error of its worst pair, which can be measured by itself."""

LIGHT, MOST_LIGHT = 0.5, 12.0
"""Cells of fewer rows than so many times the geometric mean of all rows and a typical pair's noise are merged, but none
of more rows than so many standard deviations of that noise.

What a merged cell hides grows with the rows that it holds, and what is lost to noise as one over them: together they are
least in proportion to that mean, and a column comes to about 2 sqrt(rows / sigma) cells.
"""

MARGINALS_EACH = 2.0
"""A typical number of marginals measured, for each attribute."""

BAG_CELLS = 1e6
"""The largest bag."""


class CliqueTree:
    """One-way marginals, then the two- and three-way marginals of a clique tree, in two stages."""

    name: ClassVar[str] = "tree"

    def plan(self, task: Task, cost: Cost) -> tuple[Charge, ...]:
        """One-ways; per stage the errors of all pairs and a grant. Two attributes have one pair, one has none."""
        domain, k = task.domain, task.rows_per_unit
        split = _split(task, cost)
        charges = [oneway.charge(domain, split.ones, k)]
        if split.pair is not None:
            charges.append(Charge(PAIR, sensitivity.measure_event(split.pair, k, [1.0])))
        equally = [1.0] * len(_pairs(domain))
        for stage in split.stages:
            charges.append(Charge(ERRORS, sensitivity.measure_event(stage.errors, k, equally)))
            charges.append(Charge(MARGINALS, rounds.grant_event(stage.marginals)))
        return tuple(charges)

    def cells(self, task: Task) -> int:
        """All pairs, for their errors, and what the stages may measure."""
        ones = np.array(task.domain.sizes, dtype=np.float64)
        sums = [float((ones**power).sum()) for power in (1, 2, 3)]
        pairs = (sums[0] ** 2 - sums[1]) / 2
        triples = (sums[0] ** 3 - 3 * sums[0] * sums[1] + 2 * sums[2]) / 6
        return round(sums[0] + pairs + min(task.max_cells, len(STAGES) * (pairs + triples)))

    def noise(self, task: Task, cost: Cost) -> dict[Clique, float]:
        """The one-way marginals; with two attributes also their only pair."""
        domain, k = task.domain, task.rows_per_unit
        split = _split(task, cost)
        known = oneway.noise(domain, split.ones, k)
        if split.pair is not None:
            known[domain.attributes] = sensitivity.sigmas(split.pair, k, [1.0])[0]
        return known

    def chosen_noise(self, task: Task, cost: Cost) -> float | None:
        """None: the data decides the noise too."""
        return None

    def measure(
        self, curator: Curator, task: Task, cost: Cost, fit: Fit, progress: Progress = silent
    ) -> Found:
        domain, split = task.domain, _split(task, cost)
        found = oneway.measure(curator, split.ones)
        if split.pair is not None:
            found += curator.measure([domain.attributes], split.pair, PAIR)
        model = fit(domain, found)
        if not split.stages:
            return Found(tuple(found), model)
        merges = coarse.merges_for(task, found, _light(task, split.stages, model.total))
        door = curator.coarsened(merges)
        limits = bags.Limits(min(BAG_CELLS, task.max_cells), task.max_cells)
        begin = [*task.zeros, *task.known]
        for number, stage in enumerate(split.stages):
            progress("measuring", number / len(split.stages))
            errors = door.errors(coarse.marginals(model, _pairs(domain), merges), stage.errors, ERRORS)
            tree = _grown(door.domain, task, errors, stage.marginals, limits, begin)
            chosen = _chosen(door.domain, task, tree, errors, stage.marginals)
            found += _measured(door.within(MARGINALS), chosen)
            begin += chosen
            # afresh: what the model before has followed of the noise would stay
            model = fit(domain, found)
        return Found(tuple(found), model)


@dataclass(frozen=True)
class _Stage:
    errors: Cost
    marginals: Cost


@dataclass(frozen=True)
class _Split:
    """Costs of the parts: `pair` for two attributes only, `stages` for more."""

    ones: Cost
    pair: Cost | None
    stages: tuple[_Stage, ...]


def _split(task: Task, cost: Cost) -> _Split:
    if len(task.domain) == 1:
        return _Split(cost, None, ())
    share = oneway.share(cost, task.rows_per_unit)
    ones, rest = cost.share(share), cost.share(1 - share)
    if len(task.domain) == 2:
        return _Split(ones, rest, ())
    stages = [rest.share(part) for part in STAGES]
    return _Split(ones, None, tuple(_Stage(s.share(ERRORS_SHARE), s.share(1 - ERRORS_SHARE)) for s in stages))


def _light(task: Task, stages: Sequence[_Stage], rows: float) -> float:
    """The rows below which a cell is light, from the noise of a typical number of marginals that share the stages'
    budget."""
    rho = math.fsum(stage.marginals.rho for stage in stages)
    sigma = task.rows_per_unit * math.sqrt(MARGINALS_EACH * len(task.domain) / (2 * rho))
    return min(LIGHT * math.sqrt(sigma * rows), MOST_LIGHT * sigma)


def _grown(
    domain: Domain,
    task: Task,
    errors: Mapping[Clique, float],
    cost: Cost,
    limits: bags.Limits,
    begin: Sequence[Clique],
) -> bags.JunctionTree:
    """Around what was measured before. Pairs that nobody asked for have no place of their own."""
    sigma = task.rows_per_unit * math.sqrt(MARGINALS_EACH * len(domain) / (2 * cost.rho))
    wanted = {pair: error for pair, error in errors.items() if task.workload.weight(pair) > 0}
    return bags.best_tree(domain, limits, wanted, sigma, begin)


def _chosen(
    domain: Domain, task: Task, tree: bags.JunctionTree, errors: Mapping[Clique, float], cost: Cost
) -> dict[Clique, float]:
    """Two- and three-way marginals inside the bags, and each one's share in rho; one-way ones where there are none."""
    candidates = [c for ways in (2, 3) for c in bags.inside(tree.bags, ways) if task.workload.weight(c) > 0]
    weights = np.array([task.workload.weight(c) for c in candidates])
    cells = np.array([domain.size(c) for c in candidates], dtype=np.float64)
    gains = weights * [_mended(c, errors) for c in candidates]
    prices = (math.sqrt(2 / math.pi) * weights * cells) ** (2 / 3)
    order = np.argsort(-gains / prices, kind="stable")
    order = order[np.cumsum(cells[order]) <= task.max_cells / len(STAGES)]
    noise = NOISE_HEEDED * task.rows_per_unit / math.sqrt(2 * cost.rho)
    values = np.cumsum(gains[order]) - noise * np.cumsum(prices[order]) ** 1.5
    if not len(order):
        return dict(zip([(a,) for a in domain.attributes], oneway.weights(domain), strict=True))
    return {candidates[i]: float(prices[i]) for i in order[: int(np.argmax(values)) + 1]}


def _mended(clique: Clique, errors: Mapping[Clique, float]) -> float:
    """How much error a measurement of the clique is taken to mend."""
    worst = max(errors[pair] for pair in itertools.combinations(clique, 2))
    return worst if len(clique) == 2 else TRIPLE * worst


def _measured(door: Curator, shares: Mapping[Clique, float]) -> list[Measurement]:
    """All of them at once, for all that the grant holds."""
    costs = fitting_costs(door.remaining, door.rows_per_unit, list(shares.values()))
    cliques = [clique for clique, parts in zip(shares, costs, strict=True) for _ in parts]
    flat = [part for parts in costs for part in parts]
    return door.measure(cliques, Cost(math.fsum(flat)), MARGINALS, flat)


def _pairs(domain: Domain) -> list[Clique]:
    return list(itertools.combinations(domain.attributes, 2))
