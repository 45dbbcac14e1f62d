"""The policy gate: what must hold before a bundle is written, each check with its reason in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dpsynth.errors import AuditError
from dpsynth.privacy.receipt import Receipt
from dpsynth.release.fields import ReleaseFields
from dpsynth.schema import Schema

POLICY = "built-in rules of dpsynth"
VIOLATION = "VIOLATION"


@dataclass(frozen=True)
class Check:
    """One rule. `code` is the error raised when it fails; `words` say what was found, `fix` what would
    help.
    """

    code: str
    rule: str
    passed: bool
    words: str
    fix: str


@dataclass(frozen=True)
class Gate:
    """All rules of the policy with their outcome."""

    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        return all(check.passed for check in self.checks)

    def require(self) -> None:
        """Raises AuditError for the first rule that fails."""
        for check in self.checks:
            if not check.passed:
                raise AuditError(check.code, f"release refused: {check.words}", check.fix)

    def as_json(self) -> dict[str, Any]:
        """For the public page: only ever written when every rule held."""
        return {
            "policy": POLICY,
            "verdict": "released: every rule of the policy is met" if self.passed else "refused",
            "checks": [{"rule": c.rule, "passed": c.passed} for c in self.checks],
        }


def before_spending(schema: Schema, human: ReleaseFields) -> Gate:
    """The rules that can be judged before anything is counted: ask them first, they cost nothing."""
    inspected, lacking = schema.inspected, human.missing
    return Gate(
        (
            Check(
                "A301",
                "no bound or category was learnt by looking at the private rows and left so",
                not inspected,
                f"columns {', '.join(map(repr, inspected))} have origin: inspected",
                "a person turns each to origin: public with a reason, keeping was: inspected",
            ),
            Check(
                "A302",
                "a person has stated purpose, recipient, lawful basis, contact and prohibited uses",
                not lacking,
                f"the release section lacks {', '.join(lacking)}",
                "fill it in; none of it is invented",
            ),
        )
    )


def judge(schema: Schema, human: ReleaseFields, receipt: Receipt, suite: Mapping[str, Any]) -> Gate:
    """All rules. `suite`: the attack suite's result as JSON."""
    verdict = str(suite.get("verdict", "none"))
    promise, after = receipt.promise, receipt.spent_after.epsilon
    return Gate(
        (
            *before_spending(schema, human).checks,
            Check(
                "A303",
                "the noise came from the operating system and the account is on disk",
                receipt.releasable and not receipt.seeded,
                "the model was made with a seeded noise source or an account in memory",
                "fit it again with a ledger on disk",
            ),
            Check(
                "A304",
                "this run and all earlier ones together keep the promise of the ledger",
                promise is not None and after <= promise.epsilon * (1 + 1e-9),
                "the ledger's promise is not kept",
                "this model cannot be released",
            ),
            Check(
                "A305",
                "attacks ran on the rows and none did better than the promise allows",
                bool(suite.get("attacks")) and verdict != VIOLATION,
                "no attack ran"
                if not suite.get("attacks")
                else "an attack did better than the promise allows",
                "run the audit"
                if not suite.get("attacks")
                else "this model is blocked for good: find the fault, fit anew",
            ),
        )
    )
