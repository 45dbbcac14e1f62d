"""What a cluster cannot do, or not with these files: refused in our words, before anything is spent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from clustered import on_cluster
from test_on_a_cluster import people, schema_of, typed

from dpsynth.errors import DataError, UsageError
from dpsynth.spark_session import session
from dpsynth.spark_source import find
from dpsynth.table import read_table


class TestBadInput:
    def test_a_row_that_does_not_fit(self, spark: Any, tmp_path: Path) -> None:
        frame = people()
        frame.loc[411, "paid"] = 99.25
        typed(frame).to_parquet(tmp_path / "bad.parquet")
        frame.to_csv(tmp_path / "bad.csv", index=False)
        for name in ("bad.parquet", "bad.csv"):
            with pytest.raises(DataError) as caught:
                on_cluster(tmp_path / name, schema_of(True), spark)
            with pytest.raises(DataError) as expected:
                read_table(tmp_path / name, schema_of(True))
            assert caught.value.code == expected.value.code
            assert "column 'paid', row 412 of partition 1: " in str(caught.value)
            assert "99" not in caught.value.problem

    def test_a_row_without_its_person(self, spark: Any, tmp_path: Path) -> None:
        frame = typed(people())
        frame.loc[3, "person"] = None
        frame.to_parquet(tmp_path / "bad.parquet")
        with pytest.raises(DataError, match="no person id"):
            on_cluster(tmp_path / "bad.parquet", schema_of(True), spark)

    def test_files_that_differ(self, spark: Any, tmp_path: Path) -> None:
        typed(people(30)).to_parquet(tmp_path / "a.parquet")
        typed(people(30)).drop(columns="town").to_parquet(tmp_path / "b.parquet")
        with pytest.raises(DataError, match=r"column 'town' is not in b\.parquet"):
            find(tmp_path, schema_of(True), spark)
        typed(people(30)).assign(paid="much").to_parquet(tmp_path / "b.parquet")
        with pytest.raises(DataError, match="column 'paid' has several types"):
            find(tmp_path, schema_of(True), spark)
        (tmp_path / "b.parquet").write_bytes(b"PAR1 nothing")
        with pytest.raises(DataError, match="not readable"):
            find(tmp_path, schema_of(True), spark)

    def test_a_damaged_file(self, spark: Any, tmp_path: Path) -> None:
        typed(people()).to_parquet(tmp_path / "a.parquet")
        data = bytearray((tmp_path / "a.parquet").read_bytes())
        data[100:900] = bytes(800)
        (tmp_path / "a.parquet").write_bytes(data)
        with pytest.raises(DataError) as caught:
            on_cluster(tmp_path / "a.parquet", schema_of(True), spark)
        assert len(str(caught.value)) < 300
        assert "P0" not in str(caught.value)

    def test_csv_files_that_are_no_table(self, spark: Any, tmp_path: Path) -> None:
        people(30).to_csv(tmp_path / "a.csv", index=False)
        text = (tmp_path / "a.csv").read_text()
        (tmp_path / "a.csv").write_text(text + "only,three,fields\n")
        with pytest.raises(DataError) as caught:
            on_cluster(tmp_path / "a.csv", schema_of(True), spark)
        assert caught.value.code == "DPS-D182"
        (tmp_path / "a.csv").write_text(text)
        people(30).iloc[:, ::-1].to_csv(tmp_path / "b.csv", index=False)  # the columns in another order
        with pytest.raises(DataError) as caught:
            on_cluster(tmp_path / "*.csv", schema_of(True), spark)
        assert caught.value.code == "DPS-D182"
        (tmp_path / "a.csv").write_bytes(text.replace("P0", "Pé").replace("日本", "ü").encode("latin-1"))
        with pytest.raises(DataError) as caught:
            on_cluster(tmp_path / "a.csv", schema_of(True), spark)
        assert caught.value.code == "DPS-D186"

    def test_what_is_not_there(self, spark: Any, tmp_path: Path) -> None:
        for source, code in (
            ("table:nobody.knows", "DPS-D181"),
            (tmp_path / "none.parquet", "DPS-D101"),
            ("file:///nowhere/none.parquet", "DPS-D181"),
        ):
            with pytest.raises(DataError) as caught:
                find(source, schema_of(True), spark)
            assert caught.value.code == code
        with pytest.raises(UsageError) as odd:
            find(7, schema_of(True), spark)
        assert odd.value.code == "DPS-U288"

    def test_no_rows_and_other_columns(self, spark: Any, tmp_path: Path) -> None:
        frame = spark.createDataFrame(pa.Table.from_pandas(typed(people(9)), preserve_index=False))
        with pytest.raises(DataError, match="no rows"):
            on_cluster(frame.where("paid < 0"), schema_of(False), spark)
        with pytest.raises(DataError, match="lacks column 'town'"):
            find(frame.drop("town"), schema_of(True), spark)

    def test_what_cannot_be_done_there(self, spark: Any) -> None:
        with pytest.raises(UsageError) as caught:
            session("local[7]")
        assert caught.value.code == "DPS-U285"
