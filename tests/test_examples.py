"""The example projects: each loads, plans and fits rows made from its own schema, in the form that its table has."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import dpsynth
from dpsynth.columns import CategoryColumn
from dpsynth.model.from_schema import from_schema
from dpsynth.pipeline import settings_of
from dpsynth.project import Project
from dpsynth.release import before_spending
from dpsynth.table import read_table, write_table

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.yaml"))


def test_there_are_examples() -> None:
    assert {path.stem for path in EXAMPLES} >= {"adult", "bank", "national2019", "rand_hie"}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_ready_to_run(path: Path) -> None:
    """Everything that a release asks of a person is there, and the plan keeps its promise."""
    project = Project.load(path)
    before_spending(project.schema, settings_of(project).human).require()
    assert not project.schema.once_inspected
    budget = project.run_budget()
    preview = dpsynth.plan(
        project.schema,
        method=project.generator.method,
        epsilon=budget.epsilon,
        delta=budget.delta,
        workload=project.generator.workload.workload,
    )
    assert preview.certificate.epsilon <= budget.epsilon
    assert len(preview.searches) == len(project.schema.unknown) > 0


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_rows_of_an_example_come_back_as_they_came(path: Path, tmp_path: Path) -> None:
    """Rows of the example's form go in as a file and come out of a fit with the same columns, types and formats."""
    project = Project.load(path)
    rows = from_schema(project.schema, 0.05).sample_table(3_000, np.random.default_rng(5))
    frame, source = rows.to_frame(), tmp_path / "rows.csv"
    for name, column in project.schema.unknown.items():
        if isinstance(
            column, CategoryColumn
        ):  # real rows hold no value that reads like what stands for others
            like_others = frame[name].astype(str) == column.other
            frame.loc[like_others, name] = frame.loc[~like_others, name].dropna().iloc[0]
    write_table(frame, source, rows.schema)
    table = read_table(source, project.schema)
    assert len(table) == 3_000
    model = dpsynth.fit(source, project.schema, method="independent", epsilon=20.0, delta=1e-6)
    made = model.sample_table(500, np.random.default_rng(1))
    out = tmp_path / "made.csv"
    write_table(made.to_frame(), out, model.schema)
    assert len(read_table(out, model.schema)) == 500
    before, after = (pd.read_csv(io.StringIO(file.read_text())) for file in (source, out))
    assert list(before.columns) == list(after.columns)
    assert not model.schema.unknown
