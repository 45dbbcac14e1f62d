"""A run's plan before it is paid for, and its receipt afterwards."""

from __future__ import annotations

from collections.abc import Sequence

from dpsynth.budget import Budget
from dpsynth.errors import BudgetError
from dpsynth.privacy.accounting import Certificate
from dpsynth.privacy.events import Charge
from dpsynth.privacy.ledger_book import Book, RunRecord, Spending
from dpsynth.privacy.ledger_chain import clean_text
from dpsynth.privacy.ledger_filter import Filter, certified
from dpsynth.privacy.ledger_opening import other_unit
from dpsynth.privacy.receipt import NEIGHBOURS, Receipt, Unit, attacker_rows, profile_points


def checked_plan(plan: Sequence[Charge]) -> tuple[Charge, ...]:
    """The charges with clean purposes. BudgetError B212 when there are none."""
    if not plan:
        raise BudgetError("B212", "the plan has no charges", "a run that asks nothing needs no reservation")
    return tuple(Charge(clean_text("a charge's purpose", charge.purpose), charge.event) for charge in plan)


def checked_certificate(charges: Sequence[Charge], budget: Budget) -> Certificate:
    """What the plan costs by itself. BudgetError B211 when that is more than the run promises."""
    certificate = certified(tuple(charge.event for charge in charges), budget.delta)
    if certificate.epsilon > budget.epsilon:
        raise BudgetError(
            "B211",
            f"the plan costs epsilon {certificate.epsilon:.6g} at delta {budget.delta:g}; the run promises "
            f"{budget.epsilon:g}",
            "calibrate the plan to the run's budget",
        )
    return certificate


def checked_unit(kept: Unit, unit: Unit | None) -> Unit:
    """The unit of a run: its table may have another column or bound than the ledger's, not another entity."""
    if unit is None:
        return kept
    if unit.entity != kept.entity:
        raise other_unit(kept, unit)
    return unit


def write_receipt(
    account: Filter,
    book: Book,
    record: RunRecord,
    certificate: Certificate,
    before: Sequence[Spending],
    *,
    head: str,
    releasable: bool,
    seeded: bool,
) -> Receipt:
    """The receipt of one run. `before`: the spendings in front of its reservation."""
    planned = tuple(charge.event for charge in record.charges)
    own = next(spending for spending in book.spendings if spending.sequence == record.sequence)
    return Receipt(
        run_id=record.id,
        purpose=record.purpose,
        dataset=book.opening.dataset,
        unit=record.unit,
        neighbours=NEIGHBOURS,
        budget=record.budget,
        certificate=certificate,
        charges=record.charges,
        mu=account.mu_of(own),
        d0=own.d0,
        profile=profile_points(planned, certificate.epsilon),
        attacker=attacker_rows(planned),
        promise=book.opening.promise if releasable else None,
        spent_before=account.total(before),
        spent_after=account.total((*before, own)),
        ledger_head=head,
        releasable=releasable and not seeded,
        seeded=seeded,
    )
