"""Associations, quantiles, rare values, groups, fairness, telling apart: each against the obvious or a
planted fault."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from dpsynth.errors import UsageError
from dpsynth.evaluation import Evaluation, evaluate
from dpsynth.evaluation.associations import correlation, correlation_ratio, cramers_v
from dpsynth.evaluation.fairness import Groups, gaps, judged_classes, judged_numbers
from dpsynth.evaluation.quantiles import _Apart, _at
from dpsynth.schema import Schema
from dpsynth.table import Table, read_table

SCHEMA = Schema(
    columns={
        "age": {"type": "integer", "min": 0, "max": 99, "cells": 20},
        "cost": {"type": "number", "min": 0, "max": 500, "cells": 40, "decimals": 1, "missing": True},
        "day": {"type": "date", "min": "2020-01-01", "max": "2020-12-31", "cells": 12},
        "area": {"type": "category", "values": ["n", "s", "e", "rare1", "rare2", "rare3"]},
        "sex": {"type": "category", "values": ["f", "m"]},
        "code": {"type": "category", "values": ["F", "M"]},  # another name of sex
        "ill": {"type": "boolean"},
    }
)


def frame(n: int, rng: np.random.Generator, *, bias: float = 0.0, shift: float = 0.0) -> pd.DataFrame:
    """`bias`: how much rarer illness is written down for women; `shift`: added to every cost."""
    age = rng.integers(0, 100, n)
    sex = rng.choice(["f", "m"], n)
    ill = rng.random(n) < np.where(sex == "f", 1 - bias, 1.0) / (1 + np.exp((50 - age) / 8))
    cost = np.clip(2.0 * age + 60 * ill + rng.normal(0, 20, n) + shift, 0, 500).round(1)
    found = pd.DataFrame({"age": age, "cost": cost})
    found.loc[rng.random(n) < 0.1, "cost"] = np.nan
    found["day"] = pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 366, n), unit="D")
    areas = ["n", "s", "e", "rare1", "rare2", "rare3"]
    found["area"] = rng.choice(areas, n, p=[0.5, 0.3, 0.185, 0.005, 0.005, 0.005])
    found["sex"], found["code"], found["ill"] = sex, np.char.upper(sex), ill
    return found


def table(n: int, seed: int, **planted: float) -> Table:
    return read_table(frame(n, np.random.default_rng(seed), **planted), SCHEMA)


@pytest.fixture(scope="module")
def real() -> tuple[Table, Table]:
    return table(5000, 1), table(1500, 2)


@pytest.fixture(scope="module")
def fine(real: tuple[Table, Table]) -> Evaluation:
    return evaluate(table(4500, 3), *real, SCHEMA, target="ill", groups=["sex"], rng=np.random.default_rng(4))


@pytest.fixture(scope="module")
def poor(real: tuple[Table, Table]) -> Evaluation:
    """Women's illness hidden, costs shifted, rare areas gone, sex and its other name at odds."""
    rows = frame(5000, np.random.default_rng(5), bias=0.9, shift=40.0)
    rows["area"] = rows["area"].where(~rows["area"].str.startswith("rare"), "n")
    rows.loc[:499, "code"] = np.where(rows.loc[:499, "sex"] == "f", "M", "F")
    synthetic = read_table(rows, SCHEMA)
    return evaluate(synthetic, *real, SCHEMA, target="ill", groups=["sex"], rng=np.random.default_rng(4))


def joint(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.asarray(pd.crosstab(first, second), dtype=float)[None]


def test_associations_are_those_of_the_textbooks() -> None:
    rng = np.random.default_rng(6)
    a = rng.integers(0, 5, 3000)
    b = np.clip(a + rng.integers(-2, 3, 3000), 0, 4)
    table = joint(a, b)
    ranks = [stats.rankdata(v) for v in (a, b)]
    scores = [np.array([r[v == k].mean() for k in range(5)]) for v, r in zip((a, b), ranks, strict=True)]
    assert correlation(table, *scores)[0] == pytest.approx(stats.spearmanr(a, b).statistic)
    assert cramers_v(table)[0] == pytest.approx(stats.contingency.association(table[0].astype(int)))
    groups = [b[a == k].astype(float) for k in range(5)]
    f = stats.f_oneway(*groups).statistic
    eta = np.sqrt(f * 4 / (f * 4 + 3000 - 5))
    assert correlation_ratio(table, np.arange(5.0))[0] == pytest.approx(eta)
    flat = np.full((1, 1, 5), 0.2)
    assert correlation(flat, np.zeros(1), np.arange(5.0))[0] == cramers_v(flat)[0] == 0


def test_distance_and_quantiles_are_those_of_the_textbooks() -> None:
    rng = np.random.default_rng(7)
    a, b = np.sort(rng.normal(0, 1, 400).round(1)), np.sort(rng.gamma(2, 1, 300).round(1))
    w, v = rng.integers(0, 3, 400).astype(float), rng.integers(1, 4, 300).astype(float)
    assert _Apart.of(a, b)(w, v) == pytest.approx(stats.wasserstein_distance(a, b, w, v))
    ours = _at(a, np.ones(400))
    assert np.array_equal(
        ours, np.quantile(a, [0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99], method="inverted_cdf")
    )


def test_a_faithful_table_is_as_good_as_real_rows(fine: Evaluation) -> None:
    assert fine.associations is not None
    assert fine.associations.error.value < 3 * fine.associations.redrawn.high
    for one in fine.numbers:
        assert one.distance.value < 3 * one.redrawn.high
        assert one.missing[0] == pytest.approx(one.missing[1].value, abs=0.03)
    assert {one.column for one in fine.numbers} == {"age", "cost", "day"}
    assert fine.rare.kept is not None
    assert fine.rare.kept.value == 1
    assert fine.rare.new is not None
    assert fine.rare.new.value < 0.01
    assert fine.discriminator is not None
    assert fine.discriminator.auc.value < 0.56
    (groups,) = fine.subgroups
    assert all(g.error.value < 3 * g.redrawn.high for g in groups.groups)
    assert sum(g.train_rows for g in groups.groups) == fine.sizes.train
    assert sum(g.synthetic_rows for g in groups.groups) == fine.sizes.synthetic


def test_planted_faults_are_seen_and_named_first(fine: Evaluation, poor: Evaluation) -> None:
    assert poor.associations is not None
    assert set(poor.associations.by_pair[0].clique) <= {"sex", "code", "ill"}
    assert poor.numbers[0].column == "cost"
    assert poor.numbers[0].distance.low > 5 * poor.numbers[0].redrawn.high
    assert poor.rare.kept is not None
    assert poor.rare.kept.value == 0
    assert poor.rare.columns[0].column == "area"
    assert poor.rare.columns[0].values == 3
    assert set(poor.rare.pairs[0].clique) == {"sex", "code"}
    assert poor.rare.pairs[0].synthetic == pytest.approx(0.1)
    assert poor.rare.pairs[0].heldout == 0
    assert poor.discriminator is not None
    assert poor.discriminator.auc.low > 0.6
    (groups,) = poor.subgroups
    assert groups.groups[0].label == "f"
    assert groups.gap is not None
    assert groups.gap_redrawn is not None
    assert groups.gap.low > groups.gap_redrawn.high


def test_a_model_that_learns_a_bias_widens_the_gap(fine: Evaluation, poor: Evaluation) -> None:
    def recall(evaluation: Evaluation) -> Any:
        trees = next(one for one in evaluation.learned if one.model == "boosted trees")
        return next(gap for gap in trees.fairness if gap.measure.endswith("recognised"))

    assert recall(poor).widened.low > 0.2
    assert abs(recall(fine).widened.value) < 0.15
    assert recall(fine).column == "sex"
    assert {group.label for group in recall(fine).groups} == {"f", "m"}
    assert {one.model for one in fine.learned} == {"boosted trees", "random forest", "logistic regression"}


def test_gaps_by_hand() -> None:
    code = np.repeat([0, 1, 2], [40, 40, 5])
    answer = np.tile([0, 1], 43)[:85]
    right, wrong = np.eye(2)[answer], np.eye(2)[1 - answer]
    mixed = np.where((code == 1)[:, None], wrong, right)
    weights = np.vstack([np.ones(85), np.random.default_rng(8).poisson(1, (50, 85))]).astype(float)
    groups = Groups("g", code, ("a", "b", "tiny"))
    found = {gap.measure: gap for gap in gaps([groups], judged_classes(answer, mixed, right, "yes"), weights)}
    assert found["accuracy"].synthetic.value == 1
    assert found["accuracy"].real.value == 0
    assert found["'yes' recognised"].widened.value == 1
    assert found["predicted 'yes'"].truth == 0
    assert [group.label for group in found["accuracy"].groups] == ["a", "b"]
    assert all(group.small for group in found["accuracy"].groups)
    off = gaps([groups], judged_numbers(np.zeros(85), np.where(code == 1, 2.0, -1.0), np.zeros(85)), weights)
    assert [gap.synthetic.value for gap in off] == [1.0, 3.0]


def test_a_column_that_another_one_tells_is_not_chosen_for_prediction(real: tuple[Table, Table]) -> None:
    bare = Schema(columns={name: SCHEMA.columns[name] for name in ("sex", "code", "ill", "age")})
    tables = [replace(t, schema=bare) for t in (table(2000, 9), *real)]
    found = evaluate(*tables, bare, rng=np.random.default_rng(10))
    assert {one.target for one in found.learned} == {"ill", "age"}


def test_everything_is_plain_json_and_groups_are_checked(fine: Evaluation, real: tuple[Table, Table]) -> None:
    plain = fine.as_json()
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    dates = next(one for one in plain["numbers"] if one["column"] == "day")  # type: ignore[attr-defined]
    assert dates["quantiles"][3]["real"].startswith("2020-0")
    with pytest.raises(UsageError, match="makes no groups"):
        evaluate(real[0], *real, SCHEMA, groups=["age"], rng=np.random.default_rng(11))


def test_one_column_alone_has_no_pairs() -> None:
    alone = Schema(columns={"ill": {"type": "boolean"}})
    rows = read_table(pd.DataFrame({"ill": [True, False] * 40}), alone)
    found = evaluate(rows, rows, rows, alone, rng=np.random.default_rng(12))
    assert found.associations is None
    assert found.subgroups == found.numbers == ()
    assert found.rare.kept is None
    assert found.rare.new is None


def test_special_values_take_their_place_or_stay_apart() -> None:
    schema = Schema(
        columns={
            "spent": {"type": "integer", "min": 0, "max": 200, "special": [0]},
            "since": {"type": "integer", "min": 0, "max": 200, "special": [-1]},
            "age": {"type": "integer", "min": 0, "max": 200},
        }
    )
    rng = np.random.default_rng(5)
    age = rng.integers(0, 201, 3000)
    frame = pd.DataFrame(
        {"spent": np.where(age < 100, 0, age), "since": np.where(age < 100, -1, age), "age": age}
    )
    train = read_table(frame, schema)
    found = evaluate(train, train, train, schema, rng=rng)
    assert found.associations is not None
    real = {one.clique: one.real for one in found.associations.by_pair}
    wanted = stats.spearmanr(
        frame["spent"], age
    ).statistic  # a zero is less than everything, as its number says
    assert real[("spent", "age")] == pytest.approx(wanted, abs=0.02)
    assert real[("since", "age")] > 0.99  # where there is a code for "never", it says nothing of the order
    bars = {column.column: column for column in found.columns}
    assert bars["since"].labels[-1] == "-1"
    assert bars["since"].real[-1] == pytest.approx((age < 100).mean())
    assert all("-1" not in label for label in bars["since"].labels[:-1])
