"""The policy gate: what must hold before a bundle is written, each check with its reason in words.

The built-in rules always hold; an organisation's policy file adds its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dpsynth.budget import MIN_EPSILON, Budget
from dpsynth.constraints_declared import MAPS
from dpsynth.discovery import BOUNDS, VALUES
from dpsynth.errors import AuditError
from dpsynth.privacy.receipt import Receipt
from dpsynth.release import policy as policies
from dpsynth.release.fields import ReleaseFields
from dpsynth.release.policy import Policy
from dpsynth.release.privacy_json import tool
from dpsynth.release.rules import Check
from dpsynth.release.standing import Standing
from dpsynth.schema import Schema

POLICY = "built-in rules of dpsynth"
VIOLATION = "VIOLATION"
NOISE = "the noise came from the operating system and the account is on disk"
LEARNT = "values and bounds with origin: dp, and such maps of constraints, were learnt, and paid for, by this very run"
_TELLING = (VALUES, BOUNDS, MAPS)
"""Purposes of the charges that tell values, bounds or maps; no other charge pays for any."""
PROMISE = "everything that was ever charged for these people keeps the promise of the ledger"
ATTACKED = "attacks ran on the rows and none did better than the promise allows"


@dataclass(frozen=True)
class Gate:
    """All rules with their outcome; `policy` is the organisation's, None for the built-in rules alone."""

    checks: tuple[Check, ...]
    policy: Policy | None = None

    @property
    def passed(self) -> bool:
        return all(check.passed for check in self.checks)

    def require(self) -> None:
        """Raises AuditError with the code of the first rule that fails and the words of all."""
        failed = [check for check in self.checks if not check.passed]
        if failed:
            words = "; ".join(check.words for check in failed)
            raise AuditError(
                failed[0].code, f"release refused: {words}", "; ".join(check.fix for check in failed)
            )

    def as_json(self) -> dict[str, Any]:
        """For the public: only ever written when every rule held."""
        return {
            "policy": POLICY if self.policy is None else self.policy.name,
            "organisation": None if self.policy is None else self.policy.as_json(),
            "verdict": "released: every rule of the policy is met" if self.passed else "refused",
            "checks": [{"rule": c.rule, "passed": c.passed} for c in self.checks],
        }


def before_spending(
    schema: Schema,
    human: ReleaseFields,
    policy: Policy | None = None,
    cost: Budget | None = None,
    promise: Budget | None = None,
) -> Gate:
    """The rules that can be judged before anything is counted: ask them first, they cost nothing.

    `cost`: what the run promises by itself; `promise`: of the ledger. Without a cost the policy's rules are left out.
    """
    checks = _built_in(schema, human)
    if policy is not None and cost is not None:
        checks += policies.before_spending(policy.rules, schema, human, cost, promise)
    return Gate(tuple(checks), policy)


def _built_in(schema: Schema, human: ReleaseFields) -> list[Check]:
    inspected, lacking = schema.inspected, human.missing
    undecided = human.undecided(
        name for name, c in schema.modelled.items() if c.origin != "dp" and c.was != "searched"
    )
    nobody = [f"bounds_decided_by for {', '.join(map(repr, undecided))}"] if undecided else []
    return [
        Check(
            "A301",
            "no bound or category was learnt by looking at the private rows and left so",
            not inspected,
            f"columns {', '.join(map(repr, inspected))} have origin: inspected",
            "a person turns each to origin: public with a reason, keeping was: inspected",
        ),
        Check(
            "A302",
            "a person has stated purpose, recipient, lawful basis, contact, prohibited uses, who approves it, who decided "
            "the bounds, and when it is reviewed",
            not lacking and not undecided,
            f"the release section lacks {', '.join([*(n for n in lacking), *nobody])}",
            "fill in the release section: only a person can say these",
        ),
    ]


def judge(
    schema: Schema,
    human: ReleaseFields,
    receipt: Receipt,
    suite: Mapping[str, Any],
    policy: Policy | None = None,
    standing: Standing | None = None,
) -> Gate:
    """All rules. `suite`: the attack suite's result as JSON. `standing`: of the ledger now; without it, the model's run
    was the last."""
    certificate = receipt.certificate
    cost = _spent(certificate.epsilon, certificate.delta)
    before = before_spending(schema, human, policy, cost, receipt.promise)
    after = [] if policy is None else policies.after_attacks(policy.rules, suite)
    learnt = _learnt(schema, [charge.purpose for charge in receipt.charges])
    account = _account(receipt, standing or Standing.alone(receipt))
    return Gate((*before.checks, *learnt, *account, _attacked(suite), *after), policy)


def _spent(epsilon: float, delta: float) -> Budget:
    """What a run has come to. One at the least epsilon that may be asked for stays a little below it."""
    return Budget(max(epsilon, MIN_EPSILON), delta)


def _learnt(schema: Schema, charged: Sequence[str]) -> list[Check]:
    """Where something was learnt for a charge: that these charges are the run's own."""
    missing = Counter(schema.paid_for) - Counter(one for one in charged if one in _TELLING)
    if not schema.paid_for:
        return []
    return [
        Check(
            "A314",
            LEARNT,
            not missing,
            f"nothing was charged for {', '.join(sorted(missing))}",
            "call what another run learnt public, and say in reason which release told it",
        )
    ]


def _account(receipt: Receipt, standing: Standing) -> list[Check]:
    promise = receipt.promise
    spent = max(receipt.spent_after.epsilon, standing.spent.epsilon)
    return [
        Check(
            "A303",
            NOISE,
            receipt.releasable and not receipt.seeded,
            "the model was made with a seeded noise source or an account in memory",
            "fit it again with a ledger on disk",
        ),
        Check(
            "A304",
            PROMISE,
            promise is not None and spent <= promise.epsilon * (1 + 1e-9),
            "the ledger's promise is not kept",
            "this model cannot be released",
        ),
    ]


def _attacked(suite: Mapping[str, Any]) -> Check:
    """Rows that know held-out people are not rows of the model, whatever its promise: another file, or a real one."""
    ran, verdict = bool(suite.get("attacks")), str(suite.get("verdict", "none"))
    foreign = bool(suite.get("knows_held_out_rows"))
    if not ran:
        words, fix = "no attack ran", "run the audit"
    elif verdict == VIOLATION:
        words = "an attack did better than the promise allows"
        fix = "this model is blocked for good: find the fault, fit anew"
    else:
        words = "the rows were made from held-out people, whom the model has never seen"
        fix = "sample the rows from the model"
    return Check("A305", ATTACKED, ran and verdict != VIOLATION and not foreign, words, fix)


def restated(stated: Mapping[str, Any], schema: Schema, privacy: Mapping[str, Any]) -> list[str]:
    """Places where a gate in a privacy.json is not what its rules and the rest of the file make of it.

    What an organisation's rules ask of the attacks cannot be judged again: no rate is public.
    """
    human = ReleaseFields.from_json(privacy["human"])
    organisation, promise = stated["organisation"], privacy["ledger"]["promise"]
    policy = None if organisation is None else Policy.from_json(organisation)
    cost = _spent(privacy["guarantee"]["epsilon"], privacy["guarantee"]["delta"])
    before = before_spending(schema, human, policy, cost, None if promise is None else Budget(**promise))
    learnt = _learnt(schema, [charge["purpose"] for charge in privacy["charges"]])
    failed = [check.words for check in (*before.checks, *learnt) if not check.passed]
    after = [] if policy is None else policies.after_attacks(policy.rules, {})
    wanted = [
        *(c.rule for c in (*before.checks, *learnt)),
        NOISE,
        PROMISE,
        ATTACKED,
        *(c.rule for c in after),
    ]
    rules = [check["rule"] for check in stated["checks"]]
    other = sorted(set(rules) ^ set(wanted)) if privacy["tool"] == tool() else []
    untrue = [check["rule"] for check in stated["checks"] if check["passed"] is not True]
    return [*failed, *other, *untrue]
