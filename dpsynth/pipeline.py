"""The main job: check, split, fit, sample, attack, evaluate, bundle, verify."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import attacks
from dpsynth import evaluation, release
from dpsynth.auditing import Audit, Private, audit_rows, digest, held_out, require_enough, require_releasable
from dpsynth.budget import Budget
from dpsynth.errors import UsageError
from dpsynth.mechanisms import MAX_CELLS
from dpsynth.model import FittedModel, require_rows
from dpsynth.privacy.intake import Intake
from dpsynth.privacy.ledger import Ledger
from dpsynth.privacy.ledger_filter import Remaining
from dpsynth.progress import Progress, silent
from dpsynth.project import Project
from dpsynth.schema import Schema
from dpsynth.synthesis import COUNT_CELLS, Plan, fit_reserved, plan, unit_of
from dpsynth.table import Source, Table, read_table
from dpsynth.unfinished import UnfinishedRun, keep, require_room
from dpsynth.workload import Workload


@dataclass(frozen=True)
class Settings:
    """What a run does beside fitting.

    `holdout`: the probability with which each unit's secret coin keeps it out of training, so that the attacks
    have controls. `rows`: synthetic rows to write; None takes the released (noisy) number. `target`: the column
    that utility is judged by, a column name or several. `form`: file form of the synthetic table.
    `workload`: what the method aims at. `max_cells`: how large a model may grow whose cliques the data chooses;
    `count_cells`: a method that might have to count more cells at once is refused.
    """

    holdout: float = 0.1
    rows: int | None = None
    target: tuple[str, ...] = ()
    workload: Workload = field(default_factory=Workload)
    max_cells: float = MAX_CELLS
    count_cells: float = COUNT_CELLS
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
    notices: tuple[str, ...] = ()


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
    kept = UnfinishedRun.beside(folder)
    release.before_spending(schema, settings.human).require()
    progress("reading the table", 0.0)
    table = read_table(data, schema)
    require_enough(table, settings.holdout)
    require_rows(settings.rows or 0, len(schema.domain))
    preview = _plan(
        schema, method, Budget(epsilon, ledger.promise.delta if delta is None else delta), ledger, settings
    )
    require_room(folder)
    fitted = _paid_fit(table, preview, f"release {method}", ledger, settings, kept.keep, progress)
    made = _released(
        fitted, table, preview, kept, ledger=ledger, out=folder, settings=settings, progress=progress
    )
    kept.remove()
    return replace(made, notices=fitted.notices)


@dataclass(frozen=True, eq=False)
class _Fitted:
    """A paid model with what is private about its fit: the intake, and in words who was held out."""

    model: FittedModel
    intake: Intake
    held_out: dict[str, Any]
    notices: tuple[str, ...]


def _plan(schema: Schema, method: str, budget: Budget, ledger: Ledger, settings: Settings) -> Plan:
    return plan(
        schema,
        method=method,
        epsilon=budget.epsilon,
        delta=budget.delta,
        ledger=ledger,
        workload=settings.workload,
        max_cells=settings.max_cells,
        count_cells=settings.count_cells,
    )


def _paid_fit(
    table: Table,
    preview: Plan,
    purpose: str,
    ledger: Ledger,
    settings: Settings,
    keep: Callable[[FittedModel, dict[str, Any]], None],
    progress: Progress,
) -> _Fitted:
    """Reserve, fit, and `keep` the model on disk before the run is committed."""
    with ledger.reserve(
        purpose, preview.charges, preview.budget, fingerprint=digest(table), unit=preview.unit
    ) as account:
        model, intake = fit_reserved(table, preview, account, holdout=settings.holdout, progress=progress)
        note = held_out(table, intake, settings.holdout)
        keep(model, note)
    return _Fitted(model, intake, note, tuple(notice.text for notice in account.notices))


def _released(
    fitted: _Fitted,
    table: Table,
    preview: Plan,
    kept: UnfinishedRun,
    *,
    ledger: Ledger,
    out: Path,
    settings: Settings,
    progress: Progress,
) -> Outcome:
    """Sample, audit, bundle: what can be done again, at no charge, when it fails."""
    model = fitted.model
    synthetic = _sample(model, settings)
    private = Private.of(table, fitted.intake)
    audit, suite, found = audit_rows(
        model,
        synthetic,
        private,
        holdout=settings.holdout,
        target=settings.target,
        ledger=ledger,
        progress=progress,
    )
    kept.note("audit.json", audit.as_json())
    progress("writing the bundle", 0.0)
    further: dict[str, object] = {
        "run.json": _configuration(preview, settings, private),
        "holdout.json": fitted.held_out,
    }
    verification = release_rows(
        model, synthetic, audit, ledger=ledger, out=out, settings=settings, further=further
    )
    progress("writing the bundle", 1.0)
    return Outcome(out, model, len(synthetic), suite, found, verification, ledger.remaining())


def fit_held_out(
    data: Source,
    schema: Schema,
    *,
    method: str,
    budget: Budget,
    ledger: Ledger,
    out: Path,
    settings: Settings,
    progress: Progress = silent,
) -> FittedModel:
    """A model in the new folder `out`, and beside it, private, who was held out, so that it can be audited later."""
    table = read_table(data, schema)
    preview = _plan(schema, method, budget, ledger, settings)
    require_room(out)
    return _paid_fit(
        table, preview, f"fit {method}", ledger, settings, partial(keep, folder=out), progress
    ).model


def release_rows(
    model: FittedModel,
    synthetic: Table,
    audit: Audit,
    *,
    ledger: Ledger,
    out: str | Path,
    settings: Settings,
    further: dict[str, object] | None = None,
) -> release.Verification:
    """Write the bundle of audited rows and verify it. AuditError for a blocked model, rows that were not
    audited, an inspected column or missing human fields; `further`: more files for internal/."""
    samples = require_releasable(ledger, model, synthetic, audit)
    bundle = release.write(
        out,
        model=model,
        synthetic=synthetic,
        suite=audit.suite,
        evaluation=audit.evaluation,
        human=settings.human,
        form=settings.form,
        samples_audited=samples,
        internal=further,
    )
    ledger.record_release(model.id, bundle.bundle_id)
    return release.verify(bundle)


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


def _sample(model: FittedModel, settings: Settings) -> Table:
    """As many rows as declared, or as the released number of training records implies for everybody."""
    rows = settings.rows or max(1, round(model.generator.total / (1 - settings.holdout)))
    return model.sample_table(rows, np.random.default_rng())


def settings_of(project: Project) -> Settings:
    """What the project file asks of a run."""
    spec = project.release
    target = project.generator.workload.target
    return Settings(
        holdout=project.audit.holdout,
        rows=project.generator.rows,
        target=(target,) if target else (),
        workload=project.generator.workload.workload,
        max_cells=project.generator.max_cells,
        count_cells=project.generator.count_cells,
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
            "U120",
            "no ledger is named",
            "write budget: {ledger: claims.ledger} in the project, or give --ledger",
        )
    promise = spec.promise.budget if spec and spec.promise else None
    if promise is None and not where.exists():
        promise = project.run_budget(epsilon)
    dataset = spec.dataset if spec else None
    if not dataset:
        raise UsageError(
            "U124",
            "the project does not say whose data it is",
            "write budget: {dataset: ...}, a name for these people that may become public",
        )
    return Ledger.open(where, dataset=dataset, promise=promise, unit=unit_of(project.schema))
