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
from dpsynth.pgm.graphical import GraphicalModel, plan_for
from dpsynth.pgm.problem import (
    LeastSquares,
    combine,
    estimate_total,
    forbidden_tables,
    maximal_cliques,
)

Floats = NDArray[np.float64]
Progress = Callable[[str, float], None]

MAX_CELLS = 30_000_000
"""Default limit for the cells of all tensors of one inference (8 bytes each, about 4 copies)."""

NOISE_SHARE = 0.95
"""Stop at this share of the expected loss of the truth, M / 2 for M measured cells."""

MAX_EVALUATIONS = 1000
STALL_WINDOW, STALL_GAIN = 30, 1e-3
"""Stop when this many accepted steps have lowered the loss by less than this share of it."""

GROWTH = 1.05


@dataclass(frozen=True)
class Fitted:
    """How an estimation ended: `loss` in units of the noise (expected at the truth: `expected`)."""

    evaluations: int
    loss: float
    expected: float
    reason: str


def fit(
    domain: Domain,
    measurements: Sequence[Measurement],
    *,
    zeros: Mapping[Clique, NDArray[np.bool_]] | None = None,
    start: GraphicalModel | None = None,
    max_cells: float = MAX_CELLS,
    progress: Progress | None = None,
) -> GraphicalModel:
    """The distribution of maximum entropy among those that explain the measurements to within their noise.

    Post-processing: reads released values only. `zeros` marks cells that cannot be (structural zeros), one
    boolean table per clique; they get probability 0 exactly. `start` is an earlier model whose potentials
    are used as far as its cliques lie inside the new ones.

    Raises CapacityError before memory is taken when the tables would exceed `max_cells` in all, ValueError
    for measurements that do not belong to the domain or zeros that leave no possible record.
    """
    return fit_with_report(
        domain, measurements, zeros=zeros, start=start, max_cells=max_cells, progress=progress
    )[0]


def fit_with_report(
    domain: Domain,
    measurements: Sequence[Measurement],
    *,
    zeros: Mapping[Clique, NDArray[np.bool_]] | None = None,
    start: GraphicalModel | None = None,
    max_cells: float = MAX_CELLS,
    progress: Progress | None = None,
) -> tuple[GraphicalModel, Fitted]:
    """As `fit`, with how the descent ended."""
    targets = combine(domain, measurements)
    if not targets:
        raise ValueError("at least one measurement")
    zeros = zeros or {}
    cliques = maximal_cliques(domain, [*(t.clique for t in targets), *zeros])
    plan = plan_for(domain, cliques)
    check_capacity(plan, max_cells)
    inference = Inference(plan)
    loss = LeastSquares(domain, cliques, targets, inference.flat)
    base = forbidden_tables(domain, cliques, zeros, inference.flat)
    descent = _Descent(inference, loss, base, estimate_total(targets))
    potentials = np.zeros(inference.flat.cells) if start is None else _warm(domain, cliques, inference, start)
    report = descent.run(potentials, progress)
    tables = {c: inference.flat.table(descent.potentials, i).copy() for i, c in enumerate(cliques)}
    return GraphicalModel(domain, descent.total, tables), report


def check_capacity(plan: Plan, max_cells: float) -> None:
    """Refuse before anything is allocated."""
    cells = max(plan.cells, plan.largest // 8)
    if cells > max_cells:
        raise CapacityError(
            "C101",
            f"the model needs {cells:.3g} cells, {cells * 32 / 2**30:.3g} GB (limit {max_cells:.3g} cells)",
            "use coarser cells, fewer or smaller cliques, or raise max_cells",
        )


def _warm(domain: Domain, cliques: Sequence[Clique], inference: Inference, start: GraphicalModel) -> Floats:
    """Old potentials added into the first new table that holds them; those that fit nowhere are dropped."""
    flat = inference.flat
    vector = np.zeros(flat.cells)
    for old, table in start.potentials.items():
        holder = next((i for i, clique in enumerate(cliques) if set(old) <= set(clique)), None)
        if holder is not None:
            missing = tuple(k for k, a in enumerate(cliques[holder]) if a not in old)
            finite = np.where(np.isfinite(table), table, 0.0)
            view = flat.table(vector, holder)
            view += np.expand_dims(finite.transpose([old.index(a) for a in domain.ordered(old)]), missing)
    return vector


@dataclass
class _Point:
    potentials: Floats
    loss: float
    gradient: Floats


class _Descent:
    """Momentum mirror descent: a step of 2 / (L N) that grows by 5 % while the loss falls.

    When it rises, the momentum restarts from the best point; when it rises again, the step is halved.
    """

    def __init__(self, inference: Inference, loss: LeastSquares, base: Floats | None, total: float) -> None:
        self._inference = inference
        self._loss = loss
        self._base = base
        self.total = total
        self.potentials = np.empty(0)
        self.expected = loss.cells / 2

    def run(self, start: Floats, progress: Progress | None) -> Fitted:
        best = self._at(start)
        first, previous = best.loss, best.potentials
        step, age, evaluations = 2.0 / (self._loss.smoothness * self.total), 0, 1
        history = [best.loss]
        reason = "cap"
        while evaluations < MAX_EVALUATIONS:
            if best.loss <= NOISE_SHARE * self.expected:
                reason = "noise"
                break
            moved = best.potentials - step * best.gradient
            point = self._at(moved + (age / (age + 3.0)) * (moved - previous))
            evaluations += 1
            if point.loss < best.loss:
                best, previous, age, step = point, moved, age + 1, step * GROWTH
                history.append(best.loss)
                if _stalled(history):
                    reason = "stall"
                    break
            elif age:
                age, previous = 0, best.potentials
            else:
                step /= 2
                if step * float(np.abs(best.gradient).max()) < 1e-12:
                    reason = "stall"
                    break
            if progress is not None:
                progress("fitting", self._done(first, best.loss))
        self.potentials = best.potentials if self._base is None else best.potentials + self._base
        return Fitted(evaluations, best.loss, self.expected, reason)

    def _at(self, potentials: Floats) -> _Point:
        beliefs = self._inference.run(potentials if self._base is None else potentials + self._base)
        loss, gradient = self._loss.evaluate(beliefs.marginals * self.total)
        return _Point(potentials, loss, gradient)

    def _done(self, first: float, now: float) -> float:
        """How far the loss has come from its start to its goal, on a logarithmic scale."""
        goal = NOISE_SHARE * self.expected
        if not first > goal > 0:
            return 1.0
        return min(1.0, max(0.0, math.log(first / max(now, goal)) / math.log(first / goal)))


def _stalled(history: list[float]) -> bool:
    return len(history) > STALL_WINDOW and history[-1 - STALL_WINDOW] - history[-1] < STALL_GAIN * history[-1]
