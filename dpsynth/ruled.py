"""Columns that follow rules: produced, never modelled, never read from the data.

They tell nothing about anybody, so they cost nothing. A real table may hold columns of these names; they are read past.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from dpsynth.column_base import AnyColumn, clean_text
from dpsynth.declared import Fault, Finite, Text, Whole
from dpsynth.formulas import Formula, columns_of, parse, texts_in

Gives = Literal["text", "number", "integer", "boolean"]
"""What a column holds: texts, float64, int64 or truth values."""

MAX_DRAWN = 100_000


class RuledColumn(AnyColumn):
    """What all of them have: `gives`."""

    @property
    def modelled(self) -> bool:
        return False

    @property
    def kind(self) -> Gives:
        """What it holds; follows from the declaration alone."""
        raise NotImplementedError


class ConstantColumn(RuledColumn):
    """The same value in every row."""

    type: Literal["constant"] = "constant"
    value: bool | int | float | str

    @model_validator(mode="after")
    def _check(self) -> ConstantColumn:
        if isinstance(self.value, str):
            clean_text(self.value, "value")
        elif not isinstance(self.value, bool) and abs(self.value) > 2**53:
            raise Fault("S171", "the value is no number that a file keeps exactly", "put it in quotes")
        return self

    @property
    def kind(self) -> Gives:
        match self.value:
            case bool():
                return "boolean"
            case int():
                return "integer"
            case float():
                return "number"
            case _:
                return "text"


class FakerColumn(RuledColumn):
    """Made-up names, addresses and the like by the Faker package (an extra), drawn independently of the data.

    `provider` is one of its generators without arguments (name, street_address, company, phone_number); `locale` as it
    names them. A real person may have such a name by chance.
    """

    type: Literal["faker"] = "faker"
    provider: Text
    locale: Text = "en_US"

    @model_validator(mode="after")
    def _check(self) -> FakerColumn:
        if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", self.provider):
            raise Fault(
                "S171", "provider is no name of a Faker generator", "such as name, company or street_address"
            )
        if not re.fullmatch(r"[a-z]{2,3}(_[A-Z]{2,4})?", self.locale):
            raise Fault("S171", "locale is none", "such as en_GB, de_DE or ja_JP")
        return self

    @property
    def kind(self) -> Gives:
        return "text"


class ComputedColumn(RuledColumn):
    """Computed from columns before it by a formula (see `dpsynth.formulas`), missing where that has no value.

    `gives`: whole numbers are rounded, numbers get `decimals`; texts come from ``if ... then 'a' else 'b'``. `passed`:
    names of functions in the formula that a program hands to the model (`model.with_functions`); a file holds no code.
    """

    type: Literal["computed"] = "computed"
    formula: Text
    passed: tuple[Text, ...] = ()
    gives: Literal["number", "integer", "text"] = "number"
    decimals: Annotated[Whole, Field(ge=0, le=12)] | None = None

    @model_validator(mode="after")
    def _check(self) -> ComputedColumn:
        for text in texts_in(self.parsed):
            clean_text(text, "a text of the formula")
        if len(set(self.passed)) < len(self.passed):
            raise Fault("S171", "passed names a function twice", "name each once")
        if self.decimals is not None and self.gives != "number":
            raise Fault("S171", "only numbers have decimals", "drop it, or declare gives: number")
        return self

    @property
    def parsed(self) -> Formula:
        return parse(self.formula, self.passed)

    @property
    def kind(self) -> Gives:
        return self.gives


class DrawnColumn(RuledColumn):
    """Drawn independently of everything: one of `values` by `weights` (even without), or from a declared `distribution`.

    uniform: between `min` and `max`. normal: `mean`, `deviation`. lognormal: of its logarithm. poisson: `mean`. Outside
    `min` and `max`, where they are given, values are drawn again. `decimals`: 0 gives whole numbers.
    """

    type: Literal["drawn"] = "drawn"
    values: tuple[Text, ...] | None = None
    weights: tuple[Annotated[Finite, Field(ge=0)], ...] | None = None
    distribution: Literal["uniform", "normal", "lognormal", "poisson"] | None = None
    min: Finite | None = None
    max: Finite | None = None
    mean: Finite | None = None
    deviation: Annotated[Finite, Field(gt=0)] | None = None
    decimals: Annotated[Whole, Field(ge=0, le=12)] = 2

    @model_validator(mode="after")
    def _check(self) -> DrawnColumn:
        if (self.values is None) == (self.distribution is None):
            raise Fault(
                "S172",
                "needs either values or a distribution",
                "write values: [A, B] or distribution: normal",
            )
        if self.values is not None:
            self._check_values(self.values)
        else:
            self._check_distribution()
        return self

    def _check_values(self, values: tuple[str, ...]) -> None:
        for number, value in enumerate(values, 1):
            clean_text(value, f"value {number} of the list")
        if not values or len(values) > MAX_DRAWN:
            raise Fault("S172", f"lists no value, or more than {MAX_DRAWN:,}", "list what may be drawn")
        if self.weights is not None and (len(self.weights) != len(values) or not sum(self.weights) > 0):
            raise Fault("S172", "weights are not one for each value, one of them above 0", "correct them")
        given = (self.min, self.max, self.mean, self.deviation)
        if any(number is not None for number in given):
            raise Fault("S172", "values have no min, max, mean or deviation", "drop them")

    def _check_distribution(self) -> None:
        if self.weights is not None:
            raise Fault("S172", "a distribution has no weights", "drop them")
        needed = {"uniform": ("min", "max"), "poisson": ("mean",)}.get(
            str(self.distribution), ("mean", "deviation")
        )
        lacking = [name for name in needed if getattr(self, name) is None]
        if lacking:
            raise Fault("S172", f"a {self.distribution} distribution lacks {' and '.join(lacking)}", "add it")
        if self.distribution == "poisson" and not 0 < float(self.mean or 0) <= 1e6:
            raise Fault("S172", "the mean of a poisson distribution lies outside (0, 1e6]", "correct it")
        if self.distribution == "lognormal" and abs(self.mean or 0) + 10 * float(self.deviation or 0) > 300:
            raise Fault(
                "S172", "mean and deviation of a lognormal are those of the logarithm", "make them smaller"
            )
        low, high = self.bounds
        if not low <= high:
            raise Fault("S172", "min is above max", "swap them")

    @property
    def bounds(self) -> tuple[float, float]:
        """Least and largest value; infinite where there is none."""
        return (
            -np.inf if self.min is None else float(self.min),
            np.inf if self.max is None else float(self.max),
        )

    @property
    def kind(self) -> Gives:
        if self.values is not None:
            return "text"
        return "integer" if self.decimals == 0 or self.distribution == "poisson" else "number"


Ruled = ConstantColumn | FakerColumn | ComputedColumn | DrawnColumn


def ruled_words(column: RuledColumn) -> str:
    """What the rule makes, for a page."""
    match column:
        case ConstantColumn(value=value):
            return f"always {str(value)[:60]}"
        case FakerColumn():
            return f"made up ({column.provider}, {column.locale}), independent of the data"
        case ComputedColumn():
            return f"computed from other columns: {column.formula[:200]}"
        case DrawnColumn(values=tuple() as values):
            return f"drawn from a declared list of {len(values)}, independent of the data"
        case _:
            return f"drawn from a declared distribution ({getattr(column, 'distribution', '')}), independent of the data"


def ruled_texts(column: RuledColumn) -> list[str]:
    """The texts that stand in the declaration and may be written: a hostile one could be a spreadsheet's formula."""
    match column:
        case ConstantColumn(value=str() as value):
            return [value]
        case DrawnColumn(values=tuple() as values):
            return list(values)
        case ComputedColumn():
            return texts_in(column.parsed)
        case _:
            return []


def not_modelled(column: AnyColumn | None) -> tuple[str, str]:
    """Why a column that is not modelled cannot be asked about, and what can instead: for errors."""
    match column:
        case ComputedColumn():
            return ": it is computed by a formula", ", ".join(sorted(columns_of(column.parsed)))
        case RuledColumn():
            return ": it follows a declared rule and tells nothing of the others", "another column"
        case _:
            return "", "another column"
