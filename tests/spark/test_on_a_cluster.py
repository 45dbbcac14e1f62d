"""Tables on a real Spark session against the same tables in memory: sources, splits, counts, errors, the whole run."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from clustered import on_cluster, rows_of, run_there
from example import PROJECT, SECRET, small_table
from pyspark import StorageLevel
from typer.testing import CliRunner

import dpsynth
import dpsynth.model
from dpsynth.cli.app import app
from dpsynth.encoding import Encoding
from dpsynth.engines import spark as module
from dpsynth.engines import spark_tasks
from dpsynth.entropy import Stream
from dpsynth.errors import CapacityError, DataError, UsageError
from dpsynth.large import fit_large_reserved
from dpsynth.model.shares import Shares
from dpsynth.privacy.intake import take_in
from dpsynth.privacy.ledger import Ledger
from dpsynth.privacy.spark_intake import SparkIntake
from dpsynth.schema import Schema
from dpsynth.spark import take_in_cluster
from dpsynth.spark_output import sample
from dpsynth.synthesis import plan, unit_keys
from dpsynth.table import Table, joined, read_table
from dpsynth.taken import split_again

COLUMNS: dict[str, Any] = {
    "person": {"type": "id"},
    "age": {"type": "integer", "min": 0, "max": 99, "cells": 10, "missing": True},
    "town": {"type": "category", "values": ["Zürich", "", "007", "naïve, \"quoted\"", "elsewhere"],
             "other": "elsewhere"},
    "paid": {"type": "number", "min": 0, "max": 10, "cells": 10, "decimals": 2},
    "born": {"type": "date", "min": "1990-01-01", "max": "2009-12-31", "cells": 20},
    "seen": {"type": "datetime", "min": "2020-01-01T00:00", "max": "2020-12-31T23:59", "cells": 12,
             "timezone": "Europe/Paris"},
}  # fmt: skip
CLIQUES = [(), ("age",), ("town", "paid"), ("born", "seen"), ("age", "town", "paid")]
ROWS = 900


def schema_of(by_person: bool, missing: str = "error") -> Schema:
    unit = {"entity": "person", "column": "person", "rows_per_unit": 2, "missing": missing}
    return Schema(columns=COLUMNS, unit=unit if by_person else {"entity": "row"}, missing_values=["?"])


def people(rows: int = ROWS) -> pd.DataFrame:
    rng = np.random.default_rng(5)
    paid = np.round(rng.uniform(0, 10, rows), 2)
    paid[:4] = [0.0, 1.0, 9.99, 10.0]
    days = pd.Timestamp("1990-01-01") + pd.to_timedelta(rng.integers(0, 7300, rows), unit="D")
    hours = pd.Timestamp("2020-01-02") + pd.to_timedelta(rng.integers(0, 24 * 360, rows), unit="h")
    frame = pd.DataFrame({
        "person": [f"P{n:03d}" for n in rng.integers(0, rows // 3, rows)],
        "age": [str(n) for n in rng.integers(0, 100, rows)],
        "town": rng.choice([*COLUMNS["town"]["values"][:-1], "two\nlines", "日本"], rows),
        "paid": paid,
        "born": days.strftime("%Y-%m-%d"),
        "seen": hours.strftime("%Y-%m-%dT%H:%M:00+0000"),
    })  # fmt: skip
    frame.loc[::7, "age"] = "?"
    return frame


def typed(frame: pd.DataFrame) -> pd.DataFrame:
    """The same with types instead of texts."""
    return frame.assign(
        age=pd.to_numeric(frame["age"], errors="coerce").astype("Int64"),
        born=pd.to_datetime(frame["born"]).dt.date,
        seen=pd.to_datetime(frame["seen"], utc=True),
    )


def in_memory(frame: Any, schema: Schema) -> tuple[Table, Any]:
    table = read_table(frame, schema)
    intake = take_in(
        Encoding(schema).encode(table), unit_keys(table), rows_per_unit=schema.unit.rows_per_unit, holdout=0.25,
        stream=Stream.for_tests(b"split"),
    )  # fmt: skip
    return table, intake


def written(kind: str, folder: Path, spark: Any) -> tuple[Any, Any]:
    """A source of a kind, and the same rows for memory."""
    frame = people()
    if kind == "csv":
        frame[:300].to_csv(folder / "part-1.csv", index=False)
        frame[300:].to_csv(folder / "part-2.csv", index=False)
        return str(folder / "part-*.csv"), frame
    if kind == "parquet":
        typed(frame)[:300].to_parquet(folder / "part [1].parquet")
        typed(frame)[300:].to_parquet(folder / "part {2}.parquet")
        return folder, frame
    made = spark.createDataFrame(pa.Table.from_pandas(typed(frame), preserve_index=False))
    if kind == "frame":
        return made.repartition(5, "age"), frame
    made.createOrReplaceTempView("people")
    return "table:people", frame


@pytest.mark.parametrize("kind", ["csv", "parquet", "frame", "table"])
def test_persons_are_those_of_memory_wherever_their_rows_are(kind: str, tmp_path: Path, spark: Any) -> None:
    source, frame = written(kind, tmp_path, spark)
    schema = schema_of(by_person=True)
    table, memory = in_memory(frame, schema)
    there = on_cluster(source, schema, spark)
    assert there.rows == ROWS
    _same_counts(there, memory)
    for kept, rows in ((there.training, memory.training), (there.holdout, memory.holdout)):
        assert rows_of(kept) == rows_of(table.take(rows))


def test_a_table_in_folders(spark: Any, tmp_path: Path) -> None:
    """Those of a lake: the value of a column is in the name of a folder."""
    frame = people().assign(town="elsewhere")
    frame.loc[::2, "town"] = "007"
    there = spark.createDataFrame(pa.Table.from_pandas(typed(frame), preserve_index=False))
    there.repartition(2).write.partitionBy("town").parquet(str(tmp_path / "lake"))
    _, memory = in_memory(frame, schema_of(True))
    _same_counts(on_cluster(f"file://{tmp_path}/lake", schema_of(True), spark), memory)


def test_a_folder_above_that_is_called_like_a_column_excuses_no_type(spark: Any, tmp_path: Path) -> None:
    root = tmp_path / "sex=both" / "lake"
    for year, sex in ((2025, ["a", "b"]), (2026, [1, 2])):
        (root / f"year={year}").mkdir(parents=True)
        pq.write_table(pa.table({"sex": sex}), root / f"year={year}" / "part.parquet")
    with pytest.raises(DataError, match="other columns or types"):
        on_cluster(f"file://{root}", schema_of(True), spark)


def _same_counts(there: SparkIntake, memory: Any) -> None:
    merges = {"born": np.arange(20) // 5}
    for one, other in (
        (there.engine, memory.engine),
        (there.engine.merged(merges), memory.engine.merged(merges)),
    ):
        expected, found = other.marginals(CLIQUES), one.marginals(CLIQUES)
        assert one.domain == other.domain
        for clique in CLIQUES:
            np.testing.assert_array_equal(found[clique], expected[clique])
    np.testing.assert_array_equal(there.engine.unit_sizes(), memory.engine.unit_sizes())


def test_rows_as_units(tmp_path: Path, spark: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    schema, frame = schema_of(by_person=False), typed(people())
    frame.to_parquet(tmp_path / "one.parquet")  # one partition: numbers of rows are those of memory
    table, memory = in_memory(frame, schema)
    there = on_cluster(tmp_path / "one.parquet", schema, spark)
    assert there.engine.chunks.partitions == 1
    _same_counts(there, memory)
    some = on_cluster(tmp_path / "one.parquet", schema, spark, keep=50)
    assert len(some.training) == len(some.holdout) == 50
    assert not rows_of(some.training) - rows_of(there.training)
    monkeypatch.setattr(module, "DIRECT_BYTES", 0)
    monkeypatch.setattr(spark_tasks, "PIECE", 16)
    spread = on_cluster(spark.read.parquet(str(tmp_path)).repartition(3), schema, spark, holdout=0.0)
    every = take_in(Encoding(schema).encode(table), None, rows_per_unit=1, holdout=0.0).engine
    for clique, counts in spread.engine.marginals(CLIQUES).items():
        np.testing.assert_array_equal(counts, every.marginals([clique])[clique])


def test_one_job_answers_all_cliques_of_a_question(spark: Any, tmp_path: Path) -> None:
    typed(people()).to_parquet(tmp_path / "one.parquet")
    there = on_cluster(tmp_path / "one.parquet", schema_of(True), spark)
    jobs = there.engine.chunks.jobs
    there.engine.marginals(CLIQUES)
    assert len(jobs.last) == 1
    asked = jobs.last
    there.engine.marginals(CLIQUES[:2])  # remembered
    assert jobs.last == asked
    there.engine.unit_sizes()
    assert len(jobs.last) == 1


def test_batches_of_persons(spark: Any, tmp_path: Path) -> None:
    typed(people()).to_parquet(tmp_path / "one.parquet")
    there = on_cluster(tmp_path / "one.parquet", schema_of(True), spark).engine
    units, sizes = int(there.unit_sizes().sum()), there.unit_sizes()
    (whole,) = there.poisson_batches(1.0, 1, Stream.for_tests(b"coins"))
    held = Counter(Counter(unit for part in whole for unit in part.units.tolist()).values())
    assert [held[1], held[2]] == sizes.tolist()
    for batch in there.poisson_batches(0.5, 3, Stream.for_tests(b"coins")):
        taken = [part.units for part in batch]
        assert all((np.diff(part) >= 0).all() for part in taken)
        assert abs(len(np.unique(np.concatenate(taken))) - units / 2) < 7 * np.sqrt(units / 4)
    (nobody,) = there.poisson_batches(1e-12, 1, Stream.for_tests(b"coins"))
    assert [len(part.records) for part in nobody] == [0]


def test_a_large_batch_comes_in_parts(spark: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the same coins: the same units, however many jobs draw them."""
    typed(people()).to_parquet(tmp_path / "one.parquet")
    there = on_cluster(tmp_path / "one.parquet", schema_of(True), spark).engine
    drawn = []
    for at_once in (module.DRAWN_BYTES, 2000):
        monkeypatch.setattr(module, "DRAWN_BYTES", at_once)
        batches = there.poisson_batches(0.5, 2, Stream.for_tests(b"coins"))
        drawn.append([list(batch) for batch in batches])
    for whole, parts in zip(*drawn, strict=True):
        one, other = (
            np.concatenate([np.column_stack([p.units, p.records.matrix()]) for p in some if len(p.records)])
            for some in (whole, parts)
        )
        np.testing.assert_array_equal(one, other)
    assert len(module._shares(0.5 * 11 * there.chunks.names["rows"].astype(float))) > 1


class TestWhatIsComputedAgain:
    def test_a_lost_part_counts_as_before(self, spark: Any, tmp_path: Path) -> None:
        frame = typed(people())
        frame.to_parquet(tmp_path / "one.parquet")
        for by_person in (True, False):
            there = on_cluster(tmp_path / "one.parquet", schema_of(by_person), spark)
            before = there.engine.marginals(CLIQUES)
            _lose(spark)
            again = there.engine.merged({}).marginals(CLIQUES)
            for clique in CLIQUES:
                np.testing.assert_array_equal(again[clique], before[clique])

    def test_a_source_that_answers_otherwise_is_refused(self, spark: Any, tmp_path: Path) -> None:
        """Coins are thrown by place: rows in another order would change sides."""
        typed(people()).to_parquet(tmp_path / "one.parquet")
        frame = spark.read.parquet(str(tmp_path / "one.parquet"))
        unsteady = frame.mapInArrow(_turned(str(tmp_path / "seen")), frame.schema)
        there = on_cluster(unsteady, schema_of(False), spark)
        _lose(spark)
        with pytest.raises(DataError) as caught:
            there.engine.marginals([("age",)])
        assert caught.value.code == "DPS-D184"

    def test_a_table_that_is_gone_costs_what_was_reserved(self, spark: Any, tmp_path: Path) -> None:
        typed(people()).to_parquet(tmp_path / "one.parquet")
        schema = schema_of(False)  # of persons a shuffle keeps what the file gave
        there = on_cluster(tmp_path / "one.parquet", schema, spark)
        preview = plan(schema, method="independent", epsilon=1.0, delta=1e-6)
        account = Ledger.in_memory(preview.budget, preview.unit)
        (tmp_path / "one.parquet").unlink()
        _lose(spark)
        with (
            pytest.raises(DataError) as caught,
            account.reserve("fit", preview.charges, preview.budget, unit=preview.unit) as run,
        ):
            fit_large_reserved(there, schema, preview, run)
        assert caught.value.code == "DPS-D181"
        assert account.spent().epsilon == pytest.approx(preview.certificate.epsilon)

    def test_a_full_disk_while_counting_costs_what_was_reserved(
        self, spark: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(*_: Any) -> Callable[[Iterator[Any]], Iterator[Any]]:
            def counting(batches: Iterator[Any]) -> Iterator[Any]:
                for batch in batches:
                    raise OSError(28, "No space left on device")
                    yield batch

            return counting

        typed(people()).to_parquet(tmp_path / "one.parquet")
        schema = schema_of(True)
        there = on_cluster(tmp_path / "one.parquet", schema, spark)
        preview = plan(schema, method="independent", epsilon=1.0, delta=1e-6)
        account = Ledger.in_memory(preview.budget, preview.unit)
        monkeypatch.setattr(module, "Count", full)
        with (
            pytest.raises(CapacityError, match="no room on the disks") as caught,
            account.reserve("fit", preview.charges, preview.budget, unit=preview.unit) as run,
        ):
            fit_large_reserved(there, schema, preview, run)
        assert caught.value.code == "DPS-C180"
        assert account.spent().epsilon == pytest.approx(preview.certificate.epsilon)


def test_nothing_readable_lies_on_the_disks_of_workers(spark: Any) -> None:
    """A process that is killed leaves what it has spilled: in a session of ours the key to it is gone."""
    rows = spark.range(1000).selectExpr("id", f"concat('{SECRET}', id) said").repartition(2, "id")
    kept = rows.persist(StorageLevel.DISK_ONLY)
    assert kept.count() == 1000
    places = spark.sparkContext._jvm.org.apache.spark.SparkEnv.get().blockManager().diskBlockManager()
    files = [f for place in places.localDirsString() for f in Path(place).rglob("*") if f.is_file()]
    assert sum(f.stat().st_size for f in files) > 1000
    assert not any(SECRET.encode() in f.read_bytes() for f in files)
    kept.unpersist()


def _lose(spark: Any) -> None:
    """All that executors keep of anything, as if each of them had been lost."""
    for rdd in spark.sparkContext._jsc.getPersistentRDDs().values():
        context = spark.sparkContext._jvm.org.apache.spark.SparkEnv.get()
        context.blockManager().removeRdd(rdd.id())


def _turned(mark: str) -> Callable[[Iterator[Any]], Iterator[Any]]:
    """Rows in another order at the second reading."""

    def turn(batches: Iterator[Any]) -> Iterator[Any]:
        again = Path(mark).exists()
        for batch in batches:
            yield batch.take(pa.array(range(batch.num_rows - 1, -1, -1))) if again else batch
        Path(mark).touch()

    return turn


@pytest.mark.parametrize("by_person", [True, False])
def test_an_audit_later_finds_the_same_sample(by_person: bool, spark: Any, tmp_path: Path) -> None:
    typed(people()).to_parquet(tmp_path / "one.parquet")
    schema = schema_of(by_person)
    taken = take_in_cluster(tmp_path / "one.parquet", schema, holdout=0.3, keep=40)
    note = json.loads(json.dumps(taken.note(0.3)))
    again = split_again(tmp_path / "one.parquet", schema, note)
    assert again.sampled
    for before, after in ((taken.training, again.training), (taken.holdout, again.holdout)):
        assert rows_of(after) == rows_of(before)
    frame = spark.read.parquet(str(tmp_path)).repartition(3, "age")
    if by_person:
        assert rows_of(split_again(frame, schema, note).training) == rows_of(taken.training)
    with pytest.raises(UsageError) as caught:
        split_again(frame.limit(800) if by_person else frame, schema, note)
    assert caught.value.code == ("DPS-U321" if by_person else "DPS-U322")


def test_fit_takes_a_frame(spark: Any) -> None:
    frame = spark.createDataFrame(pa.Table.from_pandas(typed(people()), preserve_index=False))
    heard: list[str] = []
    model = dpsynth.fit(
        frame,
        schema_of(True),
        method="mst",
        epsilon=5.0,
        delta=1e-6,
        progress=lambda step, done: heard.append(step),
    )
    assert abs(model.generator.total - ROWS * 0.7) < ROWS * 0.2
    assert "reading on the cluster" in heard
    assert Counter(model.sample_table(200).units.tolist()).most_common(1)[0][1] <= 2  # type: ignore[union-attr]


def test_the_whole_run(spark: Any, tmp_path: Path) -> None:
    small_table().to_parquet(tmp_path / "claims.parquet")
    path = tmp_path / "project.yaml"
    path.write_text(PROJECT.replace("claims.csv", "claims.parquet"))
    done = run_there(path, tmp_path / "out")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["rows"] > 0
    assert SECRET not in done.output
    note = json.loads((tmp_path / "out" / "internal" / "holdout.json").read_text())
    assert note["sample_of_units"]["training"] > note["sample_of_units"]["holdout"] > 0


@pytest.fixture(scope="module")
def model() -> dpsynth.model.FittedModel:
    return dpsynth.fit(people(), schema_of(True, "own"), method="independent", epsilon=5.0, delta=1e-6)


class TestSampling:
    def test_a_frame_of_rows(self, model: Any, spark: Any) -> None:
        frame = sample(model, 500, spark, seed=3, part_rows=200)
        assert frame.rdd.getNumPartitions() == 3
        rows = read_table(frame.toArrow(), model.schema)
        shares = Shares(model, 500, 3, 200)
        here = joined([table for part in range(3) for table in shares.tables(part)])
        assert rows_of(rows) == rows_of(read_table(here.to_arrow(), model.schema))

    def test_a_folder_of_files(self, model: Any, spark: Any, tmp_path: Path) -> None:
        model.save(tmp_path / "model")
        words = ["sample", str(tmp_path / "model"), "-n", "500", "--engine", "spark", "--master", "local[2]"]
        done = CliRunner().invoke(app, [*words, "--seed", "3", "-o", str(tmp_path / "rows"), "--json"])
        assert done.exit_code == 0, done.output
        assert [file.name for file in (tmp_path / "rows").iterdir()] == ["part-00000.parquet"]
        assert len(read_table(tmp_path / "rows", model.schema)) == json.loads(done.stdout)["rows"]
        assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "rows"]
        for more, out in ((["--where", "age < 40"], "new"), ([], "new.csv")):
            done = CliRunner().invoke(app, [*words, *more, "-o", str(tmp_path / out)])
            assert done.exit_code == 2
            assert "U317" in done.output
