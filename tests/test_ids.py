"""One person has one name, whatever types the parts of a table have his id in: else he counts twice."""

from __future__ import annotations

import datetime as dt
import decimal
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dpsynth.errors import DataError
from dpsynth.schema import Schema
from dpsynth.synthesis import unit_keys
from dpsynth.table import read_table
from dpsynth.table.scanning import scan

DAY, NOON = dt.datetime(2024, 1, 5), dt.datetime(2024, 1, 5, 12)
IDS = {
    "day": pa.array([DAY.date()]),
    "day in ms": pa.array([DAY.date()], pa.date64()),
    "moment in us": pa.array([DAY], pa.timestamp("us")),
    "moment in ns": pa.array([DAY], pa.timestamp("ns")),
    "instant": pa.array([DAY], pa.timestamp("us", "UTC")),
    "instant of Paris": pa.array([DAY], pa.timestamp("ms", "Europe/Paris")),
    "text of a day": pa.array(["2024-01-05"]),
    "whole": pa.array([7], pa.int8()),
    "float": pa.array([7.0]),
    "decimal": pa.array([decimal.Decimal(7)]),
    "small float": pa.array([7.0], pa.float32()),
    "decimal with places": pa.array([decimal.Decimal("7.00")]),
    "text": pa.array(["7"]),
    "text in a list": pa.array(["7"]).dictionary_encode(),
    "padded": pa.array(["007"]),
}
ALIKE = (
    {"day", "day in ms", "moment in us", "moment in ns"},
    {"instant", "instant of Paris"},
    {"text", "text in a list", "whole", "float", "decimal", "decimal with places"},
)
SCHEMA = Schema(
    columns={"who": {"type": "id"}, "ok": {"type": "boolean"}},  # type: ignore[arg-type]
    unit={"entity": "person", "column": "who", "rows_per_unit": 1},  # type: ignore[arg-type]
)
NUMBERS = {"whole", "float", "decimal", "decimal with places"}
TEXTS = {"text of a day", "text", "text in a list", "padded"}


def _names(tables: Any) -> set[bytes]:
    return {name for table in tables for name in unit_keys(table) or ()}


@pytest.mark.parametrize("one", IDS)
def test_one_person_has_one_name_or_the_files_are_refused(one: str, tmp_path: Path) -> None:
    for number, two in enumerate(IDS):
        folder = tmp_path / str(number)
        folder.mkdir()
        for name, which in (("a", one), ("b", two)):
            table = pa.table({"who": IDS[which], "ok": [True]}).replace_schema_metadata(None)
            pq.write_table(table, folder / f"{name}.parquet", store_schema=which == "text in a list")
        table = None
        if {one, two} <= TEXTS or {one, two} <= {"text of a day", *NUMBERS}:
            ids = [str(IDS[which].to_pylist()[0]) for which in (one, two)]
            table, people = read_table(folder, SCHEMA), len({text.partition(".")[0] for text in ids})
        elif one == two or any({one, two} <= alike for alike in ALIKE):
            table, people = read_table(folder, SCHEMA), 1
        if table is None:
            with pytest.raises(DataError, match="one person would count as two") as refused:
                read_table(folder, SCHEMA)
            assert refused.value.code == "DPS-D192"
        else:
            assert len(_names([table])) == people
        with suppress(DataError):  # DuckDB takes the types of the first file, so it refuses more
            assert _names(scan(folder, SCHEMA)) == _names([read_table(folder, SCHEMA)])


def test_ids_stay_different() -> None:
    moments = pa.array([DAY, NOON, NOON + dt.timedelta(microseconds=100)], pa.timestamp("ns"))
    table = read_table(pa.table({"who": moments, "ok": [True] * 3}), SCHEMA)
    assert list(unit_keys(table) or ()) == [
        b"\x012024-01-05", b"\x012024-01-05 12:00:00", b"\x012024-01-05 12:00:00.0001"
    ]  # fmt: skip


class TestAFrameOfObjects:
    def test_days_and_moments(self) -> None:
        """Arrow alone would cut noon to the day: two people in one."""
        mixed = pd.DataFrame({"who": pd.Series([DAY.date(), DAY, NOON], dtype=object), "ok": True})
        table = read_table(mixed, SCHEMA)
        assert table.units is not None
        assert table.units.tolist() == [0, 0, 1]

    def test_moments_with_and_without_a_zone(self) -> None:
        mixed = pd.DataFrame({"who": pd.Series([DAY, DAY.replace(tzinfo=dt.UTC)], dtype=object), "ok": True})
        with pytest.raises(DataError, match="with a time zone"):
            read_table(mixed, SCHEMA)

    @pytest.mark.parametrize(
        "ids",
        [
            [7, "007"],
            [7, "7.0", "x"],
            [True, 1],
            [DAY, "05.01.2024"],
            [2.0**60, 2**60],
            [b"7", "x"],
        ],
    )
    def test_one_id_in_two_ways_is_refused(self, ids: list[Any]) -> None:
        whole = pd.Series(ids, dtype=object)
        for column in (whole, whole.astype("category")) if "007" in ids else (whole,):
            with pytest.raises(DataError, match="one person would count as two") as refused:
                read_table(pd.DataFrame({"who": column, "ok": True}), SCHEMA)
            assert refused.value.code == "DPS-D192"

    @pytest.mark.parametrize(
        "ids", [[7, 7.0, "7"], [np.float32(7), 7, "7"], [decimal.Decimal("7.00"), 7.0], [7, np.int64(7), "7"]]
    )
    def test_one_id_in_one_way(self, ids: list[Any]) -> None:
        table = read_table(pd.DataFrame({"who": pd.Series(ids, dtype=object), "ok": True}), SCHEMA)
        assert _names([table]) == {b"\x017"}


FRACTIONS = {
    "float": pa.array([1e-07]),
    "larger float": pa.array([1e-05]),
    "decimal": pa.array([decimal.Decimal("0.0000001")]),
    "text": pa.array(["0.0000001"]),
    "many digits": pa.array([1234567890123456.5]),
    "many digits in a text": pa.array(["1234567890123456.5"]),
    "many digits in a decimal": pa.array([decimal.Decimal("1234567890123456.50")]),
}


@pytest.mark.parametrize(
    ("kinds", "people"),
    [
        (("float", "decimal"), 1), (("float", "text"), 1), (("decimal", "text"), 1), (("larger float", "text"), 2),
        (("many digits", "many digits in a text"), 1), (("many digits", "many digits in a decimal"), 1),
    ],
)  # fmt: skip
def test_small_and_large_fractions_are_written_out(
    kinds: tuple[str, str], people: int, tmp_path: Path
) -> None:
    for name in kinds:
        pq.write_table(pa.table({"who": FRACTIONS[name], "ok": [True]}), tmp_path / f"{name}.parquet")
    assert len(_names([read_table(tmp_path, SCHEMA)])) == people
    objects = pd.Series([FRACTIONS[name].to_pylist()[0] for name in kinds], dtype=object)
    assert len(_names([read_table(pd.DataFrame({"who": objects, "ok": True}), SCHEMA)])) == people


@pytest.mark.parametrize(
    "ids", [["1e-05", "0.00001"], ["1e-05", "2"], ["1.5E+07", " 15000000 "], [np.float32(0.1), 0.1]]
)
def test_numbers_that_may_be_written_otherwise_are_refused(ids: list[Any], tmp_path: Path) -> None:
    frame = pd.DataFrame({"who": pd.Series(ids, dtype=object), "ok": True})
    with pytest.raises(DataError, match="one person would count as two") as refused:
        read_table(frame, SCHEMA)
    assert refused.value.code == "DPS-D192"
    if isinstance(ids[0], str):
        frame.to_csv(tmp_path / "a.csv", index=False)
        for read in (
            lambda: read_table(tmp_path / "a.csv", SCHEMA),
            lambda: list(scan(tmp_path / "a.csv", SCHEMA)),
        ):
            with pytest.raises(DataError, match="one person would count as two"):
                read()


@pytest.mark.parametrize(
    "ids", [["1E-05", "2B-14"], ["12e45", "123"], ["-", "1e-05"], [np.float32(0.5), None]]
)
def test_texts_that_only_look_like_that_are_read(ids: list[Any]) -> None:
    schema = Schema(columns=SCHEMA.columns, unit={**SCHEMA.unit.model_dump(), "missing": "own"})
    frame = pd.DataFrame({"who": pd.Series(ids, dtype=object), "ok": True})
    assert len(_names([read_table(frame, schema)])) == 2


@pytest.mark.parametrize(
    ("one", "other", "refused"),
    [
        ("7.0\n8.0", "7\n9", True), ("7.00\nNA", "7\n-", True), ("7\n7.0", "8\n9", True),
        ("7.0\n7.1", "7.5\n9.0", False), ("7.0\nx", "7\n9", False), ("007\n7", "8\n9", False),
    ],
)  # fmt: skip
def test_a_file_whose_ids_were_floats_once_is_refused_beside_others(
    one: str, other: str, refused: bool, tmp_path: Path
) -> None:
    own = SCHEMA.unit.model_dump(exclude_unset=True) | {"missing": "own"}
    schema = Schema(columns=dict(SCHEMA.columns), unit=own, missing_values=["NA", "-"])
    for name, ids in (("a", one), ("b", other)):
        (tmp_path / f"{name}.csv").write_text("who,ok\n" + "".join(f"{id},true\n" for id in ids.split("\n")))
    files = [tmp_path / "a.csv", tmp_path / "b.csv"]
    for read in (lambda: [read_table(files, schema)], lambda: list(scan(files, schema, rows=1))):
        if not refused:
            assert sum(map(len, read())) == 4
            continue
        with pytest.raises(DataError, match=r"such as 7 and 7\.0") as caught:
            read()
        assert caught.value.code == "DPS-D192"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (pa.array([0.1], pa.float32()), pa.array([0.1])),
        (pa.array([dt.time(1)], pa.time32("ms")), pa.array([dt.time(1)], pa.time64("us"))),
    ],
)
def test_streamed_files_whose_ids_have_several_widths_are_refused(
    one: Any, other: Any, tmp_path: Path
) -> None:
    """What may differ in a column that has cells would give one person two names here."""
    for name, ids in (("a", one), ("b", other)):
        pq.write_table(pa.table({"who": ids, "ok": [True]}), tmp_path / f"{name}.parquet")
    with pytest.raises(DataError, match="column 'who' has several types") as refused:
        list(scan([tmp_path / "a.parquet", tmp_path / "b.parquet"], SCHEMA))
    assert refused.value.code == "DPS-D129"
