"""The project file, one YAML for the whole job: public facts, promise, method, audit, human fields."""

from __future__ import annotations

import datetime as dt
import math
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, field_validator, model_validator

from dpsynth import strict_yaml
from dpsynth.addresses import address_of
from dpsynth.budget import Budget
from dpsynth.columns import Column
from dpsynth.constraints_declared import Constraint
from dpsynth.declared import TODO, Declared, Fault, Finite, Text, Whole, validate
from dpsynth.errors import SchemaError
from dpsynth.schema import DataSpec, Schema, as_mapping, build, check_constraints, read_text
from dpsynth.workload import Workload

Method = Literal["independent", "privbayes", "mst", "tree", "aim", "tree-aim", "network", "gan"]
HUMAN_FIELDS = (
    "purpose",
    "recipient",
    "lawful_basis",
    "prohibited_uses",
    "contact",
    "approver",
    "review_date",
    "bounds_decided_by",
)


def _number(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Fault("S112", "is not a number", "write a plain number such as 1.0 or 1.0e-9")
    return float(value) if abs(value) < 1e300 or math.isnan(value) else math.inf


# whether a number makes sense as a promise is for Budget to say, with the exit code of a refused budget
_Promised = Annotated[float, BeforeValidator(_number)]


class PromiseSpec(Declared):
    """What the ledger promises the population of units over all its runs."""

    model_config = ConfigDict(allow_inf_nan=True)
    epsilon: _Promised
    delta: _Promised

    @property
    def budget(self) -> Budget:
        return Budget(self.epsilon, self.delta)


class BudgetSpec(Declared):
    """What this run would cost alone, and the account that it charges. Neither number has a default."""

    model_config = ConfigDict(allow_inf_nan=True)
    epsilon: _Promised | None = None
    delta: _Promised | None = None
    ledger: Text | None = None
    dataset: Text | None = None
    promise: PromiseSpec | None = None


class WorkloadSpec(Declared):
    """What the synthetic rows are for."""

    target: Text | None = None
    pairs: Literal["all"] | tuple[tuple[Text, Text], ...] = "all"

    @field_validator("pairs", mode="before")
    @classmethod
    def _are_pairs(cls, value: Any) -> Any:
        listed = value if isinstance(value, list | tuple) else [None]
        if value != "all" and not all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in listed):
            raise Fault(
                "S112", "is neither 'all' nor a list of pairs", "write pairs: [[age, plan], [age, cost]]"
            )
        if value != "all" and any(one == other for one, other in value):
            raise Fault("S112", "has a pair of one column", "name two different columns in each pair")
        return value

    @property
    def workload(self) -> Workload:
        return Workload(self.target, None if self.pairs == "all" else self.pairs)


class PriorSpec(Declared):
    """A public table of the same columns that the model begins from, at no charge. `reason`: why it is public, in words
    that the release repeats; nothing protects its rows."""

    path: Text
    reason: Text

    @model_validator(mode="after")
    def _check(self) -> PriorSpec:
        if not filled(self.reason):
            raise Fault(
                "S145",
                "a public table needs a reason why it is public",
                "write generator: {prior: {reason: ...}}",
            )
        return self


class GeneratorSpec(Declared):
    """`max_cells`: how large a model may grow whose cliques the data chooses; `count_cells`: how many cells may have to
    be counted at once; `rows`: how many synthetic rows to draw, a declared number, never that of the data; `prior`: a
    public table to begin from."""

    method: Method = "tree"
    max_cells: Annotated[Finite, Field(ge=100, le=1e9)] = 5.0e6
    count_cells: Annotated[Finite, Field(ge=100, le=1e9)] = 3.0e7
    rows: Annotated[Whole, Field(ge=1, le=1_000_000_000)] | None = None
    workload: WorkloadSpec = WorkloadSpec()
    prior: PriorSpec | None = None


class PublishSpec(Declared):
    """Figures about the real rows that may be published: what they cost, out of the run's own epsilon."""

    epsilon: Annotated[Finite, Field(gt=0, le=100)]


class AuditSpec(Declared):
    """`holdout`: the probability that a unit is kept out of the fit, as a control for the attacks. `publish`: buy
    figures for the public page."""

    holdout: Annotated[Finite, Field(gt=0, le=0.5)] = 0.1
    publish: PublishSpec | None = None
    attacks: Literal["default"] = "default"
    secrets: tuple[Text, ...] = ()
    quasi_identifiers: tuple[Text, ...] = ()
    groups: tuple[Text, ...] = ()


def _day(value: Any) -> Any:
    if isinstance(value, str) and (not filled(value) or is_day(value)):
        return value
    raise Fault("S112", "is not a day", "write it as 2027-06-30")


Day = Annotated[str, BeforeValidator(_day)]


class PublicationSpec(Declared):
    """For a table that goes to the public: what catalogues and the registry of deployments ask. `date`: of
    publication; `license`: its name or address."""

    curator: Text
    curator_type: Literal["Government", "Industry", "Nonprofit"]
    region: Text
    date: Day
    license: Text
    sector: Literal["Technology", "Healthcare", "Education", "Government", "Energy", "Finance"] | None = None

    @model_validator(mode="after")
    def _check(self) -> PublicationSpec:
        for name in ("curator", "region", "date", "license"):
            if not filled(getattr(self, name)):
                raise Fault("S111", f"{name} is still open", "fill it in, or leave out publication")
        return self


class ReleaseSpec(Declared):
    """What only a person can say about a release, and the files that decide and sign it.

    `bounds_decided_by`: who decided that bounds and categories are public knowledge, one name for all columns or
    `{column: name}`. `policy`: the organisation's rules; `key`: the private key that signs.
    """

    title: Text | None = None
    purpose: Text | None = None
    recipient: Text | None = None
    lawful_basis: Text | None = None
    prohibited_uses: tuple[Text, ...] = ()
    contact: Text | None = None
    approver: Text | None = None
    review_date: Day | None = None
    bounds_decided_by: dict[str, Text] | Text | None = None
    publication: PublicationSpec | None = None
    policy: Text | None = None
    key: Text | None = None

    @property
    def lacking(self) -> list[str]:
        """Fields that a release needs and that are empty."""
        return [name for name in HUMAN_FIELDS if not filled(getattr(self, name))]

    def human(self) -> dict[str, Any]:
        """What a person said, as plain data."""
        return self.model_dump(exclude={"policy", "key"})


def filled(value: object) -> bool:
    """Whether it says anything: dots, question marks and what begins with TODO stand for what a draft left open."""
    if isinstance(value, Mapping):
        return bool(value) and all(filled(inner) for inner in value.values())
    texts = [value] if isinstance(value, str) else list(value) if isinstance(value, tuple) else []
    return any(text.strip(" .?") and not text.strip().startswith(TODO) for text in texts)


def is_day(text: str) -> bool:
    """Whether it is a day of the calendar as YYYY-MM-DD."""
    try:
        return dt.date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


class ProjectFile(Declared):
    """The sections of the file, as written."""

    version: Whole = 1
    data: DataSpec
    budget: BudgetSpec | None = None
    columns: dict[str, Column]
    constraints: tuple[Constraint, ...] = ()
    generator: GeneratorSpec = GeneratorSpec()
    audit: AuditSpec = AuditSpec()
    release: ReleaseSpec = ReleaseSpec()

    @model_validator(mode="after")
    def _check(self) -> ProjectFile:
        if self.version != 1:
            raise Fault("S108", "the file is of another version than 1", "a newer dpsynth may read it")
        modelled = [name for name, column in self.columns.items() if column.modelled]
        _check_names("generator.workload", _workload_names(self.generator.workload), modelled)
        _check_names("audit.secrets", self.audit.secrets, modelled)
        _check_names("audit.quasi_identifiers", self.audit.quasi_identifiers, modelled)
        _check_names("audit.groups", self.audit.groups, modelled)
        check_constraints(self.columns, self.constraints)
        return self


def _workload_names(workload: WorkloadSpec) -> list[str]:
    pairs = [] if workload.pairs == "all" else [name for pair in workload.pairs for name in pair]
    return [*pairs, workload.target] if workload.target else pairs


def _check_names(where: str, names: Iterable[str], modelled: list[str]) -> None:
    for name in names:
        if name not in modelled:
            raise Fault(
                "S140",
                f"{where} names '{strict_yaml.shown(name)}', which is no modelled column",
                "correct the name",
            )


TABLE = "table:"
"""What a source begins with that is the name of a table in the catalog of a cluster."""


def is_elsewhere(path: str) -> bool:
    """Whether a path means something else than a file beside the project: a table's name, or an address."""
    return path.startswith(TABLE) or re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", path) is not None


@dataclass(frozen=True)
class Project:
    """A project file that was read and checked; `folder` is where its relative paths begin."""

    schema: Schema
    data: DataSpec
    budget: BudgetSpec | None
    generator: GeneratorSpec
    audit: AuditSpec
    release: ReleaseSpec
    folder: Path
    constraint_lines: tuple[int, ...] = ()
    """Where each constraint stands in the file; 0 where nobody knows."""

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Project:
        """Raises SchemaError with key path and line."""
        return cls.from_yaml(read_text(path), Path(path).resolve().parent)

    @classmethod
    def from_yaml(cls, text: str | bytes, folder: Path | None = None) -> Project:
        data, lines = strict_yaml.loads(text)
        file = validate(ProjectFile, as_mapping(data), lines)
        places = tuple(lines.get(("constraints", i), 0) for i in range(len(file.constraints)))
        return replace(cls._from_file(file, folder), constraint_lines=places)

    @classmethod
    def _from_file(cls, file: ProjectFile, folder: Path | None) -> Project:
        return cls(
            schema=build(file.data, file.columns, file.constraints),
            data=file.data,
            budget=file.budget,
            generator=file.generator,
            audit=file.audit,
            release=file.release,
            folder=folder or Path.cwd(),
        )

    @property
    def data_path(self) -> Path:
        """Raises SchemaError (S141) when the file names no data."""
        if not self.data.path:
            raise SchemaError(
                "S141", "data.path is missing", "say where the rows are: data: {path: rows.csv}"
            )
        return self.folder / self.data.path

    @property
    def source(self) -> Path | str:
        """What the engine reads: `data_path`, a table of a database, or on a cluster a table's name or an address as they
        stand."""
        if self.data.engine != "spark" and (address := address_of(self.data.path)) is not None:
            return str(address.beside(self.folder))
        elsewhere = self.data.engine == "spark" and is_elsewhere(self.data.path or "")
        return self.data.path or "" if elsewhere else self.data_path

    @property
    def ledger_path(self) -> Path | None:
        return self.folder / self.budget.ledger if self.budget and self.budget.ledger else None

    @property
    def policy_path(self) -> Path | None:
        return self.folder / self.release.policy if self.release.policy else None

    @property
    def key_path(self) -> Path | None:
        return self.folder / self.release.key if self.release.key else None

    def run_budget(self, epsilon: float | None = None, delta: float | None = None) -> Budget:
        """What this run may spend; arguments replace the file's numbers.

        Raises SchemaError (S142) when one is given nowhere, BudgetError when they are no promise.
        """
        found: Mapping[str, float | None] = {
            "epsilon": epsilon if epsilon is not None or not self.budget else self.budget.epsilon,
            "delta": delta if delta is not None or not self.budget else self.budget.delta,
        }
        for name, value in found.items():
            if value is None:
                fix = "there is no default: write budget: {epsilon: 1.0, delta: 1.0e-9} with your own numbers"
                raise SchemaError("S142", f"budget.{name} is missing", fix)
        return Budget(float(found["epsilon"] or 0), float(found["delta"] or 0))


def json_schema() -> dict[str, Any]:
    """JSON Schema of the project file, for editors."""
    return {"title": "dpsynth project", **ProjectFile.model_json_schema()}
