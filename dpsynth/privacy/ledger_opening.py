"""The first entry of a ledger, and whether a later caller means the same ledger."""

from __future__ import annotations

import hashlib
import os
from dataclasses import asdict

from dpsynth.budget import Budget
from dpsynth.errors import BudgetError
from dpsynth.privacy.ledger_book import ACCOUNTANT, FORMAT, Opening
from dpsynth.privacy.ledger_chain import clean_text
from dpsynth.privacy.ledger_journal import Journal
from dpsynth.privacy.ledger_store import Store
from dpsynth.privacy.receipt import NEIGHBOURS, Unit

SLACK_PART = 0.1
"""The part of the promised delta that a new ledger sets aside for summed failures (d0)."""


def create(store: Store, dataset: str, promise: Budget, unit: Unit) -> None:
    """Write the first entry, unless another process has just done so."""
    clean_text("a unit's entity", unit.entity)
    key = os.urandom(32)
    body = {
        "format": FORMAT,
        "ledger": os.urandom(16).hex(),
        "dataset": dataset,
        "promise": asdict(promise),
        "unit": asdict(unit),
        "neighbours": NEIGHBOURS,
        "accountant": ACCOUNTANT,
        "slack": promise.delta * SLACK_PART,
        "key_sha256": hashlib.sha256(key).hexdigest(),
    }
    Journal(store).create(body, key)


def check_same(opening: Opening, dataset: str, promise: Budget | None, unit: Unit | None) -> None:
    """BudgetError B206 to B208 when a caller means another dataset, promise or unit."""
    if dataset != opening.dataset:
        raise BudgetError(
            "B206",
            f"this ledger belongs to the dataset {opening.dataset!r}, not {dataset!r}",
            "use its name; other people's data needs a ledger of its own",
        )
    if promise is not None and promise != opening.promise:
        raise BudgetError(
            "B207",
            f"this ledger promised epsilon {opening.promise.epsilon:g} at delta {opening.promise.delta:g}, "
            f"not {promise.epsilon:g} at {promise.delta:g}",
            "a promise is written once; keep it",
        )
    if unit is not None and unit != opening.unit:
        raise other_unit(opening.unit, unit)


def other_unit(kept: Unit, other: Unit) -> BudgetError:
    return BudgetError(
        "B208",
        f"this ledger counts {kept}, not {other}",
        "one account counts one kind of unit; open another ledger if these are other people",
    )
