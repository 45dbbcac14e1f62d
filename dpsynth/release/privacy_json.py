"""privacy.json: the one truth about what protects whom, rendered from the receipt and the schema."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dpsynth.model.prior_note import PriorNote
from dpsynth.privacy import events
from dpsynth.privacy.accounting import dominating_gaussian
from dpsynth.privacy.events import Charge, Event
from dpsynth.privacy.receipt import Receipt, Total
from dpsynth.release.fields import AuditFacts, ReleaseFields
from dpsynth.release.standing import Standing
from dpsynth.schema import Schema
from dpsynth.unit_columns import made_up
from dpsynth.versions import VERSION, build

FORMAT = "dpsynth-privacy/2"
NOBODY = "nobody: they were learnt for a charge"
DECLARED = "the project file: the search was to go no further"
Json = dict[str, Any]


def privacy_json(
    receipt: Receipt,
    schema: Schema,
    audit: AuditFacts,
    *,
    method: str,
    model_id: str,
    said: Said,
) -> Json:
    """The content of privacy.json: a pure function of released, declared and stated facts."""
    return {
        "format": FORMAT,
        "tool": tool(),
        "model": {"id": model_id, "method": method},
        "guarantee": _guarantee(receipt),
        "unit": _unit(receipt, schema),
        "neighbours": {
            "relation": receipt.neighbours,
            "words": f"the release is about equally likely with and without any one {receipt.unit.entity}",
        },
        "curve": [{"epsilon": epsilon, "delta": delta} for epsilon, delta in receipt.profile],
        "attacker": [_attacker(row) for row in receipt.attacker],
        "gaussian": {"mu": receipt.mu, "d0": receipt.d0},
        "charges": _charges(receipt),
        "published_figures": list(said.published),
        "unprotected_quantities": [
            *unprotected(schema, receipt.unit.entity, audit),
            *public_table(said.prior),
        ],
        **({} if said.prior is None else {"prior": said.prior.as_json()}),
        "bounds": bounds_of(schema, said.human),
        "audits": audit.as_json(),
        "ledger": {**_ledger(receipt), **said.standing.as_json()},
        "human": said.human.as_json(),
        "gate": said.gate,
    }


@dataclass(frozen=True)
class Said:
    """What privacy.json repeats because nobody can compute it: people's words, the gate, the account's standing.

    `published`: figures that were bought for the public, as `privacy.figures` describes them. `prior`: the public table
    that the model began from.
    """

    human: ReleaseFields
    gate: Json
    standing: Standing
    published: Sequence[Json] = ()
    prior: PriorNote | None = None


def bounds_of(schema: Schema, human: ReleaseFields) -> list[Json]:
    """Of each column: how its bounds or categories became known, and who decided that they are public."""
    decided = human.decided(schema.modelled)
    return [
        {
            "column": name,
            "origin": column.origin,
            "was": column.was,
            "reason": column.reason,
            "decided_by": decided[name]
            or (NOBODY if column.origin == "dp" else DECLARED * (column.was == "searched")),
        }
        for name, column in schema.modelled.items()
    ]


def tool() -> dict[str, str]:
    """Name, version and build. Who renders what a bundle says is part of what it says."""
    return {"name": "dpsynth", "version": VERSION, "build": build()}


def _guarantee(receipt: Receipt) -> Json:
    certificate = receipt.certificate
    return {
        "epsilon": certificate.epsilon,
        "delta": certificate.delta,
        "requested": {"epsilon": receipt.budget.epsilon, "delta": receipt.budget.delta},
        "accountant": certificate.accountant,
        "accountant_version": f"dpsynth {VERSION}",
        "theorem": certificate.theorem,
        "noise": "exact integer noise from the operating system's entropy; never stored, never seeded",
    }


def _unit(receipt: Receipt, schema: Schema) -> Json:
    unit = receipt.unit
    if unit.column is None:
        each = "every row counts" if unit.entity == "row" else f"every row counts as one {unit.entity},"
        enforced = f"{each} by itself; nobody is assumed to have only one"
    else:
        enforced = (
            f"of each {unit.entity} (rows with the same {unit.column!r}) at most {unit.rows_per_unit} "
            f"{'row is' if unit.rows_per_unit == 1 else 'rows are'} kept before anything is counted, "
            "chosen by a hash with a secret key that is new for every run"
        )
    return {
        "entity": unit.entity,
        "column": unit.column,
        "rows_per_unit": unit.rows_per_unit,
        "enforced": enforced,
        "synthetic": made_up(schema),
    }


def _attacker(row: Any) -> Json:
    return {
        "false_positive_rate": row.false_positive_rate,
        "true_positive_rate_at_most": row.true_positive_rate,
        "posteriors": [
            {"prior": prior, "posterior_at_most": posterior} for prior, posterior in row.posteriors
        ],
    }


def _charges(receipt: Receipt) -> list[Json]:
    weights = shares(receipt.charges, receipt.d0)
    return [
        {
            "purpose": c.purpose,
            **describe(c.event),
            "share": round(share, 6),
            "event": events.to_json(c.event),
        }
        for c, share in zip(receipt.charges, weights, strict=True)
    ]


def shares(charges: Sequence[Charge], d0: float) -> list[float]:
    """Each charge's part of the run's cost, by mu squared (which is what adds up); sums to 1."""
    squares = [dominating_gaussian([charge.event], d0) ** 2 for charge in charges]
    return [square / sum(squares) for square in squares]


def describe(event: Event) -> Json:
    """Mechanism, noise and sensitivity of an event in words."""
    kinds: dict[str, list[Event]] = {}
    for part in events.flatten([event]):
        kinds.setdefault(part.kind, []).append(part)
    words = [_described(parts) for parts in kinds.values()]
    return {key: "; then ".join(w[key] for w in words) for key in ("mechanism", "noise", "sensitivity")}


def _described(parts: Sequence[Event]) -> Json:
    """Several events of one kind."""
    first = parts[0]
    count = sum(getattr(part, "count", 1) for part in parts)
    match first:
        case events.DiscreteGaussian():
            noise = f"integer noise of standard deviation {_range(parts, 'sigma')} rows on every cell"
            return _words(f"{_times(count, 'noisy marginal')} (discrete Gaussian)", noise, _moved(parts))
        case events.DiscreteLaplace():
            noise = f"integer noise of scale {_range(parts, 'scale')} rows on every cell"
            return _words(f"{_times(count, 'noisy count')} (discrete Laplace)", noise, _moved(parts))
        case events.BoundedRange():
            noise = f"random choice of epsilon {_range(parts, 'epsilon')}{' each' if count > 1 else ''}"
            return _words(
                f"{_times(count, 'private choice')} (exponential mechanism)", noise, "part of its epsilon"
            )
        case events.PartitionSelection(inner):
            scale = inner.sigma if isinstance(inner, events.DiscreteGaussian) else inner.scale
            noise = f"integer noise of scale {scale:g} units on every number of units"
            moved = f"one unit moves at most {inner.count} of the numbers, each by 1"
            return _words(_searched(first), noise, moved)
        case events.DpSgd():
            noise = (
                f"noise of {_range(parts, 'sigma')} clipping bounds on each of {_range(parts, 'steps')} sums"
            )
            drawn = f"one clipped unit, drawn with probability {_range(parts, 'rate')}"
            return _words("noisy gradients (DP-SGD)", noise, drawn)
        case _:
            return _granted(first)


def _granted(event: Event) -> Json:
    """The share of a stage that adapts."""
    match event:
        case events.GdpGrant(mu):
            cost = f"mu {mu:.4g}"
        case events.ZcdpGrant(rho):
            cost = f"rho {rho:.4g}"
        case _:
            return _words(event.kind.replace("_", " "), "as its event states", "as its event states")
    return _words(
        f"noisy marginals that earlier answers chose, up to a share reserved for them ({cost})",
        "integer noise on every cell, listed table by table under consistency",
        "within the reserved share, whatever is chosen",
    )


def _searched(event: events.PartitionSelection) -> str:
    if not event.delta:
        return "search for bounds on a public scale (discrete Gaussian)"
    return f"search for values that enough units have (partition selection, delta {event.delta:.3g} added)"


def _range(parts: Sequence[Event], field: str) -> str:
    low, high = min(getattr(p, field) for p in parts), max(getattr(p, field) for p in parts)
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


def _words(mechanism: str, noise: str, sensitivity: str) -> Json:
    return {"mechanism": mechanism, "noise": noise, "sensitivity": sensitivity}


def _times(count: int, what: str) -> str:
    return f"one {what}" if count == 1 else f"{count} {what}s"


def _moved(parts: Sequence[Event]) -> str:
    most = max(getattr(part, "sensitivity", 0) for part in parts)
    return f"one unit moves each by at most {most} {'row' if most == 1 else 'rows'}"


def unprotected(schema: Schema, entity: str, audit: AuditFacts) -> list[Json]:
    """What the release reveals without noise, each with its reason."""
    found = [
        {
            "quantity": "the rows fit the schema",
            "why": "a run stops when a row does not; that this one did not is visible",
        },
        {
            "quantity": "the source is large enough to be attacked, and not too large for its ids and for one sample",
            "why": "a run stops, before anything is spent, at a very small table, and at one of more rows than the format "
            "of its ids has numbers or a sample may have; that this one did not is visible",
        },
        {
            "quantity": "the attack gate let the release through",
            "why": "attacks compare with real rows, and so do the policy's rules about them; samples audited: "
            f"{audit.samples_audited}",
        },
    ]
    if schema.unit.missing == "own":
        found.append(
            {
                "quantity": f"several rows of one {entity} without {schema.unit.column!r}",
                "why": f"each row without it was declared to be another {entity}, and is protected as such",
            }
        )
    for name in schema.once_inspected:
        column = schema.columns[name]
        now = "learnt for a charge" if column.origin == "dp" else "no reason was given"
        reason = column.reason or now
        found.append(
            {
                "quantity": f"bounds or values of column {name!r}",
                "why": f"was: inspected. First learnt by looking at the private rows; now: {reason}",
            }
        )
    return found


def public_table(prior: PriorNote | None) -> list[Json]:
    """What is to be said of a public table that the model began from, if there was one."""
    if prior is None:
        return []
    return [
        {
            "quantity": f"the public table {prior.name!r} ({prior.rows} rows, sha256 {prior.sha256[:16]}...)",
            "why": f"declared public: {prior.reason}. The model began from it at no charge; nothing protects its rows",
        },
        {
            "quantity": "the source is another table than the public one",
            "why": "a run stops, before it counts, when they share most of their unique rows; that this one did not is "
            "visible",
        },
    ]


def _ledger(receipt: Receipt) -> Json:
    promise = receipt.promise
    return {
        "dataset": receipt.dataset,
        "run": receipt.run_id,
        "promise": None if promise is None else {"epsilon": promise.epsilon, "delta": promise.delta},
        "spent_before": _total(receipt.spent_before),
        "spent_after": _total(receipt.spent_after),
        "head": receipt.ledger_head,
    }


def _total(total: Total) -> Json:
    return {"epsilon": total.epsilon, "mu": total.mu, "d0": total.d0}


def charged_events(fields: Mapping[str, Any]) -> list[Event]:
    """The events of a privacy.json; BudgetError for an unknown one, KeyError or TypeError when there are
    none.
    """
    return [events.from_json(charge["event"]) for charge in fields["charges"]]
