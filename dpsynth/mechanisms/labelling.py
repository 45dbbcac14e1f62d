"""A generator's target drawn again by a model of it, which a part of the budget puts right: for `network` and `gan`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dpsynth.budget import Cost
from dpsynth.gan.labels import Logistic, relabelled
from dpsynth.gan.layout import Layout, Singles
from dpsynth.gan.target import Residuals, mended, plan_of
from dpsynth.mechanisms.base import Task
from dpsynth.pgm import MixtureModel
from dpsynth.privacy.curator import Curator
from dpsynth.privacy.events import Charge

RESIDUALS = "residuals of the target's model"

MOST_LABELS = 8
"""A target with more values is not drawn again."""


def drawn_again(task: Task) -> str | None:
    """The target, if there are pairs to learn it from and it has few values. Public."""
    target = task.workload.target
    if target is None or len(task.domain) < 3 or not 2 <= task.domain[target] <= MOST_LABELS:
        return None
    return target


def charge(task: Task, cost: Cost) -> Charge:
    """One noisy gradient over all units."""
    return Charge(RESIDUALS, plan_of(cost, len(task.domain) - 1, task.rows_per_unit).event)


def relabel(
    inside: MixtureModel,
    target: str,
    noise: float,
    rng: np.random.Generator,
    *,
    wanted: NDArray[np.float64] | None = None,
    paid: tuple[Curator, Cost] | None = None,
) -> MixtureModel:
    """Each component, all of one weight, split by the target's values. `noise` and `wanted`: as in `labels.relabelled`.

    `paid`: a door to records on the model's cells and what one noisy gradient may cost; without it nothing is asked.
    """
    layout = Layout(inside.domain)
    number = inside.domain.index(target)

    def mend(model: Logistic, seen: Singles) -> Logistic:
        assert paid is not None
        door, cost = paid
        plan = plan_of(cost, len(inside.domain) - 1, door.rows_per_unit)
        [noisy] = door.noisy_gradients(plan, Residuals(layout, number, model).gradient, RESIDUALS)
        return mended(model, seen, noisy, plan, inside.total)

    mix, shares = relabelled(
        layout,
        layout.joined(inside.tables),
        number,
        noise,
        rng,
        mend=None if paid is None else mend,
        wanted=None if wanted is None else wanted.astype(np.float32),
    )
    return MixtureModel(inside.domain, inside.total, mix, layout.apart(shares))
