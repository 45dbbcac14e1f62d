"""An organisation's policy file: what a release must keep, whoever runs the tool. YAML, checked like a project file."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from dpsynth import strict_yaml
from dpsynth.budget import Budget
from dpsynth.declared import Declared, Fault, Finite, Text, Whole, validate
from dpsynth.release.fields import ReleaseFields
from dpsynth.release.rules import Check
from dpsynth.schema import Schema, as_mapping, read_text

Positive = Annotated[Finite, Field(gt=0)]
Share = Annotated[Finite, Field(gt=0, le=1)]
Knowledge = Literal["public", "dp", "once inspected"]
TOLERANCE = 1e-9


class Rules(Declared):
    """The rules; each is optional, and what is left out is not asked.

    `epsilon`, `delta`: the most that one release may cost. `promise_epsilon`: the most that the ledger may promise
    to the same people over all releases. `smallest_unit: person` refuses releases that protect single rows only.
    `attacks`: names of attacks that must have run. `detects_copied_share`: the attacks must have been able to see a
    table that copies this share of the real rows. `origins`: how bounds and categories may have become known.
    `approvers`: who may answer for a release.
    """

    epsilon: Positive | None = None
    delta: Annotated[Finite, Field(ge=0, lt=1)] | None = None
    promise_epsilon: Positive | None = None
    smallest_unit: Literal["row", "person"] = "row"
    attacks: tuple[Text, ...] = ()
    detects_copied_share: Share | None = None
    origins: tuple[Knowledge, ...] | None = None
    approvers: tuple[Text, ...] | None = None


class _PolicyFile(Rules):
    version: Whole = 1
    name: Text

    @model_validator(mode="after")
    def _check(self) -> _PolicyFile:
        if self.version != 1:
            raise Fault("S108", "the policy is of another version than 1", "a newer dpsynth may read it")
        if not self.name.strip():
            raise Fault("S111", "the policy has no name", "add name: ...")
        return self


@dataclass(frozen=True)
class Policy:
    """A policy as it was read; `sha256` is of the file's bytes, so that everybody can tell which one it was."""

    name: str
    sha256: str
    rules: Rules

    @classmethod
    def load(cls, path: Path) -> Policy:
        """Raises SchemaError with key path and line."""
        return cls.from_yaml(read_text(path))

    @classmethod
    def from_yaml(cls, text: bytes) -> Policy:
        data, lines = strict_yaml.loads(text)
        file = validate(_PolicyFile, as_mapping(data), lines)
        rules = Rules(**file.model_dump(include=set(Rules.model_fields), exclude_unset=True))
        return cls(file.name, hashlib.sha256(text).hexdigest(), rules)

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "sha256": self.sha256,
            "rules": self.rules.model_dump(mode="json", exclude_defaults=True),
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Policy:
        return cls(fields["name"], fields["sha256"], Rules(**fields["rules"]))


def json_schema() -> dict[str, Any]:
    """JSON Schema of a policy file, for editors."""
    return {"title": "dpsynth policy", **_PolicyFile.model_json_schema()}


def before_spending(
    rules: Rules, schema: Schema, human: ReleaseFields, cost: Budget, promise: Budget | None
) -> list[Check]:
    """The rules that are known before anything is counted; `cost` is what the run promises by itself."""
    found = [*_limits(rules, cost, promise)]
    if rules.smallest_unit == "person":
        column = schema.unit.column
        found.append(
            Check(
                "A309",
                f"the policy's smallest unit, a person: all rows with the same {column!r} are protected together, and "
                f"that column was declared to tell one {schema.unit.entity} from another",
                column is not None,
                f"each {schema.unit.entity} is protected by itself, whosever it is",
                "name the column that tells one person from another: data: {unit: {entity: person, column: ...}}",
            )
        )
    if rules.origins is not None:
        wrong = [n for n, known in _known(schema).items() if known not in rules.origins]
        found.append(
            Check(
                "A310",
                f"bounds and categories became known only as the policy allows: {_listed(rules.origins)}",
                not wrong,
                f"columns {_listed(wrong)} became known in another way",
                "declare them from public knowledge, or leave the columns out",
            )
        )
    if rules.approvers is not None:
        found.append(
            Check(
                "A311",
                "somebody answers for it whom the policy names",
                human.approver in rules.approvers,
                "the approver is not among those whom the policy names",
                f"one of them approves it: {_listed(rules.approvers)}",
            )
        )
    return found


def after_attacks(rules: Rules, suite: Mapping[str, Any]) -> list[Check]:
    """The rules about attacks. `suite`: the attack suite's result as JSON."""
    found = []
    if rules.attacks:
        ran = list(dict.fromkeys(str(attack["attack"]) for attack in suite.get("attacks", ())))
        lacking = [name for name in rules.attacks if name not in ran]
        found.append(
            Check(
                "A307",
                f"the attacks that the policy asks for ran: {_listed(rules.attacks)}",
                not lacking,
                f"these attacks did not run: {_listed(lacking)}",
                f"run an audit that includes them; these ran: {_listed(ran)}",
            )
        )
    if rules.detects_copied_share is not None:
        seen = suite.get("smallest_copied_share_seen")
        found.append(
            Check(
                "A308",
                f"the attacks could have seen a copy of {rules.detects_copied_share:.3g} of the rows",
                seen is not None and float(seen) <= rules.detects_copied_share,
                "the attacks are too weak here: they did not see a planted copy that small",
                "hold out more people (audit: {holdout: ...}) so that the attacks see more",
            )
        )
    return found


def _limits(rules: Rules, cost: Budget, promise: Budget | None) -> list[Check]:
    found = []
    if rules.epsilon is not None:
        found.append(
            Check(
                "A306",
                f"epsilon of one release is at most {rules.epsilon:g}, as the policy says",
                cost.epsilon <= rules.epsilon * (1 + TOLERANCE),
                f"epsilon {cost.epsilon:.4g} is above the policy's {rules.epsilon:g}",
                f"ask for --epsilon {rules.epsilon:g} or less",
            )
        )
    if rules.delta is not None:
        found.append(
            Check(
                "A312",
                f"delta of one release is at most {rules.delta:g}, as the policy says",
                cost.delta <= rules.delta * (1 + TOLERANCE),
                f"delta {cost.delta:g} is above the policy's {rules.delta:g}",
                f"write budget: {{delta: {rules.delta:g}}} or less",
            )
        )
    if rules.promise_epsilon is not None:
        most = None if promise is None else promise.epsilon
        found.append(
            Check(
                "A313",
                f"all releases about the same people together promise at most epsilon {rules.promise_epsilon:g}",
                most is not None and most <= rules.promise_epsilon * (1 + TOLERANCE),
                "the ledger promises more than the policy allows, or nothing",
                "open the ledger with a smaller promise before the first release",
            )
        )
    return found


def _known(schema: Schema) -> dict[str, str]:
    """How the bounds of each modelled column became known."""
    return {name: _became_known(column.origin, column.was) for name, column in schema.modelled.items()}


def _became_known(origin: str, was: str | None) -> str:
    if "inspected" in (origin, was):
        return "once inspected"
    return "dp" if was == "searched" else origin  # as the run was admitted: what it learnt may not be of use


def _listed(names: Any) -> str:
    return ", ".join(repr(name) for name in names) or "none"
