"""Has the world moved on? A new table against what an earlier release measured.

Two ways. *Free and internal*: the new rows' exact counts against the released noisy ones; what comes out
compares with private rows and stays inside. *Charged*: the new rows' one-way tables are themselves measured
with noise, through the curator and for a charge; what comes out is made of released facts and may be shared.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc

from dpsynth.consistency import Released, noisy_total
from dpsynth.consistency.tables import record_shares, together
from dpsynth.domain import Clique
from dpsynth.encoding import Encoding
from dpsynth.errors import DataError
from dpsynth.measurement import Measurement
from dpsynth.privacy.ledger import Ledger
from dpsynth.privacy.receipt import Receipt
from dpsynth.progress import Progress, silent
from dpsynth.ruled import RuledColumn
from dpsynth.schema import DropColumn, Schema
from dpsynth.synthesis import fit_reserved, load, plan, unit_of
from dpsynth.table import Source, Table, read_table, unfit_cells
from dpsynth.table.fingerprint import digest

FORMAT = "dpsynth-drift/1"
LEVEL = 0.01
"""A table of counts counts as changed below this p-value, all tables counted (Holm)."""

METHOD = "independent"
"""What a charged comparison measures: every column alone."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Change:
    """One measured table of counts then and now. `distance`: total variation between the two as they are known;
    `expected`: what noise and chance alone make of it on average. `p_value`: of "nothing has changed"."""

    clique: Clique
    cells: int
    distance: float
    expected: float
    p_value: float
    adjusted_p: float

    @property
    def changed(self) -> bool:
        return self.adjusted_p < LEVEL

    def as_json(self) -> dict[str, Any]:
        return {
            "columns": list(self.clique),
            "cells": self.cells,
            "distance": _short(self.distance),
            "expected_without_change": _short(self.expected),
            "p_value": _short(self.p_value),
            "adjusted_p_value": _short(self.adjusted_p),
            "changed": self.changed,
        }


@dataclass(frozen=True, eq=False)
class Drift:
    """All tables, the most telling first. `receipt`: of the charge; None when nothing was charged, and then it
    compares with private rows and is internal. So does it stay when its account was in memory: nobody remembers that it
    was spent. `unfit`: columns with cells that the release's schema has no place for, and how many cells; they are in
    no table."""

    changes: tuple[Change, ...]
    receipt: Receipt | None
    unfit: tuple[tuple[str, int], ...] = ()

    @property
    def changed(self) -> tuple[Change, ...]:
        return tuple(change for change in self.changes if change.changed)

    @property
    def words(self) -> str:
        """One sentence, and one before it about what does not fit."""
        listed = ", ".join(f"{cells:,} in {name}" for name, cells in self.unfit)
        outside = f"Values that the release does not know (beyond its bounds, or new): {listed}. "
        return (outside if self.unfit else "") + self._words_on_changes

    @property
    def _words_on_changes(self) -> str:
        if not self.changes:
            return "No column is left to compare."
        if not self.changed:
            return (
                f"No change seen in {len(self.changes)} tables of counts beyond noise and chance. Small changes "
                "may hide in the noise."
            )
        names = ", ".join(" x ".join(change.clique) for change in self.changed[:5])
        more = f" and {len(self.changed) - 5} more" if len(self.changed) > 5 else ""
        return f"Changed: {names}{more} ({len(self.changed)} of {len(self.changes)} tables of counts)."

    def as_json(self) -> dict[str, Any]:
        receipt = self.receipt
        return {
            "format": FORMAT,
            "internal": receipt is None or not receipt.releasable,
            "changed": bool(self.changed or self.unfit),
            "does_not_fit": dict(self.unfit),
            "words": self.words,
            "tables": [change.as_json() for change in self.changes],
            "charged": None
            if receipt is None
            else {
                "epsilon": receipt.certificate.epsilon,
                "delta": receipt.certificate.delta,
                "unit": str(receipt.unit),
                "run": receipt.run_id,
                "ledger_head": receipt.ledger_head,
            },
        }


def released(folder: str | os.PathLike[str]) -> Released:
    """What a release measured: from its public part, or from a model's folder."""
    path = Path(folder)
    if (path / "model.json").is_file():
        model = load(path)
        return Released(model.schema, model.measurements)
    return Released.load(path)


def drift(release: Released, data: Source) -> Drift:
    """Every released table of counts against the exact counts of `data`. Internal: it costs nothing.

    Columns with values that the release's schema has no place for are named with the number of such values, and the
    others compared. DataError when a column is not there, or there are no rows.
    """
    unfit = unfit_cells(data, release.schema)
    if len(unfit) == len(release.schema.modelled):
        return Drift((), None, tuple(unfit.items()))
    fitting = _without(release, set(unfit))
    table = _read(data, fitting)
    records = Encoding(fitting.schema).encode(table)
    rows = _effective(table)
    found = []
    total, off = noisy_total(release.measurements)
    independent = total / release.schema.unit.rows_per_unit
    for one, values in together(fitting.measurements):
        now = _Known(record_shares(records, one.clique, one.merges), 0.0, rows, 0.0)
        then = _Known(values / total, one.sigma / total, independent, off / total)
        found.append((one.clique, then, now))
    return Drift(_changes(found), None, tuple(unfit.items()))


def _without(release: Released, columns: set[str]) -> Released:
    """What was measured of the other columns; those that are left out are not looked at."""
    if not columns:
        return release
    whole = release.schema
    # columns that follow rules are not looked at, and their formulas may name what is left out
    gone = columns | {name for name, column in whole.columns.items() if isinstance(column, RuledColumn)}
    kept = {name: DropColumn() if name in gone else column for name, column in whole.columns.items()}
    order = None if whole.unit.order in gone else whole.unit.order
    static = tuple(name for name in whole.unit.static if name not in gone)
    unit = whole.unit.model_copy(update={"static": static, "order": order})
    schema = Schema(columns=kept, unit=unit, missing_values=whole.missing_values, csv=whole.csv)
    return Released(schema, tuple(m for m in release.measurements if not columns & set(m.clique)))


def charged_drift(
    release: Released,
    data: Source,
    *,
    epsilon: float,
    ledger: Ledger,
    delta: float | None = None,
    progress: Progress = silent,
) -> Drift:
    """The released one-way tables against those of `data`, measured anew for a charge: it may be shared.

    Raises DataError when the rows do not fit (nothing was spent), BudgetError when the ledger cannot hold it.
    """
    table = _read(data, release)
    preview = plan(release.schema, method=METHOD, epsilon=epsilon, delta=delta, ledger=ledger)
    with ledger.reserve(
        "monitor", preview.charges, preview.budget, fingerprint=digest(table), unit=unit_of(release.schema)
    ) as run:
        model, _ = fit_reserved(table, preview, run, holdout=0.0, progress=progress)
    rows_per_unit = release.schema.unit.rows_per_unit
    now = _alone(model.measurements, rows_per_unit)
    then = _alone(release.measurements, rows_per_unit)
    found = [((a,), then[a], now[a]) for a in now if a in then]
    return Drift(_changes(found), model.receipt)


def _read(data: Source, release: Released) -> Table:
    table = read_table(data, release.schema)
    if not len(table):
        raise DataError("D191", "the new table has no rows", "give a table with rows")
    return table


@dataclass(frozen=True, eq=False)
class _Known:
    """Shares by cell, the noise of each (a standard deviation), how many independent rows they stand for, and the
    relative error of the total."""

    shares: Floats
    noise: float
    rows: float
    off: float


def _alone(measurements: Sequence[Measurement], rows_per_unit: int) -> dict[str, _Known]:
    """The most precise released table of each column alone, on unmerged cells."""
    total, off = noisy_total(measurements)
    found: dict[str, _Known] = {}
    for one, values in together(measurements):
        if len(one.clique) == 1 and not one.merges:
            found[one.clique[0]] = _Known(
                values / total, one.sigma / total, total / rows_per_unit, off / total
            )
    return found


def _effective(table: Table) -> float:
    """Rows that would vary as much if they were independent: rows of one unit may all be alike."""
    if table.units is None:
        return float(len(table))
    sizes = np.bincount(table.units).astype(np.float64)
    return float(sizes.sum() ** 2 / (sizes**2).sum())


def _changes(found: Sequence[tuple[Clique, _Known, _Known]]) -> tuple[Change, ...]:
    raw = [(clique, then.shares.size, *_compared(then, now)) for clique, then, now in found]
    adjusted = _holm([p for *_, p in raw])
    changes = [Change(*one, p) for one, p in zip(raw, adjusted, strict=True)]
    return tuple(sorted(changes, key=lambda change: (change.adjusted_p, -change.distance)))


def _compared(then: _Known, now: _Known) -> tuple[float, float, float]:
    """Distance, its mean without change, and a p-value that is never too small.

    Without change, the differences of the k shares have the covariance diag(noise + p d) - d p p' for drawing both
    tables' rows, d = 1 / n + 1 / m, and t^2 p p' for totals that are known to a relative error t; p is the
    precision-weighted share. diag(noise + p d + k t^2 p^2) is never less than their sum (Cauchy and Schwarz), so that
    the sum of squares over it is at most chi-squared with k degrees of freedom.
    """
    a, b = then.shares.ravel(), now.shares.ravel()
    noise = np.full(len(a), then.noise**2 + now.noise**2)
    rows, drawn = then.rows + now.rows, 1 / then.rows + 1 / now.rows
    p = np.clip((a * then.rows + b * now.rows) / rows, 0.5 / rows, 1.0)
    scale = len(a) * p**2 * (then.off**2 + now.off**2)
    statistic = float(((a - b) ** 2 / (noise + p * drawn + scale)).sum())
    expected = float(np.sqrt(2 / np.pi * (noise + p * (1 - p) * drawn)).sum() / 2)
    return float(np.abs(a - b).sum() / 2), min(1.0, expected), float(chdtrc(len(a), statistic))


def _holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values: below LEVEL for one of them by chance alone in LEVEL of all cases at most."""
    order = np.argsort(p_values, kind="stable")
    adjusted, worst = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        worst = max(worst, min(1.0, p_values[index] * (len(p_values) - rank)))
        adjusted[int(index)] = worst
    return adjusted


def _short(value: float) -> float:
    return float(f"{value:.6g}")
