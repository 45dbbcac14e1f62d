"""The bundled table: what ORIGIN.md says it is, and a project that fits it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import dpsynth.demo_data
from dpsynth.encoding import Encoding
from dpsynth.project import Project
from dpsynth.table import read_table

FOLDER = Path(dpsynth.demo_data.__file__).parent


def test_the_project_fits_the_table() -> None:
    project = Project.load(FOLDER / "demo.yaml")
    table = read_table(project.data_path, project.schema)
    assert len(table) == 20_190
    assert table.units is not None
    assert table.units.max() + 1 == 5_912
    assert project.schema.unit.rows_per_unit == 3
    assert not project.release.lacking
    assert not project.schema.once_inspected
    budget = project.run_budget()
    assert budget.delta < 1 / 5_912**2


def test_the_grid_is_coarse_and_loses_little() -> None:
    project = Project.load(FOLDER / "demo.yaml")
    table = read_table(project.data_path, project.schema)
    encoding = Encoding(project.schema)
    assert max(encoding.domain.sizes) <= 16
    decoded = encoding.decode(encoding.encode(table), np.random.default_rng(0)).to_frame()
    real = table.to_frame()
    for name in ("age", "income", "visits", "cost"):
        assert decoded[name].mean() == pytest.approx(real[name].mean(), rel=0.05)
    means = decoded.groupby("plan")["visits"].mean()
    assert means["free"] > means["pays 25 %"] > means["pays 95 %"]


def test_the_file_is_small_and_described() -> None:
    file = FOLDER / "health_insurance.csv.gz"
    assert file.stat().st_size < 400_000
    text = (FOLDER / "ORIGIN.md").read_text()
    for column in pd.read_csv(file, nrows=0).columns:
        assert f"| {column} |" in text
    assert "public domain" in text
