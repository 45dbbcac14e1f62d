"""Declared constraints on real tables: broken in how many of a million rows, and what they do to the error of pairs.

    python -m benchmarks.constraints --data DIR                      # all tables, tree, epsilon 1, three fits each way
    python -m benchmarks.constraints --data DIR --tables adult --methods tree aim --rows 100000

DIR holds the raw tables. The rules are taken from data dictionaries and from what the columns mean, not from the rows. For
each table and method it fits with and without them, draws rows, counts how many break a rule (of a csv file that is read
again, for the rows drawn with rules), and compares all pairs with the real table: the mean total variation between
tables of counts. Our privacy noise cannot be seeded: a "seed" numbers the fits.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.tables import read
from dpsynth import Schema, fit
from dpsynth.constraints import Rules
from dpsynth.encoding import Encoding
from dpsynth.records import Records
from dpsynth.table import Table, read_table, write_tables

EDUCATION = [
    "Preschool", "1st-4th", "5th-6th", "7th-8th", "9th", "10th", "11th", "12th", "HS-grad", "Some-college", "Assoc-voc",
    "Assoc-acdm", "Bachelors", "Masters", "Prof-school", "Doctorate",
]  # fmt: skip


COMPARED = 200_000
"""Synthetic rows, at most, whose pairs are compared."""


@dataclass(frozen=True, eq=False)
class Case:
    schema: Schema
    frame: pd.DataFrame


def adult(folder: Path) -> Case:
    """Education and its number are two names of one thing; husbands are men, wives women; who never worked has no
    occupation."""
    frame = read(folder / "adult_census.csv.gz").apply(lambda column: column.str.strip())
    frame.columns = [name.strip().replace("-", "_").replace(".", "_") for name in frame.columns]
    columns: dict[str, Any] = {
        "age": {"type": "integer", "min": 17, "max": 90, "cells": 25},
        "workclass": category(frame, "workclass", "?"),
        "education": {"type": "category", "values": EDUCATION},
        "education_num": {"type": "integer", "min": 1, "max": 16},
        **{
            name: category(frame, name)
            for name in ("marital_status", "relationship", "race", "sex", "income")
        },
        "occupation": category(frame, "occupation", "?"),
        "capital_gain": {
            "type": "integer",
            "min": 0,
            "max": 99_999,
            "cells": 12,
            "scale": "log",
            "special": [0],
        },
        "hours_per_week": {"type": "integer", "min": 1, "max": 99, "edges": [20, 35, 40, 41, 50, 60]},
    }
    rules = [
        {
            "functional": {"education_num": "education"},
            "map": {name: number for number, name in enumerate(EDUCATION, 1)},
            "one_to_one": True,
        },
        {"forbid": "relationship == 'Husband' and sex == 'Female'"},
        {"forbid": "relationship == 'Wife' and sex == 'Male'"},
        {
            "when": "relationship in ['Husband', 'Wife']",
            "then": "marital_status in ['Married-civ-spouse', 'Married-AF-spouse']",
        },
        {"when": "workclass == 'Never-worked'", "then": "occupation is missing"},
        {
            "when": "age <= 17",
            "then": "education not in ['Bachelors', 'Masters', 'Prof-school', 'Doctorate']",
        },
    ]
    return Case(Schema(columns=columns, missing_values=("?",), constraints=rules), frame[list(columns)])


def national(folder: Path) -> Case:
    """The survey asks children for no income, no industry and no marital status, and group quarters for no rent."""
    frame = read(folder / "nist_acs_national2019.csv.gz")
    gaps = ("MSP", "NOC", "NPF", "INDP", "INDP_CAT", "EDU", "PINCP_DECILE", "POVPIP", "DVET", "DREM", "DPHY")
    columns: dict[str, Any] = {
        "PUMA": category(frame, "PUMA"),
        "AGEP": {"type": "integer", "min": 0, "max": 99, "edges": [3, 5, 15, 16, 18, 20, 25, 30, 40, 50, 60, 65, 70, 80]},
        **{n: category(frame, n) for n in ("SEX", "HISP", "RAC1P", "HOUSING_TYPE", "OWN_RENT", "DEYE", "DEAR")},
        **{n: category(frame, n, "N") for n in gaps if n != "POVPIP"},
        "POVPIP": {"type": "integer", "min": 0, "max": 501, "cells": 12, "special": [501], "missing_values": ["N"]},
        "PINCP": {
            "type": "number", "min": -20_000, "max": 1_600_000, "cells": 24, "scale": "log", "decimals": 0,
            "special": [0], "missing_values": ["N"],
        },
    }  # fmt: skip
    rules = [
        {"when": "AGEP < 15", "then": "PINCP is missing and PINCP_DECILE is missing and MSP is missing"},
        {
            "when": "AGEP >= 15",
            "then": "PINCP is not missing and PINCP_DECILE is not missing and MSP is not missing",
        },
        {"when": "AGEP < 16", "then": "INDP is missing and INDP_CAT is missing"},
        {"when": "AGEP < 3", "then": "EDU is missing"},
        {"when": "AGEP >= 3", "then": "EDU is not missing"},
        {"when": "AGEP < 5", "then": "DPHY is missing and DREM is missing"},
        {"when": "AGEP >= 5", "then": "DPHY is not missing and DREM is not missing"},
        {"when": "AGEP < 17", "then": "DVET is missing"},
        {
            "when": "HOUSING_TYPE in ['2', '3']",
            "then": "OWN_RENT == '0' and NOC is missing and NPF is missing",
        },
        {"when": "HOUSING_TYPE == '1'", "then": "OWN_RENT != '0' and NOC is not missing"},
        {"when": "INDP is missing", "then": "INDP_CAT is missing"},
        {"when": "INDP is not missing", "then": "INDP_CAT is not missing"},
    ]
    return Case(Schema(columns=columns, constraints=rules), frame[list(columns)])


def rand(folder: Path) -> Case:
    """Costs add up, up to their rounding; out-patient visits to nobody cost nothing; years follow each other."""
    frame = read(folder / "rand_hie.csv.gz")
    money = {
        "type": "number",
        "min": 0,
        "max": 40_000,
        "cells": 16,
        "scale": "log",
        "decimals": 2,
        "special": [0],
    }
    columns: dict[str, Any] = {
        "zper": {"type": "id", "format": "P-######"},
        "year": {"type": "integer", "min": 1, "max": 5},
        "site": {"type": "integer", "min": 1, "max": 6},
        "coins": {"type": "category", "values": ["0", "25", "50", "95", "100"]},
        "female": {"type": "boolean", "true_value": "1", "false_value": "0"},
        "child": {"type": "boolean", "true_value": "1", "false_value": "0"},
        "xage": {"type": "number", "min": 0, "max": 70, "edges": [6, 12, 18, 25, 35, 45, 55], "decimals": 2},
        **dict.fromkeys(("outpdol", "drugdol", "suppdol", "mentdol", "inpdol", "meddol"), money),
        "totadm": {"type": "integer", "min": 0, "max": 30, "edges": [1, 2, 3]},
        "mdvis": {"type": "integer", "min": 0, "max": 100, "edges": [1, 2, 3, 5, 8, 13, 21]},
    }
    rules = [
        {"when": "child == '1'", "then": "xage <= 18"},
        {"when": "totadm == 0", "then": "inpdol == 0"},
        {"require": "outpdol <= meddol"},
        {"require": "drugdol <= meddol"},
        {"require": "inpdol <= meddol"},
    ]
    unit = {"entity": "person", "column": "zper", "rows_per_unit": 5, "order": "year", "static": ["female"]}
    return Case(Schema(columns=columns, unit=unit, constraints=rules), frame[list(columns)])


def category(frame: pd.DataFrame, name: str, missing: str | None = None) -> dict[str, Any]:
    values = sorted(set(frame[name]) - {missing})
    gap = {} if missing is None else {"missing_values": [missing]}
    return {"type": "category", "values": values, **gap}


CASES: Mapping[str, Callable[[Path], Case]] = {"adult": adult, "national2019": national, "rand_hie": rand}


def pair_error(real: Records, rows: Records) -> float:
    """Mean total variation between the two-way tables of all pairs."""
    found = []
    for pair in itertools.combinations(real.domain.attributes, 2):
        shape = real.domain.shape(pair)
        tables = [
            np.bincount(
                np.ravel_multi_index(tuple(r[a].astype(np.int64) for a in pair), shape),
                minlength=int(np.prod(shape)),
            )
            / len(r)
            for r in (real, rows)
        ]
        found.append(0.5 * float(np.abs(tables[0] - tables[1]).sum()))
    return float(np.mean(found))


def broken_again(batches: Any, schema: Schema) -> tuple[int, Table]:
    """Rows of a csv file, read again, that break a rule (or stand in no ascending order within their unit), and the rows."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.csv"
        write_tables(batches, file, schema, lambda done: None)
        table = read_table(file, schema, require_unit=schema.several_rows)
    rows = list(Rules.of(schema).broken(table).values())
    if table.units is not None and schema.unit.order is not None:
        order = table.values[schema.unit.order]
        rows.append(1 + np.flatnonzero((np.diff(table.units) == 0) & (np.diff(order) <= 0)))
    return len(np.unique(np.concatenate(rows))) if rows else 0, table


def compare(name: str, case: Case, method: str, epsilon: float, rows: int, seed: int) -> None:
    free = replace_constraints(case.schema)
    real = read_table(case.frame, free)
    own = Rules.of(case.schema).broken(replace(real, schema=case.schema))
    broken = len(np.unique(np.concatenate(list(own.values())))) if own else 0
    cells = Encoding(free).encode(real)
    for schema in (free, case.schema):
        start = time.process_time()
        model = fit(case.frame, schema, method=method, epsilon=epsilon, delta=1e-9, despite_violations=True)
        fitted = time.process_time() - start
        start = time.process_time()
        batches = model.sample_batches(rows, np.random.default_rng(seed))
        count, table = broken_again((replace(b, schema=case.schema) for b in batches), case.schema)
        sampled = time.process_time() - start
        error = pair_error(cells, Encoding(free).encode(table.take(slice(0, COMPARED))))
        rules = "with" if schema is case.schema else "without"
        print(
            f"| {name} | {method} | {rules} | {seed} | {broken:,} of {len(real):,} | {count:,} of {len(table):,} | "
            f"{error:.4f} | {fitted:.1f} | {sampled:.1f} |",
            flush=True,
        )


def replace_constraints(schema: Schema) -> Schema:
    return schema.model_copy(update={"constraints": ()})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the real tables")
    parser.add_argument("--tables", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--methods", nargs="+", default=["tree"])
    parser.add_argument("--epsilon", type=float, default=1.0)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    print(
        "| table | method | rules | fit | real rows that break one | synthetic rows | error of pairs | fit s | sample s |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for name in options.tables:
        case = CASES[name](options.data)
        for method, seed in itertools.product(options.methods, range(options.seeds)):
            compare(name, case, method, options.epsilon, options.rows, seed)


if __name__ == "__main__":
    main()
