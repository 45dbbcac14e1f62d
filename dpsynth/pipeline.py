"""The main job: check, split, fit, sample, attack, evaluate, bundle, verify."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import attacks
from dpsynth import evaluation, release
from dpsynth.auditing import Audit, Private, audit_rows, require_releasable
from dpsynth.budget import Budget
from dpsynth.constraints.totals import Totals
from dpsynth.discovering import require_open
from dpsynth.errors import UsageError
from dpsynth.mechanisms import MAX_CELLS
from dpsynth.model import FittedModel
from dpsynth.model.rehearsal import rehearse
from dpsynth.model.ruling import require_functions
from dpsynth.preflight import require_finishable, require_ids
from dpsynth.prior import PriorFile
from dpsynth.privacy.events import Charge
from dpsynth.privacy.figures import Purchase
from dpsynth.privacy.ledger import Ledger
from dpsynth.privacy.ledger_filter import Remaining
from dpsynth.progress import Progress, silent
from dpsynth.project import Project
from dpsynth.releasing import bought, purchase, still_paid, terms_of
from dpsynth.schema import Schema
from dpsynth.synthesis import COUNT_CELLS, Plan, plan, unit_of
from dpsynth.table import Source, Table
from dpsynth.taken import MEMORY, Behind, Taken, take
from dpsynth.unfinished import UnfinishedRun, keep, require_room
from dpsynth.workload import Workload


@dataclass(frozen=True)
class Settings:
    """What a run does beside fitting.

    `holdout`: the probability with which each unit's secret coin keeps it out of training, so that the attacks
    have controls. `rows`: synthetic rows to write; None takes the released (noisy) number. `target`: the column
    that utility is judged by, a column name or several. `asked`: what the attacks look at by name.
    `form`: file form of the synthetic table.
    `workload`: what the method aims at. `max_cells`: how large a model may grow whose cliques the data chooses;
    `count_cells`: a method that might have to count more cells at once is refused. `policy`, `signer`: rules of the
    organisation, and who signs. `publish`: epsilon, out of the run's own, for figures on the public page. `engine`: where
    the rows are while they are counted, `memory`, `duckdb` (for tables larger than that) or `spark` (on a cluster).
    `despite`: rows of the source may break the schema's constraints. `prior`: a public table that the model begins from.
    """

    holdout: float = 0.1
    rows: int | None = None
    target: tuple[str, ...] = ()
    asked: attacks.Asked = field(default_factory=attacks.Asked)
    workload: Workload = field(default_factory=Workload)
    max_cells: float = MAX_CELLS
    count_cells: float = COUNT_CELLS
    form: str = "csv"
    human: release.ReleaseFields = field(default_factory=release.ReleaseFields)
    policy: release.Policy | None = None
    signer: release.Signer | None = None
    publish: float | None = None
    despite: bool = False
    prior: PriorFile | None = None
    engine: str = MEMORY


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
    terms: Mapping[str, Any] | None = None,
    progress: Progress = silent,
) -> Outcome:
    """Everything from the project's private table to a verified bundle in the new folder `out`.

    `epsilon` and `ledger` replace the project's; `terms`: policy and signer, else those that it names. Raises
    SchemaError, DataError, UsageError and AuditError (missing human fields, inspected columns, an organisation's
    policy) before anything is spent; BudgetError when the ledger cannot hold the run;
    AuditError when an attack finds more than the promise allows: the model is then blocked in the ledger for
    good and nothing is released.
    """
    budget = project.run_budget(epsilon)
    settings = replace(settings_of(project), **(terms_of(project) if terms is None else terms))
    # a run that is refused anyway must not open a ledger: its promise is for good
    release.refuse_existing(Path(out))
    release.before_spending(project.schema, settings.human).require()
    require_room(Path(out))
    rehearse(project.schema)
    with open_ledger(project, ledger, epsilon) as account:
        return run_release(
            project.source,
            project.schema,
            method=project.generator.method,
            epsilon=budget.epsilon,
            delta=budget.delta,
            ledger=account,
            out=out,
            settings=settings,
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
    budget = Budget(epsilon, ledger.promise.delta if delta is None else delta)
    release.before_spending(schema, settings.human, settings.policy, budget, ledger.promise).require()
    progress("reading the table", 0.0)
    rows = _taken(data, schema, settings, progress)
    rows.require_enough(settings.holdout)
    require_finishable(rows, schema, settings)
    require_functions(schema, {})
    wanted = None if settings.publish is None else purchase(schema, settings.publish, budget.delta)
    preview = _plan(schema, method, budget, ledger, settings, () if wanted is None else (wanted.charge,))
    require_room(folder)
    with kept.told():
        fitted = _paid_fit(rows, preview, f"release {method}", ledger, settings, kept.keep, progress, wanted)
        made = _released(
            fitted, preview, kept, ledger=ledger, out=folder, settings=settings, progress=progress
        )
    kept.remove()
    return replace(made, notices=fitted.notices)


@dataclass(frozen=True, eq=False)
class _Fitted:
    """A paid model with what is private about its fit. `figures` were bought for the public, about the rows `synthetic`."""

    behind: Behind
    notices: tuple[str, ...]
    synthetic: Table | None = None
    figures: Sequence[dict[str, Any]] = ()


def _plan(
    schema: Schema,
    method: str,
    budget: Budget,
    ledger: Ledger,
    settings: Settings,
    also: Sequence[Charge] = (),
) -> Plan:
    require_open(schema)
    return plan(
        schema,
        method=method,
        epsilon=budget.epsilon,
        delta=budget.delta,
        ledger=ledger,
        workload=settings.workload,
        max_cells=settings.max_cells,
        count_cells=settings.count_cells,
        also=also,
    )


def _taken(data: Source, schema: Schema, settings: Settings, progress: Progress) -> Taken:
    return take(
        data,
        schema,
        engine=settings.engine,
        holdout=settings.holdout,
        despite=settings.despite,
        progress=progress,
        compared=settings.prior is not None,
    )


def _paid_fit(
    rows: Taken,
    preview: Plan,
    purpose: str,
    ledger: Ledger,
    settings: Settings,
    keep: Callable[[FittedModel, dict[str, Any]], None],
    progress: Progress,
    wanted: Purchase | None = None,
) -> _Fitted:
    """Reserve, fit, and `keep` the model on disk before the run is committed; then buy the `wanted` figures."""
    prior = rows.prior(settings.prior)
    preview.tell()
    with ledger.reserve(
        purpose, preview.charges, preview.budget, fingerprint=rows.fingerprint, unit=preview.unit
    ) as account:
        behind = rows.fit(preview, account, settings.holdout, prior, progress)
        keep(behind.model, behind.held_out)
        made, figures = None, list[dict[str, Any]]()
        if wanted is not None:
            with still_paid(account):
                made = _sample(behind.model, settings)
                figures = bought(behind.door(account), wanted, behind.model, made)
    return _Fitted(behind, tuple(n.text for n in account.notices), made, figures)


def _released(
    fitted: _Fitted,
    preview: Plan,
    kept: UnfinishedRun,
    *,
    ledger: Ledger,
    out: Path,
    settings: Settings,
    progress: Progress,
) -> Outcome:
    """Sample, audit, bundle: what can be done again, at no charge, when it fails."""
    model, private = fitted.behind.model, fitted.behind.private
    synthetic = _sample(model, settings) if fitted.synthetic is None else fitted.synthetic
    audit, suite, found = audit_rows(
        model,
        synthetic,
        private,
        holdout=settings.holdout,
        target=settings.target,
        asked=settings.asked,
        ledger=ledger,
        progress=progress,
    )
    kept.note("audit.json", audit.as_json())
    progress("writing the bundle", 0.0)
    further: dict[str, object] = {
        "run.json": _configuration(preview, settings, private),
        "holdout.json": fitted.behind.held_out,
    }
    verification = release_rows(
        model,
        synthetic,
        audit,
        ledger=ledger,
        out=out,
        settings=settings,
        published=fitted.figures,
        further=further,
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
    rows = _taken(data, schema, settings, progress)
    require_ids(rows, schema)
    preview = _plan(schema, method, budget, ledger, settings)
    require_room(out)
    remember = partial(keep, folder=out)
    fitted = _paid_fit(rows, preview, f"fit {method}", ledger, settings, remember, progress)
    return fitted.behind.model


def release_rows(
    model: FittedModel,
    synthetic: Table,
    audit: Audit,
    *,
    ledger: Ledger,
    out: str | Path,
    settings: Settings,
    published: Sequence[dict[str, Any]] = (),
    further: dict[str, object] | None = None,
) -> release.Verification:
    """Write the bundle of audited rows and verify it. AuditError for a blocked model, rows that were not
    audited, an inspected column, missing human fields or a policy that is not met; `published`: figures that were
    paid for; `further`: more files for internal/."""
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
        policy=settings.policy,
        standing=release.Standing.of(ledger, model.id),
        published=published,
        signer=settings.signer,
        internal=further,
    )
    ledger.record_release(model.id, bundle.bundle_id)
    return release.verify(bundle, key=None if settings.signer is None else settings.signer.public)


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
    declared = settings.rows or Totals.of(model.schema).size
    rows = declared or model.whole_rows(round(model.generator.total / (1 - settings.holdout)))
    return model.sample_table(rows, np.random.default_rng())


def asked_of(project: Project) -> attacks.Asked:
    """The secrets, quasi-identifiers and groups that the project file declares."""
    spec = project.audit
    return attacks.Asked(spec.secrets, spec.quasi_identifiers, spec.groups)


def settings_of(project: Project) -> Settings:
    """What the project file asks of a run."""
    target, public = project.generator.workload.target, project.generator.prior
    return Settings(
        holdout=project.audit.holdout,
        rows=project.generator.rows,
        target=(target,) if target else (),
        asked=asked_of(project),
        workload=project.generator.workload.workload,
        max_cells=project.generator.max_cells,
        count_cells=project.generator.count_cells,
        form="parquet" if project.data_path.suffix in {".parquet", ".pq"} else "csv",
        human=release.ReleaseFields.from_json(project.release.human()),
        publish=project.audit.publish.epsilon if project.audit.publish else None,
        prior=None if public is None else PriorFile(project.folder / public.path, public.reason),
        despite=project.data.violations == "allow",
        engine=project.data.engine,
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
