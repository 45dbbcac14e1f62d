"""Rows in groups, completed rows and rows from a schema alone, through the library and the command line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from example import small_table
from typer.testing import CliRunner, Result

from dpsynth import DataError, Schema, UsageError, fit
from dpsynth.cli.app import app
from dpsynth.encoding import Encoding
from dpsynth.model import FittedModel, groups, partial
from dpsynth.model.from_schema import NOTE, SchemaRows, from_schema
from dpsynth.model.groups import Groups, read_balance
from dpsynth.pgm import GraphicalModel, MixtureModel
from dpsynth.table import read_table

COLUMNS = {
    "age": {"type": "integer", "min": 0, "max": 99, "cells": 10},
    "plan": {"type": "category", "values": ["A", "B", "C"], "missing": True},
    "smoker": {"type": "boolean", "true_value": "yes", "false_value": "no"},
    "cost": {"type": "number", "min": 0, "max": 1000, "cells": 8, "decimals": 2},
}


@pytest.fixture(scope="module")
def model() -> FittedModel:
    frame = small_table(people=1500).drop(columns="person")
    return fit(frame, Schema(columns=COLUMNS), method="mst", epsilon=20.0, delta=1e-9)


@pytest.fixture(scope="module")
def folder(model: FittedModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("drawn") / "model"
    model.save(path)
    return path


def rng(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


def dpsynth(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


# --- groups ----------------------------------------------------------------------------------------


def test_equal_shares_are_equal(model: FittedModel) -> None:
    rows = model.sample(999, rng(), balance="plan")
    assert rows["plan"].value_counts().to_dict() == {"A": 333, "B": 333, "C": 333}
    assert not rows["plan"].is_monotonic_increasing
    assert model.sample(10, rng(), balance=["smoker"])["smoker"].value_counts().to_dict() == {
        "no": 5,
        "yes": 5,
    }


def test_declared_shares(model: FittedModel) -> None:
    listed = model.sample(1000, rng(), balance={"plan": [1, 0, 3]})
    assert listed["plan"].value_counts().to_dict() == {"C": 750, "A": 250}
    named = model.sample(1000, rng(), balance={"smoker": {"yes": 0.9, "no": 0.1}, "plan": {"B": 1.0}})
    assert named.groupby(["plan", "smoker"]).size().to_dict() == {("B", "no"): 100, ("B", "yes"): 900}


def test_a_number_of_rows_for_each_group(model: FittedModel) -> None:
    rows = model.sample(rng=rng(), balance=["smoker", "plan"], rows_each=70)
    assert rows.groupby(["smoker", "plan"]).size().to_dict() == {
        (s, p): 70 for s in ("no", "yes") for p in ("A", "B", "C")
    }


def test_everything_else_is_as_the_model_has_it_given_the_group(model: FittedModel) -> None:
    """The costs of smokers in a balanced sample are those of smokers in the model, not of everybody."""
    balanced = model.sample(40_000, rng(2), balance="smoker")
    encoding = Encoding(model.schema)
    records = encoding.encode(read_table(balanced, model.schema))
    for cell, text in enumerate(("no", "yes")):
        expected = model.generator.marginal(("smoker", "cost"))[cell]
        found = np.bincount(records["cost"][balanced["smoker"] == text], minlength=len(expected))
        share = expected / expected.sum()
        # exact but for rounding: far closer than 20,000 independent draws
        assert np.abs(found / found.sum() - share).max() < 0.002
    everybody = model.generator.marginal(("cost",))
    assert np.abs(everybody / everybody.sum() - share).max() > 0.05


def test_groups_under_a_condition(model: FittedModel) -> None:
    rows = model.sample(600, rng(), where="plan in ['A', 'B'] and age < 35", balance="plan")
    assert rows["plan"].value_counts().to_dict() == {"A": 300, "B": 300}
    assert (rows["age"] < 35).all()


@pytest.mark.parametrize("rows", [0, 1, 7, 100, 101])
def test_blocks_add_up(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "BLOCK", 10)
    shares = np.array([0.37, 0.001, 0.5, 0.129])
    found = Groups(("a",), np.arange(4)[:, None], shares / shares.sum())
    counts = [np.bincount(block, minlength=4) for block in found.numbers(rows)]
    assert [c.sum() for c in counts] == [min(10, rows - at) for at in range(0, max(rows, 1), 10)]
    assert (np.abs(np.sum(counts, axis=0) - rows * found.shares) <= 1).all()


def without_smokers(model: FittedModel) -> FittedModel:
    none_smoke = model.generator.conditioned({"smoker": np.array([1.0, 0.0])})
    return FittedModel.of(model.schema, none_smoke, "mst", (), model.receipt)


def test_a_group_that_the_model_does_not_know(model: FittedModel) -> None:
    with pytest.raises(UsageError, match=r"group plan A, smoker yes \(and of 2 more groups\)") as error:
        without_smokers(model).sample(100, balance=["plan", "smoker"])
    assert error.value.code == "DPS-U234"


@pytest.mark.parametrize(
    ("balance", "code"),
    [
        ("nothing", "U231"),
        ({"plan": [1, 2]}, "U232"),
        ({"plan": {"Z": 1}}, "U232"),
        ({"plan": [1, 2, -1]}, "U232"),
        ({"plan": [1, 2, float("nan")]}, "U232"),
        ({"plan": [0, 0, 0]}, "U233"),
        ([], "U233"),
    ],
)
def test_groups_that_mean_nothing(model: FittedModel, balance: groups.Balance, code: str) -> None:
    with pytest.raises(UsageError) as error:
        model.sample(10, balance=balance)
    assert error.value.code == f"DPS-{code}"


def test_rows_each_needs_groups_and_no_number(model: FittedModel) -> None:
    for asked in ({"rows_each": 5}, {"n": 5, "rows_each": 5, "balance": "plan"}):
        with pytest.raises(UsageError) as error:
            model.sample(**asked)
        assert error.value.code == "DPS-U236"


def test_what_the_command_line_says_of_groups() -> None:
    assert read_balance(["sex,race"]) == {"sex": None, "race": None}
    assert read_balance(["income=0.3, 0.7", "sex"]) == {"income": [0.3, 0.7], "sex": None}
    assert read_balance(['income=>50K:0.3,"a, b:c":1']) == {"income": {">50K": 0.3, "a, b:c": 1.0}}
    for text in ("income=a", "income=yes:0.5,0.5", "income="):
        with pytest.raises(UsageError):
            read_balance([text])


# --- completing ------------------------------------------------------------------------------------


def test_what_is_given_stays_as_it_is(model: FittedModel) -> None:
    given = pd.DataFrame({"cost": [12.5, 999.99, 0.07] * 50, "plan": ["B", None, "C"] * 50})
    rows = model.complete(given, rng())
    assert list(rows.columns) == list(COLUMNS)
    assert rows["cost"].tolist() == given["cost"].tolist()
    assert rows["plan"].fillna("?").tolist() == given["plan"].fillna("?").tolist()
    pd.testing.assert_frame_equal(rows, model.complete(given, rng()))


def test_the_rest_depends_on_what_is_given(model: FittedModel) -> None:
    given = pd.DataFrame({"plan": ["A"] * 20_000 + ["B"] * 20_000})
    rows = model.complete(given, rng(3))
    joint = model.generator.marginal(("plan", "smoker"))
    for cell, plan in enumerate("AB"):
        found = (rows["smoker"][rows["plan"] == plan] == "yes").mean()
        assert found == pytest.approx(joint[cell, 1] / joint[cell].sum(), abs=0.002)


def test_missing_values_are_filled_when_asked(model: FittedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partial, "BLOCK", 64)
    monkeypatch.setattr(partial, "DECODED", 50)
    given = pd.DataFrame({"age": [30.0, np.nan] * 100, "smoker": ["yes", "no", "", ""] * 50})
    with pytest.raises(DataError):
        model.complete(given, rng())
    rows = model.complete(given, rng(), fill_missing=True)
    assert (rows["age"][::2] == 30).all()
    assert rows["age"].nunique() > 10
    assert (rows["smoker"][::4] == "yes").all()
    assert set(rows["smoker"]) == {"yes", "no"}
    read_table(rows, model.schema)


def test_ids_that_are_given_stay() -> None:
    schema = Schema(columns={"person": {"type": "id", "format": "P-####"}, **COLUMNS})
    made = from_schema(schema)
    given = pd.DataFrame({"person": ["x1", "x2"], "smoker": ["yes", "no"]})
    assert made.complete(given, rng())["person"].tolist() == ["x1", "x2"]
    assert made.complete(given.drop(columns="person"), rng())["person"].tolist() == ["P-0001", "P-0002"]


def test_rows_that_cannot_be_completed(model: FittedModel) -> None:
    for given, code in [
        (pd.DataFrame({"nothing": [1]}), "U235"),
        (pd.DataFrame({"age": [1], "nothing": [1]}), "D103"),
        (pd.DataFrame({"age": [100]}), "D114"),
    ]:
        with pytest.raises((UsageError, DataError)) as error:
            model.complete(given)
        assert error.value.code[-4] == code[0]


def test_impossible_rows_are_counted_not_quoted(model: FittedModel) -> None:
    with pytest.raises(DataError, match=r"row 2 and 1 more") as error:
        without_smokers(model).complete(pd.DataFrame({"smoker": ["no", "yes", "yes"], "age": [1, 2, 3]}))
    assert error.value.code == "DPS-D160"
    assert "yes" not in str(error.value)


# --- from a schema alone ---------------------------------------------------------------------------


def test_rows_from_a_schema_fit_it(tmp_path: Path) -> None:
    schema = Schema(
        columns={
            **COLUMNS,
            "person": {"type": "id", "format": "P-######"},
            "day": {"type": "date", "min": "2020-01-01", "max": "2020-12-31", "missing": True},
            "odd": {"type": "integer", "min": 0, "max": 9, "special": [-1]},
            "city": {"type": "category", "discover": {"max_values": 100}},
        }
    )
    made = from_schema(schema, missing=0.25)
    rows = made.sample(4000, rng())
    table = read_table(rows, made.schema)
    assert 0.22 < table.missing["day"].mean() < 0.28
    assert set(rows["plan"].dropna()) == {"A", "B", "C"}
    assert set(rows["odd"]) == {-1, *range(10)}
    assert rows["city"].nunique() > 3
    assert rows["person"].is_unique
    assert made.sample(50, rng(), where="age < 3")["age"].max() < 3
    assert made.sample(60, rng(), balance="plan")["plan"].value_counts().tolist() == [20, 20, 20]
    for share in (1.0, -0.1, float("nan")):
        with pytest.raises(UsageError):
            from_schema(schema, missing=share)


def test_open_bounds_get_a_modest_span(tmp_path: Path) -> None:
    schema = Schema(
        columns={
            "cost": {"type": "number", "min": 0, "discover": "bounds", "decimals": 2, "scale": "log"},
            "change": {"type": "integer", "discover": "bounds"},
            "depth": {"type": "integer", "max": -50, "discover": "bounds"},
            "far": {"type": "integer", "min": 5_000, "discover": "bounds"},
        }
    )
    rows = from_schema(schema).sample(2_000, rng())
    assert rows["cost"].between(0, 1_000).all()
    assert rows["cost"].max() > 100
    assert rows["change"].between(0, 1_000).all()
    assert rows["depth"].between(-1_050, -50).all()
    assert rows["far"].between(5_000, 6_000).all()
    file = tmp_path / "project.yaml"
    file.write_text(schema.to_yaml())
    done = dpsynth("sample", "--schema", file, "-n", 10, "-o", tmp_path / "rows.csv")
    told = " ".join(done.stderr.split())
    assert "column 'depth': its bounds are still to be discovered; numbers from -1050 to -50 stand in" in told


def test_groups_are_made_of_rows(tmp_path: Path) -> None:
    done = dpsynth("sample", tmp_path, "-o", tmp_path / "t.csv", "--balance", "plan", "--units", 5)
    assert done.exit_code == 2
    assert "--balance and --units exclude each other" in done.stderr


def test_a_file_from_a_schema_says_so(tmp_path: Path) -> None:
    schema = tmp_path / "project.yaml"
    schema.write_text(Schema(columns=COLUMNS).to_yaml())
    done = dpsynth("sample", "--schema", schema, "-n", 30, "-o", tmp_path / "t.parquet")
    assert done.exit_code == 0, done.output
    assert NOTE in done.output
    assert pq.read_metadata(tmp_path / "t.parquet").metadata[b"dpsynth"].decode() == NOTE
    assert len(pd.read_parquet(tmp_path / "t.parquet")) == 30
    assert dpsynth("sample", "--schema", schema, "-n", 30, "-o", tmp_path / "t.csv").exit_code == 0
    assert NOTE in (tmp_path / "t.csv.note.txt").read_text()


# --- the command line ------------------------------------------------------------------------------


def test_groups_and_partial_rows_from_the_command_line(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "rows.csv"
    done = dpsynth("sample", folder, "--per-group", "plan,smoker", "--rows-each", 4, "-o", out)
    assert done.exit_code == 0, done.output
    assert (pd.read_csv(out).groupby(["plan", "smoker"]).size() == 4).all()
    balanced = dpsynth("sample", folder, "--balance", "smoker=yes:3,no:1", "-n", 40, "-o", "-")
    assert balanced.stdout.count("yes") == 30
    (tmp_path / "some.csv").write_text("age,smoker\n33,yes\n41,no\n")
    done = dpsynth("sample", folder, "--complete", tmp_path / "some.csv", "-o", "-")
    lines = [line.split(",") for line in done.stdout.splitlines()]
    assert [(line[0], line[2]) for line in lines] == [("age", "smoker"), ("33", "yes"), ("41", "no")]


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--per-group", "plan"], "U241"),
        (["--rows-each", "3"], "U241"),
        (["--per-group", "plan", "--rows-each", "3", "-n", "5"], "U242"),
        (["--complete", "some.csv", "-n", "5"], "U242"),
        (["--fill-missing"], "U243"),
        (["--schema", "project.yaml"], "U244"),
        (["--json"], "U245"),
    ],
)
def test_options_that_contradict_each_other(folder: Path, options: list[str], code: str) -> None:
    done = dpsynth("sample", folder, *options, "-o", "-")
    assert done.exit_code == 2
    assert f"DPS-{code}" in done.output


def test_a_closed_pipe_is_no_error(folder: Path) -> None:
    command = [sys.executable, "-c", "from dpsynth.cli import main; main()"]
    with subprocess.Popen(
        [*command, "sample", str(folder), "-n", "300000", "-o", "-"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    ) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        assert running.stdout.readline().startswith(b"age,plan")
        running.stdout.close()
        said = running.stderr.read()
        assert running.wait() == 141
    assert said == b""


@pytest.mark.parametrize("kind", [GraphicalModel, MixtureModel])
def test_a_condition_without_mass_ends_at_once_whatever_the_model_is(kind: type[Any]) -> None:
    """A mixture, as networks make it, takes a condition exactly: nothing is drawn in vain; next to nothing is refused."""
    schema = Schema(columns={n: {"type": "category", "values": ["x", "y"]} for n in "ab"})
    domain = schema.domain
    if kind is GraphicalModel:
        with np.errstate(divide="ignore"):
            generator: Any = GraphicalModel(domain, 1000.0, {("a", "b"): np.log([[0.5, 1e-9], [0.0, 0.5]])})
    else:
        tables = {"a": np.array([[1.0, 0.0], [1e-9, 1.0]]), "b": np.array([[1.0, 0.0], [0.0, 1.0]])}
        generator = MixtureModel(domain, 1000.0, np.array([0.5, 0.5]), tables)
    made = SchemaRows(schema, generator)
    assert set(made.sample(50, rng(), where="a == 'x' and b == 'x'")["b"]) == {"x"}
    for where in ("a == 'x' and b == 'y'", "a == 'y' and b == 'x'"):
        with pytest.raises(UsageError, match="widen the condition") as caught:
            made.sample(50, rng(), where=where)
        assert caught.value.code == "DPS-U153"


def test_rules_that_rows_by_themselves_do_not_keep_are_told(tmp_path: Path) -> None:
    columns = {
        "who": {"type": "id", "format": "P-####"},
        "sex": {"type": "category", "values": ["f", "m"]},
        "year": {"type": "integer", "min": 1, "max": 9},
    }
    unit = {"entity": "person", "column": "who", "rows_per_unit": 3, "order": "year"}
    several = Schema(columns=columns, unit=unit, constraints=[{"rows": {"min": 2}}])
    whole = Schema(columns=columns, constraints=[{"counts": {"sex": {"f": 3, "m": 5}}}])
    (tmp_path / "sex.csv").write_text("sex\nf\nm\n")
    ways = [
        ("--balance", "sex", "-n", "6"), ("--complete", str(tmp_path / "sex.csv")),
        ("--where", "year > 2", "-n", "6"), ("-n", "6"),
    ]  # fmt: skip
    for name, schema, words, told in (
        ("several", several, "rules about the rows of a unit do not apply", [1, 1, 0, 0]),
        ("whole", whole, "declared totals do not apply", [1, 1, 1, 0]),
    ):
        (tmp_path / name).write_text(schema.to_yaml())
        for i, way in enumerate(ways):
            result = CliRunner().invoke(
                app,
                ["sample", "--schema", str(tmp_path / name), "-o", str(tmp_path / f"{name}{i}.csv"), *way],
            )
            assert result.exit_code == 0, result.output
            assert (words in " ".join(result.output.split())) == told[i], (name, way)
