"""How far from the truth can an answer be? Intervals for counts that a recipient forms, from the noise alone.

The truth is the number of records that were counted for the release: those of the units that were not held
out, at most `rows_per_unit` of each. An interval holds it with the stated probability over the noise, whatever
the table is. Where no measured table has all columns of the question, the synthetic rows answer with the
model's guess, and no noise bounds how wrong that is: then the interval says so and is only what the measured
tables imply for certain (Frechet's inequalities), usually wide.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy.special import ndtri

from dpsynth.consistency.conditions import Conditions, Mask
from dpsynth.consistency.noise import half_width
from dpsynth.consistency.tables import Floats, together
from dpsynth.domain import Clique
from dpsynth.measurement import Measurement
from dpsynth.schema import Schema

TOTAL_SHARE = 0.2
"""The part of the error probability that the unknown total gets when an interval is given as a share."""

NARROW = 2.0
"""Sums are combined as if normal when each has at least this standard deviation (rows)."""


@dataclass(frozen=True)
class Interval:
    """`low` <= number of counted records <= `high` with probability `confidence` or more.

    `basis`: "measured" when a released table of counts has all columns asked for; "bounds" when none has.
    `estimate`: what the released counts say, None for "bounds". `share_low`, `share_high`: the same as a share
    of all counted records. `cut`: columns of which the question takes only a part of some cell: the interval
    then reaches from the cells that surely belong to all that may.
    """

    low: float
    high: float
    estimate: float | None
    share_low: float
    share_high: float
    confidence: float
    basis: Literal["measured", "bounds"]
    tables: tuple[Clique, ...]
    cut: tuple[str, ...]

    @property
    def words(self) -> str:
        span = f"{self.low:,.0f} and {self.high:,.0f} of the counted records"
        surely = f"{100 * self.confidence:g} %"
        if self.basis == "measured":
            edges = ""
            if self.cut:
                edges = (
                    f" Its edges lie inside cells of {', '.join(self.cut)}: finer values were not counted."
                )
            return f"With {surely} probability between {span}, from the noise alone.{edges}"
        return (
            "No released table of counts has all these columns: what the synthetic rows answer is the model's "
            f"guess, and nothing bounds its error. The released tables imply, with {surely} probability, only: "
            f"between {span}."
        )

    def as_json(self) -> dict[str, Any]:
        return {
            "low": _short(self.low),
            "high": _short(self.high),
            "estimate": None if self.estimate is None else _short(self.estimate),
            "share_low": _short(self.share_low),
            "share_high": _short(self.share_high),
            "confidence": self.confidence,
            "basis": self.basis,
            "tables": [list(clique) for clique in self.tables],
            "cut": list(self.cut),
            "words": self.words,
        }


def interval(
    measurements: Sequence[Measurement],
    schema: Schema,
    wanted: Mapping[str, Any] | Conditions,
    *,
    confidence: float = 0.95,
    questions: int = 1,
) -> Interval:
    """The number of counted records that meet all conditions in `wanted` (see `Conditions.of`).

    `questions`: how many intervals shall hold all together; each is widened accordingly (Bonferroni). Raises
    ValueError without measurements or for a probability outside (0, 1), UsageError for conditions that the
    schema cannot have.
    """
    if not measurements or not 0 < confidence < 1 or questions < 1:
        raise ValueError("measurements, a probability between 0 and 1, and at least one question")
    conditions = wanted if isinstance(wanted, Conditions) else Conditions.of(schema, wanted)
    miss = (1 - confidence) / questions
    tables = [_Table.of(one, values) for one, values in together(measurements)]
    measured = [table for table in tables if set(conditions.columns) <= set(table.clique)]
    if measured:
        return _measured(measured, tables, conditions, miss, confidence)
    return _bounds(tables, conditions, miss, confidence)


@dataclass(frozen=True, eq=False)
class _Table:
    measurement: Measurement
    values: Floats

    @classmethod
    def of(cls, one: Measurement, values: Floats) -> _Table:
        return cls(one, values)

    @property
    def clique(self) -> Clique:
        return self.measurement.clique

    def sums(self, conditions: Conditions) -> tuple[_Sum, _Sum]:
        """Over the cells that surely belong, and over those that may."""
        return tuple(self._sum(masks, surely) for masks, surely in _kinds(conditions))  # type: ignore[return-value]

    def _sum(self, masks: Mapping[str, Mask], surely: bool) -> _Sum:
        chosen = self.values
        for axis, attribute in enumerate(self.clique):
            if attribute in masks:
                keep = np.flatnonzero(self._merged(attribute, masks[attribute], surely))
                chosen = np.take(chosen, keep, axis=axis)
        return _Sum(float(chosen.sum()), self.measurement.sigma, chosen.size)

    def _merged(self, attribute: str, mask: Mask, surely: bool) -> Mask:
        """The mask on the cells that were counted: merged ones belong when all their cells do, or any."""
        merge = self.measurement.merges.get(attribute)
        if merge is None:
            return mask
        counts = np.bincount(merge, weights=mask)
        return np.asarray(counts == np.bincount(merge) if surely else counts > 0)


def _kinds(conditions: Conditions) -> tuple[tuple[Mapping[str, Mask], bool], ...]:
    return (conditions.inner, True), (conditions.outer, False)


@dataclass(frozen=True)
class _Sum:
    """A sum of noisy cells."""

    value: float
    sigma: float
    cells: int

    @property
    def variance(self) -> float:
        return self.sigma**2 * self.cells


def _measured(
    measured: Sequence[_Table],
    tables: Sequence[_Table],
    conditions: Conditions,
    miss: float,
    confidence: float,
) -> Interval:
    sums = [table.sums(conditions) for table in measured]
    whole = [pair for pair in sums if pair[0] == pair[1]]
    used = whole or sums
    names = tuple(t.clique for t, pair in zip(measured, sums, strict=True) if pair in used)
    low, high = _range(used, miss)
    share = _share(tables, _range(used, miss * (1 - TOTAL_SHARE)), miss * TOTAL_SHARE)
    centre = _combined([inner for inner, _ in used], miss)[0] if whole else None
    cut = () if whole else _cut(conditions) or _merged_away(measured, conditions)
    return Interval(low, high, centre, *share, confidence, "measured", names, cut)


def _cut(conditions: Conditions) -> tuple[str, ...]:
    return tuple(c for c in conditions.columns if (conditions.inner[c] != conditions.outer[c]).any())


def _merged_away(measured: Sequence[_Table], conditions: Conditions) -> tuple[str, ...]:
    merged = {a for table in measured for a in table.measurement.merges}
    return tuple(c for c in conditions.columns if c in merged)


def _range(sums: Sequence[tuple[_Sum, _Sum]], miss: float) -> tuple[float, float]:
    """Both ends; each side misses with probability `miss` / 2 at most, and a count is never below zero."""
    inner, inside = _combined([pair[0] for pair in sums], miss)
    outer, outside = _combined([pair[1] for pair in sums], miss)
    high = max(0.0, outer + outside)
    return min(max(0.0, inner - inside), high), high


def _combined(sums: Sequence[_Sum], miss: float) -> tuple[float, float]:
    """Several noisy sums of one count as one value, and the half width that it keeps with 1 - `miss`.

    Averaged by precision when all are wide enough to be as good as normal; else the most precise one alone.
    """
    exact = [one for one in sums if one.cells == 0]
    if exact:
        return 0.0, 0.0
    best = min(sums, key=lambda one: one.variance)
    if len(sums) == 1 or best.variance < NARROW**2:
        return best.value, half_width(best.sigma, best.cells, 1 - miss)
    weights = np.array([1 / one.variance for one in sums])
    weights /= weights.sum()
    deviation = math.sqrt(sum(w**2 * one.variance for w, one in zip(weights, sums, strict=True)))
    value = float(sum(w * one.value for w, one in zip(weights, sums, strict=True)))
    return value, -float(ndtri(miss / 2)) * deviation + 0.5


def _total(tables: Sequence[_Table], miss: float) -> tuple[float, float]:
    everything = Conditions({}, {})
    low, high = _range([table.sums(everything) for table in tables], miss)
    return max(1.0, low), max(1.0, high)


def _share(tables: Sequence[_Table], count: tuple[float, float], miss: float) -> tuple[float, float]:
    low, high = _total(tables, miss)
    return min(1.0, count[0] / high), min(1.0, count[1] / low)


def _bounds(tables: Sequence[_Table], conditions: Conditions, miss: float, confidence: float) -> Interval:
    """What the parts of the question that were measured imply: no more than the rarest part, and no fewer than
    all parts together must overlap."""
    parts = _parts(tables, conditions.columns)
    each = miss / (len(parts) + 1)
    total = _total(tables, each)
    found = {
        part: _range([t.sums(conditions.project(part)) for t in tables if set(part) <= set(t.clique)], each)
        for part in parts
    }
    high = min([total[1], *(high for _, high in found.values())])
    cover = _cover(parts, conditions.columns)
    low = 0.0
    if cover:
        low = max(0.0, sum(found[part][0] for part in cover) - (len(cover) - 1) * total[1])
    low = min(low, high)
    names = tuple(t.clique for t in tables if any(set(part) <= set(t.clique) for part in parts))
    shares = min(1.0, low / total[1]), min(1.0, high / total[0])
    return Interval(low, high, None, *shares, confidence, "bounds", names, _cut(conditions))


def _parts(tables: Sequence[_Table], columns: Sequence[str]) -> list[Clique]:
    """The largest sets of the columns that some table has together."""
    found = {tuple(c for c in columns if c in table.clique) for table in tables} - {()}
    return sorted(p for p in found if not any(set(p) < set(q) for q in found))


def _cover(parts: Sequence[Clique], columns: Sequence[str]) -> list[Clique]:
    """Parts that have all columns between them, few of them; none when some column was never measured."""
    left, chosen = set(columns), []
    while left:
        best = max(parts, key=lambda part: len(left & set(part)), default=())
        if not left & set(best):
            return []
        chosen.append(best)
        left -= set(best)
    return chosen


def _short(value: float) -> float:
    return float(f"{value:.6g}")
