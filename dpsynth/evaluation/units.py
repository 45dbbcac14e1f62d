"""Synthetic units against real ones: rows per unit, and whether what is declared of a unit holds. Internal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpsynth.table import Table
from dpsynth.table.units import changing_units, read_static, units_found

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class UnitAgreement:
    """`rows_per_unit`: the share of units with 1, 2, ... rows in training and synthetic rows; `distance`: the total
    variation between the two, `attainable` that between training and held-out units. `changing[column]`: the share of units
    in which a static column changes, real and synthetic. `alike[column]`: how much more often two rows of one unit have
    the same value of a column than two rows of different units (0 to 1, as Cohen's kappa), real and synthetic."""

    training: tuple[float, ...]
    synthetic: tuple[float, ...]
    distance: float
    attainable: float
    changing: dict[str, tuple[float, float]]
    alike: dict[str, tuple[float, float]]

    def as_json(self) -> dict[str, Any]:
        return {
            "rows_per_unit": {"training": list(self.training), "synthetic": list(self.synthetic)},
            "distance": self.distance,
            "attainable": self.attainable,
            "changing": {name: {"training": a, "synthetic": b} for name, (a, b) in self.changing.items()},
            "alike": {name: {"training": a, "synthetic": b} for name, (a, b) in self.alike.items()},
        }


def unit_agreement(synthetic: Table, train: Table, holdout: Table) -> UnitAgreement | None:
    """None where a row is a unit, or where synthetic rows do not say whose they are."""
    tables = (synthetic, train, holdout)
    if train.schema.unit.rows_per_unit == 1 or any(t.units is None or not len(t) for t in tables):
        return None
    most = train.schema.unit.rows_per_unit
    made, real, other = (_sizes(t, most) for t in tables)
    changing = {
        name: (_share_changing(train, name), _share_changing(synthetic, name)) for name in read_static(train)
    }
    alike = {
        name: (_alike(train, name), _alike(synthetic, name))
        for name in train.schema.modelled
        if name not in train.schema.unit.static
    }
    return UnitAgreement(
        tuple(real.tolist()),
        tuple(made.tolist()),
        float(np.abs(real - made).sum() / 2),
        float(np.abs(real - other).sum() / 2),
        changing,
        alike,
    )


def _sizes(table: Table, most: int) -> Floats:
    assert table.units is not None
    sizes = np.bincount(table.units)
    counts = np.bincount(np.minimum(sizes[sizes > 0], most), minlength=most + 1)[1:]
    return np.asarray(counts / counts.sum(), dtype=np.float64)


def _share_changing(table: Table, name: str) -> float:
    found = units_found(table)
    assert found is not None
    return len(changing_units(table, name)) / found.units


def _alike(table: Table, name: str) -> float:
    """Of consecutive rows of a unit, in any order within it: how often they agree, beyond chance. Values are compared in
    at most ten groups of about the same size."""
    assert table.units is not None
    groups = _groups(table, name)
    order = np.argsort(table.units, kind="stable")
    together = table.units[order][1:] == table.units[order][:-1]
    if not together.any():
        return 0.0
    agree = float((groups[order][1:] == groups[order][:-1])[together].mean())
    shares = np.bincount(groups) / len(groups)
    chance = float((shares**2).sum())
    return 0.0 if chance == 1 else (agree - chance) / (1 - chance)


def _groups(table: Table, name: str) -> NDArray[np.int64]:
    values = np.asarray(table.values[name], dtype=np.float64)
    edges = np.unique(np.quantile(values, np.linspace(0, 1, 11)[1:-1]))
    found = np.searchsorted(edges, values, side="left")
    return np.where(table.missing[name], len(edges) + 1, found).astype(np.int64)
