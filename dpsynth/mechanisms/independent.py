"""Independent columns: every one-way marginal and nothing else. The baseline of all others."""

from __future__ import annotations

from typing import ClassVar

from dpsynth.budget import Cost
from dpsynth.domain import Clique
from dpsynth.mechanisms import oneway
from dpsynth.mechanisms.base import Fit, Found, Task
from dpsynth.privacy.curator import Curator
from dpsynth.privacy.events import Charge
from dpsynth.progress import Progress, silent


class Independent:
    """All one-way marginals, measured at once."""

    name: ClassVar[str] = "independent"

    def plan(self, task: Task, cost: Cost) -> tuple[Charge, ...]:
        """One charge."""
        return (oneway.charge(task.domain, cost, task.rows_per_unit),)

    def cells(self, task: Task) -> int:
        return sum(task.domain.sizes)

    def noise(self, task: Task, cost: Cost) -> dict[Clique, float]:
        return oneway.noise(task.domain, cost, task.rows_per_unit)

    def chosen_noise(self, task: Task, cost: Cost) -> float | None:
        return None

    def measure(
        self, curator: Curator, task: Task, cost: Cost, fit: Fit, progress: Progress = silent
    ) -> Found:
        found = oneway.measure(curator, cost)
        return Found(tuple(found), fit(task.domain, found))
