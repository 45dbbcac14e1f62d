"""What a public table brings to the model of a private one, and what a wrong one costs.

A table is cut in two halves at random: one is private, the other plays the public table of another year. Beside it three
wrong ones, made of the public half: *shuffled*, each column by itself (its one-way tables are right, its columns do not
hang together); *exchanged*, the values of every second column in reverse order (half of its one-way tables are wrong, and
columns hang together in another way); *random*, every value drawn evenly from those of its column (nothing of it is right).
Errors are mean total variations between the private half and as many synthetic rows: over all pairs of columns, and over
single columns. What is charged is the same in each row of an epsilon. Values that a project would discover are listed as
public here: the budget goes to the tables. Which cells and
pairs of a public table are believed was chosen on one cut of national2019; no figure of another table was looked at for it.

    python -m benchmarks.prior --data FOLDER --epsilon 0.1 1 --splits 3 -o benchmarks/prior.md
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dpsynth import Schema, fit
from dpsynth.columns import CategoryColumn
from dpsynth.counting import count
from dpsynth.encoding import Encoding
from dpsynth.prior import Prior
from dpsynth.records import Records
from dpsynth.table import read_table

EXAMPLES = Path(__file__).parents[1] / "examples"
TABLES = {"national2019": "nist_acs_national2019.csv.gz", "adult": "adult_census.csv.gz"}
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
    for name in map(str, list(frame)[1::2]):
        values = sorted(frame[name].unique())
        changed[name] = frame[name].map(dict(zip(values, reversed(values), strict=True)))
    return frame.assign(**changed)


def random(frame: pd.DataFrame) -> pd.DataFrame:
    """Every value drawn evenly from those of its column."""
    rng = np.random.default_rng(0)
    return pd.DataFrame({n: rng.choice(np.sort(frame[n].unique()), len(frame)) for n in frame})


WRONG: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "shuffled": shuffled,
    "exchanged": exchanged,
    "random": random,
}


@dataclass(frozen=True)
class Halves:
    """One cut of a table."""

    schema: Schema
    private: pd.DataFrame
    public: pd.DataFrame

    @classmethod
    def of(cls, folder: Path, name: str, split: int) -> Halves:
        frame = pd.read_csv(folder / TABLES[name], dtype=str, keep_default_na=False)
        frame.columns = [column.strip() for column in frame.columns]
        frame = frame.apply(lambda column: column.str.strip())
        project = Schema.load(EXAMPLES / f"{name}.yaml")
        schema = listed(project, frame[list(project.columns)])
        order = np.random.default_rng(split).permutation(len(frame))
        half = len(frame) // 2
        return cls(schema, frame.iloc[order[:half]], frame.iloc[order[half:]])

    def errors(self, made: Records) -> tuple[float, float]:
        """Of all pairs, and of single columns."""
        real = Encoding(self.schema).encode(read_table(self.private, self.schema))
        each = [
            np.mean(
                [np.abs(count(real, c) / len(real) - count(made, c) / len(made)).sum() / 2 for c in cliques]
            )
            for cliques in (itertools.combinations(real.domain.attributes, size) for size in (2, 1))
        ]
        return float(each[0]), float(each[1])

    def fitted(self, method: str, epsilon: float, table: pd.DataFrame | None) -> tuple[float, float, float]:
        """Both errors, and CPU seconds."""
        begin = time.process_time()
        prior = None if table is None else Prior.read(table, self.schema, REASON)
        model = fit(self.private, self.schema, method=method, epsilon=epsilon, delta=DELTA, prior=prior)
        took = time.process_time() - begin
        return (*self.errors(model.generator.sample(len(self.private), np.random.default_rng(1))), took)


def spread(values: Sequence[float]) -> str:
    """The mean, and half of the range."""
    return f"{np.mean(values):.4f} ({(max(values) - min(values)) / 2:.4f})"


def rows_of(folder: Path, name: str, given: argparse.Namespace) -> list[str]:
    """One line for each method, epsilon and public table; printed as they come."""
    halves = [Halves.of(folder, name, split) for split in range(given.splits)]
    other = [h.errors(Encoding(h.schema).encode(read_table(h.public, h.schema))) for h in halves]
    pairs, ones = ([e[k] for e in other] for k in (0, 1))
    lines = [f"| {name} | the other half itself | | | {spread(pairs)} | {spread(ones)} | |"]
    for method, epsilon in itertools.product(given.methods, given.epsilon):
        for public in ("none", "other half", *WRONG):
            found = [
                half.fitted(
                    method,
                    epsilon,
                    {"none": None, "other half": half.public}.get(public)
                    if public not in WRONG
                    else WRONG[public](half.public),
                )
                for half in halves
            ]
            pairs, ones, took = ([f[k] for f in found] for k in (0, 1, 2))
            lines.append(
                f"| {name} | {method} | {epsilon:g} | {public} | {spread(pairs)} | {spread(ones)} | {np.mean(took):.1f} |"
            )
            print(lines[-1], flush=True)
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the real tables")
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=list(TABLES))
    parser.add_argument("--epsilon", type=float, nargs="+", default=[0.1, 1.0])
    parser.add_argument("--methods", nargs="+", default=["independent", "tree"])
    parser.add_argument("--splits", type=int, default=3)
    parser.add_argument("-o", "--out", type=Path)
    given = parser.parse_args()
    lines = [line for name in given.tables for line in rows_of(given.data, name, given)]
    epsilons = " ".join(f"{e:g}" for e in given.epsilon)
    command = f"python -m benchmarks.prior --data DIR --epsilon {epsilons} --splits {given.splits}"
    text = "\n".join(
        [
            "# A public table as a beginning",
            "",
            " ".join((__doc__ or "").split("\n\n")[1].split()),
            "",
            f"`{command}`: means over {given.splits} cuts, in brackets half of the range.",
            "",
            "| table | method | epsilon | public table | error of pairs | error of single columns | CPU seconds |",
            "|---|---|---|---|---|---|---|",
            *lines,
        ]
    )
    if given.out is not None:
        given.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
