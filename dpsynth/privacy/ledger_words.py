"""A ledger in words that a person who does not compute can act on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from dpsynth.errors import BudgetError
from dpsynth.privacy.ledger_book import FORMAT, Book, RunRecord
from dpsynth.privacy.ledger_chain import Entry
from dpsynth.privacy.ledger_filter import Filter, Remaining, Weight
from dpsynth.privacy.receipt import NEIGHBOURS

STATES = {
    None: "running, or crashed: counts as spent",
    "complete": "complete",
    "incomplete": "ended early: the whole reservation counts as spent",
    "failed": "failed: the whole reservation counts as spent",
}


@dataclass(frozen=True)
class Line:
    """One entry for people: number, UTC time, what kind, what for, how it stands."""

    sequence: int
    at: str
    kind: str
    what: str
    state: str


def describe(entry: Entry, book: Book) -> Line:
    """One entry in words."""
    what, state = _words(entry, book)
    return Line(entry.sequence, entry.at, entry.kind, what, state)


def _words(entry: Entry, book: Book) -> tuple[str, str]:  # noqa: PLR0911
    body = entry.body
    match entry.kind:
        case "open":
            return f"{book.opening.dataset}, {book.opening.unit}", promise_words(book)
        case "reserve":
            run = book.runs[body["run"]]
            return run.purpose, f"{_run_words(run)}; {STATES.get(run.outcome, str(run.outcome))}"
        case "commit":
            return f"end of run {body['run']}", f"{body['outcome']}, {body['made']} charges made"
        case "external":
            event = body["event"]
            return (
                f"{body['purpose']} ({body['tool']})",
                f"epsilon {event['epsilon']:g}, delta {event['delta']:g}",
            )
        case "audit":
            return f"audit of model {body['model']}", f"{body['verdict']}, {body['samples']} samples"
        case "block":
            return f"model {body['model']} blocked for good", str(body["why"])
        case "release":
            return f"bundle {body['bundle']} of model {body['model']}", "released"
        case "withdraw":
            return f"bundle {body['bundle']} withdrawn", str(body["why"])
        case _:
            return "head file restored", f"from head {str(body['head'])[:12]}..."


def promise_words(book: Book) -> str:
    promise, unit = book.opening.promise, book.opening.unit
    return f"promised: epsilon {promise.epsilon:g}, delta {promise.delta:g} for {unit}, added or removed"


def _run_words(run: RunRecord) -> str:
    return f"run {run.id}, epsilon {run.budget.epsilon:g} at delta {run.budget.delta:g} by itself"


def refusal(account: Filter, book: Book, weight: Weight) -> BudgetError:
    """Why a run is refused, what is left, and what would fit."""
    spent, left = account.total(book.spendings), account.remaining(book.spendings)
    promise, asked = account.promise, account.as_epsilon(weight)
    return BudgetError(
        "B210",
        f"the run does not fit into what is left for {book.opening.dataset!r}: promised is epsilon "
        f"{promise.epsilon:g} at delta {promise.delta:g}, used so far {spent.epsilon:.3g}, the run weighs as "
        f"much as epsilon {asked:.3g}; {left.words}",
        f"{_way_out(left, weight)}; a larger promise to the same people is their owner's decision",
    )


def _way_out(left: Remaining, weight: Weight) -> str:
    if left.epsilon <= 0:
        return "no further run can be made"
    if weight.d0 > left.slack and weight.mu <= left.mu:
        return "ask for less additive delta (discovered values, other tools' releases)"
    return f"ask for epsilon {left.epsilon:g} or less, or for what Ledger.affordable finds for this plan"


def export_json(account: Filter, book: Book, entries: Sequence[Entry]) -> dict[str, Any]:
    """Everything but the secret key, as JSON: the promise, the totals and all entries."""
    opening = book.opening
    spent, left = account.total(book.spendings), account.remaining(book.spendings)
    # JSON has no infinity: an overspent delta leaves no epsilon at all.
    epsilon = spent.epsilon if math.isfinite(spent.epsilon) else None
    return {
        "format": FORMAT,
        "dataset": opening.dataset,
        "promise": asdict(opening.promise),
        "unit": asdict(opening.unit),
        "neighbours": NEIGHBOURS,
        "spent": {**asdict(spent), "epsilon": epsilon},
        "remaining": asdict(left),
        "head": entries[-1].hash,
        "entries": [entry.as_json() for entry in entries],
    }
