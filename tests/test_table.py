"""Files and frames in and out: the same in every form; what does not fit is named, not quoted."""

from __future__ import annotations

import gzip
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dpsynth.errors import CapacityError, DataError, UsageError
from dpsynth.schema import CsvFormat, Schema, UnitSpec
from dpsynth.table import Table, misfits, read_table, write_table

COLUMNS: dict[str, Any] = {
    "pid": {"type": "id", "format": "P-####"},
    "age": {"type": "integer", "min": 0, "max": 110, "missing": True},
    "cost": {"type": "number", "min": 0, "max": 5000, "decimals": 2},
    "plan": {"type": "category", "values": ["A", "B", "Ä;ß"], "missing": True},
    "ok": {"type": "boolean"},
    "day": {"type": "date", "min": "2015-01-01", "max": "2016-12-31"},
}
UNIT = UnitSpec(entity="person", column="pid", rows_per_unit=2)
HEADER = "pid,age,cost,plan,ok,day\n"
ROWS = "p1,30,10.5,A,true,2015-02-28\np2,,0,,FALSE,2016-12-31\np1,110,1234.25,Ä;ß,1,2015-01-01\n"


def schema(form: CsvFormat | None = None, **changes: Any) -> Schema:
    return Schema(columns={**COLUMNS, **changes}, unit=UNIT, csv=form or CsvFormat())


def written(tmp_path: Path, text: str | bytes, name: str = "t.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def check(table: Table) -> None:
    """That it is the table above."""
    assert len(table) == 3
    assert table.values["age"].tolist() == [30, 0, 110]
    assert table.missing["age"].tolist() == [False, True, False]
    assert table.values["cost"].tolist() == [10.5, 0.0, 1234.25]
    assert table.values["plan"].tolist() == [0, 0, 2]
    assert table.missing["plan"].tolist() == [False, True, False]
    assert table.values["ok"].tolist() == [1, 0, 1]
    assert table.values["day"].tolist() == [16494, 17166, 16436]
    assert table.units is not None
    assert table.units.tolist() == [0, 1, 0]
    assert table.unit_labels is not None
    assert table.unit_labels.tolist() == ["p1", "p2"]


@pytest.mark.parametrize(
    ("text", "name", "form"),
    [
        (HEADER + ROWS, "t.csv", {}),
        (HEADER + ROWS.rstrip("\n"), "t.csv", {}),
        ((HEADER + ROWS).replace("\n", "\r\n"), "t.csv", {}),
        ((HEADER + ROWS).replace("\n", "\r"), "t.csv", {}),
        ("\ufeff" + HEADER + ROWS, "t.csv", {}),
        (HEADER + "\n" + ROWS.replace("\n", "\n\n"), "t.csv", {}),
        ((HEADER + ROWS).replace(",", ", "), "t.csv", {}),
        ((HEADER + ROWS).encode("cp1252"), "t.csv", {"encoding": "cp1252"}),
        ((HEADER + ROWS).encode("latin-1"), "t.csv", {"encoding": "latin-1"}),
        ((HEADER + ROWS).encode("utf-16"), "t.csv", {"encoding": "utf-16"}),
        ((HEADER + ROWS).replace(",", "\t"), "t.tsv", {"delimiter": "\t"}),
        ((HEADER + ROWS).replace(",", "|"), "t.txt", {"delimiter": "|"}),
        (
            (HEADER + ROWS).replace("Ä;ß", '"Ä;ß"').replace(",", ";").replace(".", ","),
            "t.csv",
            {"delimiter": ";", "decimal": ","},
        ),
        (HEADER + ROWS.replace("1234.25", '"1,234.25"'), "t.csv", {"thousands": ","}),
        (HEADER + ROWS.replace("1234.25", "1'234.25"), "t.csv", {"thousands": "'"}),
        (HEADER + ROWS.replace("1234.25", "+1.23425e3"), "t.csv", {}),
        (HEADER + ROWS.replace("30,", "30.0,"), "t.csv", {}),
        (HEADER + ROWS.replace("p2", '"p2"').replace("A,true", '"A","true"'), "t.csv", {}),
        (HEADER + ROWS.replace("p2", "'p2'"), "t.csv", {"quote": "'"}),
        (gzip.compress((HEADER + ROWS).encode()), "t.csv.gz", {}),
        (gzip.compress(HEADER.encode(), mtime=0) + gzip.compress(ROWS.encode()), "T.CSV.GZ", {}),
    ],
)
def test_every_way_to_write_it_is_read_the_same(
    tmp_path: Path, text: str | bytes, name: str, form: dict[str, Any]
) -> None:
    check(read_table(written(tmp_path, text, name), schema(CsvFormat(**form))))


def test_columns_in_another_order_and_dropped_ones(tmp_path: Path) -> None:
    lines = (HEADER + ROWS).splitlines()
    turned = "\n".join(",".join([*reversed(line.split(",")), "secret"]) for line in lines)
    check(read_table(written(tmp_path, turned), schema(secret={"type": "drop"})))


def test_a_line_break_inside_quotes_moves_the_line_number(tmp_path: Path) -> None:
    text = HEADER + '"p\n1",30,1,A,true,2015-02-28\n\np2,999,1,A,true,2015-02-28\n'
    with pytest.raises(DataError, match="column 'age', line 5: value outside"):
        read_table(written(tmp_path, text), schema())


def frames() -> dict[str, pd.DataFrame]:
    base = {
        "pid": ["p1", "p2", "p1"],
        "age": [30, None, 110],
        "cost": [10.5, 0, 1234.25],
        "plan": ["A", None, "Ä;ß"],
        "ok": [True, False, True],
        "day": pd.to_datetime(["2015-02-28", "2016-12-31", "2015-01-01"]),
    }
    frame = pd.DataFrame(base)
    return {
        "plain": frame,
        "object": frame.astype(object),
        "nullable": frame.convert_dtypes(),
        "arrow": frame.convert_dtypes(dtype_backend="pyarrow"),
        "categorical": frame.astype({"pid": "category", "plan": "category", "ok": "category"}),
        "texts": frame.assign(
            age=["30", None, "110"], cost=["10.5", "0", "1234.25"], ok=["true", "False", "1"]
        ),
        "mixed": frame.assign(
            age=pd.Series([30, "", "110"], dtype=object), ok=pd.Series([1, False, "TRUE"], dtype=object)
        ),
        "floats": frame.assign(ok=[1.0, 0.0, 1.0]),
        "dates": frame.assign(day=[d.date() for d in base["day"]]),
        "day texts": frame.assign(day=["2015-02-28", "2016-12-31", "2015-01-01"]),
        "zoned": frame.assign(day=frame["day"].astype("datetime64[ns]")),
        "indexed": frame.set_index(pd.Index([7, 7, 9])),
        "small": frame.assign(age=frame["age"].astype("Int8"), cost=frame["cost"].astype("float32")),
    }


@pytest.mark.parametrize("kind", list(frames()))
def test_every_kind_of_frame(kind: str) -> None:
    frame = frames()[kind]
    before = frame.copy(deep=True)
    check(read_table(frame, schema()))
    pd.testing.assert_frame_equal(frame, before)


@pytest.mark.parametrize("kind", ["plain", "nullable", "arrow", "categorical", "texts"])
def test_parquet_and_arrow(tmp_path: Path, kind: str) -> None:
    frame = frames()[kind]
    frame.to_parquet(tmp_path / "t.parquet")
    check(read_table(tmp_path / "t.parquet", schema()))
    table = pa.Table.from_pandas(frame, preserve_index=False)
    check(read_table(table, schema()))
    check(read_table(table.combine_chunks().to_batches()[0], schema()))


def test_several_parquet_files(tmp_path: Path) -> None:
    plain, texts = frames()["plain"], frames()["texts"]
    folder = tmp_path / "parts"
    folder.mkdir()
    plain.iloc[:2].to_parquet(folder / "a.parquet")
    texts.iloc[2:].to_parquet(folder / "b.parquet")
    (folder / "_SUCCESS").touch()
    check(read_table(folder, schema()))
    check(read_table(folder / "*.parquet", schema()))
    check(read_table([folder / "a.parquet", folder / "b.parquet"], schema()))
    texts.assign(age="999").iloc[2:].to_parquet(folder / "b.parquet")
    with pytest.raises(DataError, match=r"column 'age', row 1 of b\.parquet: value outside"):
        read_table(folder, schema())


def test_decimals_and_big_integers() -> None:
    import decimal

    table = pa.table({"x": pa.array([decimal.Decimal("1.50"), None]), "n": pa.array([2**63, 5], pa.uint64())})
    columns = {
        "x": {"type": "number", "min": 0, "max": 2, "missing": True},
        "n": {"type": "integer", "min": 0, "max": 9},
    }
    with pytest.raises(DataError, match="column 'n', row 1: value outside"):
        read_table(table, Schema(columns=columns))
    columns["n"] |= {"clip": True}
    assert read_table(table, Schema(columns=columns)).values["n"].tolist() == [9, 5]


BAD = [
    ("pid,age,cost,plan\n", "D104", "'ok', 'day'"),
    ("pid,QQQ\n", "D104", "1 of the 6 declared columns is in the data"),
    ("", "D102", "empty"),
    (" \n", "D102", "empty"),
    (HEADER, "D102", "no rows"),
    (HEADER.strip(), "D102", "no rows"),
    ("x;y\nQQQ;1\n", "D104", "none of the 6"),
    ("QQQ,1,2,A,true,2015-01-01\nQQQ,1,2,A,true,2015-01-01\n", "D104", "none of the 6"),
    (HEADER.strip() + ",extra\n", "D103", "'extra'"),
    (HEADER.strip() + ",\n", "D103", "without a name"),
    (HEADER.strip() + ",x\x07\n", "D103", "'x?'"),
    (HEADER.strip() + ",age\n", "D105", "'age'"),
    (HEADER + "QQQ,1,2\n", "D108", "line 2: 3 fields where the header has 6"),
    (HEADER + ROWS + "QQQ\nQQQ\n", "D108", "line 5: 1 fields where the header has 6 (and 1 more lines)"),
    (HEADER + '"QQQ,1,2,A,true,2015-01-01\n', "D108", "line 2: a quote is opened and never closed"),
    (HEADER + ROWS + "p,QQQ,2,A,true,2015-01-01\n", "D111", "column 'age', line 5: not a number"),
    (HEADER + "p,nan,2,A,true,2015-01-01\n", "D111", "not a number"),
    (HEADER + "p,1 2,2,A,true,2015-01-01\n", "D111", "not a number"),
    (HEADER + 'p,"1,200",2,A,true,2015-01-01\n', "D111", "thousands"),
    (HEADER + "p,0x1F,2,A,true,2015-01-01\n", "D111", "not a number"),
    (HEADER + "p,2015-01-01,2,A,true,2015-01-01\n", "D111", "not a number"),
    (HEADER + "p,1.5,2,A,true,2015-01-01\n", "D112", "not a whole number"),
    (HEADER + "p,1,inf,A,true,2015-01-01\n", "D113", "not a finite number"),
    (HEADER + "p,1,-Infinity,A,true,2015-01-01\n", "D113", "not a finite number"),
    (HEADER + "p,1,1e400,A,true,2015-01-01\n", "D113", "not a finite number"),
    (HEADER + "p,1,,A,true,2015-01-01\n", "D110", "missing value; add missing: true"),
    (HEADER + "p,777,2,A,true,2015-01-01\n" * 3, "D114", "line 2: value outside [0, 110] (and 2 more lines)"),
    (HEADER + "p,-1,2,A,true,2015-01-01\n", "D114", "widen min or max, or set clip: true"),
    (HEADER + "p,1,2,QQQ,true,2015-01-01\n", "D115", "not one of the declared categories"),
    (HEADER + "p,1,2,a,true,2015-01-01\n", "D115", "not one of the declared categories"),
    (HEADER + "p,1,2,A,QQQ,2015-01-01\n", "D116", "truth values"),
    (HEADER + "p,1,2,A,true,2015-02-30\n", "D117", "not a date of the form %Y-%m-%d"),
    (HEADER + "p,1,2,A,true,QQQ\n", "D117", "not a date"),
    (HEADER + "p,1,2,A,true,2044-01-01\n", "D114", "date outside [2015-01-01, 2016-12-31]"),
    (HEADER + ROWS + ",1,2,A,true,2015-01-01\n", "D118", "column 'pid', line 5: no person id"),
    (HEADER + "p,777,2,QQQ,true,2015-01-01\n", "D114", "1 more column does not fit"),
    (HEADER + ROWS + "p\0QQQ,1,2,A,true,2015-01-01\n", "D107", "line 5: a null byte"),
    ((HEADER + ROWS).encode("latin-1"), "D106", "line 4: not utf-8 text"),
    ((HEADER + ROWS).encode("utf-16"), "D107", "utf-16"),
    (gzip.compress(HEADER.encode(), mtime=0), "D107", "name it .csv.gz"),
    (b"PAR1xxxx", "D107", "name it .parquet"),
    (b"PK\x03\x04xxxx", "D107", "spreadsheet"),
]


@pytest.mark.parametrize(("text", "code", "words"), BAD)
def test_what_does_not_fit_is_named_and_not_quoted(
    tmp_path: Path, text: str | bytes, code: str, words: str
) -> None:
    with pytest.raises(DataError) as caught:
        read_table(written(tmp_path, text), schema())
    assert caught.value.code == f"DPS-{code}"
    assert words in str(caught.value)
    assert "QQQ" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_every_column_that_does_not_fit_is_counted(tmp_path: Path) -> None:
    text = HEADER + "p,777,2,A,true,2015-01-01\n,3,2,QQQ,maybe,2015-01-01\np,x,2,QQQ,true,2015-01-01\n"
    found = misfits(written(tmp_path, text), schema())
    assert [error.code for error in found] == ["DPS-D111", "DPS-D115", "DPS-D116", "DPS-D118"]
    assert "and 1 more line" in str(found[1])
    assert "QQQ" not in " ".join(map(str, found))
    assert misfits(written(tmp_path, HEADER + ROWS), schema()) == []
    assert [error.code for error in misfits(written(tmp_path, ""), schema())] == ["DPS-D102"]


class Stream:
    """A table of another library: its columns as an Arrow stream, texts as views."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.table.__arrow_c_stream__(requested_schema)


def test_tables_of_other_libraries() -> None:
    table = pa.Table.from_pandas(frames()["plain"], preserve_index=False)
    plan = table.column("plan").cast(pa.string()).cast(pa.string_view())
    check(read_table(Stream(table.set_column(table.column_names.index("plan"), "plan", plan)), schema()))


def test_several_csv_files(tmp_path: Path) -> None:
    form = CsvFormat(delimiter=";", decimal=",")
    text = (HEADER + ROWS).replace("Ä;ß", '"Ä;ß"').replace(",", ";").replace(".", ",")
    lines = text.splitlines(keepends=True)
    files = [
        written(tmp_path, lines[0] + "".join(rows), name)
        for rows, name in [(lines[1:3], "a.csv"), (lines[3:], "b.csv")]
    ]
    check(read_table(files, schema(form)))
    check(read_table(tmp_path / "?.csv", schema(form)))
    written(tmp_path, lines[0] + "p;x;1;A;1;2015-01-01\n", "b.csv")
    with pytest.raises(DataError, match=r"column 'age', line 2 of b\.csv: not a number"):
        read_table(files, schema(form))


def test_files_that_are_none(tmp_path: Path) -> None:
    for name, words in [
        ("none.csv", "does not exist"),
        ("none-*.parquet", "no file matches"),
        ("", "holds no parquet"),
    ]:
        with pytest.raises(DataError, match=words):
            read_table(tmp_path / name, schema())
    (tmp_path / "t.xlsx").touch()
    with pytest.raises(DataError, match="neither csv nor parquet"):
        read_table(tmp_path / "t.xlsx", schema())
    with pytest.raises(DataError, match="not a readable parquet"):
        read_table(written(tmp_path, b"PAR1", "t.parquet"), schema())
    whole = gzip.compress((HEADER + ROWS).encode())
    with pytest.raises(DataError, match="breaks off"):
        read_table(written(tmp_path, whole[:-9], "t.csv.gz"), schema())
    with pytest.raises(DataError, match="damaged"):
        read_table(written(tmp_path, b"QQQ" + whole, "t.csv.gz"), schema())
    with pytest.raises(DataError, match="is not a table"):
        read_table(17, schema())
    with pytest.raises(DataError, match="no rows"):
        read_table(frames()["plain"].iloc[:0], schema())
    with pytest.raises(DataError, match=r"does not exist|cannot be used"):
        read_table("a\0b.csv", schema())


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_a_file_without_rights(name: str, tmp_path: Path) -> None:
    """Root would read it, so that a child of root becomes nobody first; its folder is its only way to it."""
    written(tmp_path, HEADER + ROWS, name).chmod(0)
    tmp_path.chmod(0o755)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.chdir(tmp_path)
            if os.geteuid() == 0:
                os.setresuid(65534, 65534, 65534)
            read_table(name, schema())
        except DataError as error:
            code = 0 if "cannot be read" in str(error) else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_frames_that_do_not_fit() -> None:
    frame = frames()["plain"]
    for column, value, words in [
        ("age", pd.Timestamp("2020-01-01"), "dates where numbers are declared"),
        ("age", True, "truth values where numbers"),
        ("age", [[1]] * 3, "not numbers"),
        ("day", 20150101, "not a date"),
        ("day", pd.Timestamp("2015-01-01 10:00"), "time of day"),
        ("plan", 1j, "declared categories"),
        ("ok", 2, "truth values"),
        ("cost", np.inf, "row 1: not a finite number"),
    ]:
        with pytest.raises(DataError, match=words):
            read_table(frame.assign(**{column: value}), schema())
    with pytest.raises(DataError, match="several levels"):
        read_table(pd.concat({"a": frame}, axis=1), schema())
    with pytest.raises(DataError, match="columns 2 and 7 have the same name: column 'age'"):
        read_table(pd.concat([frame, frame[["age"]]], axis=1), schema())


def test_all_missing_constant_and_single(tmp_path: Path) -> None:
    columns = {"x": {"type": "integer", "min": 0, "max": 9, "missing": True}}
    assert read_table(pd.DataFrame({"x": [None, None]}), Schema(columns=columns)).missing["x"].all()
    assert read_table(written(tmp_path, 'x\n""\n'), Schema(columns=columns)).missing["x"].tolist() == [True]
    assert read_table(pd.DataFrame({"x": [3]}), Schema(columns=columns)).values["x"].tolist() == [3]


def test_markers_of_the_file_of_the_column_and_of_the_call(tmp_path: Path) -> None:
    columns = {
        "x": {"type": "integer", "min": 0, "max": 9, "missing_values": ["N"]},
        "y": {"type": "category", "values": ["N", "M"], "missing": True},
        "z": {"type": "integer", "min": 0, "max": 9, "missing": True},
    }
    declared = Schema(columns=columns, missing_values=("?", "-1"))
    table = read_table(written(tmp_path, "x,y,z\nN,N,-1\n3,?,4\n"), declared)
    assert [table.missing[name].tolist() for name in "xyz"] == [[True, False], [False, True], [True, False]]
    assert read_table(pd.DataFrame({"x": [1], "y": ["M"], "z": [-1]}), declared).missing["z"].tolist() == [
        True
    ]
    told = read_table(pd.DataFrame({"x": [1], "y": ["M"], "z": [4]}), declared, missing_values=["4"])
    assert told.missing["z"].tolist() == [True]
    out = write_table(table.to_frame(), tmp_path / "out.csv", declared)
    assert out.read_text() == "x,y,z\nN,N,?\n3,?,4\n"


def test_a_missing_person_can_be_somebody_else() -> None:
    own = Schema(columns=COLUMNS, unit=UnitSpec(entity="person", column="pid", missing="own"))
    table = read_table(frames()["plain"].assign(pid=["p1", None, None]), own)
    assert table.units is not None
    assert table.units.tolist() == [0, 1, 2]


def test_a_person_id_that_is_not_a_number_is_missing() -> None:
    table = pa.Table.from_pandas(frames()["plain"].drop(columns="pid"), preserve_index=False)
    table = table.append_column("pid", pa.array([1.0, float("nan"), 1.0]))
    with pytest.raises(DataError, match="column 'pid', row 2: no person id"):
        read_table(table, schema())


def test_a_unit_column_that_the_schema_does_not_list() -> None:
    columns = {name: column for name, column in COLUMNS.items() if name != "pid"}
    table = read_table(frames()["plain"], Schema(columns=columns, unit=UNIT))
    assert table.units is not None
    assert "pid" not in table.to_frame()


def test_somebodys_synthetic_rows_have_no_ids() -> None:
    table = read_table(frames()["plain"].drop(columns="pid"), schema(), require_unit=False)
    assert table.units is None
    with pytest.raises(DataError, match="lacks column 'pid'"):
        read_table(frames()["plain"].drop(columns="pid"), schema())


def test_take_keeps_rows_together() -> None:
    table = read_table(frames()["plain"], schema()).take(np.array([2, 0]))
    assert table.values["age"].tolist() == [110, 30]
    assert table.units is not None
    assert table.units.tolist() == [0, 0]
    assert len(table.take(np.zeros(2, bool))) == 0


def test_the_frame_has_types_of_the_schema_not_of_the_rows() -> None:
    table = read_table(frames()["plain"], schema())
    full, none = table.to_frame(), table.take(slice(0, 1)).to_frame()
    assert (full.dtypes == none.dtypes).all()
    assert [str(full.dtypes[name]) for name in ("age", "cost", "ok")] == ["Int64", "float64", "bool"]
    assert full["plan"].tolist()[:1] == ["A"]
    assert full["plan"].isna().tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("t.csv", {}),
        ("t.csv.gz", {}),
        ("t.parquet", {}),
        ("t.csv", {"delimiter": ";", "decimal": ",", "encoding": "cp1252"}),
    ],
)
def test_written_and_read_again(tmp_path: Path, name: str, form: dict[str, Any]) -> None:
    declared = schema(CsvFormat(**form))
    table = read_table(frames()["plain"], declared)
    path = write_table(table.to_frame(), tmp_path / name, declared)
    check(read_table(path, declared))
    first = path.read_bytes()
    write_table(table.to_frame(), path, declared)
    assert path.read_bytes() == first  # nothing of the time or the machine in it
    assert os.listdir(tmp_path) == [name]


def test_booleans_and_codes_come_back_as_they_were_written(tmp_path: Path) -> None:
    columns = {
        "smoker": {"type": "boolean", "true_value": "Y", "false_value": "N", "missing": True},
        "code": {"type": "category", "values": [3, 40]},
        "day": {
            "type": "date",
            "min": "2015-01-01",
            "max": "2016-12-31",
            "format": "%d.%m.%Y",
            "missing": True,
        },
    }
    declared = Schema(columns=columns)
    text = "smoker,code,day\nY,3,28.02.2015\nN,40,\n,3,01.12.2016\n"
    table = read_table(written(tmp_path, text), declared)
    assert write_table(table.to_frame(), tmp_path / "o.csv", declared).read_text() == text
    assert table.to_frame()["code"].dtype == np.int64


def test_writing_fails_whole(tmp_path: Path) -> None:
    frame = frames()["plain"]
    with pytest.raises(UsageError, match="cannot be written"):
        write_table(frame, tmp_path / "none" / "t.csv")
    with pytest.raises(DataError, match="no format"):
        write_table(frame, tmp_path / "t.xlsx")
    with pytest.raises(DataError, match="declare encoding"):
        write_table(frame.assign(plan="€"), tmp_path / "t.csv", schema(CsvFormat(encoding="latin-1")))
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = written(tmp_path, "old")

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CapacityError, match="No space left"):
        write_table(frames()["plain"], old)
    assert old.read_text() == "old"
    assert os.listdir(tmp_path) == ["t.csv"]


def test_fifty_thousand_rows_take_a_moment(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    data: dict[str, Any] = {f"i{i}": rng.integers(0, 100, 50_000) for i in range(5)}
    data |= {f"f{i}": rng.normal(size=50_000).round(4) for i in range(4)}
    data |= {f"c{i}": rng.choice(list("abcdefgh"), 50_000) for i in range(6)}
    frame = pd.DataFrame(data)
    frame.to_csv(tmp_path / "t.csv", index=False)
    kinds = {"i": {"type": "integer", "min": 0, "max": 99}, "f": {"type": "number", "min": -9, "max": 9}}
    kinds["c"] = {"type": "category", "values": list("abcdefgh")}
    declared = Schema(columns={name: kinds[name[0]] for name in data})
    start = time.process_time()
    read_table(tmp_path / "t.csv", declared)
    assert time.process_time() - start < 1.5


def test_five_hundred_columns(tmp_path: Path) -> None:
    names = [f"c{i}" for i in range(500)]
    text = "\n".join([",".join(names), *[",".join(["7"] * 500)] * 200])
    declared = Schema(columns={name: {"type": "integer", "min": 0, "max": 9} for name in names})
    assert len(read_table(written(tmp_path, text), declared)) == 200


def test_a_very_long_cell(tmp_path: Path) -> None:
    declared = Schema(columns={"a": {"type": "boolean"}, "note": {"type": "drop"}})
    text = "a,note\n" + "true,short\n" * 10 + 'false,"' + "x,\n" * 2_000_000 + '"\n'
    assert read_table(written(tmp_path, text), declared).values["a"].sum() == 10


def test_parquet_with_nested_columns(tmp_path: Path) -> None:
    table = pa.table({"a": pa.array([[1], [2]])})
    pq.write_table(table, tmp_path / "t.parquet")
    with pytest.raises(DataError, match="lists, records or bytes"):
        read_table(tmp_path / "t.parquet", Schema(columns={"a": {"type": "category", "values": ["x"]}}))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (pa.array([2023010112345678, 5], pa.int64()), pa.array([2023010112345678.0, 5.0], pa.float64())),
        (pa.array([2**53 - 1, 7]), pa.array([2.0**53 - 1, 7.0])),
        (pa.array([5, 100]), pa.array([5, 100]).cast(pa.decimal128(22, 2))),
        (pa.array([0, 1500], pa.timestamp("ms")), pa.array([0, 1_500_000], pa.timestamp("us"))),
    ],
    ids=["float", "largest-float", "decimal", "moment"],
)
def test_a_person_is_one_person_whatever_type_a_file_has_the_id_in(
    tmp_path: Path, one: Any, other: Any
) -> None:
    """Files with gaps in an id often have it as a float; under two names a person would keep twice as many rows."""
    for name, ids in (("a", one), ("b", other)):
        pq.write_table(pa.table({"pid": ids, "ok": [True, False]}), tmp_path / f"{name}.parquet")
    columns = {"pid": {"type": "id"}, "ok": {"type": "boolean"}}
    table = read_table(tmp_path, Schema(columns=columns, unit=UNIT))
    assert table.units is not None
    assert table.units.tolist() == [0, 1, 0, 1]
