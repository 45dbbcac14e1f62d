"""A ledger in words that a person who does not compute can act on."""

from __future__ import annotations

from dataclasses import dataclass

from dpsynth.errors import BudgetError
from dpsynth.privacy.ledger_book import Book, RunRecord
from dpsynth.privacy.ledger_chain import Entry
from dpsynth.privacy.ledger_filter import Filter

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


def refusal(account: Filter, book: Book) -> BudgetError:
    """Why a run is refused, what is left, and what would fit."""
    spent, left = account.total(book.spendings), account.remaining(book.spendings)
    fits = f"ask for epsilon {left.epsilon:g} or less" if left.epsilon > 0 else "no further run can be made"
    promise = account.promise
    return BudgetError(
        "B210",
        f"the run does not fit into what is left for {book.opening.dataset!r}: promised is epsilon "
        f"{promise.epsilon:g} at delta {promise.delta:g}, used so far {spent.epsilon:.3g}; {left.words}",
        f"{fits}; a larger promise to the same people is their owner's decision, not a new file",
    )
