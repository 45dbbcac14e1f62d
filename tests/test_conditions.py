"""Conditions: what is read, what is refused, and rows of a model that all meet them with the right probability."""

from __future__ import annotations

import datetime as dt
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpsynth.conditions import (
    AllOf,
    AnyOf,
    ColumnsCompared,
    Compared,
    IsMissing,
    OneOf,
    SumCompared,
    Value,
    columns_of,
    negation,
    parse,
)
from dpsynth.encoding import Encoding
from dpsynth.errors import UsageError
from dpsynth.evidence import Evidence
from dpsynth.records import Records
from dpsynth.schema import Schema

SCHEMA = Schema(
    columns={
        "age": {"type": "integer", "min": 0, "max": 99, "cells": 10, "missing": True},
        "hours": {"type": "integer", "min": 0, "max": 40, "cells": 4, "special": [-1, 0]},
        "cost": {"type": "number", "min": 0, "max": 100, "cells": 4, "decimals": 1},
        "pay": {"type": "integer", "min": 0, "max": 1000, "cells": 5, "spread": "log"},
        "plan": {"type": "category", "values": ["A", "B", ">C"], "missing": True},
        "grade": {"type": "category", "values": ["low", "mid", "high"], "ordered": True},
        "code": {"type": "category", "values": [1, 2, 10]},
        "smoker": {"type": "boolean", "true_value": "yes", "false_value": "no"},
        "odd name": {"type": "boolean", "missing": True},
        "day": {"type": "date", "min": "2020-01-01", "max": "2020-12-31", "cells": 12},
        "time": {"type": "time", "min": "08:00", "max": "18:00", "cells": 5},
    }
)
ENCODING = Encoding(SCHEMA)


def test_what_is_read() -> None:
    assert parse("plan == '>C' and 30 <= age < 40.5") == AllOf(
        (
            Compared("plan", "==", Value(">C")),
            AllOf((Compared("age", ">=", Value("30", 30)), Compared("age", "<", Value("40.5", 81 / 2)))),
        )
    )
    assert parse("`odd name` is not missing") == IsMissing("odd name", True)
    assert parse("a NOT IN (1, 'it''s') or b > a") == AnyOf(
        (OneOf("a", (Value("1", 1), Value("it's")), True), ColumnsCompared("b", ">", "a"))
    )
    assert parse("a + 2 * b <= 7 - c and a - 1 < -3 and -2 < a") == AllOf(
        (
            SumCompared((("a", Fraction(1)), ("b", Fraction(2)), ("c", Fraction(1))), "<=", Fraction(7)),
            Compared("a", "<", Value("-2", Fraction(-2))),
            Compared("a", ">", Value("-2", Fraction(-2))),
        )
    )
    assert parse("not (a == true or a is missing)") == AllOf(
        (Compared("a", "!=", Value("true")), IsMissing("a", True))
    )
    assert columns_of(parse("a > 1 and (b < c or d in [1])")) == {"a", "b", "c", "d"}


@pytest.mark.parametrize(
    "text",
    ["", " ", "a", "a = 1", "1 < 2", "a ==", "((a == 1)", "a == 1)", "a.b == 1", "f(a) == 1", "a == [1]", "a in []",
     "a == 'x", "a * 2 > 2", "a + 'x' == 1", "a - a < 1",
     "a == 1 b == 2", "__import__('os')", "a == 1; b", "(" * 100 + "a == 1" + ")" * 100,
     "a is 1", "a in 1", "not", "a == 1 and", "a == 0x10", "a < 1.2.3", "x" * 20_000, "\x00", "a == \\'"],
)  # fmt: skip
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(text)
    assert caught.value.code == "DPS-U191"


@given(st.text(alphabet="ab1'\"`()[]<>=!, \nnotandorinismissing.", max_size=40))
@settings(max_examples=300, deadline=None)
def test_no_text_breaks_the_reader(text: str) -> None:
    try:
        found = parse(text)
    except UsageError:
        return
    assert negation(negation(found)) == found
    assert columns_of(found)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("age > 3 or plan == 'A'", "U192"),
        ("not (age > 3 and plan == 'A')", "U192"),
        ("age > hours", "U193"),
        ("nothing == 1", "U194"),
        ("plan == 'D'", "U195"),
        ("plan < 'B'", "U195"),
        ("age > 'old'", "U195"),
        ("day > 5", "U195"),
        ("day > '2020-13-01'", "U195"),
        ("smoker == 'maybe'", "U195"),
        ("smoker > 'no'", "U195"),
    ],
)
def test_what_cannot_be_asked(text: str, code: str) -> None:
    with pytest.raises(UsageError) as caught:
        Evidence.of(parse(text), ENCODING)
    assert caught.value.code == f"DPS-{code}"


def test_a_column_that_follows_a_rule_names_what_to_ask_about() -> None:
    columns = {
        "age": {"type": "integer", "min": 0, "max": 99},
        "old": {"type": "computed", "formula": "if age >= 65 then 'yes' else 'no'", "gives": "text"},
        "site": {"type": "constant", "value": "A"},
    }
    encoding = Encoding(Schema(columns=columns))
    for asked, way in [
        ("old == 'yes'", "computed by a formula; ask about age"),
        ("site == 'A'", "declared rule"),
    ]:
        with pytest.raises(UsageError, match=way) as caught:
            Evidence.of(parse(asked), encoding)
        assert caught.value.code == "DPS-U194"


ASKED = {
    "age >= 35 and age < 50": lambda f: f["age"].between(35, 49).fillna(False),
    "not age > 7": lambda f: (f["age"] <= 7).fillna(False),
    "age is missing": lambda f: f["age"].isna(),
    "age is not missing and age != 12": lambda f: f["age"].notna() & (f["age"] != 12),
    "age in [1, 2, 77] or age is missing": lambda f: f["age"].isin([1, 2, 77]) | f["age"].isna(),
    "hours <= 0": lambda f: f["hours"] <= 0,
    "0 < hours <= 3": lambda f: (f["hours"] > 0) & (f["hours"] <= 3),
    "hours != -1": lambda f: f["hours"] != -1,
    "cost > 12.34 and 50.05 >= cost": lambda f: (f["cost"] > 12.34) & (f["cost"] <= 50.05),
    "cost not in [0.5, 99]": lambda f: ~f["cost"].isin([0.5, 99]),
    "pay > 150 and pay <= 777": lambda f: (f["pay"] > 150) & (f["pay"] <= 777),
    "plan not in ['A', '>C']": lambda f: f["plan"] == "B",
    "plan == 'A' or plan is missing": lambda f: (f["plan"] == "A") | f["plan"].isna(),
    "grade >= 'mid'": lambda f: f["grade"].isin(["mid", "high"]),
    "code == 10 and smoker == true": lambda f: (f["code"] == 10) & (f["smoker"] == "yes"),
    "smoker != 'yes' and `odd name` == 1": lambda f: (f["smoker"] == "no") & f["odd name"].fillna(False),
    "'2020-02-10' <= day < '2020-06-03'": lambda f: (f["day"] >= "2020-02-10") & (f["day"] < "2020-06-03"),
    "time > '09:30' and time != '12:00'": lambda f: f["time"].map(lambda t: dt.time(9, 30) < t != dt.time(12)),
}  # fmt: skip


@pytest.mark.parametrize("text", ASKED)
def test_weights_are_shares_and_refined_rows_meet_the_condition(text: str) -> None:
    """Rows decoded from all cells evenly: those that meet the condition are as many as the weights say."""
    evidence, n, rng = Evidence.of(parse(text), ENCODING), 40_000, np.random.default_rng(1)
    drawn = Records.of(ENCODING.domain, {a: rng.integers(0, s, n) for a, s in
                                         zip(ENCODING.domain.attributes, ENCODING.domain.sizes, strict=True)})  # fmt: skip
    met = ASKED[text](ENCODING.decode(drawn, rng).to_frame()).to_numpy(dtype=bool)
    weights = np.prod([evidence.weights[a][drawn[a]] for a in evidence.weights], axis=0)
    assert abs(met.sum() - weights.sum()) < 5.5 * np.sqrt((weights * (1 - weights)).sum() + 1e-9) + 1e-6
    assert not met[weights == 0].any()
    assert met[weights == 1].all()

    able = drawn.take(weights > 0)
    table = evidence.refined(ENCODING.decode(able, rng), able, rng)
    assert ASKED[text](table.to_frame()).all()
    for mine, theirs in zip(ENCODING.encode(table).columns, able.columns, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_refined_values_are_spread_as_unconditioned_ones() -> None:
    """The mean of pay above 250, in a cell with logarithmic spread, drawn directly and by throwing the others away."""
    rng, n = np.random.default_rng(2), 60_000
    evidence = Evidence.of(parse("pay > 250"), ENCODING)
    cells = {a: np.full(n, int(a == "pay")) for a in ENCODING.domain.attributes}
    records = Records.of(ENCODING.domain, cells)
    plain = ENCODING.decode(records, rng).values["pay"]
    direct = evidence.refined(ENCODING.decode(records, rng), records, rng).values["pay"]
    kept = plain[plain > 250]
    assert direct.min() > 250
    spread = kept.std() * np.sqrt(1 / len(kept) + 1 / len(direct))
    assert abs(kept.mean() - direct.mean()) < 5.5 * spread
    assert abs(np.random.default_rng(3).integers(251, 400, n).mean() - kept.mean()) > 5.5 * spread
