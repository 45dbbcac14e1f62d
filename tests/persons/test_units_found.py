"""What is declared of a unit's rows against the rows: the operator's counts, and the internal comparison."""

from __future__ import annotations

import numpy as np
import pandas as pd
from test_units import COLUMNS, STATIC, people, schema

from dpsynth import Schema, evaluation, fit
from dpsynth.evaluation.units import unit_agreement
from dpsynth.table import read_table
from dpsynth.table.units import changing_units, units_found


def test_broken_declarations_are_counted() -> None:
    frame = pd.DataFrame(
        {
            "person": ["a", "a", "b", "b", "b", "b", "b", "c", "d", "d"],
            "sex": ["f", "m", "f", "f", "f", "f", "f", "m", "m", "m"],
            "born": [1950, 1950, 1950, 1950, 1950, 1950, 1950, None, 1950, None],
            "year": [1, 2, 1, 2, 3, 4, 5, 1, 3, 3],
            "sick": [True] * 10, "cost": [1.0] * 10, "city": ["A"] * 10,
        }
    )  # fmt: skip
    table = read_table(frame, schema(static=STATIC, order="year"))
    found = units_found(table)
    assert found is not None
    assert (found.units, found.above, found.repeating) == (4, 1, 1)
    assert found.changing == {"sex": 1, "born": 1, "city": 0}
    words = found.words(table)
    assert len(words) == 4
    assert not any("1950" in line for line in words), "counts, never values"
    assert table.unit_labels is not None
    assert table.unit_labels[changing_units(table, "born")].tolist() == ["d"]
    sound = read_table(people(50), schema(static=STATIC, order="year"))
    assert units_found(sound).words(sound) == []


def test_rows_that_are_units_have_nothing_to_keep() -> None:
    alone = Schema(columns={"sex": {"type": "category", "values": ["f", "m"]}})
    assert units_found(read_table(pd.DataFrame({"sex": ["f", "m"]}), alone)) is None


def test_the_comparison_sees_sizes_constancy_and_likeness() -> None:
    declared = schema(static=STATIC, order="year")
    table = read_table(people(1_500), declared)
    rng = np.random.default_rng(11)
    held = rng.random(table.units.max() + 1) < 0.3
    train, holdout = table.take(~held[table.units]), table.take(held[table.units])
    model = fit(people(1_500), declared, method="mst", epsilon=8.0, delta=1e-6)
    good = unit_agreement(model.sample_table(4_000, rng), train, holdout)
    assert good.distance < 0.05
    assert all(made == 0 == real for real, made in good.changing.values())
    single = model.sample(4_000, rng).assign(person=np.arange(4_000))
    bad = unit_agreement(read_table(single, declared), train, holdout)
    assert bad.distance > 0.5, "everybody with one row"
    mixed = model.sample(4_000, rng)
    mixed["person"] = rng.permutation(mixed["person"].to_numpy())
    shuffled = unit_agreement(read_table(mixed, declared), train, holdout)
    assert shuffled.changing["sex"][1] > 0.3, "rows dealt to anybody"
    assert good.alike["sick"][1] > 0.2, "sex makes the rows of a unit alike"
    assert abs(shuffled.alike["sick"][1]) < 0.1


def test_an_evaluation_holds_it() -> None:
    declared = schema(static=STATIC)
    table = read_table(people(400), declared)
    model = fit(people(400), declared, method="independent", epsilon=8.0, delta=1e-6)
    found = evaluation.evaluate(
        model.sample_table(500, np.random.default_rng(1)), table.take(table.units < 300),
        table.take(table.units >= 300), declared, target="sick", rng=np.random.default_rng(2),
    )  # fmt: skip
    assert found.as_json()["units"]["changing"]["sex"] == {"training": 0.0, "synthetic": 0.0}


def test_static_columns_that_follow_a_rule_are_not_read() -> None:
    declared = Schema(
        columns={**COLUMNS, "arm": {"type": "drawn", "values": ["x", "y"]}},
        unit={"entity": "person", "column": "person", "rows_per_unit": 4, "static": ("sex", "arm")},
    )
    found = units_found(read_table(people(50), declared))
    assert found is not None
    assert found.changing == {"sex": 0}
