"""The form of privacy.json: what must be there, of which type. Published as JSON Schema (`schemas/`)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dpsynth.errors import VerifyError
from dpsynth.release.privacy_json import FORMAT

Positive = Annotated[float, Field(gt=0)]
Probability = Annotated[float, Field(ge=0, le=1)]
Whole = Annotated[int, Field(ge=1)]
Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Line = Annotated[str, Field(min_length=1)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Tool(_Part):
    name: Literal["dpsynth"]
    version: Line
    build: Hash | None = None


class Model(_Part):
    id: Line
    method: Line


class Promise(_Part):
    epsilon: Positive
    delta: Probability


class Guarantee(_Part):
    epsilon: Positive
    delta: Probability
    requested: Promise
    accountant: Line
    accountant_version: Line
    theorem: Line
    noise: Line


class Unit(_Part):
    entity: Line
    column: str | None
    rows_per_unit: Whole
    enforced: Line
    synthetic: Line


class Neighbours(_Part):
    relation: Line
    words: Line


class CurvePoint(_Part):
    epsilon: Annotated[float, Field(ge=0)]
    delta: Probability


class Posterior(_Part):
    prior: Probability
    posterior_at_most: Probability


class AttackerRow(_Part):
    false_positive_rate: Probability
    true_positive_rate_at_most: Probability
    posteriors: list[Posterior]


class Gaussian(_Part):
    mu: Positive
    d0: Probability


class Charge(_Part):
    purpose: Line
    mechanism: Line
    noise: Line
    sensitivity: Line
    share: Probability
    event: dict[str, Any]


class ColumnFigure(_Part):
    column: Line
    value: Probability
    low: Probability
    high: Probability
    standard_error: Positive


class Figure(_Part):
    name: Line
    words: Line
    value: Probability
    low: Probability
    high: Probability
    standard_error: Positive
    sigma_rows: Positive
    rows: Whole
    by_column: list[ColumnFigure]


class Unprotected(_Part):
    quantity: Line
    why: Line


class Bound(_Part):
    column: Line
    origin: Literal["public", "dp"]
    was: Literal["inspected", "searched"] | None
    reason: str | None
    decided_by: Line


class Attack(_Part):
    name: Line
    knowledge: Line
    wants: Line | None = None


class Audits(_Part):
    samples_audited: Whole
    attacks: Annotated[list[Attack], Field(min_length=1)]
    result: Line


class Total(_Part):
    epsilon: Annotated[float, Field(ge=0)]
    mu: Annotated[float, Field(ge=0)]
    d0: Probability


class Predecessor(_Part):
    bundle_id: Line
    model_id: Line
    withdrawn: bool


class Account(_Part):
    dataset: Line
    run: Line
    promise: Promise
    spent_before: Total
    spent_after: Total
    head: Hash
    spent_at_release: Total
    predecessors: list[Predecessor]


class Publication(_Part):
    curator: Line
    curator_type: Literal["Government", "Industry", "Nonprofit"]
    region: Line
    date: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")]
    license: Line
    sector: Line | None


class Human(_Part):
    purpose: Line
    recipient: Line
    lawful_basis: Line
    contact: Line
    prohibited_uses: Annotated[list[Line], Field(min_length=1)]
    title: str
    approver: Line
    review_date: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")]
    bounds_decided_by: Line | dict[str, Line]
    publication: Publication | None


class Organisation(_Part):
    name: Line
    sha256: Hash
    rules: dict[str, Any]


class Rule(_Part):
    rule: Line
    passed: Literal[True]


class GateResult(_Part):
    policy: Line
    organisation: Organisation | None
    verdict: Line
    checks: Annotated[list[Rule], Field(min_length=1)]


class PublicTable(_Part):
    """A table that a person declared public, from which the model began."""

    name: Line
    rows: Annotated[int, Field(ge=1)]
    sha256: Hash
    reason: Line


class PrivacyFile(_Part):
    """What protects whom in one release: the one file that the other documents are rendered from."""

    format: Literal["dpsynth-privacy/2"]
    tool: Tool
    model: Model
    guarantee: Guarantee
    unit: Unit
    neighbours: Neighbours
    curve: Annotated[list[CurvePoint], Field(min_length=1)]
    attacker: Annotated[list[AttackerRow], Field(min_length=1)]
    gaussian: Gaussian
    charges: Annotated[list[Charge], Field(min_length=1)]
    published_figures: list[Figure]
    unprotected_quantities: Annotated[list[Unprotected], Field(min_length=1)]
    prior: PublicTable | None = None
    bounds: Annotated[list[Bound], Field(min_length=1)]
    audits: Audits
    ledger: Account
    human: Human
    gate: GateResult


def check_form(privacy: Mapping[str, Any]) -> None:
    """VerifyError (V120, V125) naming the first place that has another form. Quotes no value."""
    if privacy.get("format") != FORMAT:
        raise VerifyError("V120", "privacy.json has a format this version does not know", "upgrade dpsynth")
    try:
        PrivacyFile.model_validate(dict(privacy))
    except ValidationError as problem:
        place = ".".join(
            str(step) for step in problem.errors(include_input=False, include_url=False)[0]["loc"]
        )
        raise VerifyError(
            "V125",
            f"privacy.json: {place} is missing, unknown or of another type than its schema says",
            "do not rely on it",
        ) from None


def json_schema() -> dict[str, Any]:
    """JSON Schema of privacy.json."""
    return {"title": "dpsynth privacy.json", **PrivacyFile.model_json_schema()}


def published(name: str) -> dict[str, Any]:
    """A JSON Schema as it is published with this version: "privacy", "project" or "policy"."""
    text = files("dpsynth.release").joinpath("schemas", f"{name}.schema.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found
