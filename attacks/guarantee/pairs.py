"""Worst-case neighbouring tables for anybody's generator, and scores of what it wrote. All made up.

A generator reads a table with the columns ``kind`` and ``group`` (categories) and ``amount`` (a whole number) and writes one
of the same columns. Which values there may be is public for `PUBLIC` pairs: both tables hold them all, so that even a
generator that reads its categories off the table has nothing to give away there. The other pairs are for generators that
claim to protect categories and bounds too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

ROWS = 60
CATEGORIES: Mapping[str, tuple[str, ...]] = {"kind": ("a", "b"), "group": ("x", "y")}
AMOUNTS = (0, 9)
"""Smallest and largest amount of `PUBLIC` pairs."""


@dataclass(frozen=True, eq=False)
class Pair:
    """`unit`: the row that is there or not. `words`: which fault it shows."""

    name: str
    words: str
    base: pd.DataFrame
    unit: pd.DataFrame
    is_public: bool

    def table(self, with_unit: bool) -> pd.DataFrame:
        return pd.concat([self.base, self.unit], ignore_index=True) if with_unit else self.base.copy()


def pairs() -> dict[str, Pair]:
    """All built-in pairs by name."""
    base = _base()
    new = [
        ("alone", "the only row of its combination: noise and sensitivity", ("b", "y", 9), True),
        ("one more", "a row like most others: an exact number of rows", ("a", "x", 0), True),
        (
            "new category",
            "a value that nobody else has: categories read off the table",
            ("new", "x", 0),
            False,
        ),
        (
            "extreme value",
            "an amount far beyond the others: bounds read off the table",
            ("a", "x", 10**6),
            False,
        ),
        ("missing value", "the first missing value: columns read off the table", ("a", None, 0), False),
    ]
    return {
        name: Pair(name, words, base, pd.DataFrame([row], columns=base.columns), is_public)
        for name, words, row, is_public in new
    }


def _base() -> pd.DataFrame:
    """Nearly all rows alike, and each value of each column at least once."""
    common = pd.DataFrame({"kind": "a", "group": "x", "amount": [0] * ROWS})
    rest = pd.DataFrame({"kind": ["b"] + ["a"] * 10, "group": ["x"] + ["y"] * 10, "amount": [0, *range(10)]})
    return pd.concat([common, rest], ignore_index=True)


def scores(written: pd.DataFrame, pair: Pair) -> dict[str, float]:
    """Numbers by which one may tell whether the unit was in: rows, how often its values and combinations come, the
    extremes of numbers, missing values, values that the rest does not have."""
    texts = written.astype(object).where(written.notna(), "").astype(str)
    found: dict[str, float] = {"rows": float(len(written)), "columns": float(written.shape[1])}
    unit = {name: _text(value) for name, value in pair.unit.iloc[0].items()}
    texts = texts.apply(lambda column: column.map({value: _text(value) for value in column.unique()}))
    hits = {name: texts[name] == value for name, value in unit.items() if name in texts}
    for name, hit in hits.items():
        found[f"{name} as the unit's"] = float(hit.sum())
    if len(hits) == len(unit):
        found["the unit's row"] = float(np.logical_and.reduce(list(hits.values())).sum())
        found["the unit's categories"] = float((hits["kind"] & hits["group"]).sum())
    for name in texts.columns:
        if name in pair.base:
            known = {_text(value) for value in pair.base[name]}
            found[f"new in {name}"] = float((~texts[name].isin(known)).sum())
            found[f"missing in {name}"] = float((texts[name] == "").sum())
    if "amount" in texts:
        numbers = pd.to_numeric(texts["amount"], errors="coerce").dropna()
        if len(numbers):
            found["largest amount"], found["smallest amount"] = float(numbers.max()), float(numbers.min())
    return found


def _text(value: object) -> str:
    """Numbers alike however they were written."""
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return ""
    text = str(value)
    try:
        number = float(text)
    except ValueError:
        return text
    return str(int(number)) if number.is_integer() else text
