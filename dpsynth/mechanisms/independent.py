"""Independent columns: every one-way marginal and nothing else. The baseline of all others."""

from __future__ import annotations

from typing import ClassVar

from dpsynth.budget import Cost
from dpsynth.domain import Clique, Domain
from dpsynth.measurement import Measurement
from dpsynth.mechanisms import oneway
from dpsynth.mechanisms.base import Fit
from dpsynth.privacy.curator import Curator
from dpsynth.privacy.events import Charge


class Independent:
    """All one-way marginals, measured at once."""

    name: ClassVar[str] = "independent"

    def plan(self, domain: Domain, cost: Cost, rows_per_unit: int) -> tuple[Charge, ...]:
        """One charge."""
        return (oneway.charge(domain, cost, rows_per_unit),)

    def cells(self, domain: Domain) -> int:
        return sum(domain.sizes)

    def noise(self, domain: Domain, cost: Cost, rows_per_unit: int) -> dict[Clique, float]:
        return oneway.noise(domain, cost, rows_per_unit)

    def chosen_noise(self, domain: Domain, cost: Cost, rows_per_unit: int) -> float | None:
        return None

    def measure(self, curator: Curator, cost: Cost, fit: Fit) -> list[Measurement]:
        return oneway.measure(curator, cost)
