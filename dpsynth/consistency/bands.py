"""One column at a time: the synthetic rows beside the released counts, with the interval that the noise allows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpsynth.consistency.conditions import Conditions
from dpsynth.consistency.intervals import interval
from dpsynth.consistency.tables import record_shares
from dpsynth.encoding import Encoding
from dpsynth.measurement import Measurement
from dpsynth.records import Records

MOST_BARS = 24
"""Ordered columns with more cells are shown in so many bins of about equal numbers of cells; of others the
commonest synthetic values are shown, and all the rest together."""
MOST_COLUMNS = 100
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Band:
    """Shares of one column. `low` to `high` holds the true share with 95 % probability, bar by bar."""

    column: str
    labels: tuple[str, ...]
    synthetic: tuple[float, ...]
    released: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]

    @property
    def outside(self) -> int:
        """Bars whose synthetic share lies outside the interval."""
        return sum(
            not low <= s <= high for s, low, high in zip(self.synthetic, self.low, self.high, strict=True)
        )

    def as_json(self) -> dict[str, Any]:
        names = ("synthetic", "released", "low", "high")
        return {
            "column": self.column,
            "labels": list(self.labels),
            **{name: [float(f"{value:.5g}") for value in getattr(self, name)] for name in names},
            "outside": self.outside,
            "confidence": CONFIDENCE,
        }


def bands(records: Records, measurements: Sequence[Measurement], encoding: Encoding) -> tuple[Band, ...]:
    """The first 100 columns, in the schema's order. Post-processing: costs nothing."""
    return tuple(
        _band(name, records, measurements, encoding) for name in records.domain.attributes[:MOST_COLUMNS]
    )


def _band(name: str, records: Records, measurements: Sequence[Measurement], encoding: Encoding) -> Band:
    synthetic = record_shares(records, (name,))
    labels = encoding.labels(name)
    groups = bars_of(name, records, measurements, encoding)
    bars = [np.flatnonzero(groups == g) for g in range(int(groups.max()) + 1)]
    found = [
        interval(measurements, encoding.schema, _just(name, cells, len(labels)), confidence=CONFIDENCE)
        for cells in bars
    ]
    ordered = encoding.ordered_cells(name)
    return Band(
        name,
        tuple(_name([labels[int(i)] for i in cells], int(cells[-1]) < ordered) for cells in bars),
        tuple(float(synthetic[cells].sum()) for cells in bars),
        tuple(_middle(one.estimate, one.low, one.high, one.share_low, one.share_high) for one in found),
        tuple(one.share_low for one in found),
        tuple(one.share_high for one in found),
    )


def _middle(estimate: float | None, low: float, high: float, share_low: float, share_high: float) -> float:
    """The released share: as far between the ends as the estimate is between the ends of the count."""
    if estimate is None or high <= low:
        return (share_low + share_high) / 2
    return share_low + (share_high - share_low) * min(1.0, max(0.0, (estimate - low) / (high - low)))


def _just(name: str, cells: NDArray[np.int64], size: int) -> Conditions:
    mask = np.zeros(size, dtype=bool)
    mask[cells] = True
    return Conditions({name: mask}, {name: mask})


def bars_of(
    name: str, records: Records, measurements: Sequence[Measurement], encoding: Encoding
) -> NDArray[np.int64]:
    """Which bar each cell belongs to, shape (cells,); cells that were only ever counted together share one."""
    merge = _finest(name, records.domain[name], measurements)
    size = int(merge.max()) + 1
    if size <= MOST_BARS:
        return merge
    if encoding.is_ordered(name):
        leading = encoding.ordered_cells(name)
        last = int(merge[:leading].max(initial=0)) + 1  # special values and the missing one stay apart
        bins = np.arange(last) * max(2, MOST_BARS - (size - last)) // last
        bins = np.append(bins, bins[-1] + 1 + np.arange(size - last))
        return np.unique(bins, return_inverse=True)[1][merge].astype(np.int64)
    mass = np.bincount(merge, weights=record_shares(records, (name,)))
    rank = np.full(size, MOST_BARS - 1)
    rank[np.argsort(-mass, kind="stable")[: MOST_BARS - 1]] = np.arange(MOST_BARS - 1)
    return rank[merge].astype(np.int64)


def _finest(name: str, cells: int, measurements: Sequence[Measurement]) -> NDArray[np.int64]:
    """The finest cells that some measurement of the column counted."""
    merges = [m.merges.get(name) for m in measurements if name in m.clique]
    if not merges or any(merge is None for merge in merges):
        return np.arange(cells)
    return np.asarray(max((m for m in merges if m is not None), key=lambda m: int(m.max())), dtype=np.int64)


def _name(labels: Sequence[str], ordered: bool) -> str:
    if len(labels) == 1:
        return labels[0]
    if not ordered:
        return f"{len(labels)} rarer values" if len(labels) > 3 else ", ".join(labels)
    return f"{labels[0].partition(' to ')[0]} to {labels[-1].rpartition(' to ')[2]}"
