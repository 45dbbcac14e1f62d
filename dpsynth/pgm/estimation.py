"""From noisy marginals to the maximum-entropy distribution that explains them.

Private-PGM (McKenna, Sheldon, Miklau 2019) by mirror descent on the potentials with momentum. It stops when
the loss is what the truth itself would have: going on would fit the noise.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dpsynth.domain import Clique, Domain
from dpsynth.errors import CapacityError
from dpsynth.measurement import Measurement
from dpsynth.pgm.contraction import Inference
from dpsynth.pgm.elimination import Plan
from dpsynth.pgm.following import followed
from dpsynth.pgm.graphical import GraphicalModel, plan_for
from dpsynth.pgm.merged import MergedModel, merges_of, within_shares
from dpsynth.pgm.problem import (
    LeastSquares,
    Target,
    combine,
    estimate_total,
    forbidden_tables,
    independent_start,
    maximal_cliques,
    merged_zeros,
)
from dpsynth.pgm.stepping import ordered_after
from dpsynth.privacy.merging import merged_domain
from dpsynth.threads import one_thread

Floats = NDArray[np.float64]
Model = GraphicalModel | MergedModel
Progress = Callable[[str, float], None]

MAX_CELLS = 30_000_000
"""Default limit for the cells of all tensors of one inference (8 bytes each, about 4 copies)."""

MAX_EVALUATIONS = 1000
STALL_WINDOW, STALL_GAIN = 40, 1e-2
"""Stop when this many evaluations have lowered the loss by less than this share of it."""

FIRST_GROWTH, GROWTH, SHRINK = 1.2, 1.02, 0.3
"""What the step is multiplied by: while the loss has never risen, afterwards, and when it rises."""


@dataclass(frozen=True)
class Fitted:
    """How an estimation ended: `loss` is half the sum of squared residuals in units of the noise.

    `goal` is where it stops; a larger `loss` means that it stalled or ran into the limit of evaluations.
    """

    evaluations: int
    loss: float
    goal: float


def fit(
    domain: Domain,
    measurements: Sequence[Measurement],
    *,
    zeros: Mapping[Clique, NDArray[np.bool_]] | None = None,
    start: Model | None = None,
    keep: Sequence[Clique] = (),
    ordered: Mapping[str, int] | None = None,
    max_cells: float = MAX_CELLS,
    progress: Progress | None = None,
) -> Model:
    """The distribution of maximum entropy among those that explain the measurements to within their noise.

    Post-processing: reads released values only. `zeros` marks cells that cannot be (structural zeros), one
    boolean table per clique; they get probability 0 exactly, a merged cell where nothing that it holds can be.
    `start` is an earlier model whose potentials are used as far as its cliques lie inside the new ones (not at all
    when its cells are merged otherwise); cells that are merged there stay merged. `keep`: further cliques of the model, so
    that what `start` says of them stays. `ordered`: how many first cells of an attribute are in the order of what they mean,
    where they are: what neighbours agree on is learnt first.

    Where measurements are of merged cells the descent is over those, and the model is a `MergedModel`; otherwise it is
    a `GraphicalModel`.

    Raises CapacityError before memory is taken when the tables would exceed `max_cells` in all, ValueError
    for measurements that do not belong to the domain or zeros that leave no possible record.
    """
    return fit_with_report(
        domain,
        measurements,
        zeros=zeros,
        start=start,
        keep=keep,
        ordered=ordered,
        max_cells=max_cells,
        progress=progress,
    )[0]


def fit_with_report(
    domain: Domain,
    measurements: Sequence[Measurement],
    *,
    zeros: Mapping[Clique, NDArray[np.bool_]] | None = None,
    start: Model | None = None,
    keep: Sequence[Clique] = (),
    ordered: Mapping[str, int] | None = None,
    max_cells: float = MAX_CELLS,
    progress: Progress | None = None,
) -> tuple[Model, Fitted]:
    """As `fit`, with how the descent ended."""
    kept = start.merges if isinstance(start, MergedModel) else {}
    merges = {**kept, **merges_of(measurements)}
    if not merges:
        begin = start if isinstance(start, GraphicalModel) else None
        problem = _Problem(domain, combine(domain, measurements), zeros or {}, ordered or {})
        return _descended(problem, begin, keep, max_cells, progress)
    coarse = merged_domain(domain, merges)
    inner = start.inside if isinstance(start, MergedModel) else start
    begin = inner if inner is not None and inner.domain == coarse else None
    problem = _Problem(
        coarse,
        combine(coarse, measurements, merges),
        merged_zeros(zeros or {}, merges),
        ordered_after(ordered or {}, merges),
    )
    inside, report = _descended(problem, begin, keep, max_cells, progress)
    shares = within_shares(domain, measurements, merges, ordered)
    return MergedModel(domain, inside, merges, shares), report


@dataclass(frozen=True, eq=False)
class _Problem:
    """What is to be explained, on the cells of the model."""

    domain: Domain
    targets: Sequence[Target]
    zeros: Mapping[Clique, NDArray[np.bool_]]
    ordered: Mapping[str, int]


@one_thread()
def _descended(
    problem: _Problem,
    start: GraphicalModel | None,
    keep: Sequence[Clique],
    max_cells: float,
    progress: Progress | None,
) -> tuple[GraphicalModel, Fitted]:
    domain, targets, zeros = problem.domain, problem.targets, problem.zeros
    if not targets:
        raise ValueError("at least one measurement")
    cliques = maximal_cliques(domain, [*(t.clique for t in targets), *zeros, *keep])
    plan = plan_for(domain, cliques)
    check_capacity(plan, max_cells)
    inference = Inference(plan)
    total = estimate_total(targets)
    aims = followed(domain, targets, problem.ordered, total)
    loss = LeastSquares(domain, cliques, targets, aims, inference.flat, problem.ordered, total)
    base = forbidden_tables(domain, cliques, zeros, inference.flat)
    descent = _Descent(inference, loss, base, total)
    origin = independent_start(domain, targets, descent.total) if start is None else start.potentials
    potentials = _spread_out(domain, cliques, inference, origin)
    report = descent.run(potentials, progress)
    tables = {c: inference.flat.table(descent.potentials, i).copy() for i, c in enumerate(cliques)}
    return GraphicalModel(domain, descent.total, tables), report


def check_capacity(plan: Plan, max_cells: float) -> None:
    """Refuse before anything is allocated."""
    cells = plan.room
    if cells > max_cells:
        raise CapacityError(
            "C101",
            f"the model needs {cells:.3g} cells, {cells * 32 / 2**30:.3g} GB (limit {max_cells:.3g} cells)",
            "use coarser cells, fewer or smaller cliques, or raise max_cells",
        )


def _spread_out(
    domain: Domain, cliques: Sequence[Clique], inference: Inference, tables: Mapping[Clique, Floats]
) -> Floats:
    """Potentials added into the first table that holds them; those that fit nowhere are dropped."""
    flat = inference.flat
    vector = np.zeros(flat.cells)
    for old, table in tables.items():
        holder = next((i for i, clique in enumerate(cliques) if set(old) <= set(clique)), None)
        if holder is not None:
            missing = tuple(k for k, a in enumerate(cliques[holder]) if a not in old)
            finite = np.where(np.isfinite(table), table, 0.0)
            view = flat.table(vector, holder)
            view += np.expand_dims(finite.transpose([old.index(a) for a in domain.ordered(old)]), missing)
    return vector


@dataclass
class _Point:
    """`loss` against what was measured, `missed` against what the descent follows; it goes down in `missed`."""

    potentials: Floats
    loss: float
    missed: float
    gradient: Floats


class _Descent:
    """Momentum mirror descent: the step starts at 2 / (L N) and grows while the loss falls.

    When the loss rises, the descent goes back to the best point with a shorter step and without momentum.
    """

    def __init__(self, inference: Inference, loss: LeastSquares, base: Floats | None, total: float) -> None:
        self._inference = inference
        self._loss = loss
        self._base = base
        self.total = total
        self.potentials = np.empty(0)

    def run(self, start: Floats, progress: Progress | None) -> Fitted:
        if progress is not None:
            progress("fitting", 0.0)
        best = self._at(start)
        goal, first, previous = self._loss.goal, best.loss, best.potentials
        step, growth, age, evaluations = 2.0 / (self._loss.smoothness * self.total), FIRST_GROWTH, 0, 1
        history = [best.missed]
        while best.loss > goal and evaluations < MAX_EVALUATIONS and not _stalled(history):
            moved = best.potentials - step * best.gradient
            point = self._at(moved + (age / (age + 3.0)) * (moved - previous))
            evaluations += 1
            if point.missed < best.missed:
                best, previous, age, step = point, moved, age + 1, step * growth
            else:
                previous, age, step, growth = best.potentials, 0, step * SHRINK, GROWTH
            history.append(best.missed)
            if progress is not None:
                progress("fitting", _done(first, best.loss, goal))
        if progress is not None:
            progress("fitting", 1.0)
        self.potentials = best.potentials if self._base is None else best.potentials + self._base
        return Fitted(evaluations, best.loss, goal)

    def _at(self, potentials: Floats) -> _Point:
        beliefs = self._inference.run(potentials if self._base is None else potentials + self._base)
        return _Point(potentials, *self._loss.evaluate(beliefs.marginals * self.total))


def _done(first: float, now: float, goal: float) -> float:
    """How far the loss has come from its start to its goal, on a logarithmic scale."""
    if not first > goal > 0:
        return 1.0
    return min(1.0, max(0.0, math.log(first / max(now, goal)) / math.log(first / goal)))


def _stalled(history: list[float]) -> bool:
    return len(history) > STALL_WINDOW and history[-1 - STALL_WINDOW] - history[-1] < STALL_GAIN * history[-1]
