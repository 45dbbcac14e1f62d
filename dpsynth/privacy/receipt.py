"""What one run spent, on which promise, and what an attacker can gain from it. Holds no data.

A receipt is the one source of the privacy part of a bundle. Its JSON form gives back an equal receipt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from dpsynth.budget import Budget
from dpsynth.privacy import accounting, events
from dpsynth.privacy.accounting import Certificate
from dpsynth.privacy.events import Charge, Event

NEIGHBOURS = "add or remove one unit"
FORMAT = 1
PROFILE_STEPS = 20
"""Points of the curve up to the certificate's epsilon, and `PROFILE_BEYOND` more behind it."""
PROFILE_BEYOND = 10


@dataclass(frozen=True)
class Unit:
    """Whom the promise protects: a row, or the rows (at most `rows_per_unit`) sharing a `column`'s value."""

    entity: str
    column: str | None = None
    rows_per_unit: int = 1

    def __post_init__(self) -> None:
        if not self.entity:
            raise ValueError("a unit has a name, such as 'row' or 'person'")
        if isinstance(self.rows_per_unit, bool) or self.rows_per_unit < 1:
            raise ValueError("rows_per_unit is at least 1")
        if self.column is None and self.rows_per_unit != 1:
            raise ValueError("several rows per unit need the column that tells the unit")

    def __str__(self) -> str:
        if self.column is None:
            return f"one {self.entity}"
        return f"one {self.entity} (column {self.column!r}, at most {self.rows_per_unit} rows)"


@dataclass(frozen=True)
class Total:
    """What was spent: root of the summed mu**2, the same as epsilon at the promised delta, summed d0."""

    mu: float
    epsilon: float
    d0: float


@dataclass(frozen=True)
class AttackerRow:
    """The best attacker at one false-positive rate: `true_positive_rate`, and for each prior belief that the
    target is in the data, (prior, posterior) after he has said "in"."""

    false_positive_rate: float
    true_positive_rate: float
    posteriors: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Receipt:
    """One run's spending. `profile`: (epsilon, delta) points of the whole curve. `mu`, `d0`: the Gaussian
    curve that dominates it, as it weighs in the ledger. `promise`: the ledger's, None for an account in
    memory. `spent_before`, `spent_after`: the ledger's totals around the reservation."""

    run_id: str
    purpose: str
    dataset: str
    unit: Unit
    neighbours: str
    budget: Budget
    certificate: Certificate
    charges: tuple[Charge, ...]
    mu: float
    d0: float
    profile: tuple[tuple[float, float], ...]
    attacker: tuple[AttackerRow, ...]
    promise: Budget | None
    spent_before: Total
    spent_after: Total
    ledger_head: str
    releasable: bool
    seeded: bool

    def as_json(self) -> dict[str, Any]:
        plain = asdict(self)
        plain["charges"] = [{"purpose": c.purpose, "event": events.to_json(c.event)} for c in self.charges]
        return {"format": FORMAT, **plain}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Receipt:
        """The receipt that `as_json` described; ValueError, KeyError or TypeError for anything else."""
        rest = dict(fields)
        if rest.pop("format") != FORMAT:
            raise ValueError("a receipt of another format")
        rest["unit"] = Unit(**rest["unit"])
        rest["budget"] = Budget(**rest["budget"])
        rest["promise"] = None if rest["promise"] is None else Budget(**rest["promise"])
        rest["certificate"] = Certificate(**rest["certificate"])
        rest["charges"] = tuple(Charge(c["purpose"], events.from_json(c["event"])) for c in rest["charges"])
        rest["profile"] = tuple((epsilon, delta) for epsilon, delta in rest["profile"])
        rest["attacker"] = tuple(_row(row) for row in rest["attacker"])
        rest["spent_before"] = Total(**rest["spent_before"])
        rest["spent_after"] = Total(**rest["spent_after"])
        return cls(**rest)


def _row(fields: Mapping[str, Any]) -> AttackerRow:
    posteriors = tuple((prior, posterior) for prior, posterior in fields["posteriors"])
    return AttackerRow(fields["false_positive_rate"], fields["true_positive_rate"], posteriors)


def attacker_rows(planned: Sequence[Event]) -> tuple[AttackerRow, ...]:
    """What the best attacker can reach against these events, from their exact curve."""
    return tuple(
        AttackerRow(
            row.false_positive_rate, row.largest_true_positive_rate, tuple(sorted(row.posteriors.items()))
        )
        for row in accounting.attacker_table(planned)
    )


def profile_points(planned: Sequence[Event], epsilon: float) -> tuple[tuple[float, float], ...]:
    """Points (epsilon, delta) of the events' whole curve, from 0 to a little above their certificate."""
    epsilons = [epsilon * step / PROFILE_STEPS for step in range(PROFILE_STEPS + PROFILE_BEYOND + 1)]
    deltas = accounting.privacy_profile(planned, epsilons)
    return tuple((at, float(delta)) for at, delta in zip(epsilons, deltas, strict=True))
