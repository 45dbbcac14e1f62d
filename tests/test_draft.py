"""Drafts: what a header can say, what a sample can say, and what is stamped as inspected."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dpsynth.draft import draft_by_inspection, draft_from_header, draft_from_public
from dpsynth.errors import DataError, SchemaError
from dpsynth.project import Project
from dpsynth.table import read_table


def sample(rows: int = 300) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "person_id": [f"u{i}" for i in range(rows)],
            "age": rng.integers(18, 78, rows),
            "cost": rng.gamma(1, 1000, rows).round(2),
            "plan": rng.choice(["A", "B", "C", "?"], rows),
            "smoker": rng.choice(["yes", "no"], rows),
            "flag": rng.integers(0, 2, rows),
            "zip": rng.choice(["00123", "10115"], rows),
            "seen": rng.choice(["2015-03-04", "2018-12-01"], rows),
            "poverty": [*rng.integers(0, 500, rows - 20).astype(str), *["N"] * 20],
            "notes": [f"free text {i}" for i in range(rows)],
            "empty": [None] * rows,
        }
    )


def finished(draft: str) -> Project:
    """As a person would finish it."""
    draft = draft.replace(
        "{entity: TODO, column: TODO, rows_per_unit: TODO}", "{entity: person, column: person_id}"
    )
    return Project.from_yaml(
        draft.replace("epsilon: TODO", "epsilon: 1")
        .replace("delta: TODO", "delta: 1.0e-9")
        .replace("type: TODO", "type: drop")
    )


def test_from_the_header_only(tmp_path: Path) -> None:
    file = tmp_path / "claims 2026.csv"
    file.write_bytes("person_id;größe;cost\n\xff\xfe not even text\n".encode("latin-1"))
    draft = draft_from_header(file, folder=tmp_path)
    assert "path: claims 2026.csv" in draft
    assert "{type: TODO}" in draft
    assert "not even" not in draft
    assert "may tell who a row belongs to: person_id." in draft
    assert "promise: {epsilon: TODO, delta: TODO}" in draft
    with pytest.raises(
        SchemaError, match=r"still open \(TODO\): data.unit.entity \(line 2\d\), .*"
    ) as caught:
        Project.from_yaml(draft)
    assert caught.value.code == "DPS-S106"
    for name in ("person_id", "größe", "cost"):
        draft = draft.replace(f"{name}: {{type: TODO}}", f"{name}: {{type: number, min: 0, max: 9}}")
    draft = draft.replace("{entity: TODO, column: TODO, rows_per_unit: TODO}", "{entity: row}")
    assert "review_date: 'TODO: the day" in draft  # a release refuses it, a project file may have it
    project = Project.from_yaml(
        draft.replace(" TODO,", " 1,").replace(" TODO}", " 1}").replace(" TODO\n", " 1\n")
    )
    assert len(project.release.lacking) == 8
    assert project.schema.csv.delimiter == ";"
    assert project.schema.csv.encoding == "cp1252"


def test_the_header_of_other_sources(tmp_path: Path) -> None:
    frame = sample(30)
    frame.to_parquet(tmp_path / "t.parquet")
    frame.to_csv(tmp_path / "t.csv.gz", index=False)
    for source in (frame, tmp_path / "t.parquet", tmp_path / "t.csv.gz"):
        draft = draft_from_header(source)
        assert "person_id: {type: TODO}" in draft
        assert "u1" not in draft
    (tmp_path / "none.csv").touch()
    with pytest.raises(DataError, match="empty"):
        draft_from_header(tmp_path / "none.csv")


@pytest.mark.parametrize("form", ["frame", "csv", "parquet"])
def test_by_inspection_everything_learnt_is_stamped(tmp_path: Path, form: str) -> None:
    frame, source = sample(), tmp_path / f"t.{form}"
    if form == "csv":
        frame.to_csv(source, index=False)
    elif form == "parquet":
        frame.to_parquet(source)
    project = finished(draft_by_inspection(frame if form == "frame" else source))
    kinds = {name: column.type for name, column in project.schema.columns.items()}
    assert kinds == {
        "person_id": "id", "age": "integer", "cost": "number", "plan": "category", "smoker": "boolean",
        "flag": "boolean", "zip": "category", "seen": "date", "poverty": "integer", "notes": "drop",
        "empty": "drop",
    }  # fmt: skip
    assert project.schema.inspected == list(project.schema.modelled)
    assert project.schema.missing_values == ("", "?")
    assert project.schema.modelled["plan"].missing
    assert project.schema.modelled["poverty"].missing_values == ("N", "", "?")
    table = read_table(frame, project.schema)
    assert len(table) == 300


def test_bounds_are_rounded_outwards() -> None:
    project = finished(draft_by_inspection(sample().assign(age=[33, 71] * 150, cost=[12.34, 8765.43] * 150)))
    age, cost = project.schema.columns["age"], project.schema.columns["cost"]
    assert (age.min, age.max) == (33, 71)  # type: ignore[union-attr]
    assert (cost.min, cost.max, cost.decimals) == (0, 8800, 2)  # type: ignore[union-attr]


def test_from_a_public_sample_it_is_public_with_a_reason(tmp_path: Path) -> None:
    file = tmp_path / "public.csv"
    sample().to_csv(file, index=False)
    draft = draft_from_public(file, data=tmp_path / "private.csv", folder=tmp_path)
    assert "path: private.csv" in draft
    project = finished(draft)
    assert project.schema.inspected == []
    assert project.schema.columns["age"].reason == "from the public sample public.csv"


def test_hostile_names_and_values_come_through() -> None:
    frame = pd.DataFrame(
        {"a: b": ["x: y", "# z", "- q"], "yes": ["no", "{", "'"], "TODO": ["TODO", "1e5", "~"]}
    )
    draft = draft_by_inspection(frame).replace(
        "{entity: TODO, column: TODO, rows_per_unit: TODO}", "{entity: row}"
    )
    project = Project.from_yaml(
        draft.replace("epsilon: TODO", "epsilon: 1").replace("delta: TODO", "delta: 1.0e-9")
    )
    assert read_table(frame, project.schema).missing["TODO"].tolist() == [False] * 3


def odd_kinds(rows: int) -> pd.DataFrame:
    """What a draft must recognise beside plain columns."""
    rng = np.random.default_rng(1)
    at = pd.Timestamp("2021-03-04 05:06:07") + pd.to_timedelta(rng.integers(0, 10**7, rows), unit="s")
    days = rng.integers(0, 1000, rows)
    return pd.DataFrame(
        {
            "seen": at.strftime("%Y-%m-%d %H:%M:%S"),
            "short": at.strftime("%Y-%m-%dT%H:%M"),
            "german": at.strftime("%d.%m.%Y"),
            "clock": at.strftime("%H:%M"),
            "pdays": np.where(rng.random(rows) < 0.5, -1, days),
            "score": np.where(rng.random(rows) < 0.1, 9999, rng.integers(0, 100, rows)),
            "debt": rng.integers(-5, 50, rows),
            "country": "NZ",
            "year": 2021,
            "city": [f"town {i % 110}" for i in range(rows)],
            "remark": [f"said {i} and then {i * i}" for i in range(rows)],
        }
    )  # fmt: skip


def test_moments_codes_constants_and_texts_are_recognised() -> None:
    frame = odd_kinds(800)
    draft = draft_by_inspection(frame).replace(
        "{entity: TODO, column: TODO, rows_per_unit: TODO}", "{entity: row}"
    )
    assert "remark: {type: TODO}" in draft, "free text is for a person to decide"
    project = Project.from_yaml(
        draft.replace("epsilon: TODO", "epsilon: 1")
        .replace("delta: TODO", "delta: 1.0e-9")
        .replace("type: TODO", "type: drop")
    )
    columns = project.schema.columns
    kinds = {name: column.type for name, column in columns.items()}
    assert kinds == {
        "seen": "datetime", "short": "datetime", "german": "date", "clock": "time", "pdays": "integer",
        "score": "integer", "debt": "integer", "country": "constant", "year": "constant", "city": "category",
        "remark": "drop",
    }  # fmt: skip
    assert (columns["pdays"].special, columns["pdays"].min) == ((-1,), 0)  # type: ignore[union-attr]
    assert (columns["score"].special, columns["score"].max) == ((9999,), 99)  # type: ignore[union-attr]
    assert columns["debt"].special == ()  # type: ignore[union-attr]
    assert columns["city"].unknown
    assert columns["city"].origin == "dp"
    assert set(project.schema.inspected) == set(columns) - {"remark", "city"}
    assert set(project.schema.once_inspected) == set(columns) - {"remark"}
    assert len(read_table(frame, project.schema)) == len(frame)


def test_an_inspected_entry_becomes_public_with_a_reason_only() -> None:
    """Somebody who only changes the origin is asked why; the answer stays beside what it was."""
    draft = finished_text(draft_by_inspection(sample()[["age"]]))
    careless = draft.replace("origin: inspected", "origin: public")
    with pytest.raises(SchemaError, match="reason") as refused:
        Project.from_yaml(careless)
    assert refused.value.code == "DPS-S131"
    decided = careless.replace("was: inspected", "was: inspected, reason: ages are never above this")
    schema = Project.from_yaml(decided).schema
    assert schema.inspected == []
    assert schema.once_inspected == ["age"]


def finished_text(draft: str) -> str:
    draft = draft.replace("{entity: TODO, column: TODO, rows_per_unit: TODO}", "{entity: row}")
    return draft.replace("epsilon: TODO", "epsilon: 1").replace("delta: TODO", "delta: 1.0e-9")


@pytest.mark.parametrize(
    ("texts", "found"),
    [
        (["-1", "0", "5", "7"], [-1]),
        (["-1", "-3", "5", "7"], []),
        (["9999", "1", "2", "3"], [9999]),
        (["99", "98", "97", "5"], []),
        (["-9", "-8", "0", "1", "2", "3", "4"], [-9, -8]),
        (["999", "400", "1", "2"], []),
        (["-1"], []),
    ],
)
def test_codes_among_numbers(texts: list[str], found: list[int]) -> None:
    from dpsynth.draft_kinds import codes

    assert codes(texts) == found
