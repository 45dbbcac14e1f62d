"""Threat models as values: what the attacker holds, whom he targets, what he wants, how he goes about it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any


class Holds(StrEnum):
    """What an attacker may hold."""

    SYNTHETIC = "the synthetic rows"
    SCHEMA = "the schema"
    REFERENCE = "all candidates' rows"  # members and controls alike, never who is who
    HALF = "who was in the training data, for half of the people"
    METHOD = "how the generator works"
    CLIQUES = "which tables of counts the generator measured"
    REFITS = "the generator, to run again on rows of his own"


class Targets(StrEnum):
    """Whom he is after."""

    RANDOM = "anybody"
    ISOLATED = "the most isolated"
    GROUP = "a group"
    NAMED = "named rows"


class Wants(StrEnum):
    """What he wants to learn."""

    MEMBERSHIP = "membership"
    LINKAGE = "linkage"
    SINGLING_OUT = "singling out"
    ATTRIBUTE = "an attribute"


_GOAL = {
    Wants.MEMBERSHIP: "whether it was in the training data",
    Wants.LINKAGE: "which two parts of rows belong to one target",
    Wants.SINGLING_OUT: "a description that fits one target only",
    Wants.ATTRIBUTE: "a secret about the target",
}


@dataclass(frozen=True)
class ThreatModel:
    """One attacker. `how`: what he does with what he holds, a verb in the third person first."""

    holds: tuple[Holds, ...]
    wants: Wants
    how: str
    targets: Targets = Targets.RANDOM

    def __post_init__(self) -> None:
        if not self.holds or not self.how:
            raise ValueError("an attacker holds something and does something with it")

    def against(self, targets: Targets) -> ThreatModel:
        """The same attacker after others."""
        return replace(self, targets=targets)

    @property
    def words(self) -> str:
        """What he holds and does, in words; the same for all whom he targets."""
        *most, last = self.holds
        held = f"{', '.join(most)} and {last}" if most else str(last)
        return f"{held}; {self.how}"

    @property
    def sentence(self) -> str:
        """The whole threat model as a sentence."""
        return f"The attacker targets {self.targets} and wants {_GOAL[self.wants]}; he holds {self.words}."

    def as_json(self) -> dict[str, Any]:
        return {
            "holds": [str(one) for one in self.holds],
            "targets": str(self.targets),
            "wants": str(self.wants),
            "how": self.how,
        }
