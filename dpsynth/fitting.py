"""fit(): one door for tables here and on a cluster."""

from __future__ import annotations

from collections.abc import Callable

from dpsynth.constraining import require_source
from dpsynth.mechanisms import MAX_CELLS
from dpsynth.model import FittedModel
from dpsynth.prior import Prior
from dpsynth.privacy.ledger import Ledger, Run
from dpsynth.progress import Progress, silent
from dpsynth.schema import Schema
from dpsynth.spark_session import is_frame
from dpsynth.synthesis import COUNT_CELLS, Plan, fit_reserved, plan
from dpsynth.table import Source, read_table
from dpsynth.workload import Workload

Fitting = Callable[[Plan, Run], FittedModel]
"""The run itself, inside a reservation, over rows that were read and checked before it."""


def fit(
    data: Source,
    schema: Schema,
    *,
    method: str,
    epsilon: float,
    delta: float | None = None,
    ledger: Ledger | None = None,
    workload: Workload | None = None,
    max_cells: float = MAX_CELLS,
    count_cells: float = COUNT_CELLS,
    prior: Prior | None = None,
    despite_violations: bool = False,
    progress: Progress = silent,
) -> FittedModel:
    """Fit a model of `data` under (epsilon, delta)-differential privacy for each unit of the schema.

    `data` is a path (csv, parquet), a pandas frame, an Arrow table, or a DataFrame of Spark, whose rows stay on its cluster.
    The run is planned, which reads nothing; the table is read and checked, which
    releases nothing; then the whole cost is reserved in the ledger; then the rows are counted through the
    curator. Without a ledger the account lives in memory and the model can never be released. `prior`: a public
    table to begin from, at no charge. `despite_violations`: rows may break the schema's constraints (synthetic rows never
    do). The other arguments are those of `plan`.

    Raises SchemaError, DataError (nothing was spent), BudgetError (nothing was spent), CapacityError; UsageError where Spark
    cannot do it.
    """
    preview = plan(
        schema,
        method=method,
        epsilon=epsilon,
        delta=delta,
        ledger=ledger,
        workload=workload,
        max_cells=max_cells,
        count_cells=count_cells,
    )
    begin = _on_cluster if is_frame(data) else _in_memory
    fitting, fingerprint = begin(data, schema, prior, despite_violations, progress)
    preview.tell()
    account = ledger if ledger is not None else Ledger.in_memory(preview.budget, preview.unit)
    with account.reserve(
        f"fit {method}", preview.charges, preview.budget, fingerprint=fingerprint, unit=preview.unit
    ) as run:
        return fitting(preview, run)


def _in_memory(
    data: Source, schema: Schema, prior: Prior | None, despite: bool, progress: Progress
) -> tuple[Fitting, bytes | None]:
    table = read_table(data, schema)
    require_source(table, data, schema, despite=despite)
    if prior is not None:
        prior.require_other(table, data)

    def fitting(preview: Plan, run: Run) -> FittedModel:
        return fit_reserved(table, preview, run, holdout=0.0, prior=prior, progress=progress)[0]

    return fitting, None


def _on_cluster(
    data: Source, schema: Schema, prior: Prior | None, despite: bool, progress: Progress
) -> tuple[Fitting, bytes | None]:
    # half a second of imports that other tables never need
    from dpsynth.large import fit_large_reserved
    from dpsynth.spark import take_in_cluster

    intake = take_in_cluster(
        data, schema, holdout=0.0, despite=despite, keep=1, compared=prior is not None, progress=progress
    )
    if prior is not None and intake.sketch is not None:
        prior.require_other(intake.sketch.rows, data, intake.sketch.thinned)

    def fitting(preview: Plan, run: Run) -> FittedModel:
        return fit_large_reserved(intake, schema, preview, run, prior=prior, progress=progress)[0]

    return fitting, intake.fingerprint
