"""What the entries of a ledger say: opening, spendings, runs, audits, blocks. No file and no arithmetic.

The book is rebuilt from the entries on every opening. It knows events and d0, never an epsilon: totals are
computed from it by `ledger_filter`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from dpsynth.budget import Budget
from dpsynth.errors import BudgetError, VerifyError
from dpsynth.privacy import events
from dpsynth.privacy.events import Charge, Event
from dpsynth.privacy.ledger_chain import Entry, clean_text
from dpsynth.privacy.receipt import Unit

FORMAT = 1
ACCOUNTANT = "gdp filter"


@dataclass(frozen=True)
class Opening:
    """The first entry: for whom, what is promised, and how the promise is kept. Never changes.

    `slack` is the part of the promised delta set aside for the summed d0; `key_hash` ties the secret key of
    the source fingerprints to the chain.
    """

    ledger: str
    dataset: str
    promise: Budget
    unit: Unit
    slack: float
    key_hash: str


_TOLD = {
    "commit": ("run", "outcome", "made"),
    "external": ("purpose", "tool"),
    "head restored": ("head",),
}
"""What an entry must say beside what `Book` keeps, for people to read."""


@dataclass(frozen=True)
class Spending:
    """An entry that costs: the events of a run's reservation, or of another tool's release, with their d0."""

    sequence: int
    events: tuple[Event, ...]
    d0: float


@dataclass(frozen=True)
class RunRecord:
    """A run as the ledger knows it. `outcome` is None until it ends: it still runs, or it crashed."""

    sequence: int
    at: str
    id: str
    purpose: str
    budget: Budget
    unit: Unit
    charges: tuple[Charge, ...]
    fingerprint: str | None
    outcome: str | None = None


@dataclass(frozen=True)
class AuditRecord:
    """One audit of a model: how many samples were audited, which rows, and what was found (SHA-256 of each).

    `findings_sha256`: None where whoever made the entry did not say.
    """

    sequence: int
    at: str
    model_id: str
    verdict: str
    samples: int
    rows_sha256: tuple[str, ...]
    findings_sha256: str | None = None


@dataclass(frozen=True)
class ReleaseRecord:
    """One bundle that was written from a model. `withdrawn`: why it was taken back, None while it stands."""

    model_id: str
    bundle_id: str
    withdrawn: str | None = None


@dataclass
class Book:
    """The account so far. `post` takes the next entry; VerifyError V311 when it makes no sense."""

    opening: Opening
    spendings: list[Spending] = field(default_factory=list)
    runs: dict[str, RunRecord] = field(default_factory=dict)
    audits: list[AuditRecord] = field(default_factory=list)
    blocks: dict[str, str] = field(default_factory=dict)
    releases: list[ReleaseRecord] = field(default_factory=list)

    @classmethod
    def begin(cls, entry: Entry) -> Book:
        if entry.kind != "open":
            raise _nonsense(entry)
        try:
            return cls(_opening(entry.body))
        except (KeyError, TypeError, ValueError, BudgetError) as error:
            raise _nonsense(entry) from error

    def post(self, entry: Entry) -> None:
        try:
            self._post(entry)
        except (KeyError, TypeError, ValueError, BudgetError) as error:
            raise _nonsense(entry) from error

    def _post(self, entry: Entry) -> None:
        body = entry.body
        for name in _TOLD.get(entry.kind, ()):
            _ = body[name]
        if entry.kind == "open":
            raise ValueError("opened twice")
        if entry.kind == "reserve":
            self._reserve(entry)
        elif entry.kind == "external":
            event = events.from_json(body["event"])
            self.spendings.append(Spending(entry.sequence, (event,), _share(body["d0"])))
        elif entry.kind == "commit":
            run = self.runs[body["run"]]
            if run.outcome is not None:
                raise ValueError("ended twice")
            self.runs[run.id] = replace(run, outcome=str(body["outcome"]))
        elif entry.kind == "audit":
            rows = tuple(str(row) for row in body["rows_sha256"])
            said = body.get("findings_sha256")
            audit = (str(body["model"]), str(body["verdict"]), int(body["samples"]), rows, said)
            self.audits.append(AuditRecord(entry.sequence, entry.at, *audit))
        else:
            self._fate(entry.kind, body)

    def _fate(self, kind: str, body: Mapping[str, Any]) -> None:
        """What happens to a model or a bundle after its fit."""
        if kind == "block":
            self.blocks.setdefault(str(body["model"]), str(body["why"]))
        elif kind == "release":
            self.releases.append(ReleaseRecord(str(body["model"]), str(body["bundle"])))
        elif kind == "withdraw":
            self._withdraw(str(body["bundle"]), str(body["why"]))

    def _withdraw(self, bundle_id: str, why: str) -> None:
        self.releases = [
            replace(one, withdrawn=why) if one.bundle_id == bundle_id and one.withdrawn is None else one
            for one in self.releases
        ]

    def _reserve(self, entry: Entry) -> None:
        body = entry.body
        charges = tuple(Charge(c["purpose"], events.from_json(c["event"])) for c in body["charges"])
        if not charges or body["run"] in self.runs:
            raise ValueError("an empty or repeated reservation")
        self.runs[body["run"]] = RunRecord(
            sequence=entry.sequence,
            at=entry.at,
            id=body["run"],
            purpose=str(body["purpose"]),
            budget=Budget(**body["budget"]),
            unit=Unit(**body["unit"]),
            charges=charges,
            fingerprint=body["fingerprint"],
        )
        planned = tuple(charge.event for charge in charges)
        self.spendings.append(Spending(entry.sequence, planned, _share(body["d0"])))


def charges_json(charges: tuple[Charge, ...]) -> list[dict[str, Any]]:
    return [{"purpose": c.purpose, "event": events.to_json(c.event)} for c in charges]


def _opening(body: Mapping[str, Any]) -> Opening:
    if body["format"] != FORMAT or body["accountant"] != ACCOUNTANT:
        raise ValueError("a ledger of another format")
    promise, slack = Budget(**body["promise"]), _share(body["slack"])
    if not 0 < slack < promise.delta:
        raise ValueError("the part of delta set aside is none")
    return Opening(
        ledger=str(body["ledger"]),
        dataset=str(body["dataset"]),
        promise=promise,
        unit=Unit(**body["unit"]),
        slack=slack,
        key_hash=str(body["key_sha256"]),
    )


def audit_body(
    model_id: str, verdict: str, samples: int, rows_sha256: Sequence[str], findings_sha256: str | None
) -> dict[str, Any]:
    """The entry that becomes an `AuditRecord`. ValueError without a sample, or for what is no SHA-256."""
    hashes = [*rows_sha256, *([] if findings_sha256 is None else [findings_sha256])]
    if isinstance(samples, bool) or samples < 1 or not all(re.fullmatch("[0-9a-f]{64}", h) for h in hashes):
        raise ValueError("at least one sample, and a sha256 for each table of rows")
    return {
        "model": clean_text("a model's id", model_id),
        "verdict": clean_text("a verdict", verdict),
        "samples": samples,
        "rows_sha256": list(rows_sha256),
        **({} if findings_sha256 is None else {"findings_sha256": findings_sha256}),
    }


def _share(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
        raise ValueError("not a probability below 1")
    return float(value)


def _nonsense(entry: Entry) -> VerifyError:
    return VerifyError(
        "V311",
        f"ledger entry {entry.sequence} ({entry.kind}) makes no sense where it stands",
        "it was written by a newer version or forged; restore the newest backup of ledger and head file",
    )
