"""What the synthetic rows are for: declared, never read from the data."""

from __future__ import annotations

from dataclasses import dataclass

from dpsynth.domain import Clique
from dpsynth.errors import UsageError

__all__ = ["TARGET_WEIGHT", "Workload"]

TARGET_WEIGHT = 10.0
"""How many times more a marginal counts that holds the named target: without it a rare target is a lottery."""


@dataclass(frozen=True)
class Workload:
    """`target`: the column that will be predicted from the others. `pairs`: the pairs that matter, None for all."""

    target: str | None = None
    pairs: tuple[Clique, ...] | None = None

    def __post_init__(self) -> None:
        """UsageError (U189) for a pair that names a column twice."""
        for pair in self.pairs or ():
            if len(set(pair)) != len(pair):
                raise UsageError(
                    "U189", f"the workload names {pair[0]!r} twice in one pair", "name two different columns"
                )

    def weight(self, clique: Clique) -> float:
        """How much the error of a marginal counts, at least 0; 1 for an ordinary one, 0 for one nobody asked for."""
        if self.target in clique and len(clique) > 1:
            return TARGET_WEIGHT
        if self.pairs is None or len(clique) == 1:
            return 1.0
        return float(any(set(pair) <= set(clique) for pair in self.pairs))
