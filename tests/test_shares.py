"""A large sample in parts: together one sample, whoever draws which part."""

from __future__ import annotations

import pickle
from collections import Counter
from typing import Any

import numpy as np
import pandas as pd
import pytest

import dpsynth
from dpsynth.errors import DataError, UsageError
from dpsynth.model import FittedModel
from dpsynth.model.shares import Shares
from dpsynth.schema import Schema
from dpsynth.spark_output import DrawShares, Write, _drawing, sample, write_sample
from dpsynth.table import Table, joined, read_table

COLUMNS: dict[str, Any] = {
    "person": {"type": "id", "format": "P-####"},
    "visit": {"type": "id", "format": "V####"},
    "age": {"type": "integer", "min": 0, "max": 9},
    "town": {"type": "category", "values": ["A", "B", "C"], "missing": True},
    "at": {"type": "time", "min": "00:00", "max": "23:59", "cells": 4},
    "on": {"type": "date", "min": "2020-01-01", "max": "2020-12-31", "cells": 4},
}


def fitted(by_person: bool) -> FittedModel:
    unit = {"entity": "person", "column": "person", "rows_per_unit": 3, "static": ["town"]}
    schema = Schema(columns=COLUMNS, unit=unit if by_person else {"entity": "row"})
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({
        "person": [f"p{n // 2}" for n in range(400)],
        "visit": [f"v{n}" for n in range(400)],
        "age": rng.integers(0, 10, 400),
        "town": rng.choice(["A", "B", "C", ""], 400, p=[0.6, 0.2, 0.1, 0.1]),
        "at": "10:30:00",
        "on": "2020-03-04",
    })  # fmt: skip
    return dpsynth.fit(frame, schema, method="mst", epsilon=50.0, delta=1e-6)


@pytest.fixture(scope="module", params=[False, True], ids=["rows", "persons"])
def model(request: pytest.FixtureRequest) -> FittedModel:
    return fitted(request.param)


def part(shares: Shares, number: int) -> Table:
    return joined(list(shares.tables(number)))


def test_parts_make_up_the_whole(model: FittedModel) -> None:
    shares = Shares(model, 1000, 7, 300)
    assert shares.parts == 4
    tables = [part(shares, number) for number in (3, 1, 0, 2)]
    assert (
        sorted(map(len, tables)) == [250] * 4
        if model.sizes is None
        else abs(sum(map(len, tables)) - 1000) < 12
    )
    visits = [visit for table in tables for visit in table.values["visit"].tolist()]
    assert len(set(visits)) == len(visits)
    if model.sizes is not None:
        held = [Counter(table.values["person"].tolist()) for table in tables]
        assert sum(len(people) for people in held) == len(set().union(*held)), "nobody is in two parts"
        assert max(max(people.values()) for people in held) <= 3
    towns = Counter(
        code for table in tables for code in table.values["town"][~table.missing["town"]].tolist()
    )
    expected = model.generator.marginal(("town",))
    assert abs(towns[0] / len(visits) - expected[0] / expected.sum()) < 0.04


def test_a_part_is_the_same_whoever_draws_it_and_like_no_other(model: FittedModel) -> None:
    first, again, other = (part(Shares(model, 600, seed, 300), 1) for seed in (7, 7, 8))
    pd.testing.assert_frame_equal(first.to_frame(), again.to_frame())
    assert first.values["age"].tolist() != other.values["age"].tolist()
    neighbour = part(Shares(model, 600, 7, 300), 0)
    assert first.values["age"].tolist()[:250] != neighbour.values["age"].tolist()[:250]


def test_few_rows_and_none(model: FittedModel) -> None:
    assert len(part(Shares(model, 0, 1), 0)) == 0
    assert len(part(Shares(model, 3, 1), 0)) == 3
    with pytest.raises(ValueError, match="no such part"):
        Shares(model, 3, 1).tables(1)
    with pytest.raises(DataError, match="digits"):
        Shares(model, 50_000, 1).require_ids()


def test_tasks_carry_the_model_and_write_files_of_the_usual_kind(model: FittedModel, tmp_path: Any) -> None:
    """What executors do, done here: the task goes as bytes, and is tried twice."""

    import pyarrow as pa

    numbers = pa.record_batch([pa.array([2, 0, 1])], names=["id"])
    sent = pickle.dumps(Write(_drawing(model, 900, 7, 300), str(tmp_path)))
    task = pickle.loads(sent)  # noqa: S301
    for _ in range(2):
        told = [row for batch in task(iter([numbers])) for row in batch.to_pylist()]
        assert [row["problem"] for row in told] == [None] * 3
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == [f"part-{n:05d}.parquet" for n in range(3)]
    assert sum(len(read_table(file, model.schema)) for file in files) == sum(row["rows"] for row in told)
    drawn = DrawShares(task.drawing.files, 900, 7, 300)
    rows = pa.Table.from_batches(list(drawn(iter([numbers]))))
    assert rows.schema == drawn.kinds
    assert rows.schema.field("at").type == pa.string()
    written = [text for file in files for text in read_table(file, model.schema).values["visit"].tolist()]
    assert sorted(rows.column("visit").to_pylist()) == sorted(written)
    gone = Write(task.drawing, str(tmp_path / "nowhere"))
    (told,) = [row for batch in gone(iter([numbers.slice(0, 1)])) for row in batch.to_pylist()]
    assert told["problem"]


def test_what_is_refused_before_spark_is_asked(model: FittedModel, tmp_path: Any) -> None:
    for rows in (-1, 2.5, True):
        with pytest.raises(UsageError, match="whole number"):
            sample(model, rows, None)  # type: ignore[arg-type]
    (tmp_path / "rows").mkdir()
    with pytest.raises(UsageError, match="exists already"):
        write_sample(model, 10, tmp_path / "rows", None)
    with pytest.raises(DataError, match="digits"):
        write_sample(model, 50_000, tmp_path / "new", None)
    assert [path.name for path in tmp_path.iterdir()] == ["rows"]
