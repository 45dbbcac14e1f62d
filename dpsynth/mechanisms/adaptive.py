"""What mechanisms share that choose round by round: which cliques, against which estimate, less which noise."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from dpsynth.budget import Cost
from dpsynth.domain import Clique
from dpsynth.measurement import Measurement
from dpsynth.mechanisms.base import Fit, Task
from dpsynth.mechanisms.coarse import merges_for
from dpsynth.pgm import GraphicalModel, MergedModel, Model
from dpsynth.pgm.merged import within_shares
from dpsynth.privacy.curator import Curator
from dpsynth.privacy.merging import merged_domain

Floats = NDArray[np.float64]

MANY = 2500
"""Cliques that are scored in one round, at most (but all pairs)."""

SCORED_CELLS = 2.0
"""Cells of all candidates together, in units of the model's limit."""

MOST_ERROR = 2.0
"""No estimate is further from the truth than twice all records: more expected noise is never worth it."""

WEIGHT_UNIT = 4
"""Weights are whole numbers of this part of an ordinary marginal's weight."""

TYPICAL = 2.0
"""Measurements of a typical run, for each attribute."""

LIGHT = 5.0
"""Cells below so many standard deviations of a typical measurement's noise are merged."""

L1_OF_NOISE = math.sqrt(2 / math.pi)
"""Expected absolute value of Gaussian noise, in units of its scale."""


@dataclass(frozen=True)
class Question:
    """Cliques that may be chosen, the model's estimate of each, and what the score needs."""

    estimates: Mapping[Clique, Floats]
    penalties: Mapping[Clique, int]
    weights: Mapping[Clique, int]


def inner(model: Model) -> GraphicalModel:
    """The distribution over the cells that were counted."""
    return model if isinstance(model, GraphicalModel) else model.inside


def begin(task: Task, ones: Sequence[Measurement], rest: Cost, fit: Fit) -> Model:
    """Independent attributes with light cells merged, from the one-way marginals; `rest` is what all rounds will cost."""
    model = inner(fit(task.domain, ones))
    typical = task.rows_per_unit * math.sqrt(TYPICAL * len(task.domain) / (2 * rest.rho))
    merges = merges_for(task, ones, LIGHT * typical)
    if not merges:
        return model
    coarse = merged_domain(task.domain, merges)
    tables: dict[Clique, Floats] = {}
    for a in task.domain.attributes:
        counts = model.marginal((a,))
        merged = np.bincount(merges[a], counts) if a in merges else counts
        tables[(a,)] = np.log(np.maximum(merged, np.finfo(float).tiny))
    inside = GraphicalModel(coarse, model.total, tables)
    found = MergedModel(task.domain, inside, merges, within_shares(task.domain, ones, merges, task.in_order))
    return fit(task.domain, ones, start=found) if task.zeros else found


def behind(curator: Curator, model: Model) -> Curator:
    """The door to the cells that the model merges."""
    return curator.coarsened(model.merges) if isinstance(model, MergedModel) else curator


def scored_cells(task: Task) -> int:
    """The most that all candidates of up to three attributes together can have, merged or not."""
    sums = [1, 0, 0, 0]
    for size in task.domain.sizes:
        for ways in (3, 2, 1):
            sums[ways] += sums[ways - 1] * size
    return sums[1] + min(int(SCORED_CELLS * task.max_cells), sums[2] + sums[3])


@lru_cache(maxsize=16)
def candidates(task: Task) -> tuple[Clique, ...]:
    """Singles, pairs and triples that somebody asked for, small ones first, within `MANY` and `SCORED_CELLS`."""
    domain = task.domain
    found: list[Clique] = [(a,) for a in domain.attributes]
    left = SCORED_CELLS * task.max_cells
    for ways in (2, 3):
        if len(found) >= MANY:
            break
        wanted = [c for c in itertools.combinations(domain.attributes, ways) if task.workload.weight(c) > 0]
        for clique in sorted(wanted, key=domain.size):
            left -= domain.size(clique)
            if left < 0 or (ways > 2 and len(found) >= MANY):
                break
            found.append(clique)
    return tuple(found)


def weigh(task: Task, cliques: Iterable[Clique]) -> dict[Clique, int]:
    """The workload's weights as whole numbers, at least 1."""
    return {c: max(1, round(WEIGHT_UNIT * task.workload.weight(c))) for c in cliques}


def question(
    model: GraphicalModel, cliques: Sequence[Clique], weights: Mapping[Clique, int], sigma: float
) -> Question:
    """How far the model is from the data beyond the noise that a measurement would have (AIM's score).

    Cliques that could never win at this noise are not asked, unless there are no others.
    """
    noise = {c: L1_OF_NOISE * sigma * model.domain.size(c) for c in cliques}
    worth = [c for c in cliques if noise[c] < MOST_ERROR * model.total] or list(cliques)
    penalties = {c: round(weights[c] * noise[c]) for c in worth}
    return Question(model.approximate(worth), penalties, {c: weights[c] for c in worth})
