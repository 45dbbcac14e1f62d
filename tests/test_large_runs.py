"""Streamed runs from beginning to end: a public table to begin from, an audit afterwards, and what may go wrong."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import dpsynth
from dpsynth import Schema, taken
from dpsynth.cli.app import app
from dpsynth.engines.keeping import Sketch
from dpsynth.engines.spool import Column
from dpsynth.errors import CapacityError, DataError, UsageError
from dpsynth.large import take_in_large
from dpsynth.model.from_schema import from_schema
from dpsynth.prior import PriorFile
from dpsynth.project import Project
from dpsynth.table import scanning
from dpsynth.table.scanning import scan
from dpsynth.unfinished import load_held_out

PROJECT = """
data:
  path: rows.csv
  engine: duckdb
  unit: {entity: person, column: person, rows_per_unit: 2}
budget: {epsilon: 3.0, delta: 1.0e-6, ledger: rows.ledger, dataset: people}
generator: {method: independent}
columns:
  person: {type: id}
  age: {type: integer, min: 0, max: 99}
  paid: {type: number, min: 0, max: 100, decimals: 2, cells: 10}
  town: {type: category, discover: {max_values: 9}}
"""


def people(rows: int, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame({
        "person": [f"P{n}" for n in rng.integers(0, rows // 2, rows)],
        "age": rng.integers(0, 100, rows),
        "paid": rng.integers(0, 10_000, rows) / 100,
        "town": rng.choice(["Bern", "日本", "x"], rows),
    })  # fmt: skip


@pytest.fixture
def project(tmp_path: Path) -> Path:
    people(3000).to_csv(tmp_path / "rows.csv", index=False)
    path = tmp_path / "project.yaml"
    path.write_text(PROJECT)
    return path


def run(*words: object) -> Any:
    return CliRunner().invoke(app, [str(word) for word in words])


def test_a_streamed_fit_is_audited_later(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(take_in_large.__kwdefaults__, "keep", 200)
    made = run("fit", project, "-o", tmp_path / "model")
    assert made.exit_code == 0, made.output
    model, note = dpsynth.load(tmp_path / "model"), load_held_out(tmp_path / "model")
    assert model.schema.columns["town"].values[:2] == ("Bern", "x")  # type: ignore[union-attr]
    assert set(note) == {"probability", "table_sha256", "run_key", "keep", "sample_of_units"}
    schema = Project.load(project).schema
    again = taken.split_again(tmp_path / "rows.csv", schema, note).under(model.schema)
    assert again.sampled
    assert len(np.unique(again.training.units)) == note["sample_of_units"]["training"] == 200  # type: ignore[arg-type]
    other = taken.split_again(tmp_path / "rows.csv", schema, note).under(model.schema)
    pd.testing.assert_frame_equal(again.training.to_frame(), other.training.to_frame())
    ids = {part: set(table.unit_labels) for part, table in (("in", again.training), ("out", again.holdout))}  # type: ignore[arg-type]
    assert not ids["in"] & ids["out"]
    assert run("sample", tmp_path / "model", "-n", 500, "-o", tmp_path / "made.csv").exit_code == 0
    words = [
        "audit",
        "--model",
        tmp_path / "model",
        "--project",
        project,
        "--synthetic",
        tmp_path / "made.csv",
    ]
    found = run(*words, "--json")
    assert found.exit_code == 0, found.output
    report = json.loads(found.stdout)
    for said in (report["attacks"]["warnings"][0], report["evaluation"]["notes"][0]):
        assert "a sample: all rows of 200 persons" in said
    people(3000, seed=1).to_csv(tmp_path / "rows.csv", index=False)
    refused = run(*words)
    assert refused.exit_code != 0
    assert "another table" in refused.output
    with pytest.raises(UsageError, match="note"):
        taken.split_again(tmp_path / "rows.csv", schema, {key: note[key] for key in note if key != "run_key"})


def streamed(path: Path, schema: Schema, compared: bool) -> taken.Taken:
    return taken.take(
        path, schema, engine="duckdb", holdout=0.1, despite=False, compared=compared, progress=lambda *_: None
    )


def test_a_public_table_to_begin_from(tmp_path: Path) -> None:
    columns = {name: c for name, c in Project.from_yaml(PROJECT).schema.columns.items() if name != "person"}
    schema = Schema(columns=columns)
    people(3000).to_csv(tmp_path / "own.csv", index=False)
    people(3000).sample(frac=1, random_state=1)[:2500].to_csv(tmp_path / "same.csv", index=False)
    people(2500, seed=1).to_csv(tmp_path / "other.csv", index=False)
    for name in ("own", "same", "other"):
        pd.read_csv(tmp_path / f"{name}.csv").drop(columns="person").to_csv(
            tmp_path / f"{name}.csv", index=False
        )
    rows = streamed(tmp_path / "own.csv", schema, compared=True)
    for name in ("own", "same"):
        with pytest.raises(DataError, match="private table"):
            rows.prior(PriorFile(tmp_path / f"{name}.csv", "published"))
    prior = rows.prior(PriorFile(tmp_path / "other.csv", "published"))
    assert prior is not None
    assert len(prior.table) == 2500
    assert rows.prior(None) is None


def test_a_sketch_holds_all_copies_of_what_it_holds() -> None:
    schema = Schema(columns={"a": {"type": "integer", "min": 0, "max": 9999}})
    drawn = list(from_schema(schema, 0.0).sample_batches(30_000, np.random.default_rng(0)))
    sketch = Sketch(100, bytes(32))
    for start in range(0, 30_000, 1000):
        sketch.take(drawn[0].take(slice(start, start + 1000)))
    kept = sketch.rows.values["a"]
    whole = np.concatenate([table.values["a"] for table in drawn])
    assert len(np.unique(kept)) == 100
    np.testing.assert_array_equal(np.sort(kept), np.sort(whole[np.isin(whole, kept)]))
    np.testing.assert_array_equal(np.sort(sketch.thinned(drawn[0]).values["a"]), np.sort(kept))


class TestWhatGoesWrong:
    def test_files_with_other_types_or_columns(self, tmp_path: Path) -> None:
        schema = Schema(columns={"age": {"type": "integer", "min": 0, "max": 99}})
        pd.DataFrame({"age": [1, 2]}).to_parquet(tmp_path / "a.parquet")
        for other in ({"years": [3]}, {"age": ["old"]}, {"age": [[1]]}):
            pd.DataFrame(other).to_parquet(tmp_path / "b.parquet")
            with pytest.raises(DataError) as caught:
                take_in_large(tmp_path / "*.parquet", schema, holdout=0.0)
            assert "old" not in str(caught.value)

    def test_a_file_that_goes_away_before_it_is_read(self, tmp_path: Path) -> None:
        schema = Schema(columns={"age": {"type": "integer", "min": 0, "max": 99}})
        for name in "ab":
            pd.DataFrame({"age": [1, 2]}).to_parquet(tmp_path / f"{name}.parquet")
        relation = duckdb.connect().read_parquet([str(tmp_path / "a.parquet"), str(tmp_path / "b.parquet")])
        (tmp_path / "b.parquet").unlink()
        with pytest.raises(DataError, match="read to its end"):
            list(scan(relation, schema))

    @pytest.mark.skipif(sys.platform == "win32", reason="limits of POSIX")
    def test_a_full_disk_spends_nothing_and_leaves_nothing(self, project: Path, tmp_path: Path) -> None:
        """Files may have so few bytes: writing fails half way, as on a full disk."""
        people(40_000).to_csv(tmp_path / "rows.csv", index=False)
        code = (
            "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
            "from dpsynth import unfinished; unfinished.ROOM = 1000;"  # what is tried beforehand
            "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000));"
            "from dpsynth.cli import main; sys.argv = ['dpsynth', *sys.argv[1:]]; main()"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, "fit", str(project), "-o", str(tmp_path / "model")],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode not in (0, -signal.SIGXFSZ)
        assert "C170" in done.stderr
        assert "nothing was spent" in done.stderr
        assert not (tmp_path / "model").exists()
        assert not list(tmp_path.glob("*.holdout.json"))

    def test_a_disk_that_fills_up_later_is_accounted_for(
        self, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What was discovered has been paid for when rows are encoded with it."""
        with Path("/dev/full").open("wb", buffering=0) as full:
            whole = Column.append

            def append(column: Column, values: Any) -> None:
                if column._paid:
                    column._file = full
                whole(column, values)

            monkeypatch.setattr(Column, "append", append)
            done = run("fit", project, "-o", tmp_path / "model")
        assert done.exit_code == 8, done.output
        assert "C170" in done.output
        assert "the disk is full" in done.output
        assert "what was reserved stays spent" in " ".join(done.output.split())
        shown = json.loads(run("ledger", "show", tmp_path / "rows.ledger", "--json").stdout)
        assert shown["spent"]["epsilon"] == pytest.approx(3.0, rel=1e-3)
        assert not list(tmp_path.glob("model*"))

    def test_the_limit_of_memory_is_kept(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """A source that needs more is refused: DuckDB may not spill, since rows would lie in the open."""
        people(50_000).to_parquet(tmp_path / "a.parquet")
        monkeypatch.setattr(scanning, "MEMORY", "1MB")
        with pytest.raises(CapacityError, match="1MB"):
            take_in_large(tmp_path / "a.parquet", Project.from_yaml(PROJECT).schema, holdout=0.0)

    def test_a_full_disk_is_said_by_its_name(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
        pd.DataFrame({"age": [1]}).to_parquet(tmp_path / "a.parquet")
        with pytest.raises(CapacityError, match="TMPDIR"):
            take_in_large(
                tmp_path / "a.parquet",
                Schema(columns={"age": {"type": "integer", "min": 0, "max": 9}}),
                holdout=0.0,
            )
