"""Synthetic units: sizes as released, static columns constant, rows in order, the model's rows unchanged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpsynth import Schema, fit, load
from dpsynth.constraints_declared import Constraint
from dpsynth.domain import Domain
from dpsynth.errors import DataError, SchemaError, UsageError
from dpsynth.mechanisms import METHODS
from dpsynth.model import FittedModel
from dpsynth.model.places import exchanged, likened
from dpsynth.model.units import inclusion, spread_sizes, systematic
from dpsynth.persons import UnitSizes, binned, on_simplex, size_starts, sizes_for, sizes_of
from dpsynth.records import Records

STATIC = ("sex", "born", "city")
COLUMNS = {
    "person": {"type": "id", "format": "P-######"},
    "sex": {"type": "category", "values": ["f", "m"]},
    "born": {"type": "integer", "min": 1900, "max": 1999, "cells": 5, "missing": True},
    "year": {"type": "integer", "min": 1, "max": 6},
    "sick": {"type": "boolean"},
    "cost": {"type": "number", "min": 0, "max": 100, "cells": 4, "decimals": 1},
    "city": {"type": "category", "values": ["A", "B", "C"]},
}
SIZES = {1: 0.1, 2: 0.2, 4: 0.7}


def people(number: int = 3_000, seed: int = 1) -> pd.DataFrame:
    """Sickness depends on sex, cost on city and sickness; of 4 rows the years are 1 to 4, fewer begin later."""
    rng = np.random.default_rng(seed)
    sizes = rng.choice(list(SIZES), number, p=list(SIZES.values()))
    person = np.repeat(np.arange(number), sizes)
    year = np.concatenate([np.arange(1, s + 1) + (2 if s < 4 else 0) for s in sizes])
    sex = np.where(rng.random(number) < 0.4, "f", "m")[person]
    born = np.where(rng.random(number) < 0.1, np.nan, rng.integers(1900, 2000, number))[person]
    city = rng.choice(["A", "B", "C"], number, p=[0.6, 0.3, 0.1])[person]
    sick = rng.random(len(person)) < np.where(sex == "f", 0.7, 0.1)
    cost = np.round(np.where(sick, 60, 10) + np.where(city == "C", 30, 0) + rng.random(len(person)) * 5, 1)
    return pd.DataFrame(
        {"person": person, "sex": sex, "born": born, "year": year, "sick": sick, "cost": cost, "city": city}
    )


def schema(**unit: object) -> Schema:
    about = {"entity": "person", "column": "person", "rows_per_unit": 4, **unit}
    return Schema(columns=COLUMNS, unit=about)


@pytest.fixture(scope="module")
def model() -> FittedModel:
    return fit(people(), schema(static=STATIC, order="year"), method="mst", epsilon=8.0, delta=1e-6)


def constant(rows: pd.DataFrame) -> bool:
    return all((rows.groupby("person")[name].nunique(dropna=False) == 1).all() for name in STATIC)


@pytest.mark.parametrize("method", [name for name in METHODS if name not in ("gan", "network")])
def test_units_of_every_method(method: str) -> None:
    fitted = fit(people(800), schema(static=STATIC, order="year"), method=method, epsilon=8.0, delta=1e-6)
    rows = fitted.sample(2_000, np.random.default_rng(1))
    assert len(rows) == 2_000
    assert constant(rows)
    assert rows.groupby("person").size().max() <= 4
    assert (rows.groupby("person")["year"].diff().dropna() > 0).all()


def test_sizes_are_those_that_were_released(model: FittedModel) -> None:
    rows = model.sample(20_000, np.random.default_rng(2))
    found = rows.groupby("person").size().value_counts(normalize=True)
    for size, share in SIZES.items():
        assert found.get(size, 0) == pytest.approx(share, abs=0.02)
    assert rows["person"].str.fullmatch(r"P-\d{6}").all()
    assert (rows["person"] == rows["person"].shift()).sum() == len(rows) - rows["person"].nunique(), (
        "together"
    )


def test_rows_follow_the_model_given_the_unit(model: FittedModel) -> None:
    """Pairs of columns across static and row level are those of rows drawn without units."""
    rows = model.sample(40_000, np.random.default_rng(3))
    for left, right in [("sex", "sick"), ("city", "cost"), ("year", "cost")]:
        pair = model.generator.marginal((left, right)) / model.generator.total
        cells = {
            "sex": rows["sex"].eq("m"), "city": rows["city"].map({"A": 0, "B": 1, "C": 2}), "year": rows["year"] - 1,
            "sick": rows["sick"], "cost": np.minimum(rows["cost"] // 25, 3),
        }  # fmt: skip
        counts = np.zeros(pair.shape)
        np.add.at(counts, (cells[left].astype(int), cells[right].astype(int)), 1 / len(rows))
        assert np.abs(counts - pair).sum() / 2 < 0.03


def test_the_order_is_that_of_the_sizes(model: FittedModel) -> None:
    """Units of four rows have the years 1 to 4, as nobody else could fill the first two."""
    rows = model.sample(20_000, np.random.default_rng(4))
    whole = rows[rows.groupby("person")["person"].transform("size") == 4]
    assert (whole["year"] <= 4).mean() > 0.9


def test_a_number_of_units(model: FittedModel) -> None:
    rows = model.sample(units=1_234, rng=np.random.default_rng(5))
    assert rows["person"].nunique() == 1_234
    with pytest.raises(UsageError, match="units"):
        model.sample(10, units=10)
    single = fit(people(300), schema(rows_per_unit=1), method="independent", epsilon=8.0, delta=1e-6)
    assert single.sizes is None
    assert single.sample(50)["person"].is_unique
    with pytest.raises(UsageError, match="every row is a unit by itself"):
        single.sample(units=10)
    with pytest.raises(UsageError, match="balanced rows stand for themselves"):
        model.sample(units=10, balance="sick")


def test_conditions_hold_for_every_row_and_columns_stay_constant(model: FittedModel) -> None:
    rows = model.sample(3_000, np.random.default_rng(6), where="born >= 1933 and sick == true and year <= 3")
    assert len(rows) == 3_000
    assert rows["born"].ge(1933).all()
    assert rows["sick"].all()
    assert rows["year"].le(3).all()
    assert constant(rows)
    assert not rows.duplicated(["person", "year"]).any()
    alone = model.sample(3_000, np.random.default_rng(6), where="sex == 'f'")
    thinned, whole = (r.groupby("person").size().mean() for r in (rows, alone))
    assert whole == pytest.approx(model.sizes.mean, abs=0.05), "what holds for a whole unit leaves its size"
    assert thinned < whole - 0.5, "of a unit's rows only some meet a condition on rows"


def test_a_saved_model_makes_the_same_units(model: FittedModel, tmp_path: Path) -> None:
    model.save(tmp_path / "model")
    again = load(tmp_path / "model")
    assert again.id == model.id
    pd.testing.assert_frame_equal(*(m.sample(500, np.random.default_rng(7)) for m in (model, again)))


def test_the_tables_parts_and_units(model: FittedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dpsynth.model.units.BATCH", 300)
    parts = list(model.sample_batches(1_000, np.random.default_rng(8)))
    assert len(parts) > 2
    table = model.sample_table(1_000, np.random.default_rng(8))
    assert table.units is not None
    assert table.unit_labels is not None
    assert (table.unit_labels[table.units] == table.values["person"]).all()
    assert len(set(table.unit_labels)) == len(table.unit_labels)


def test_without_static_columns_rows_are_grouped_as_they_come() -> None:
    fitted = fit(people(500), schema(), method="independent", epsilon=8.0, delta=1e-6)
    rows = fitted.sample(1_000, np.random.default_rng(9))
    assert rows.groupby("person").size().mean() == pytest.approx(fitted.sizes.mean, abs=0.05)


def test_the_plan_says_what_it_costs() -> None:
    from dpsynth import plan

    preview = plan(schema(), method="mst", epsilon=1.0, delta=1e-6)
    [asked] = [c for c in preview.charges if c.purpose == "rows per unit"]
    assert asked.event.sensitivity == 1
    hidden = Schema(columns={k: v for k, v in COLUMNS.items() if k != "person"}, unit=schema().unit)
    for other in (hidden, schema(rows_per_unit=1)):
        charges = plan(other, method="mst", epsilon=1.0, delta=1e-6).charges
        assert all(c.purpose != "rows per unit" for c in charges)


@pytest.mark.parametrize(
    "unit",
    [
        {"static": ("age",)}, {"static": ("person",)}, {"static": ("sex", "sex")}, {"order": "sex"}, {"order": "born"},
        {"order": "cost"}, {"order": "year", "rows_per_unit": 7}, {"static": ("year",), "order": "year"},
    ],
)  # fmt: skip
def test_what_a_unit_cannot_have(unit: dict[str, object]) -> None:
    with pytest.raises(SchemaError) as caught:
        schema(**unit)
    assert caught.value.code == "DPS-S143"


def test_the_declaration_is_read_back() -> None:
    declared = schema(static=STATIC, order="year")
    assert Schema.from_yaml(declared.to_yaml()) == declared


# --- sizes ----------------------------------------------------------------------------------------------------


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.integers(0, 5_000))
@settings(deadline=None, max_examples=100)
def test_sizes_make_exactly_as_many_rows(raw: list[float], rows: int) -> None:
    shares = np.array(raw) + 1e-9
    shares /= shares.sum()
    counts = sizes_for(rows, shares)
    assert (counts >= 0).all()
    assert counts @ np.arange(1, len(counts) + 1) == rows
    assert sizes_of(rows, shares).sum() == rows
    if rows > 50 * len(raw) ** 2:
        expected = shares * rows / (shares @ np.arange(1, len(shares) + 1))
        assert np.abs(counts - expected).sum() <= 3 * len(raw)


@pytest.mark.parametrize("most", [1, 3, 17, 250, 10_000])
def test_bins_cover_all_sizes_once(most: int) -> None:
    starts = size_starts(most)
    assert starts[0] == 1
    assert (np.diff(starts) > 0).all()
    assert starts[-1] <= most
    assert len(starts) <= 50
    counts = np.arange(most)
    assert binned(counts).sum() == counts.sum()
    assert len(binned(counts)) == len(starts)


def test_the_nearest_histogram() -> None:
    found = UnitSizes(4, np.array([100, -30, 5, 925], dtype=np.int64), 20.0)
    assert found.shares.sum() == pytest.approx(1)
    assert (found.shares >= 0).all()
    assert found.shares[1] == 0
    assert UnitSizes(3, np.array([-5, -1, 2], dtype=np.int64), 9.0).shares.tolist() == [1, 0, 0]
    again = UnitSizes.from_state(found.state())
    assert (again.counts == found.counts).all()
    with pytest.raises(ValueError, match="whole"):
        UnitSizes(4, np.array([1, 2], dtype=np.int64), 1.0)
    values = np.random.default_rng(1).normal(0, 1, 50)
    nearest = on_simplex(values)
    others = np.random.default_rng(2).dirichlet(np.ones(50), 500)
    assert (((nearest - values) ** 2).sum() <= ((others - values) ** 2).sum(axis=1)).all()


def test_thinning_is_binomial() -> None:
    two = UnitSizes(2, np.array([0, 1000], dtype=np.int64), 1.0)
    assert two.thinned(0.5) == pytest.approx([2 / 3, 1 / 3])  # of 1/4, 2/4, 1/4 without the empty ones
    assert two.thinned(1.0) == pytest.approx([0, 1])


# --- order and static -----------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 50), min_size=1, max_size=5).filter(any), st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=30)
def test_chosen_cells_differ_and_have_their_chances(sizes: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    wanted = rng.random(7) * (rng.random(7) < 0.8) + 1e-3
    chances = inclusion(np.array(sizes), wanted)
    assert chances.max() <= 1 + 1e-9
    for size in range(1, len(sizes) + 1):
        assert chances[size - 1].sum() == pytest.approx(size)
        cells = systematic(chances[size - 1], size, 400, rng)
        assert (np.diff(cells, axis=1) > 0).all()
        found = np.bincount(cells.ravel(), minlength=7) / 400
        assert np.abs(found - chances[size - 1]).max() < 0.02


def test_raking_meets_what_is_wanted_when_it_can() -> None:
    units, wanted = np.array([10, 20, 0, 70]), np.array([0.25, 0.25, 0.24, 0.24, 0.02])
    chances = inclusion(units, wanted)
    found = units @ chances
    target = wanted * (units @ np.arange(1, 5))
    assert np.abs(found - target).max() < 0.5


def test_sizes_are_spread_over_all_kinds_of_units() -> None:
    rng = np.random.default_rng(3)
    seeds = Records.of(Domain.of(a=2, b=3), {"a": rng.integers(0, 2, 3_000), "b": rng.integers(0, 3, 3_000)})
    sizes = np.repeat([1, 5], 1_500)
    dealt = spread_sizes(sizes, seeds, rng)
    assert sorted(dealt) == sorted(sizes)
    for a in range(2):
        for b in range(3):
            inside = (seeds["a"] == a) & (seeds["b"] == b)
            assert abs((dealt[inside] == 5).mean() - 0.5) < 0.02


# --- rules that tie the ordering column to static ones -------------------------------------------------------------


@pytest.mark.parametrize("rule", [
    {"forbid": "sex == 'f' and year >= 3"},
    {"require": "born + 20 * year <= 2070"},
])  # fmt: skip
@pytest.mark.parametrize("keeps_zeros", [True, False])
def test_rules_between_order_and_static_columns_are_kept(rule: dict[str, str], keeps_zeros: bool) -> None:
    """Also where the model knows nothing of them, and where they fall inside cells of a static column."""
    from dataclasses import replace

    about = {"entity": "person", "column": "person", "rows_per_unit": 4, "static": STATIC, "order": "year"}
    ruled = Schema(columns=COLUMNS, unit=about, constraints=[rule])
    if keeps_zeros:
        kept = people().query("sex == 'm' or year < 3") if "forbid" in rule else people()
        some = fit(kept, ruled, method="mst", epsilon=8.0, delta=1e-6, despite_violations=True)
    else:
        free = fit(people(), schema(static=STATIC, order="year"), method="mst", epsilon=8.0, delta=1e-6)
        some = replace(free, schema=ruled)
    drawn = some.sample(3_000, rng=np.random.default_rng(3))
    assert len(drawn) == 3_000
    assert not drawn.duplicated(["person", "year"]).any()
    assert (drawn.groupby("person").sex.nunique() == 1).all()
    assert set(drawn.groupby("person").size()) > {1}
    if "forbid" in rule:
        assert not ((drawn.sex == "f") & (drawn.year >= 3)).any()
        assert (drawn.sex == "f").any()
    else:
        assert not (drawn.born + 20 * drawn.year > 2070).fillna(False).any()


def test_sizes_are_exchanged_where_there_is_no_room() -> None:
    rng = np.random.default_rng(1)
    for sizes, room in [
        ([3, 1, 1], [1, 3, 3]),
        ([4, 3, 2], [2, 4, 3]),
        ([2, 2], [2, 2]),
        ([5, 1, 4], [4, 5, 1]),
    ]:
        found = exchanged(np.array(sizes), np.array(room), rng)
        assert sorted(found) == sorted(sizes)
        assert (found <= room).all()
    np.testing.assert_array_equal(likened(np.array([2, 3]), np.array([2, 3]), rng), [0, 1])
    np.testing.assert_array_equal(likened(np.array([2, 3, 1]), np.array([3, 2, 1]), rng), [0, 0, 2])
    with pytest.raises(DataError, match="more rows than") as refused:
        likened(np.array([2, 3]), np.array([2, 2]), rng)
    assert refused.value.code == "DPS-D213"


def test_rows_for_themselves_are_mended_in_static_columns_too() -> None:
    from dataclasses import replace

    free = fit(people(), schema(static=STATIC, order="year"), method="mst", epsilon=8.0, delta=1e-6)
    rule = {"functional": {"sex": "city"}, "map": {"A": "f", "B": "m", "C": "f"}}
    some = replace(
        free, schema=free.schema.model_copy(update={"constraints": (Constraint.model_validate(rule),)})
    )
    drawn = some.sample(300, rng=np.random.default_rng(4), balance="city")
    assert drawn.city.value_counts().tolist() == [100, 100, 100]
    assert (drawn.sex == drawn.city.map(rule["map"])).all()
