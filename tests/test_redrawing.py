"""Units that cannot keep the rules are drawn again: the others stay, numbers and sizes stay, every rule is kept."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from dpsynth import Schema
from dpsynth.constraints import Rules
from dpsynth.errors import DataError
from dpsynth.model import redrawing
from dpsynth.model.from_schema import SchemaRows, from_schema
from dpsynth.model.rehearsal import rehearse
from dpsynth.persons import UnitSizes, size_starts
from dpsynth.table import read_table


def whole(most: int, *names: str) -> dict[str, Any]:
    return {name: {"type": "integer", "min": 0, "max": most} for name in names}


def schema(least: int, form: str = "P-####", **more: Any) -> Schema:
    """A person whose limit is below `least` has no row that keeps the sum."""
    columns: dict[str, Any] = {
        "person": {"type": "id", "format": form},
        "visit": {"type": "integer", "min": 1, "max": 4},
        **whole(1000, "limit", "a", "b"),
        "c": {"type": "integer", "min": least, "max": 1000},
        "name": {"type": "drawn", "values": ["x", "y", "z"]},
        "claim": {"type": "id", "format": "C-#####"},
    }
    unit = {
        "entity": "person",
        "column": "person",
        "rows_per_unit": 4,
        "order": "visit",
        "static": ["limit", "name"],
        **more,
    }
    return Schema(columns=columns, unit=unit, constraints=[{"sum": "a + b + c <= limit"}])


def drawn(of: Schema, units: int, seed: int = 0) -> Any:
    return from_schema(of).sample_table(units=units, rng=np.random.default_rng(seed))


def test_every_unit_asked_for_is_there_and_keeps_the_rules() -> None:
    declared = schema(300)
    table = drawn(declared, 80)
    sizes = Counter(Counter(table.values["person"].tolist()).values())
    assert sum(sizes.values()) == 80
    assert sizes == {1: 20, 2: 20, 3: 20, 4: 20}
    assert Rules.of(declared).broken(table) == {}
    assert table.values["limit"].min() >= 300
    frame = table.to_frame()
    for _, rows in frame.groupby("person"):
        assert rows["limit"].nunique() == rows["name"].nunique() == 1
        assert rows["visit"].is_monotonic_increasing
        assert rows["visit"].is_unique
    assert frame["claim"].is_unique
    assert frame["person"].drop_duplicates().is_monotonic_increasing
    read_table(frame, declared)


def test_units_drawn_again_have_the_model_given_that_they_can() -> None:
    """Limits of 300 to 1000 are alike: a chi-square of seven bins at 1e-7, which a lean away from small limits fails."""
    frame = drawn(schema(300, rows_per_unit=2), 560).to_frame().drop_duplicates("person")
    counts = np.histogram(frame["limit"], bins=np.linspace(300, 1001, 8))[0]
    assert ((counts - 80) ** 2 / 80).sum() < 43.0
    # as it was when units that a little more work would have mended were given up
    leaning = 560 / 1_400 * np.array([55, 182, 239, 218, 243, 238, 225])
    assert ((leaning - 80) ** 2 / 80).sum() > 43.0


def test_others_are_drawn_only_for_those_that_cannot(monkeypatch: pytest.MonkeyPatch) -> None:
    without = drawn(schema(100), 100, seed=3)
    calls = []
    honest = redrawing._Pieces.put
    monkeypatch.setattr(
        redrawing._Pieces, "put", lambda self, *a: calls.append(len(a[3])) or honest(self, *a)
    )
    again = drawn(schema(100), 100, seed=3)
    assert without.to_frame().equals(again.to_frame())  # a seed says all of it
    assert 2 < calls[0] < 25
    assert len(calls) < 6


def test_where_hardly_any_unit_can_it_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redrawing, "IN_VAIN", 40)
    with pytest.raises(DataError, match="of 20 sampled units cannot be made to keep") as caught:
        drawn(schema(1000), 20)
    assert caught.value.code == "DPS-D210"


def test_rare_units_are_found_and_ids_have_digits_for_no_more() -> None:
    """Three in ten can; nine ids are all that the format has."""
    table = drawn(schema(700, form="P-#"), 9)
    assert len(set(table.values["person"].tolist())) == 9
    assert table.values["limit"].min() >= 700


def test_missing_values_come_along_with_the_units_that_have_them() -> None:
    """Whose limit is missing is bound by no sum, and takes the place of some."""
    declared = schema(700)
    columns = {n: c.model_dump(exclude_unset=True) for n, c in declared.columns.items()}
    columns |= {"limit": {**columns["limit"], "missing": True}}
    unit, rules = declared.unit.model_dump(), [{"sum": "a + b + c <= limit"}]
    table = drawn(Schema(columns=columns, unit=unit, constraints=rules), 400)
    gone = table.missing["limit"]
    assert 0 < gone.sum() < len(gone)
    assert (table.values["limit"][~gone] >= 700).all()


def test_such_units_are_doubted_and_no_size_is_refused() -> None:
    assert [doubt.split(":")[0] for doubt in rehearse(schema(500))] == [
        "some units, drawn from the schema alone, cannot keep the rules"
    ]


def test_units_whose_rows_follow_each_other() -> None:
    declared = schema(300)
    rules = [{"sum": "a + b + c <= limit"}, {"rising": "a"}, {"rows": {"min": 2}}]
    columns = {n: c.model_dump(exclude_unset=True) for n, c in declared.columns.items()}
    declared = Schema(columns=columns, unit=declared.unit.model_dump(), constraints=rules)
    table = drawn(declared, 9)
    frame = table.to_frame()
    sizes = frame.groupby("person").size()
    assert len(sizes) == 9
    assert sizes.min() == 2
    assert (frame["a"] + frame["b"] + frame["c"] <= frame["limit"]).all()
    assert frame.groupby("person")["a"].apply(lambda a: a.is_monotonic_increasing).all()


def test_one_unit_alone() -> None:
    made = from_schema(schema(600))
    sizes = UnitSizes(4, np.array([0, 0, 0, 10]), 1.0)
    assert len(size_starts(4)) == 4
    only = SchemaRows(made.schema, made.generator, sizes)
    for seed in range(3):
        table = only.sample_table(units=1, rng=np.random.default_rng(seed))
        assert len(table) == 4
        assert table.values["limit"][0] >= 600
