"""A real table with synthetic rows of rare classes: what it says of itself, and that it stays inside."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from example import small_table
from typer.testing import CliRunner, Result

from dpsynth import CapacityError, DataError, Schema, UsageError, fit
from dpsynth.augmenting import LABEL, NOTE, REAL, SYNTHETIC, augment, require_internal
from dpsynth.cli.app import app
from dpsynth.model import FittedModel
from dpsynth.table import read_table

COLUMNS = {
    "person": {"type": "id", "format": "P-######"},
    "age": {"type": "integer", "min": 0, "max": 99, "cells": 10},
    "plan": {"type": "category", "values": ["A", "B", "C"], "missing": True},
    "smoker": {"type": "boolean", "true_value": "yes", "false_value": "no"},
    "cost": {"type": "number", "min": 0, "max": 1000, "cells": 8, "decimals": 2},
}


@pytest.fixture(scope="module")
def real() -> pd.DataFrame:
    frame = small_table(people=400)
    return frame.assign(person=[f"P-{i:06d}" for i in range(7, 7 + len(frame))])


@pytest.fixture(scope="module")
def model(real: pd.DataFrame) -> FittedModel:
    return fit(real, Schema(columns=COLUMNS), method="mst", epsilon=10.0, delta=1e-9)


def dpsynth(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def test_all_real_rows_stay_and_the_classes_are_balanced(real: pd.DataFrame, model: FittedModel) -> None:
    rows = augment(real, model, "smoker", rng=np.random.default_rng(1))
    first = rows[rows[LABEL] == REAL]
    assert first["age"].tolist() == real["age"].tolist()
    assert first["cost"].tolist() == real["cost"].tolist()
    assert rows["smoker"].value_counts().nunique() == 1
    added = rows[rows[LABEL] == SYNTHETIC]
    assert set(added["smoker"]) == {"yes"}
    assert len(added) == (real["smoker"] == "no").sum() - (real["smoker"] == "yes").sum()
    assert rows["person"].is_unique


def test_shares_in_the_whole(real: pd.DataFrame, model: FittedModel) -> None:
    rows = augment(real, model, {"plan": [1, 1, 2]}, rng=np.random.default_rng(1))
    shares = rows["plan"].value_counts(normalize=True)
    assert shares["C"] == pytest.approx(0.5, abs=0.002)
    assert shares["A"] == pytest.approx(0.25, abs=0.002)
    assert (rows[rows[LABEL] == REAL]["plan"].isna().sum()) == (real["plan"] == "").sum()


def test_a_table_that_is_balanced_gets_nothing(real: pd.DataFrame, model: FittedModel) -> None:
    found = real["smoker"].value_counts()
    rows = augment(real, model, {"smoker": {"yes": int(found["yes"]), "no": int(found["no"])}})
    assert len(rows) == len(real)


def test_what_is_refused(real: pd.DataFrame, model: FittedModel) -> None:
    with pytest.raises(CapacityError):
        augment(real, model, {"smoker": {"yes": 1.0, "no": 1e-6}})
    with pytest.raises(UsageError) as error:
        augment(real, model, "smoker", label="plan")
    assert error.value.code == "DPS-U246"
    with pytest.raises(DataError):
        augment(real.assign(age=500), model, "smoker")


def test_the_file_says_that_it_is_private_and_cannot_be_released(
    real: pd.DataFrame, model: FittedModel, tmp_path: Path
) -> None:
    model.save(tmp_path / "model")
    real.to_csv(tmp_path / "real.csv", index=False)
    out = tmp_path / "more.parquet"
    done = dpsynth("augment", tmp_path / "model", tmp_path / "real.csv", "--balance", "smoker", "-o", out)
    assert done.exit_code == 0, done.output
    assert NOTE in done.stdout
    assert out.stat().st_mode & 0o077 == 0
    assert pq.read_metadata(out).metadata[b"dpsynth"].decode() == NOTE
    assert set(pd.read_parquet(out)[LABEL]) == {REAL, SYNTHETIC}
    # an audit, without which nothing is released, reads the model's columns and no others
    with pytest.raises(DataError) as error:
        read_table(out, model.schema, require_unit=False)
    assert error.value.code == "DPS-D103"


def test_public_places_are_refused(tmp_path: Path) -> None:
    (tmp_path / "public").mkdir()
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "manifest.json").touch()
    for folder in ("public", "bundle"):
        with pytest.raises(UsageError) as error:
            require_internal(tmp_path / folder / "rows.csv")
        assert error.value.code == "DPS-U247"
    require_internal(tmp_path / "rows.csv")
