"""What an audit of the guarantee says: bounds beside the claim, faults by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from attacks.guarantee.sigma import finite

VIOLATION, KEPT, UNKNOWN = "VIOLATION", "NO VIOLATION FOUND", "INCOMPLETE"
"""A lower bound above the claim or a fault; neither; questions that no audit covers."""


@dataclass(frozen=True)
class Fault:
    """One thing that must not be. `check` names the audit, `about` the method, purpose or curator question."""

    check: str
    about: str
    words: str

    def as_json(self) -> dict[str, str]:
        return {"check": self.check, "about": self.about, "words": self.words}

    def __str__(self) -> str:
        return f"{self.check} ({self.about}): {self.words}"


@dataclass(frozen=True)
class Beside:
    """Measured mu between `low` and `high`, beside the mu that was charged for; `about` says of what.

    `epsilon_low`, `epsilon_high`, `epsilon_claim`: the same at `delta`, where a delta was given.
    """

    about: str
    low: float
    high: float
    claim: float
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def is_violated(self) -> bool:
        return self.low > self.claim * (1 + 1e-9)

    def as_json(self) -> dict[str, Any]:
        return {
            "about": self.about,
            "mu_lower": finite(self.low),
            "mu_upper": finite(self.high),
            "mu_claim": finite(self.claim),
            **self.facts,
        }

    def __str__(self) -> str:
        return f"{self.about}: mu in [{self.low:.3f}, {self.high:.3f}], claimed {self.claim:.3f}"


@dataclass(frozen=True)
class Findings:
    """One audit's bounds and faults. `notes`: what it could not cover."""

    audit: str
    bounds: tuple[Beside, ...] = ()
    faults: tuple[Fault, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def verdict(self) -> str:
        if self.faults or any(bound.is_violated for bound in self.bounds):
            return VIOLATION
        return UNKNOWN if self.notes else KEPT

    def why(self) -> list[str]:
        """The names of what failed, for people and tests."""
        return [str(f) for f in self.faults] + [str(b) for b in self.bounds if b.is_violated]

    def as_json(self) -> dict[str, Any]:
        return {
            "audit": self.audit,
            "verdict": self.verdict,
            "bounds": [bound.as_json() for bound in self.bounds],
            "faults": [fault.as_json() for fault in self.faults],
            "notes": list(self.notes),
        }

    def __str__(self) -> str:
        lines = [f"{self.audit}: {self.verdict}"]
        lines += [f"  {bound}" for bound in self.bounds]
        lines += [f"  FAULT {fault}" for fault in self.faults]
        lines += [f"  note: {note}" for note in self.notes]
        return "\n".join(lines)


def verdict_of(findings: Sequence[Findings]) -> str:
    """The worst of several."""
    found = {each.verdict for each in findings}
    return next((verdict for verdict in (VIOLATION, UNKNOWN) if verdict in found), KEPT)
