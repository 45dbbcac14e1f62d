"""What a public table brings to the model of a private one, and what a wrong one costs.

NIST's national2019 excerpt is cut in two halves at random: one is private, the other plays the public table of another
year. Beside it two wrong ones: the public half with each column shuffled by itself (its columns no longer hang together),
and with the values of every second column exchanged in reverse order (they hang together in another way). The error is
the mean total variation over all pairs of columns between the private half and as many synthetic rows. What is charged is
the same in each row of an epsilon. Areas, densities and industries are listed as public here: the budget goes to the
tables.

    python -m benchmarks.prior FOLDER/nist_acs_national2019.csv.gz --epsilon 0.1 0.3 1 -o benchmarks/prior.md
"""

from __future__ import annotations

import argparse
import itertools
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dpsynth import Schema, fit
from dpsynth.columns import CategoryColumn
from dpsynth.counting import count
from dpsynth.encoding import Encoding
from dpsynth.model import FittedModel
from dpsynth.prior import Prior
from dpsynth.table import read_table

PROJECT = Path(__file__).parents[1] / "examples" / "national2019.yaml"
DELTA = 1e-9
REASON = "the half of a public table that plays the public one"


def listed(schema: Schema, frame: pd.DataFrame) -> Schema:
    """The schema with the values that are to be discovered written down: the table is public, and so are they."""
    columns: dict[str, Any] = dict(schema.columns)
    for name, column in schema.unknown.items():
        assert isinstance(column, CategoryColumn)
        values = sorted(set(frame[name]) - set(column.missing_values or ()) - set(schema.missing_values))
        columns[name] = {"type": "category", "values": values, "missing": column.missing}
    return Schema(columns=columns, missing_values=schema.missing_values, csv=schema.csv)


def shuffled(frame: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({n: frame[n].sample(frac=1, random_state=i).to_numpy() for i, n in enumerate(frame)})


def exchanged(frame: pd.DataFrame) -> pd.DataFrame:
    """Every second column with its values, in their order, mapped to those from the end."""
    changed = {}
    for name in list(frame)[1::2]:
        values = sorted(frame[name].unique())
        changed[name] = frame[name].map(dict(zip(values, reversed(values), strict=True)))
    return frame.assign(**changed)


def error(model: FittedModel | None, private: pd.DataFrame, schema: Schema, other: pd.DataFrame) -> float:
    """Of a model, or of the `other` half itself without one."""
    encoding = Encoding(schema)
    real = encoding.encode(read_table(private, schema))
    made = (
        encoding.encode(read_table(other, schema))
        if model is None
        else model.generator.sample(len(real), np.random.default_rng(1))
    )
    pairs = itertools.combinations(schema.domain.attributes, 2)
    return float(
        np.mean([np.abs(count(real, p) / len(real) - count(made, p) / len(made)).sum() / 2 for p in pairs])
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("table", type=Path)
    parser.add_argument("--epsilon", type=float, nargs="+", default=[0.1, 0.3, 1.0])
    parser.add_argument("--methods", nargs="+", default=["independent", "tree"])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("-o", "--out", type=Path)
    given = parser.parse_args()
    frame = pd.read_csv(given.table, dtype=str, keep_default_na=False)
    schema = listed(Schema.load(PROJECT), frame)
    lines: list[str] = []
    for seed in range(given.seeds):
        order = np.random.default_rng(seed).permutation(len(frame))
        private, public = frame.iloc[order[: len(frame) // 2]], frame.iloc[order[len(frame) // 2 :]]
        if not seed:
            floor = error(None, private, schema, public)
        tables = {
            "none": None,
            "other half": public,
            "shuffled": shuffled(public),
            "exchanged": exchanged(public),
        }
        for method, epsilon, (name, table) in itertools.product(given.methods, given.epsilon, tables.items()):
            begin = time.process_time()
            try:
                prior = None if table is None else Prior.read(table, schema, REASON)
            except Exception as problem:  # an exchanged value may not fit its column
                print(name, "does not fit the schema:", problem)
                continue
            model = fit(private, schema, method=method, epsilon=epsilon, delta=DELTA, prior=prior)
            took = time.process_time() - begin
            found = error(model, private, schema, public)
            lines.append(f"| {method} | {epsilon:g} | {name} | {seed} | {found:.4f} | {took:.0f} |")
            print(lines[-1], flush=True)
    command = (
        f"python -m benchmarks.prior {given.table.name} --epsilon {' '.join(f'{e:g}' for e in given.epsilon)}"
    )
    text = "\n".join(
        [
            "# A public table as a beginning",
            "",
            " ".join((__doc__ or "").split("\n\n")[1].split()),
            "",
            f"`{command}`. The other half itself, instead of any model, is off by {floor:.4f}.",
            "",
            "| method | epsilon | public table | split | mean total variation of pairs | CPU seconds |",
            "|---|---|---|---|---|---|",
            *lines,
        ]
    )
    if given.out is not None:
        given.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
