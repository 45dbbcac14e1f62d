"""The main job: check, split, fit, sample, attack, evaluate, bundle, verify."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import attacks
from dpsynth import evaluation, release
from dpsynth.errors import AuditError, UsageError
from dpsynth.model import FittedModel
from dpsynth.privacy.intake import Intake
from dpsynth.privacy.ledger import Ledger
from dpsynth.privacy.ledger_filter import Remaining
from dpsynth.progress import Progress, silent
from dpsynth.project import Project
from dpsynth.schema import Schema
from dpsynth.synthesis import Plan, fit_reserved, plan, unit_of
from dpsynth.table import Source, Table, read_table

@dataclass(frozen=True)
class Settings:
    """What a run does beside fitting.

    `holdout`: the probability with which each unit's secret coin keeps it out of training, so that the attacks
    have controls. `rows`: synthetic rows to write; None takes the released (noisy) number. `target`: the column
    that utility is judged by, a column name or several. `form`: file form of the synthetic table.
    """

    holdout: float = 0.1
    rows: int | None = None
    target: tuple[str, ...] = ()
    form: str = "csv"
    human: release.ReleaseFields = field(default_factory=release.ReleaseFields)


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a run left behind. `suite` and `evaluation` compare with real rows: internal."""

    folder: Path
    model: FittedModel
    rows: int
    suite: attacks.SuiteResult
    evaluation: evaluation.Evaluation
    verification: release.Verification
    remaining: Remaining
    notices: tuple[str, ...]


def run(
    project: Project,
    out: str | Path,
    *,
    epsilon: float | None = None,
    ledger: Path | None = None,
    progress: Progress = silent,
) -> Outcome:
    """Everything from the project's private table to a verified bundle in the new folder `out`.

    `epsilon` and `ledger` replace the project's. Raises SchemaError, DataError, UsageError and AuditError (missing
    human fields, inspected columns) before anything is spent; BudgetError when the ledger cannot hold the run;
    AuditError when an attack finds more than the promise allows: the model is then blocked in the ledger for
    good and nothing is released.
    """
    budget = project.run_budget(epsilon)
    with open_ledger(project, ledger, epsilon) as account:
        return run_release(
            project.data_path,
            project.schema,
            method=project.generator.method,
            epsilon=budget.epsilon,
            delta=budget.delta,
            ledger=account,
            out=out,
            settings=settings_of(project),
            progress=progress,
        )


def run_release(
    data: Source,
    schema: Schema,
    *,
    method: str,
    epsilon: float,
    delta: float | None = None,
    ledger: Ledger,
    out: str | Path,
    settings: Settings | None = None,
    progress: Progress = silent,
) -> Outcome:
    """As `run`, for a table in any form and without a project file.

    `delta` defaults to the ledger's. `settings.human` holds what only a person can say; without it the release is
    refused (AuditError) before anything is spent.
    """
    settings = settings or Settings()
    folder = Path(out)
    release.refuse_existing(folder)
    release.before_spending(schema, settings.human).require()
    progress("reading the table", 0.0)
    table = read_table(data, schema)
    preview = plan(schema, method=method, epsilon=epsilon, delta=delta, ledger=ledger)
    with ledger.reserve(f"release {method}", preview.charges, preview.budget, fingerprint=digest(table)) as account:
        model, intake = fit_reserved(table, preview, account, holdout=settings.holdout, progress=progress)
    synthetic = _sample(model, settings)
    private = Private(synthetic, table.take(intake.training), table.take(intake.holdout))
    suite = _attack(private, model, preview, settings, progress)
    _record(ledger, model, suite, synthetic)
    found = _evaluate(private, settings, progress)
    progress("writing the bundle", 0.0)
    bundle = release.write(
        folder,
        model=model,
        synthetic=synthetic,
        suite=suite.as_json(),
        evaluation=found.as_json(),
        human=settings.human,
        form=settings.form,
        internal={
            "run.json": _configuration(preview, settings, private),
            "holdout.json": _held_out(table, intake),
        },
    )
    ledger.record_release(model.id, bundle.bundle_id)
    verification = release.verify(bundle)
    progress("writing the bundle", 1.0)
    notices = tuple(notice.text for notice in account.notices)
    return Outcome(folder, model, len(synthetic), suite, found, verification, ledger.remaining(), notices)


@dataclass(frozen=True, eq=False)
class Private:
    """Synthetic rows beside the real ones they are compared with. Nothing computed from it is released."""

    synthetic: Table
    training: Table
    holdout: Table


def _configuration(preview: Plan, settings: Settings, private: Private) -> dict[str, Any]:
    """Internal: what was asked and how the rows were split."""
    return {
        "method": preview.method,
        "rho": preview.cost.rho,
        "holdout": settings.holdout,
        "target": list(settings.target),
        "training_rows": len(private.training),
        "holdout_rows": len(private.holdout),
    }


def _held_out(table: Table, intake: Intake) -> dict[str, Any]:
    """Internal: who was held out, so that the audit can be repeated. Ids of units, or row numbers from 1."""
    if table.units is None or table.unit_labels is None:
        return {"rows": (intake.holdout + 1).tolist()}
    return {"units": sorted(str(label) for label in table.unit_labels[np.unique(table.units[intake.holdout])])}


def _sample(model: FittedModel, settings: Settings) -> Table:
    """As many rows as declared, or as the released number of training records implies for everybody."""
    rows = settings.rows or max(1, round(model.generator.total / (1 - settings.holdout)))
    return model.sample_table(rows, np.random.default_rng())


def _attack(
    private: Private, model: FittedModel, preview: Plan, settings: Settings, progress: Progress
) -> attacks.SuiteResult:
    def step(name: str, done: float) -> None:
        progress(f"attacking: {name}", done)

    return attacks.run_suite(
        private.synthetic,
        private.training,
        private.holdout,
        model.schema,
        (preview.budget.epsilon, preview.budget.delta),
        cliques=[m.clique for m in model.measurements],
        coin=settings.holdout,
        progress=step,
    )


def _evaluate(private: Private, settings: Settings, progress: Progress) -> evaluation.Evaluation:
    return evaluation.evaluate(
        private.synthetic,
        private.training,
        private.holdout,
        private.training.schema,
        target=settings.target or None,
        rng=np.random.default_rng(),
        progress=progress,
    )


def _record(ledger: Ledger, model: FittedModel, suite: attacks.SuiteResult, synthetic: Table) -> None:
    """Every audit is an entry; a violation blocks the model for good."""
    ledger.record_audit(model.id, suite.verdict, samples=1, rows_sha256=[digest(synthetic).hex()])
    if suite.verdict == attacks.VIOLATION:
        ledger.block(model.id, "the attacks found more than the promise allows (VIOLATION)")
        raise AuditError(
            "A320",
            f"{suite.headline}; the model is blocked in the ledger and nothing was released",
            "find the fault first; a new model needs a new fit and its charge",
        )


def settings_of(project: Project) -> Settings:
    """What the project file asks of a run."""
    spec = project.release
    target = project.generator.workload.target
    return Settings(
        holdout=project.audit.holdout,
        rows=project.generator.rows,
        target=(target,) if target else (),
        form="parquet" if project.data_path.suffix in {".parquet", ".pq"} else "csv",
        human=release.ReleaseFields(
            purpose=spec.purpose or "",
            recipient=spec.recipient or "",
            lawful_basis=spec.lawful_basis or "",
            contact=spec.contact or "",
            prohibited_uses=spec.prohibited_uses,
        ),
    )


def open_ledger(project: Project, path: Path | None = None, epsilon: float | None = None) -> Ledger:
    """The project's ledger; a missing one is opened with the project's promise, or with the run's own budget."""
    spec = project.budget
    where = path or project.ledger_path
    if where is None:
        raise UsageError(
            "U120", "no ledger is named", "write budget: {ledger: claims.ledger} in the project, or give --ledger"
        )
    promise = spec.promise.budget if spec and spec.promise else None
    if promise is None and not where.exists():
        promise = project.run_budget(epsilon)
    dataset = (spec.dataset if spec else None) or Path(project.data.path or "table").stem
    return Ledger.open(where, dataset=dataset, promise=promise, unit=unit_of(project.schema))


def digest(table: Table) -> bytes:
    """SHA-256 of a table's values; of private rows it goes into the ledger under a secret key only."""
    total = hashlib.sha256()
    for name, column in table.values.items():
        total.update(name.encode())
        total.update("\x1f".join(map(str, column)).encode() if column.dtype == object else column.tobytes())
        if name in table.missing:
            total.update(table.missing[name].tobytes())
    return total.digest()
