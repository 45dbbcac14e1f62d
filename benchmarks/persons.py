"""Synthetic persons on a table with several rows a person: are sizes, constancy and order right, and what does it cost?

    python -m benchmarks.persons examples/rand_hie.yaml rand_hie.csv.gz --methods tree,mst --epsilon 1 --repeats 3

Of each method two models: one with the table's units as declared (their sizes charged, static columns, an order), one that
makes rows without an id (nothing charged for units). Errors are total variations between synthetic and all real rows, at
the model's cells, means over all columns and all pairs of columns.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from dpsynth import Schema, fit
from dpsynth.counting import count
from dpsynth.encoding import Encoding
from dpsynth.evaluation.units import unit_agreement
from dpsynth.model import FittedModel
from dpsynth.project import Project
from dpsynth.records import Records
from dpsynth.table import Table, read_table
from dpsynth.table.units import units_found


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("project", type=Path)
    options.add_argument("data", type=Path)
    options.add_argument("--methods", default="tree,mst")
    options.add_argument("--epsilon", type=float, default=1.0)
    options.add_argument("--delta", type=float, default=1e-8)
    options.add_argument("--repeats", type=int, default=3)
    asked = options.parse_args()
    schema = Project.load(asked.project).schema
    for method in asked.methods.split(","):
        for repeat in range(asked.repeats):
            for kind, declared in (("units", schema), ("rows", without_units(schema))):
                found = measured(asked.data, declared, method, asked.epsilon, asked.delta, repeat)
                print(json.dumps({"method": method, "made": kind, "repeat": repeat, **found}), flush=True)


def without_units(schema: Schema) -> Schema:
    """The same columns and the same protection, but synthetic rows belong to nobody."""
    unit = schema.unit.model_copy(update={"static": (), "order": None})
    columns = {name: c for name, c in schema.columns.items() if name != unit.column}
    return Schema(columns=columns, unit=unit, missing_values=schema.missing_values, csv=schema.csv)


def measured(
    data: Path, schema: Schema, method: str, epsilon: float, delta: float, seed: int
) -> dict[str, Any]:
    started = time.process_time()
    model = fit(data, schema, method=method, epsilon=epsilon, delta=delta)
    fitted = time.process_time()
    # what was discovered is in the model's schema; its "other" takes the rest
    real = read_table(data, schema)
    rng = np.random.default_rng(seed)
    synthetic = model.sample_table(len(real), rng)
    sampled = time.process_time()
    return {
        "fit_s": round(fitted - started, 1),
        "sample_s": round(sampled - fitted, 2),
        **errors(real, synthetic, model),
        **ungrouped(real, model, rng),
        **persons(real, synthetic),
    }


def errors(real: Table, synthetic: Table, model: FittedModel) -> dict[str, float]:
    """Means over columns, and pairs, whose domain was declared: discovered cells are not those of the real table."""
    encoding = Encoding(model.schema)
    names = [a for a in encoding.domain.attributes if model.schema.columns[a].origin != "dp"]
    known = Schema(
        columns={name: model.schema.columns[name] for name in names},
        missing_values=model.schema.missing_values,
    )
    pair = [Encoding(known).encode(Table(known, t.values, t.missing)) for t in (real, synthetic)]
    return {
        "one_way": round(_mean(pair, list(itertools.combinations(names, 1))), 4),
        "two_way": round(_mean(pair, list(itertools.combinations(names, 2))), 4),
    }


def ungrouped(real: Table, model: FittedModel, rng: np.random.Generator) -> dict[str, float]:
    """The same errors of rows that the same model draws without making units of them."""
    if model.sizes is None:
        return {}
    records = model.generator.sample(len(real), rng)
    found = errors(real, Encoding(model.schema).decode(records, rng), model)
    return {f"{name}_ungrouped": error for name, error in found.items()}


def _mean(records: list[Records], cliques: list[tuple[str, ...]]) -> float:
    found = []
    for clique in cliques:
        real, made = (count(r, clique) / len(r) for r in records)
        found.append(float(np.abs(real - made).sum() / 2))
    return float(np.mean(found))


def persons(real: Table, synthetic: Table) -> dict[str, Any]:
    """Distance of the sizes, units whose static columns change, units with one value of the order twice."""
    found = units_found(synthetic)
    agreement = unit_agreement(synthetic, real, real)
    if found is None or agreement is None:
        return {}
    return {
        "units": found.units,
        "sizes_real": [round(share, 3) for share in agreement.training],
        "sizes_made": [round(share, 3) for share in agreement.synthetic],
        "sizes_distance": round(agreement.distance, 4),
        "changing": sum(found.changing.values()),
        "order_repeated": found.repeating,
    }


if __name__ == "__main__":
    main()
