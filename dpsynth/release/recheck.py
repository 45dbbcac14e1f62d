"""Whether a privacy.json follows from its own charges: everything that can be computed again is."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from dpsynth.budget import Budget
from dpsynth.errors import DPSynthError, VerifyError
from dpsynth.model.prior_note import PriorNote
from dpsynth.privacy import accounting
from dpsynth.privacy.events import (
    Charge,
    DiscreteGaussian,
    DiscreteLaplace,
    Event,
    PartitionSelection,
    flatten,
)
from dpsynth.privacy.figures import check as check_figures
from dpsynth.privacy.persons import by_rows
from dpsynth.privacy.receipt import NEIGHBOURS, AttackerRow, Receipt, Total, Unit
from dpsynth.release.fields import AttackRan, AuditFacts, ReleaseFields
from dpsynth.release.gate import restated
from dpsynth.release.privacy_json import Said, charged_events, privacy_json, tool
from dpsynth.release.standing import Standing
from dpsynth.release.wording import words_of
from dpsynth.schema import Schema

TOLERANCE = 1e-6
"""Relative: the same events are priced alike on every machine to far better than this."""

Json = Mapping[str, Any]


def check_privacy(stated: Json, schema: Schema) -> list[str]:
    """Raise VerifyError (V121 to V126) naming the first statement that does not follow; V143 for a sentence of another build
    that says another number. Returns what remains to be said of such sentences."""
    try:
        events = charged_events(stated)
        if not events:
            raise ValueError("no charges")
        _check_sensitivity(
            by_rows([c["purpose"] for c in stated["charges"]], events, schema.several_rows), stated
        )
        _check_ledger(stated, events)
        said = _said(stated)
        computed = _computed(stated, schema, events, said)
        untrue = restated(stated["gate"], schema, stated)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, DPSynthError) as problem:
        if isinstance(problem, VerifyError):
            raise
        raise VerifyError(
            "V121", "privacy.json lacks a statement or has an impossible one", "get another copy"
        ) from None
    if untrue:
        raise VerifyError(
            "V126", f"privacy.json: a rule of the gate does not hold: {untrue[0]}", "do not rely on it"
        )
    remarks: list[str] = []
    for place in differences(stated, computed):
        remark = None if stated["tool"] == tool() else words_of(stated, computed, place)
        if remark is None:
            raise VerifyError(
                "V122",
                f"privacy.json: {place} does not follow from the charges and the schema",
                "do not rely on it",
            )
        remarks.append(remark)
    return remarks


def _check_sensitivity(events: list[Event], stated: Json) -> None:
    """No event is priced for fewer rows than a unit may hold."""
    rows = stated["unit"]["rows_per_unit"]
    for event in flatten(events):
        if isinstance(event, PartitionSelection) and event.noise.sensitivity * event.noise.count < rows:
            raise VerifyError(
                "V123",
                "privacy.json: a search priced for fewer values than a unit may bring",
                "do not rely on it",
            )
        if isinstance(event, DiscreteGaussian | DiscreteLaplace) and event.sensitivity < rows:
            raise VerifyError(
                "V123",
                f"privacy.json: a charge of sensitivity {event.sensitivity} for units of up to {rows} rows",
                "do not rely on it",
            )


def _check_ledger(stated: Json, events: list[Event]) -> None:
    ledger, gaussian = stated["ledger"], stated["gaussian"]
    before, after, promise = ledger["spent_before"], ledger["spent_after"], ledger["promise"]
    wrong = [
        not _close(after["mu"], math.hypot(before["mu"], gaussian["mu"])),
        not _close(after["d0"], before["d0"] + gaussian["d0"]),
        promise is None or after["epsilon"] > promise["epsilon"] * (1 + TOLERANCE),
        promise is not None
        and before["mu"] == 0
        and not _close(after["epsilon"], accounting.certify(events, promise["delta"]).epsilon),
    ]
    if any(wrong):
        raise VerifyError("V124", "privacy.json: the ledger's totals do not add up", "do not rely on it")


def _said(stated: Json) -> Said:
    """What people said and how the account stood; ValueError when it cannot be."""
    ledger, standing = stated["ledger"], Standing.from_json(stated["ledger"])
    spent, after = standing.spent, ledger["spent_after"]
    slack = 1 + TOLERANCE
    below = spent.mu * slack < after["mu"] or spent.epsilon * slack < after["epsilon"]
    if below or spent.epsilon > ledger["promise"]["epsilon"] * slack:
        raise ValueError("the account at release is below the run, or above the promise")
    human = ReleaseFields.from_json(stated["human"])
    check_figures(stated["published_figures"], [(c["purpose"], c["event"]) for c in stated["charges"]])
    prior = PriorNote.from_json(stated["prior"]) if "prior" in stated else None
    return Said(human, dict(stated["gate"]), standing, stated["published_figures"], prior)


def _computed(stated: Json, schema: Schema, events: list[Event], said: Said) -> Json:
    """privacy.json once more, from the parts of it that cannot be computed."""
    audits, guarantee = stated["audits"], stated["guarantee"]
    facts = AuditFacts(
        audits["samples_audited"],
        tuple(AttackRan(a["name"], a["knowledge"], a.get("wants")) for a in audits["attacks"]),
    )
    computed = privacy_json(
        _receipt(stated, schema, events),
        schema,
        facts,
        method=stated["model"]["method"],
        model_id=stated["model"]["id"],
        said=said,
    )
    computed["guarantee"]["accountant_version"] = guarantee["accountant_version"]
    return computed


def _receipt(stated: Json, schema: Schema, events: list[Event]) -> Receipt:
    ledger, requested, d0 = stated["ledger"], stated["guarantee"]["requested"], stated["gaussian"]["d0"]
    unit = schema.unit
    purposes = [charge["purpose"] for charge in stated["charges"]]
    return Receipt(
        run_id=ledger["run"],
        purpose="",
        dataset=ledger["dataset"],
        unit=Unit(unit.entity, unit.column, unit.rows_per_unit),
        neighbours=NEIGHBOURS,
        budget=Budget(requested["epsilon"], requested["delta"]),
        certificate=accounting.certify(events, requested["delta"]),
        charges=tuple(Charge(p, e) for p, e in zip(purposes, events, strict=True)),
        mu=accounting.dominating_gaussian(events, d0),
        d0=d0,
        profile=_profile(stated, events),
        attacker=_attacker(stated, events),
        promise=Budget(**ledger["promise"]),
        spent_before=Total(**ledger["spent_before"]),
        spent_after=Total(**ledger["spent_after"]),
        ledger_head=ledger["head"],
        releasable=True,
        seeded=False,
    )


def _profile(stated: Json, events: list[Event]) -> tuple[tuple[float, float], ...]:
    at = [float(point["epsilon"]) for point in stated["curve"]]
    return tuple(zip(at, accounting.privacy_profile(events, at).tolist(), strict=True))


def _attacker(stated: Json, events: list[Event]) -> tuple[AttackerRow, ...]:
    curve = accounting.trade_off(events)
    rows = []
    for row in stated["attacker"]:
        fpr = float(row["false_positive_rate"])
        tpr = curve.tpr(fpr)
        priors = [float(p["prior"]) for p in row["posteriors"]]
        rows.append(AttackerRow(fpr, tpr, tuple((p, p * tpr / (p * tpr + (1 - p) * fpr)) for p in priors)))
    return tuple(rows)


def differences(
    stated: object, computed: object, place: str = "", tolerance: float = TOLERANCE
) -> Iterator[str]:
    """Places ("guarantee.epsilon") where two JSON values differ; numbers may by `tolerance`, relatively."""
    if isinstance(stated, Mapping) and isinstance(computed, Mapping):
        for key in dict.fromkeys([*stated, *computed]):
            inner = f"{place}.{key}" if place else str(key)
            if key in stated and key in computed:
                yield from differences(stated[key], computed[key], inner, tolerance)
            else:
                yield inner
    elif isinstance(stated, list | tuple) and isinstance(computed, list | tuple):
        if len(stated) != len(computed):
            yield place
        else:
            for position, (one, other) in enumerate(zip(stated, computed, strict=True)):
                yield from differences(one, other, f"{place}.{position}", tolerance)
    elif not _same(stated, computed, tolerance):
        yield place


def _same(one: object, other: object, tolerance: float) -> bool:
    if type(one) in {int, float} and type(other) in {int, float}:
        return _close(one, other, tolerance)
    return type(one) is type(other) and one == other


def _close(one: Any, other: Any, tolerance: float = TOLERANCE) -> bool:
    return math.isclose(one, other, rel_tol=tolerance, abs_tol=1e-30)
