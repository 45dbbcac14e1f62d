"""Rows in a folder of numbered files: the same rows as in one file, and all of them or nothing."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from dpsynth import Schema
from dpsynth.cli.app import app
from dpsynth.cli.drawing import many
from dpsynth.errors import CapacityError, UsageError
from dpsynth.model.from_schema import from_schema
from dpsynth.table import Table, folders, read_table, write_rows

SCHEMA = Schema(columns={
    "age": {"type": "integer", "min": 0, "max": 99, "missing": True},
    "town": {"type": "category", "values": ["Zürich", "a,b", "07"]},
})  # fmt: skip


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "PART", 100)


def tables(batches: int, rows: int = 50) -> Iterator[Table]:
    for seed in range(batches):
        yield from from_schema(SCHEMA, 0.1).sample_batches(rows, np.random.default_rng(seed))


@pytest.mark.parametrize("name", ["rows", "rows/day-*.parquet", "rows/day-*.csv.gz", "rows/*.csv"])
def test_the_rows_of_one_file_in_several(tmp_path: Path, name: str) -> None:
    heard: list[int] = []
    assert write_rows(tables(5), tmp_path / name, SCHEMA, heard.append) == 250
    assert heard == [50, 100, 150, 200, 250]
    files = sorted((tmp_path / "rows").iterdir())
    assert len(files) == 3
    assert [file.name.replace("day-", "").replace("part-", "").split(".")[0] for file in files] == [
        "00000",
        "00001",
        "00002",
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["rows"]
    write_rows(tables(5), tmp_path / "one.parquet", SCHEMA)
    again = read_table([str(file) for file in files], SCHEMA).to_frame()
    pd.testing.assert_frame_equal(again, read_table(tmp_path / "one.parquet", SCHEMA).to_frame())


@pytest.mark.parametrize("problem", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_nothing_is_left_of_what_did_not_finish(tmp_path: Path, problem: BaseException) -> None:
    def failing() -> Iterator[Table]:
        yield from tables(3)
        raise problem

    with pytest.raises((CapacityError, KeyboardInterrupt)):
        write_rows(failing(), tmp_path / "rows", SCHEMA)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_a_new_one(tmp_path: Path) -> None:
    for left in ("rows", "rows.unfinished"):
        (tmp_path / left).mkdir()
        with pytest.raises(UsageError, match=left):
            write_rows(tables(1), tmp_path / "rows", SCHEMA)
        (tmp_path / left).rmdir()
    with pytest.raises(UsageError, match="cannot be made"):
        write_rows(tables(1), tmp_path / "missing" / "rows", SCHEMA)


def test_the_command_line(tmp_path: Path) -> None:
    project = tmp_path / "project.yaml"
    project.write_text("data: {unit: {entity: row}}\ncolumns:\n  age: {type: integer, min: 0, max: 9}\n")
    words = ["sample", "--schema", str(project), "-n", "1k", "-o", str(tmp_path / "rows")]
    assert CliRunner().invoke(app, words).exit_code == 0
    assert len(pd.read_parquet(tmp_path / "rows")) == 1000
    refused = CliRunner().invoke(app, words)
    assert refused.exit_code != 0
    assert "exists already" in refused.output
    assert [many(text) for text in ("0", "5_000", "20k", "100M", "2G")] == [0, 5000, 20_000, 10**8, 2 * 10**9]
    for odd in ("-3", "1.5M", "many"):
        with pytest.raises(typer.BadParameter):
            many(odd)
