"""The whole evaluation on tables, and learning on synthetic rows."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from dpsynth.encoding import Encoding
from dpsynth.errors import DataError, UsageError
from dpsynth.evaluation import Evaluation, evaluate
from dpsynth.evaluation.columns import column_shares
from dpsynth.evaluation.features import features, targets
from dpsynth.evaluation.learning import learn, macro_auc
from dpsynth.records import Records
from dpsynth.schema import Schema
from dpsynth.table import Table, read_table

SCHEMA = Schema(
    columns={
        "person": {"type": "id"},
        "age": {"type": "integer", "min": 0, "max": 99},
        "cost": {"type": "number", "min": 0, "max": 1000, "cells": 50, "missing": True},
        "region": {"type": "category", "values": ["north", "south", "east", "west"]},
        "since": {"type": "date", "min": "2000-01-01", "max": "2020-12-31", "cells": 7},
        "ill": {"type": "boolean", "missing": True},
    },
    unit={"entity": "person", "column": "person", "rows_per_unit": 2},
)


def frame(n: int, rng: np.random.Generator) -> pd.DataFrame:
    age = rng.integers(0, 100, n)
    region = rng.choice(["north", "south", "east", "west"], n, p=[0.5, 0.3, 0.15, 0.05])
    cost = np.clip(3 * age + 150 * (region == "south") + rng.normal(0, 40, n), 0, 1000)
    found = pd.DataFrame(
        {"person": rng.integers(0, n // 2, n).astype(str), "age": age, "cost": cost.round(2)}
    )
    found["region"] = region
    found["since"] = pd.Timestamp("2000-01-01") + pd.to_timedelta(rng.integers(0, 7000, n), unit="D")
    found["ill"] = pd.array(rng.random(n) < 1 / (1 + np.exp((60 - age) / 10)), dtype="boolean")
    found.loc[rng.random(n) < 0.1, "cost"] = np.nan
    found.loc[rng.random(n) < 0.05, "ill"] = pd.NA
    return found


def table(n: int, seed: int) -> Table:
    return read_table(frame(n, np.random.default_rng(seed)), SCHEMA)


def shuffled(source: Table, seed: int) -> Table:
    """The same columns, unrelated."""
    rng = np.random.default_rng(seed)
    encoding = Encoding(SCHEMA)
    columns = tuple(rng.permutation(c) for c in encoding.encode(source).columns)
    return encoding.decode(Records(encoding.domain, columns), rng)


@pytest.fixture(scope="module")
def tables() -> tuple[Table, Table, Table]:
    return table(3000, 1), table(3000, 2), table(1000, 3)


def fewer(tables: tuple[Table, Table, Table]) -> tuple[Table, ...]:
    """Enough rows for what does not depend on how many there are."""
    return tuple(one.take(slice(0, 600)) for one in tables)


def scores(evaluation: Evaluation) -> dict[tuple[str, str], Any]:
    return {
        (one.target, s.measure): s
        for one in evaluation.learned
        if one.model == "boosted trees"
        for s in one.scores
    }


def test_good_rows_are_good_and_unrelated_columns_are_not(tables: tuple[Table, Table, Table]) -> None:
    good, train, holdout = tables
    fine = evaluate(good, train, holdout, SCHEMA, rng=np.random.default_rng(4))
    poor = evaluate(shuffled(train, 5), train, holdout, SCHEMA, rng=np.random.default_rng(4))
    assert fine.score is not None
    assert poor.score is not None
    assert fine.score.score > poor.score.score + 20
    assert [m.ways for m in fine.marginals] == [1, 2, 3]
    assert {c.column for c in fine.columns} == set(SCHEMA.modelled)
    at, worse = scores(fine), scores(poor)
    (target,) = {t for t, m in at if m == "AUC"}
    assert abs(at[target, "AUC"].gap.value) < 0.05
    assert worse[target, "AUC"].gap.value > 0.2
    assert worse[target, "AUC"].synthetic.low < 0.55
    (number,) = {t for t, m in at if m == "R2"}
    assert at[number, "R2"].real.value > 0.5 > worse[number, "R2"].synthetic.value
    assert at[number, "mean absolute error"].real.value < at[number, "mean absolute error"].guess


def test_it_is_reproducible_and_plain_json(tables: tuple[Table, Table, Table]) -> None:
    good, train, holdout = fewer(tables)
    one, other = (
        evaluate(good, train, holdout, SCHEMA, target=(), rng=np.random.default_rng(6)).as_json()
        for _ in range(2)
    )
    assert one == other
    assert json.loads(json.dumps(one, allow_nan=False)) == one
    assert one["internal"] is True
    assert one["learned"] == []


@pytest.mark.parametrize("target", ["ill", ["region", "cost"], "since"])
def test_the_target_may_be_named(tables: tuple[Table, Table, Table], target: Any) -> None:
    good, train, holdout = fewer(tables)
    found = evaluate(good, train, holdout, SCHEMA, target=target, rng=np.random.default_rng(7))
    assert {one.target for one in found.learned} == set([target] if isinstance(target, str) else target)


def test_what_cannot_be_evaluated_is_refused(tables: tuple[Table, Table, Table]) -> None:
    good, train, holdout = tables
    with pytest.raises(UsageError, match="no column 'person' to predict"):
        evaluate(good, train, holdout, SCHEMA, target="person", rng=np.random.default_rng(8))
    with pytest.raises(DataError, match="synthetic table has no rows"):
        evaluate(good.take(slice(0, 0)), train, holdout, SCHEMA, rng=np.random.default_rng(8))
    with pytest.raises(DataError, match="training table has no rows"):
        evaluate(good, train.take(slice(0, 0)), holdout, SCHEMA, rng=np.random.default_rng(8))


def test_without_hold_out_what_can_be_said_is_said(tables: tuple[Table, Table, Table]) -> None:
    good, train, holdout = tables
    found = evaluate(good, train, holdout.take(slice(0, 0)), SCHEMA, rng=np.random.default_rng(9))
    assert found.learned == ()
    assert "no rows were held out" in found.notes
    assert any("fewer than 50 held-out rows" in note for note in found.notes)
    assert found.marginals[1].heldout is None


def test_tiny_and_single_column_tables_do_not_break() -> None:
    single = Schema(columns={"ill": {"type": "boolean"}})
    rows = read_table(pd.DataFrame({"ill": [True, False, True]}), single)
    found = evaluate(rows, rows, rows.take(slice(0, 1)), single, rng=np.random.default_rng(10))
    assert [m.ways for m in found.marginals] == [1]
    assert found.score is None
    small = table(12, 11)
    assert evaluate(small, small, small, SCHEMA, rng=np.random.default_rng(12)).learned == ()


def test_synthetic_rows_of_one_class_predict_nothing(tables: tuple[Table, Table, Table]) -> None:
    _, train, holdout = tables
    one_class = train.take(np.flatnonzero((train.values["ill"] == 0) & ~train.missing["ill"]))
    learned, reason = learn(one_class, train, holdout, "ill", np.random.default_rng(13))
    assert reason is None
    (auc,) = [s for s in learned[0].scores if s.measure == "AUC"]
    assert auc.synthetic.value == 0.5
    assert auc.real.value > 0.7


def test_a_target_that_hardly_varies_is_noted(tables: tuple[Table, Table, Table]) -> None:
    good, train, holdout = tables
    constant = train.take(np.flatnonzero((train.values["ill"] == 0) & ~train.missing["ill"]))
    found = evaluate(good, constant, holdout, SCHEMA, target="ill", rng=np.random.default_rng(14))
    assert found.learned == ()
    assert any("almost all rows have the same class" in note for note in found.notes)


def test_areas_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(15)
    answer = rng.integers(0, 3, 400)
    predicted = np.round(rng.dirichlet([1, 1, 1], 400) + 0.3 * np.eye(3)[answer], 1)  # with ties
    weights = np.vstack([np.ones(400), rng.poisson(1.0, (3, 400))]).astype(float)
    ours = macro_auc(answer, predicted, weights)
    for w, area in zip(weights, ours, strict=True):
        theirs = [roc_auc_score(answer == k, predicted[:, k], sample_weight=w) for k in range(3)]
        assert area == pytest.approx(np.mean(theirs))
    two = macro_auc(answer % 2, np.column_stack([1 - predicted[:, 1], predicted[:, 1]]), weights[:1])
    assert two[0] == pytest.approx(roc_auc_score(answer % 2, predicted[:, 1]))
    assert np.isnan(macro_auc(np.zeros(5, int), np.full((5, 2), 0.5), np.ones((1, 5)))).all()


def test_features_keep_missing_values_and_rank_categories(tables: tuple[Table, Table, Table]) -> None:
    good, train, _ = tables
    (first, second), categorical = features([good, train], ["cost", "region"], train)
    assert categorical == [False, True]
    assert np.array_equal(np.isnan(second[:, 0]), train.missing["cost"])
    assert (second[:, 1] == 0).mean() == pytest.approx(0.5, abs=0.05)  # the commonest value is 0
    (answers, _), classes = targets([train, good], "region", train)
    assert classes == 4
    assert np.isnan(answers).sum() == 0
    assert first.shape == (3000, 2)


def test_columns_are_shown_in_few_bars_and_add_up(tables: tuple[Table, Table, Table]) -> None:
    good, train, _ = tables
    encoding = Encoding(SCHEMA)
    one, other = encoding.encode(good), encoding.encode(train)
    for name in SCHEMA.modelled:
        ordered = encoding.domain[name] - SCHEMA.modelled[name].missing if encoding.is_ordered(name) else 0
        bars = column_shares(name, one, other, encoding.labels(name), ordered)
        assert len(bars.labels) == len(bars.real) == len(bars.synthetic) <= 30
        assert sum(bars.real) == pytest.approx(1)
        assert sum(bars.synthetic) == pytest.approx(1)
    assert bars.labels[-1] == "missing"


def test_many_categories_are_shown_as_the_commonest_and_the_rest() -> None:
    wide = Schema(columns={"code": {"type": "category", "values": [f"c{i:03d}" for i in range(200)]}})
    rng = np.random.default_rng(16)
    rows = Encoding(wide).encode(
        read_table(
            pd.DataFrame({"code": [f"c{i:03d}" for i in rng.geometric(0.03, 2000).clip(0, 199)]}), wide
        )
    )
    bars = column_shares("code", rows, rows, Encoding(wide).labels("code"), 0)
    assert len(bars.labels) == 30
    assert bars.labels[-1] == "171 rarer values"
    assert bars.error == 0
