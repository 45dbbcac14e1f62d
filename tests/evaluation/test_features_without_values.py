"""A column that is missing in all rows, or in all of a part of them, stops no evaluation: the run is paid for by then."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from dpsynth import Schema
from dpsynth.evaluation.discriminator import discriminate
from dpsynth.evaluation.models import classifiers, regressors
from dpsynth.table import read_table

COLUMNS = {
    "age": {"type": "integer", "min": 0, "max": 99, "missing": True},
    "day": {"type": "date", "min": "2020-01-01", "max": "2024-12-31", "missing": True},
    "plan": {"type": "category", "values": ["A", "B"]},
}


@pytest.mark.parametrize("make", [classifiers, regressors])
def test_every_learner_takes_them(make: object) -> None:
    rng = np.random.default_rng(0)
    x = np.column_stack([np.full(200, np.nan), rng.random(200), np.full(200, np.nan)])
    later = np.where(np.isnan(x), 1.0, x)
    for name, learner in make([False, False, True], 0):  # type: ignore[operator]
        fitted = learner().fit(x, (x[:, 1] > 0.5).astype(float))
        for rows in (x, later):
            said = fitted.predict(rows)
            assert np.mean(np.abs(said - (x[:, 1] > 0.5))) < 0.3, name


def test_tables_with_such_columns_are_told_apart_or_not() -> None:
    rng = np.random.default_rng(1)
    schema = Schema(columns=COLUMNS)  # type: ignore[arg-type]
    parts = []
    for _ in range(3):
        frame = pd.DataFrame({"age": [None] * 200, "day": None, "plan": rng.choice(["A", "B"], 200)})
        frame.loc[0, "day"] = "2021-05-05"  # in no row of the other half
        parts.append(read_table(frame, schema))
    found = discriminate(parts[0], parts[1], parts[2], rng)
    assert found is not None
