"""The ledger: one account of everything that was ever learnt about one population of units.

**What it promises.** All runs that were reserved here, and all releases entered here, together keep the
promised (epsilon, delta) for the stated unit, whoever chose them and whatever earlier results showed
(`ledger_filter`). A run is reserved durably before its first row is read; discarded, failed and crashed runs
stay spent; totals are recomputed from the stored events on every opening. Several processes can never
overspend together.

**What it notices.** A changed, dropped, added or re-ordered entry breaks the chain of hashes; a cut tail or a
restored backup disagrees with the head file beside it, or with a head printed in a bundle
(``Ledger.verify(path, heads=[...])``).

**What it cannot notice.** Whoever restores or deletes *both* files is not caught from these files alone;
the newest head in any bundle then still tells. A release that nobody enters is not there. The chain has no
secret: it guards against accidents and against a forger who cannot reach the head file or a bundle, not
against the ledger's owner.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn

from dpsynth.budget import Budget
from dpsynth.errors import BudgetError
from dpsynth.privacy import events
from dpsynth.privacy.accounting import Certificate
from dpsynth.privacy.events import Charge, Event, External
from dpsynth.privacy.ledger_book import (
    AuditRecord,
    Book,
    ReleaseRecord,
    RunRecord,
    Spending,
    audit_body,
    charges_json,
)
from dpsynth.privacy.ledger_chain import Entry, clean_text
from dpsynth.privacy.ledger_faults import no_ledger
from dpsynth.privacy.ledger_filter import Filter, Plan, Remaining, Weight
from dpsynth.privacy.ledger_journal import Journal, unknown_head
from dpsynth.privacy.ledger_notices import keyed, new_data, overspent, same_data
from dpsynth.privacy.ledger_opening import check_same, create
from dpsynth.privacy.ledger_plan import checked_certificate, checked_plan, checked_unit, write_receipt
from dpsynth.privacy.ledger_run import Account, Grant, Notice, Run
from dpsynth.privacy.ledger_store import FileStore, MemoryStore, Store
from dpsynth.privacy.ledger_words import Line, describe, export_json, refusal
from dpsynth.privacy.receipt import Receipt, Total, Unit

__all__ = [
    "Account",
    "AuditRecord",
    "Entry",
    "Grant",
    "Ledger",
    "Line",
    "Notice",
    "ReleaseRecord",
    "Remaining",
    "Run",
    "Total",
    "Unit",
    "Verification",
]

VIOLATION = "VIOLATION"


@dataclass(frozen=True)
class Verification:
    """A ledger that passed every check, and how many heads of bundles were found in it."""

    dataset: str
    entries: int
    head: str
    heads_found: int
    notices: tuple[Notice, ...]


class Ledger:
    """A handle on one ledger; get one from `open`, `load` or `in_memory`. It can be closed, and used as a
    context manager; it cannot be pickled or copied: another process opens the ledger itself.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        opening = journal.book.opening
        self._filter = Filter(opening.promise, opening.slack)
        self._closed = False
        self.dataset = opening.dataset
        self.promise = opening.promise
        self.unit = opening.unit
        self.releasable = journal.store.releasable
        self.path: Path | None = journal.store.path if isinstance(journal.store, FileStore) else None

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        dataset: str,
        promise: Budget | None = None,
        unit: Unit | None = None,
        patience: float = 30.0,
    ) -> Ledger:
        """The ledger at `path`, made if it is missing and `promise` is given (`unit` then defaults to one
        row).

        BudgetError B205 without either; B206 to B208 when dataset, promise or unit differs from what the
        ledger was opened with. `patience`: seconds to wait for other processes.
        """
        dataset = clean_text("a dataset name", dataset)
        store = FileStore(path, patience)
        if promise is not None and not store.exists():
            create(store, dataset, promise, unit or Unit("row"))
        ledger = cls.load(path, patience=patience)
        check_same(ledger._journal.book.opening, dataset, promise, unit)
        return ledger

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, patience: float = 30.0) -> Ledger:
        """An existing ledger, every entry checked. BudgetError B205 when there is none, VerifyError V3xx."""
        store = FileStore(path, patience)
        if not store.exists():
            raise no_ledger(store.path)
        return cls(_read(store))

    @classmethod
    def in_memory(cls, budget: Budget, unit: Unit) -> Ledger:
        """An account that dies with the process, for trials: what it pays for can never be released."""
        store = MemoryStore()
        create(store, "in memory", budget, unit)
        return cls(_read(store))

    @classmethod
    def verify(cls, path: str | os.PathLike[str], *, heads: Sequence[str] = ()) -> Verification:
        """Check every entry and the head file; `heads` are those that bundles of this ledger state.

        VerifyError V3xx names the entry, or V316 a head that the ledger does not contain.
        """
        with cls.load(path) as ledger:
            if not all(ledger.contains(head) for head in heads):
                raise unknown_head()
            count = len(ledger.entries)
            return Verification(ledger.dataset, count, ledger.head, len(heads), ledger.notices())

    @classmethod
    def restore_head(cls, path: str | os.PathLike[str], head: str) -> Ledger:
        """Write a lost head file anew, given the head in the newest bundle; this too becomes an entry.

        Entries behind `head` are not vouched for: a tail cut there is not noticed. VerifyError V316 when the
        ledger does not contain `head`.
        """
        store = FileStore(path)
        if not store.path.is_file():
            raise no_ledger(store.path)
        Journal(store).restore_mark(head)
        return cls.load(path)

    @property
    def head(self) -> str:
        """The hash of the last entry, 64 hexadecimal digits."""
        return self.entries[-1].hash

    @property
    def entries(self) -> tuple[Entry, ...]:
        """All entries, with those that other processes have added meanwhile."""
        self._book()
        return self._journal.entries

    def contains(self, head: str) -> bool:
        """Whether `head` is, or once was, the head of this ledger."""
        self._book()
        return self._journal.contains(head)

    def spent(self) -> Total:
        return self._filter.total(self._book().spendings)

    def remaining(self) -> Remaining:
        """What is left, in numbers and in words ("one more run of epsilon 1 fits")."""
        return self._filter.remaining(self._book().spendings)

    def room(self) -> float:
        """The mu that the filter has left. A plan with `dominating_gaussian` at most this fits."""
        return self.remaining().mu

    def fits(self, events: Sequence[Event]) -> bool:
        """Whether a run with these events would be admitted now; costs nothing, reserves nothing."""
        return self._filter.admits(self._book().spendings, events, self._filter.weigh(events))

    def affordable(self, plan: Plan, budget: Budget) -> float:
        """The largest epsilon, up to the budget's, at which this plan (cost -> events) still fits; 0 if none.

        Seconds of computing, no data, nothing reserved.
        """
        return self._filter.affordable(self._book().spendings, plan, budget)

    def reserve(
        self,
        purpose: str,
        plan: Sequence[Charge],
        budget: Budget,
        *,
        fingerprint: bytes | None = None,
        unit: Unit | None = None,
    ) -> Run:
        """Pay for a run before it reads its first row; durable when this returns, and never given back.

        `budget`: what this run promises by itself; its plan must keep it (B211). `fingerprint`: any bytes
        that identify the source; only a keyed hash of them is stored. `unit`: of this run, if its table has
        other columns or another bound than the ledger's; the entity must be the same (B208). B210: it does
        not fit.
        """
        self._check_open()
        unit = checked_unit(self.unit, unit)
        charges = checked_plan(plan)
        certificate = checked_certificate(charges, budget)
        weight = self._filter.weigh([charge.event for charge in charges])
        run_id = os.urandom(8).hex()
        body = {
            "run": run_id,
            "purpose": clean_text("a purpose", purpose),
            "budget": asdict(budget),
            "unit": asdict(unit),
            "charges": charges_json(charges),
            "d0": weight.d0,
            "fingerprint": None if fingerprint is None else keyed(self._journal.key(), fingerprint),
        }
        notices = () if fingerprint is None else same_data(self.path, fingerprint)
        before = self._spend("reserve", body, [charge.event for charge in charges], weight)
        if fingerprint is not None:
            notices += tuple(n for n in new_data(self._journal.book) if run_id in n.text)
        record = self._journal.book.runs[run_id]
        return Run(record, notices, self._end_run, partial(self._receipt, record, certificate, before))

    def charge_external(
        self, purpose: str, epsilon: float, delta: float, *, tool: str, already_out: bool = False
    ) -> Entry:
        """Enter what another tool releases about the same units, (epsilon, delta)-differentially private.

        B210 when it does not fit. `already_out`: it has been released; then it is entered in any case,
        because the account must be true, and if it did not fit, no further run ever will.
        """
        self._check_open()
        event = External(epsilon, delta)
        weight = self._filter.weigh([event])
        body = {
            "purpose": clean_text("a purpose", purpose),
            "tool": clean_text("a tool's name", tool),
            "event": events.to_json(event),
            "d0": weight.d0,
        }
        self._spend("external", body, [event], weight, force=already_out)
        return self._journal.entries[-1]

    def record_audit(
        self,
        model_id: str,
        verdict: str,
        samples: int,
        rows_sha256: Sequence[str] = (),
        findings_sha256: str | None = None,
    ) -> Entry:
        """Every audit is an entry, at no cost. `samples`: how many samples of the model it looked at;
        `rows_sha256`: of each table that may be released on the strength of it (64 hexadecimal digits);
        `findings_sha256`: of what the attacks found, so that nobody changes it before the release."""
        body = audit_body(model_id, verdict, samples, rows_sha256, findings_sha256)
        return self._note("audit", body)

    def audits(self, model_id: str) -> tuple[AuditRecord, ...]:
        """All audits of a model, oldest first."""
        return tuple(audit for audit in self._book().audits if audit.model_id == model_id)

    def block(self, model_id: str, why: str) -> Entry:
        """Block a model for good: nothing lifts it. `why` must not quote data."""
        return self._note(
            "block", {"model": clean_text("a model's id", model_id), "why": clean_text("a reason", why)}
        )

    def blocked(self, model_id: str) -> str | None:
        """Why a model may not be released; None if it may. An audit that found a violation blocks by
        itself."""
        book = self._book()
        if model_id in book.blocks:
            return book.blocks[model_id]
        found = [a for a in book.audits if a.model_id == model_id and a.verdict == VIOLATION]
        return f"the audit of {found[0].at} found a violation of the promise" if found else None

    def record_release(self, model_id: str, bundle_id: str) -> Entry:
        """A bundle was written from a model; costs nothing."""
        return self._note(
            "release",
            {"model": clean_text("a model's id", model_id), "bundle": clean_text("a bundle's id", bundle_id)},
        )

    def record_withdrawal(self, bundle_id: str, why: str) -> Entry:
        """A bundle was withdrawn. What it showed stays spent."""
        return self._note(
            "withdraw", {"bundle": clean_text("a bundle's id", bundle_id), "why": clean_text("a reason", why)}
        )

    def releases(self) -> tuple[ReleaseRecord, ...]:
        """All bundles that were written, oldest first, those that were withdrawn included."""
        return tuple(self._book().releases)

    def notices(self) -> tuple[Notice, ...]:
        """What the operator should know about this account."""
        book = self._book()
        return overspent(self._filter.overspent(book.spendings)) + new_data(book)

    def lines(self) -> tuple[Line, ...]:
        """One line of plain words per entry, for people."""
        book = self._book()
        return tuple(describe(entry, book) for entry in self._journal.entries)

    def export(self) -> dict[str, Any]:
        """Everything but the secret key, as JSON: the promise, the totals and all entries."""
        return export_json(self._filter, self._book(), self._journal.entries)

    def close(self) -> None:
        """No more use of this handle. (No file stays open between calls.)"""
        self._closed = True

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a ledger handle cannot be pickled or copied: open the ledger again by its path")

    def _book(self) -> Book:
        self._check_open()
        self._journal.refresh()
        return self._journal.book

    def _spend(
        self,
        kind: str,
        body: Mapping[str, Any],
        planned: Sequence[Event],
        weight: Weight,
        force: bool = False,
    ) -> tuple[Spending, ...]:
        """Append an entry that costs, if it fits; the spendings before it."""
        before: list[Spending] = []

        def decide(book: Book) -> Mapping[str, Any]:
            before[:] = book.spendings
            if not force and not self._filter.admits(before, planned, weight):
                raise refusal(self._filter, book, weight)
            return body

        self._journal.append(kind, decide)
        return tuple(before)

    def _note(self, kind: str, body: Mapping[str, Any]) -> Entry:
        self._check_open()
        return self._journal.append(kind, lambda book: body)

    def _end_run(self, run_id: str, outcome: str, made: int, seeded: bool) -> None:
        body = {"run": run_id, "outcome": outcome, "made": made, "seeded": seeded}
        self._journal.append("commit", lambda book: body)

    def _receipt(
        self, record: RunRecord, certificate: Certificate, before: Sequence[Spending], seeded: bool
    ) -> Receipt:
        self._journal.refresh()
        return write_receipt(
            self._filter,
            self._journal.book,
            record,
            certificate,
            before,
            head=self._journal.entries[-1].hash,
            releasable=self.releasable,
            seeded=seeded,
        )

    def _check_open(self) -> None:
        if self._closed:
            raise BudgetError("B218", f"the ledger of {self.dataset!r} was closed", "open it again")


def _read(store: Store) -> Journal:
    journal = Journal(store)
    journal.refresh()
    return journal
