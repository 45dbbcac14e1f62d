"""What thinning takes off the error of a sample: plain rows, thinned rows, and the model itself, from the same fits.

    python -m benchmarks.thinning --data DIR [--tables adult_coded] [--epsilon 1 10] [--fits 3] [--write PAGE]

Errors: mean total variation of all marginals of 2 and 3 columns against the training rows. The model's own are those of
`MANY` times as many rows. Area under the ROC curve, with its standard error: gradient boosting learnt from rows, tested on
real ones held out, mean over `DRAWS` samples of each fit. Our privacy noise cannot be seeded: figures differ each time.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.runs import DELTA
from benchmarks.scores import marginal_error, trained_auc
from benchmarks.tables import TABLES, Codes, Table, add_options
from dpsynth import Schema, fit
from dpsynth.model import FittedModel
from dpsynth.model.thinning import thinned_batches
from dpsynth.records import joined
from dpsynth.workload import Workload

MANY, DRAWS = 20, 4
Draw = Callable[[int, np.random.Generator], Codes]


def main() -> None:
    options = arguments()
    lines = [
        "# Thinned samples: latest figures\n",
        f"`python -m benchmarks.thinning --data DIR --fits {options.fits}`\n",
        f"Method tree, delta {DELTA:g}, as many rows as were fitted, {options.fits} fits; plain and thinned rows of the",
        "same fits. Sampling: CPU seconds of one sample, compiled loops loaded.\n",
        "| table | epsilon | 2-way: plain | thinned | the model | 3-way: plain | thinned | the model | AUC: plain | thinned "
        "| sampling: plain | thinned |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name in options.tables:
        table = TABLES[name](options.data)
        lines += [line(table, epsilon, options.fits) for epsilon in options.epsilon]
    text = "\n".join(lines) + "\n"
    print(text)
    if options.write:
        options.write.write_text(text)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    add_options(parser, [1.0, 10.0])
    parser.add_argument("--fits", type=int, default=3)
    parser.add_argument("--write", type=Path, help="also write the table here")
    return parser.parse_args()


def line(table: Table, epsilon: float, fits: int) -> str:
    """The means over `fits` fits, as a row of the page."""
    rng = np.random.default_rng()
    sizes, n = list(table.domain.values()), len(table.train)
    errors: dict[tuple[str, int], list[float]] = {}
    areas: dict[str, list[float]] = {"plain": [], "thinned": []}
    seconds: dict[str, list[float]] = {"plain": [], "thinned": []}
    for _ in range(fits):
        ways_of = drawing(fitted(table, epsilon))
        ways_of["thinned"](100, rng)  # loads the compiled loops
        for kind, draw in ways_of.items():
            for _ in range(DRAWS):
                started = time.process_time()
                rows = draw(n, rng)
                seconds[kind].append(time.process_time() - started)
                if table.target is not None and table.held_out is not None:
                    areas[kind].append(
                        trained_auc(rows, table.held_out, list(table.domain).index(table.target))
                    )
            for ways in (2, 3):
                errors.setdefault((kind, ways), []).append(marginal_error(table.train, rows, sizes, ways))
        many = ways_of["plain"](MANY * n, rng)
        for ways in (2, 3):
            errors.setdefault(("model", ways), []).append(marginal_error(table.train, many, sizes, ways))
    found = [
        f"{np.mean(errors[kind, ways]):.4f}" for ways in (2, 3) for kind in ("plain", "thinned", "model")
    ]
    found += [area(values) for values in areas.values()]
    found += [f"{np.mean(values):.2f}" for values in seconds.values()]
    return f"| {table.name} | {epsilon:g} | " + " | ".join(found) + " |"


def area(values: list[float]) -> str:
    """A mean with its standard error; a dash where nothing is predicted."""
    return f"{np.mean(values):.4f} ± {np.std(values, ddof=1) / len(values) ** 0.5:.4f}" if values else "-"


def fitted(table: Table, epsilon: float) -> FittedModel:
    columns = {name: column(size, name in table.ordered) for name, size in table.domain.items()}
    frame = pd.DataFrame(table.train, columns=list(table.domain))
    workload = Workload(target=table.target)
    return fit(frame, Schema(columns=columns), method="tree", epsilon=epsilon, delta=DELTA, workload=workload)


def column(size: int, ordered: bool) -> dict[str, object]:
    if ordered:
        return {"type": "integer", "min": 0, "max": size - 1, "cells": size}
    return {"type": "category", "values": list(range(size))}


def drawing(model: FittedModel) -> dict[str, Draw]:
    """Plain and thinned records of the same model, as codes."""
    generator = model.generator
    return {
        "plain": lambda n, rng: joined(list(generator.sample_batches(n, rng))).matrix(),
        "thinned": lambda n, rng: joined(list(thinned_batches(generator, n, rng))).matrix(),
    }


if __name__ == "__main__":
    main()
