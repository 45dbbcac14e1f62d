"""Values and bounds learnt, and a public table to begin from, on a real Spark session: charged and released as elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from clustered import run_there
from example import PROJECT, small_table
from test_on_a_cluster import CLIQUES, _lose, in_memory, people, rows_of, typed

import dpsynth
from dpsynth import discovering
from dpsynth.engines import spark as module
from dpsynth.engines import spark_notes
from dpsynth.entropy import Stream
from dpsynth.errors import CapacityError, DataError
from dpsynth.large import fit_large_reserved
from dpsynth.model import FittedModel
from dpsynth.prior import Prior
from dpsynth.privacy.intake import take_in
from dpsynth.privacy.ledger import Ledger
from dpsynth.privacy.spark_intake import Asked, SparkIntake, take_in_spark
from dpsynth.schema import Schema
from dpsynth.spark import take_in_cluster
from dpsynth.spark_jobs import Jobs
from dpsynth.spark_source import find
from dpsynth.synthesis import fit_behind, plan, unit_keys
from dpsynth.table import read_table
from dpsynth.taken import split_again

COLUMNS: dict[str, Any] = {
    "person": {"type": "id"},
    "age": {"type": "integer", "discover": "bounds", "cells": 10, "missing": True},
    "town": {"type": "category", "discover": {"max_values": 12}},
    "paid": {"type": "number", "discover": "bounds", "decimals": 2, "cells": 10},
    "born": {"type": "drop"},
    "seen": {"type": "drop"},
}
ROWS = 6000


def schema_of(by_person: bool) -> Schema:
    unit = {"entity": "person", "column": "person", "rows_per_unit": 2}
    return Schema(columns=COLUMNS, unit=unit if by_person else {"entity": "row"}, missing_values=["?"])  # type: ignore[arg-type]


def plain(rows: int) -> pd.DataFrame:
    """Without the line break, which no value that is discovered may have."""
    return people(rows).replace({"town": {"two\nlines": "two lines"}})


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One partition, so that rows have the places that they have in memory."""
    path = tmp_path_factory.mktemp("people") / "one.parquet"
    frame = typed(plain(ROWS))
    frame.loc[17, "town"] = "a place where nobody else lives"
    frame.to_parquet(path)
    return path


def on_cluster(source: Any, schema: Schema, spark: Any, **more: Any) -> SparkIntake:
    found = find(source, schema, spark)
    asked = Asked(schema.unit.rows_per_unit, schema.unit.column is not None, 0.25, 10_000, **more)
    return take_in_spark(found.frames, found.reader, Jobs(spark), asked, stream=Stream.for_tests(b"split"))


def test_the_same_answers_at_the_same_price(file: Path, spark: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the same secret bits the two runs release the same model and their receipts say the same."""
    monkeypatch.setattr(module, "FEW", 0)  # executors add the texts up
    for by_person in (True, False):
        schema = schema_of(by_person)
        preview = plan(schema, method="independent", epsilon=5.0, delta=1e-6)
        models = [_in_memory(file, schema, preview), _on_cluster(file, schema, preview, spark)]
        one, other = models
        assert one.schema == other.schema
        town = other.schema.columns["town"]
        assert "Zürich" in town.values  # type: ignore[union-attr]
        assert not any("nobody" in value for value in town.values)  # type: ignore[union-attr]
        for mine, theirs in zip(one.measurements, other.measurements, strict=True):
            assert mine.clique == theirs.clique
            np.testing.assert_array_equal(mine.values, theirs.values)
        assert one.receipt.charges == other.receipt.charges
        assert [c.purpose for c in other.receipt.charges][:3] == [
            "discovered bounds", "discovered values", "discovered bounds",
        ]  # fmt: skip


def _in_memory(file: Path, schema: Schema, preview: Any) -> FittedModel:
    table = read_table(file, schema)
    raw = {name: discovering._raw(table, name, column) for name, column in schema.unknown.items()}
    intake = take_in(
        discovering.ranked(table), unit_keys(table), rows_per_unit=schema.unit.rows_per_unit, holdout=0.25,
        stream=Stream.for_tests(b"split"), raw=raw, planned=schema.domain,
    )  # fmt: skip
    account = Ledger.in_memory(preview.budget, preview.unit)
    with account.reserve("fit", preview.charges, preview.budget, unit=preview.unit) as run:
        known, intake = discovering.discovered(table, intake, run, preview.searches)
        return fit_behind(intake.curator(run), known.schema, preview, run)


def _on_cluster(file: Path, schema: Schema, preview: Any, spark: Any) -> FittedModel:
    intake = on_cluster(file, schema, spark)
    account = Ledger.in_memory(preview.budget, preview.unit)
    with account.reserve("fit", preview.charges, preview.budget, unit=preview.unit) as run:
        model, known = fit_large_reserved(intake, schema, preview, run)
    assert known.training.schema == known.holdout.schema == model.schema
    return model


class TestWhatIsComputedAgain:
    def test_a_lost_part_answers_as_before(self, file: Path, spark: Any) -> None:
        for by_person in (True, False):
            there = on_cluster(file, schema_of(by_person), spark).engine
            before = there.units_with("town"), there.units_between("paid", (0.0, 5.0, 10.0)).tolist()
            _lose(spark)
            assert (
                there.units_with("town"),
                there.units_between("paid", (0.0, 5.0, 10.0)).tolist(),
            ) == before

    def test_what_was_encoded_again_is_read_again_from_the_source(self, file: Path, spark: Any) -> None:
        schema = schema_of(True)
        known = Schema(columns={**COLUMNS, **_answers()}, unit=schema.unit, missing_values=["?"])
        there = on_cluster(file, schema, spark).engine.recoded(known)
        cliques = [("town",), ("age", "paid")]
        before = there.marginals(cliques)
        _lose(spark)
        again = there.merged({}).marginals(cliques)
        for clique in cliques:
            np.testing.assert_array_equal(again[clique], before[clique])

    def test_a_table_that_is_gone_counts_nothing(self, spark: Any, tmp_path: Path) -> None:
        path = tmp_path / "one.parquet"
        typed(plain(900)).to_parquet(path)
        schema = schema_of(False)
        there = on_cluster(path, schema, spark)
        preview = plan(schema, method="independent", epsilon=1.0, delta=1e-6)
        account = Ledger.in_memory(preview.budget, preview.unit)
        typed(plain(900)[::-1]).to_parquet(path)  # the same rows in another order: other coins
        _lose(spark)
        with (
            pytest.raises(DataError) as caught,
            account.reserve("fit", preview.charges, preview.budget, unit=preview.unit) as run,
        ):
            fit_large_reserved(there, schema, preview, run)
        assert caught.value.code in ("DPS-D181", "DPS-D184")
        assert account.spent().epsilon == pytest.approx(preview.certificate.epsilon)


def _answers() -> dict[str, dict[str, Any]]:
    return {
        "age": {"type": "integer", "min": 0, "max": 100, "cells": 10, "missing": True, "clip": True},
        "town": {"type": "category", "values": ["Zürich", "(other)"], "other": "(other)"},
        "paid": {"type": "number", "min": 0, "max": 10, "cells": 10, "decimals": 2, "clip": True},
    }


def test_too_many_texts(file: Path, spark: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dpsynth.privacy.spark_intake.MOST_TEXTS", 3)
    with pytest.raises(CapacityError, match="nothing was spent") as caught:
        on_cluster(file, schema_of(True), spark)
    assert caught.value.code == "DPS-C172"
    assert spark_notes.SMALLEST > 3


def test_an_audit_later_finds_the_same_sample(file: Path, spark: Any) -> None:
    for by_person in (True, False):
        schema = schema_of(by_person)
        taken = take_in_cluster(file, schema, holdout=0.3, keep=40)
        preview = plan(schema, method="independent", epsilon=5.0, delta=1e-6)
        account = Ledger.in_memory(preview.budget, preview.unit)
        with account.reserve("fit", preview.charges, preview.budget, unit=preview.unit) as run:
            model, known = fit_large_reserved(taken, schema, preview, run)
        note = json.loads(json.dumps(known.note(0.3)))
        again = split_again(file, schema, note)
        for before, after in ((taken.training, again.training), (taken.holdout, again.holdout)):
            assert rows_of(before.under(model.schema)) == rows_of(after.under(model.schema))


class TestAPublicTable:
    def test_one_to_begin_from(self, spark: Any) -> None:
        schema, _ = _closed()
        frame = spark.createDataFrame(typed(people()))
        prior = Prior.read(
            people(900).sample(frac=0.8, random_state=1).assign(age="5"), schema, "it is made up"
        )
        model = dpsynth.fit(frame, schema, method="mst", epsilon=1.0, delta=1e-6, prior=prior)
        assert model.prior is not None
        assert model.prior.reason == "it is made up"

    def test_the_private_table_itself(self, spark: Any) -> None:
        schema, unit = _closed()
        frame = spark.createDataFrame(typed(people())).repartition(3)
        ledger = Ledger.in_memory(dpsynth.Budget(1.0, 1e-6), unit)
        prior = Prior.read(people().sample(frac=1.0, random_state=2), schema, "by mistake")
        with pytest.raises(DataError) as caught:
            dpsynth.fit(frame, schema, method="mst", epsilon=1.0, delta=1e-6, prior=prior, ledger=ledger)
        assert caught.value.code == "DPS-D161"
        assert ledger.spent().epsilon == 0


def _closed() -> tuple[Schema, Any]:
    from test_on_a_cluster import schema_of as closed

    schema = closed(True)
    return schema, plan(schema, method="mst", epsilon=1.0, delta=1e-6).unit


def test_the_whole_run_with_both(spark: Any, tmp_path: Path) -> None:
    table = small_table()
    table.to_parquet(tmp_path / "claims.parquet")
    other = table.sample(frac=0.7, replace=True, random_state=3).reset_index(drop=True)
    for name in other.columns:  # columns on their own: none of its rows is a private one, but by chance
        other[name] = other[name].sample(frac=1.0, random_state=len(name)).to_numpy()
    other.to_csv(tmp_path / "public.csv", index=False)
    text = PROJECT.replace("claims.csv", "claims.parquet")
    path = tmp_path / "project.yaml"
    path.write_text(_with_both(text))
    done = run_there(path, tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["rows"] > 0
    privacy = json.loads((tmp_path / "out" / "public" / "privacy.json").read_text())
    assert "discovered values" in json.dumps(privacy)


def _with_both(text: str) -> str:
    import yaml

    project = yaml.safe_load(text)
    project["columns"]["plan"] = {"type": "category", "discover": {"max_values": 6}, "missing": True}
    project["generator"]["prior"] = {"path": "public.csv", "reason": "made up for this test"}
    return str(yaml.safe_dump(project, allow_unicode=True, sort_keys=False))


def test_memory_and_cluster_agree_on_a_schema_that_is_known(file: Path, spark: Any) -> None:
    """The path of streams has no shortcut for what nothing is to be discovered of."""
    from test_on_a_cluster import schema_of as closed

    frame = pd.read_parquet(file)
    frame.loc[17, "town"] = "Zürich"
    _, memory = in_memory(frame, closed(True))
    there = on_cluster(spark.createDataFrame(frame), closed(True), spark)
    for clique, counts in memory.engine.marginals(CLIQUES).items():
        np.testing.assert_array_equal(there.engine.marginals([clique])[clique], counts)
