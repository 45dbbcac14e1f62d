"""How close single columns come at full resolution, against the resolution of the model, and what finer grids cost pairs.

    python -m benchmarks.resolution examples/adult.yaml adult_census.csv.gz [--epsilon 1] [--cells 32,64,128] [--seeds 3]
        [--merging neighbours,any,none]

*Merging.* Light cells are merged before pairs are measured, by noisy one-way counts alone: neighbours of an ordered column
(the rule of the product), any cells whatever their order, or none at all.

*Columns.* The distance of a column's synthetic values from the real ones, twice: at full resolution, and on the cells of
the model, which is the best that values inside the cells could do. For whole numbers in a range of up to 1,000: total
variation of the histogram with a cell for each value. For all numbers: the largest difference of the two distribution
functions (Kolmogorov), at full resolution and at the cells' edges. *Pairs.* Mean total variation of all pairs on one grid
for all settings: ten quantiles of the real column for a number, the values of a category.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from numpy.typing import NDArray

import dpsynth
from dpsynth.columns import CategoryColumn, IntegerColumn, NumberColumn
from dpsynth.encoding import Encoding, extent
from dpsynth.measurement import Measurement
from dpsynth.mechanisms import Task, coarse
from dpsynth.project import Project
from dpsynth.schema import Schema
from dpsynth.table import Table, read_table

MOST_VALUES = 1_000
QUANTILES = 10

Numeric = IntegerColumn | NumberColumn


def _none(task: Task, ones: Iterable[Measurement], least: float = 0.0) -> dict[str, Any]:
    return {}


def _any(task: Task, ones: Iterable[Measurement], least: float = 0.0) -> dict[str, Any]:
    return PRODUCT(replace(task, ordered=frozenset()), ones, least)


PRODUCT = coarse.merges_for
MERGING = {"neighbours": PRODUCT, "any": _any, "none": _none}


def with_cells(schema: Schema, cells: int | None) -> Schema:
    """The schema with so many cells for each column of numbers that leaves its own to the default."""
    if cells is None:
        return schema
    columns = {}
    for name, column in schema.columns.items():
        free = isinstance(column, Numeric) and column.cells is None and column.edges is None
        room = int(column.max - column.min) + 1 if isinstance(column, IntegerColumn) else cells
        columns[name] = _finer(column, min(cells, room)) if free else column
    parts = {name: getattr(schema, name) for name in Schema.model_fields if name != "columns"}
    return Schema(**parts, columns=columns)


def _finer(column: Any, cells: int) -> Any:
    """Fewer where special values or the decimals leave no room for so many."""
    while True:
        try:
            return type(column)(**{**column.model_dump(exclude_unset=True), "cells": cells})
        except dpsynth.SchemaError:
            cells //= 2


def variation(one: NDArray[Any], two: NDArray[Any]) -> float:
    """Total variation of two histograms over the values that occur, each normalised."""
    values, place = np.unique(np.concatenate([one, two]), return_inverse=True)
    a = np.bincount(place[: len(one)], minlength=len(values)) / len(one)
    b = np.bincount(place[len(one) :], minlength=len(values)) / len(two)
    return float(np.abs(a - b).sum() / 2)


def kolmogorov(one: NDArray[Any], two: NDArray[Any], at: NDArray[Any]) -> float:
    """The largest difference of the shares below or at each of these points."""
    shares = [np.searchsorted(np.sort(x), at, side="right") / len(x) for x in (one, two)]
    return float(np.abs(shares[0] - shares[1]).max())


def column_errors(real: Table, made: Table, name: str) -> dict[str, tuple[float, float]]:
    """(full resolution, the model's) by measure, over the rows that have a value."""
    column = made.schema.modelled[name]
    assert isinstance(column, Numeric)
    one, two = (t.values[name][~t.missing[name]] for t in (real, made))
    encoding = Encoding(made.schema)
    cells = [encoding.encode(t)[name][~t.missing[name]] for t in (real, made)]
    found = {}
    _, high, scale = extent(column)
    every = np.unique(np.concatenate([one, two]))
    edges = np.concatenate([high / scale, np.array(column.special, dtype=np.float64)])
    found["kolmogorov"] = (kolmogorov(one, two, every), kolmogorov(one, two, edges))
    if isinstance(column, IntegerColumn) and column.max - column.min < MOST_VALUES:
        found["variation"] = (variation(one, two), variation(*cells))
    return found


def judged(table: Table, real: Table) -> list[NDArray[Any]]:
    """Each column on the common grid for pairs."""
    found = []
    for name, column in real.schema.modelled.items():
        values = table.values[name]
        if isinstance(column, Numeric):
            known = real.values[name][~real.missing[name]]
            edges = np.unique(np.quantile(known, np.linspace(0, 1, QUANTILES + 1)[1:-1]))
            codes = np.searchsorted(edges, values, side="right")
        elif isinstance(column, CategoryColumn) and name in real.words:
            own = {word: i for i, word in enumerate(real.words[name])}
            codes = np.array([own.get(text, -1) for text in table.schema.modelled[name].values])[values]
        else:
            codes = values.astype(np.int64)
        found.append(np.where(table.missing[name], -2, codes).astype(np.int64))
    return found


def pairs(real: Table, made: Table) -> float:
    """Mean total variation of all pairs."""
    columns = list(zip(judged(real, real), judged(made, real), strict=True)) if not real.words else None
    if columns is None:
        known = real.under(made.schema)
        columns = list(zip(judged(known, known), judged(made, known), strict=True))
    joint = [
        variation(a[0] * 100_003 + b[0], a[1] * 100_003 + b[1]) for a, b in itertools.combinations(columns, 2)
    ]
    return float(np.mean(joint))


def measure(project: Path, data: Path, epsilon: float, cells: int | None, seeds: int, verbose: bool) -> str:
    spec = Project.load(project)
    schema = with_cells(spec.schema, cells)
    real = read_table(data, schema)
    every: dict[str, dict[str, list[tuple[float, float]]]] = {}
    joint, took = [], time.process_time()
    for seed in range(seeds):
        model = dpsynth.fit(
            data, schema, method=spec.generator.method, epsilon=epsilon, delta=1e-9,
            workload=spec.generator.workload.workload,
        )  # fmt: skip
        made = model.sample_table(len(real), np.random.default_rng(seed))
        known = real.under(model.schema)
        for name, column in model.schema.modelled.items():
            if isinstance(column, Numeric):
                for kind, errors in column_errors(known, made, name).items():
                    every.setdefault(kind, {}).setdefault(name, []).append(errors)
        joint.append(pairs(real, made))
    took = (time.process_time() - took) / seeds
    lines = [
        f"cells {cells or 'default'}: pairs {np.mean(joint):.4f} (sd {np.std(joint):.4f}), {took:.1f} CPU-s a fit"
    ]
    for kind, by_name in every.items():
        means = {name: np.mean(errors, axis=0) for name, errors in by_name.items()}
        full, own = np.mean(list(means.values()), axis=0)
        lines.append(f"  {kind:<10} full {full:.4f}  model {own:.4f}  ratio {full / own:.2f}")
        if verbose:
            lines += [
                f"    {name:<16} {f:.4f} {o:.4f} {f / max(o, 1e-9):6.2f}" for name, (f, o) in means.items()
            ]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("project", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--epsilon", type=float, default=1.0)
    parser.add_argument(
        "--cells", default="", help="cells of each column of numbers: 32,64,128; empty: the default"
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--merging", default="neighbours", help=f"of {', '.join(MERGING)}")
    parser.add_argument("--verbose", action="store_true")
    given = parser.parse_args(arguments)
    for rule, text in itertools.product(given.merging.split(","), given.cells.split(",")):
        cells = int(text) if text else None
        with mock.patch.object(coarse, "merges_for", MERGING[rule]):
            found = measure(given.project, given.data, given.epsilon, cells, given.seeds, given.verbose)
        print(f"merging {rule}, {found}", flush=True)


if __name__ == "__main__":
    main()
