"""A clique tree as the start of AIM: most of the budget in few stages, the rest where the model is still wrong."""

from __future__ import annotations

from typing import ClassVar

from dpsynth.budget import Cost
from dpsynth.domain import Clique
from dpsynth.mechanisms.adaptive import behind, scored_cells
from dpsynth.mechanisms.aim import ROUNDS, adapt
from dpsynth.mechanisms.base import Fit, Found, Task
from dpsynth.mechanisms.tree import CliqueTree
from dpsynth.privacy import rounds
from dpsynth.privacy.curator import Curator
from dpsynth.privacy.events import Charge
from dpsynth.progress import Progress, silent

TREE_SHARE = 0.8
"""Of the whole cost, for the clique tree and its one-way marginals."""

ROUNDS_PER_ATTRIBUTE = 2.0
"""How many rounds there would be if the noise were never halved."""


class TreeAim:
    """The clique tree, then AIM's rounds on the model that it leaves."""

    name: ClassVar[str] = "tree-aim"
    tree: ClassVar[CliqueTree] = CliqueTree()

    def plan(self, task: Task, cost: Cost) -> tuple[Charge, ...]:
        """The tree's charges and one grant; up to two attributes have the tree's only."""
        start, loop = _split(task, cost)
        charges = self.tree.plan(task, start)
        return charges if loop is None else (*charges, Charge(ROUNDS, rounds.grant_event(loop)))

    def cells(self, task: Task) -> int:
        return self.tree.cells(task) + scored_cells(task)

    def noise(self, task: Task, cost: Cost) -> dict[Clique, float]:
        return self.tree.noise(task, _split(task, cost)[0])

    def chosen_noise(self, task: Task, cost: Cost) -> float | None:
        """None: the data decides the noise too."""
        return None

    def measure(
        self, curator: Curator, task: Task, cost: Cost, fit: Fit, progress: Progress = silent
    ) -> Found:
        start, loop = _split(task, cost)
        share = start.rho / cost.rho
        found = self.tree.measure(curator, task, start, fit, _part(progress, 0.0, share))
        if loop is None:
            return found
        door = behind(curator, found.generator).within(ROUNDS)
        return adapt(door, task, loop, found, fit, _part(progress, share, 1.0), ROUNDS_PER_ATTRIBUTE)


def _part(progress: Progress, start: float, end: float) -> Progress:
    """Progress through a part of the whole."""
    return lambda step, done: progress(step, start + (end - start) * done)


def _split(task: Task, cost: Cost) -> tuple[Cost, Cost | None]:
    """(for the tree, for the rounds)."""
    if len(task.domain) < 3:
        return cost, None
    return cost.share(TREE_SHARE), cost.share(1 - TREE_SHARE)
