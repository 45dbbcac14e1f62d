"""fit(): one door for tables here and on a cluster."""

from __future__ import annotations

from dpsynth import synthesis
from dpsynth.errors import UsageError
from dpsynth.mechanisms import MAX_CELLS
from dpsynth.model import FittedModel
from dpsynth.prior import Prior
from dpsynth.privacy.ledger import Ledger
from dpsynth.progress import Progress, silent
from dpsynth.schema import Schema
from dpsynth.spark_session import is_frame
from dpsynth.synthesis import COUNT_CELLS
from dpsynth.table import Source
from dpsynth.workload import Workload


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
    """As `dpsynth.synthesis.fit`; `data` may also be a DataFrame of Spark, whose rows stay on its cluster.

    Raises also UsageError (U289 for a prior beside a DataFrame of Spark) and CapacityError where Spark cannot do it.
    """
    if not is_frame(data):
        return synthesis.fit(
            data, schema, method=method, epsilon=epsilon, delta=delta, ledger=ledger, workload=workload,
            max_cells=max_cells, count_cells=count_cells, prior=prior, despite_violations=despite_violations,
            progress=progress,
        )  # fmt: skip
    from dpsynth.spark import fit_spark  # half a second of imports that other tables never need

    if prior is not None:
        raise UsageError("U289", "a table on a cluster has no prior yet", "leave prior out")
    preview = synthesis.plan(
        schema,
        method=method,
        epsilon=epsilon,
        delta=delta,
        ledger=ledger,
        workload=workload,
        max_cells=max_cells,
        count_cells=count_cells,
    )
    account = ledger if ledger is not None else Ledger.in_memory(preview.budget, preview.unit)
    return fit_spark(data, schema, preview, account, despite=despite_violations, progress=progress)
