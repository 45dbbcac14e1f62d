"""What a learner does to the groups of the people it judges, trained on synthetic and on real rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dpsynth.columns import CategoryColumn
from dpsynth.evaluation.figures import Figure, Json, rounded
from dpsynth.evaluation.marginals import Floats
from dpsynth.table import Table

FEWEST_ROWS = 20
"""Smaller groups of test rows are left out: one row more or less would move a rate by more than 5 %."""

SMALL = 100
"""Groups with fewer test rows are marked: their figures are mostly chance."""


@dataclass(frozen=True)
class GroupScore:
    """One measure within one group of held-out real rows."""

    label: str
    rows: int
    synthetic: Figure
    real: Figure

    @property
    def small(self) -> bool:
        return self.rows < SMALL

    def as_json(self) -> Json:
        return {
            "value": self.label,
            "test_rows": self.rows,
            "small": self.small,
            "trained_on_synthetic": self.synthetic.as_json(),
            "trained_on_real": self.real.as_json(),
        }


@dataclass(frozen=True)
class Gap:
    """The largest less the smallest value of a measure over the groups of a column. `widened`: the gap of the
    model trained on synthetic rows less that of the model trained on real ones; above zero, the synthetic
    rows make the model treat the groups more differently. Intervals redraw the held-out units."""

    column: str
    measure: str
    synthetic: Figure
    real: Figure
    widened: Figure
    truth: float | None  # the gap in the held-out answers themselves, where the measure has one
    groups: tuple[GroupScore, ...]

    def as_json(self) -> Json:
        return {
            "column": self.column,
            "measure": self.measure,
            "trained_on_synthetic": self.synthetic.as_json(),
            "trained_on_real": self.real.as_json(),
            "widened": self.widened.as_json(),
            "in_the_answers": None if self.truth is None else rounded(self.truth),
            "groups": [group.as_json() for group in self.groups],
        }


@dataclass(frozen=True, eq=False)
class Groups:
    """Which group each test row is in, shape (rows,), and the groups' names."""

    column: str
    code: NDArray[np.int64]
    labels: tuple[str, ...]

    @classmethod
    def of(cls, table: Table, column: str) -> Groups:
        kind = table.schema.modelled[column]
        texts = kind.values if isinstance(kind, CategoryColumn) else ("no", "yes")
        code = np.where(table.missing[column], len(texts), table.values[column]).astype(np.int64)
        return cls(column, code, (*texts, "missing"))

    def take(self, mask: NDArray[np.bool_]) -> Groups:
        return Groups(self.column, self.code[mask], self.labels)


@dataclass(frozen=True, eq=False)
class Judged:
    """What a measure averages over some of the test rows: for the two models, and for the answers."""

    measure: str
    synthetic: Floats
    real: Floats
    truth: Floats | None
    counts: NDArray[np.bool_]


def judged_classes(
    answer: NDArray[np.int64], synthetic: Floats, real: Floats, positive: str | None
) -> list[Judged]:
    """Accuracy; with two classes also how often the rarer one is predicted (demographic parity) and found
    (equal opportunity)."""
    guesses = [p.argmax(axis=1) for p in (synthetic, real)]
    everyone = np.ones(len(answer), dtype=bool)
    right = [(g == answer).astype(np.float64) for g in guesses]
    found = [Judged("accuracy", right[0], right[1], None, everyone)]
    if positive is not None:
        chosen = [(g == 1).astype(np.float64) for g in guesses]
        truth = (answer == 1).astype(np.float64)
        found.append(Judged(f"predicted {positive!r}", chosen[0], chosen[1], truth, everyone))
        found.append(Judged(f"{positive!r} recognised", chosen[0], chosen[1], None, answer == 1))
    return found


def judged_numbers(answer: Floats, synthetic: Floats, real: Floats) -> list[Judged]:
    """How far predictions are off, and to which side."""
    everyone = np.ones(len(answer), dtype=bool)
    off = [np.abs(p - answer) for p in (synthetic, real)]
    side = [p - answer for p in (synthetic, real)]
    return [
        Judged("mean absolute error", off[0], off[1], None, everyone),
        Judged("mean error (too high above zero)", side[0], side[1], None, everyone),
    ]


def gaps(groups: Sequence[Groups], judged: Sequence[Judged], weights: Floats) -> tuple[Gap, ...]:
    """One gap per group column and measure. `weights`: shape (1 + draws, test rows), ones first."""
    found = (_gap(one, measure, weights) for one in groups for measure in judged)
    return tuple(gap for gap in found if gap is not None)


def _gap(groups: Groups, judged: Judged, weights: Floats) -> Gap | None:
    masks = {
        label: mask
        for code, label in enumerate(groups.labels)
        if (mask := (groups.code == code) & judged.counts).sum() >= FEWEST_ROWS
    }
    if len(masks) < 2:
        return None
    synthetic, real = (
        np.stack([_means(values, mask, weights) for mask in masks.values()])
        for values in (judged.synthetic, judged.real)
    )
    one, other = np.ptp(synthetic, axis=0), np.ptp(real, axis=0)
    truth = judged.truth
    return Gap(
        groups.column,
        judged.measure,
        Figure.around(float(one[0]), one[1:], 0.0),
        Figure.around(float(other[0]), other[1:], 0.0),
        Figure.around(float(one[0] - other[0]), one[1:] - other[1:]),
        None if truth is None else float(np.ptp([truth[mask].mean() for mask in masks.values()])),
        tuple(
            GroupScore(
                label,
                int(mask.sum()),
                Figure.around(float(a[0]), a[1:]),
                Figure.around(float(b[0]), b[1:]),
            )
            for (label, mask), a, b in zip(masks.items(), synthetic, real, strict=True)
        ),
    )


def _means(values: Floats, mask: NDArray[np.bool_], weights: Floats) -> Floats:
    """Weighted mean within the group for each redraw; the plain mean where a redraw has none of it."""
    mine, plain = weights[:, mask], float(values[mask].mean())
    total = mine.sum(axis=1)
    return np.where(total > 0, mine @ values[mask] / np.where(total > 0, total, 1.0), plain)
