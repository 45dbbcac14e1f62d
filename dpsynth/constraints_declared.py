"""Rules between columns as a person declares them: public knowledge, about every row of the synthetic table.

    constraints:
      - forbid: "age < 16 and occupation == 'CEO'"          no row may be so
      - require: "hours <= 80 or job == 'farmer'"           every row must be so
      - when: "age < 16"                                    where the one holds, the other must
        then: "income is missing"
      - allow: {columns: [plan, region], rows: [[A, north], [B, south]]}
      - order: [admitted, discharged]                       ascending; `strict: true` where equal ones are none
      - sum: "total == rent + food"                         also <=, also with a number: "a + b + c == 100"
      - functional: {education_num: education}              education tells education_num
        map: {Bachelors: 13, Masters: 14}                   public, or learnt for a charge where it is left out

Totals of the whole table (`counts`, `total`) are in `dpsynth.totals_declared`, rules about the rows of a unit in
`dpsynth.sequences_declared`; all others are about each row by itself.

A value that is missing breaks no rule, unless the rule says `is missing`. Expressions are those of `dpsynth.conditions`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import combinations
from typing import Any, Literal

from pydantic import field_validator, model_validator

from dpsynth.conditions import (
    AllOf,
    AnyOf,
    ColumnsCompared,
    Compared,
    Condition,
    OneOf,
    SumCompared,
    Value,
    columns_of,
    negation,
    parse,
)
from dpsynth.declared import Declared, Fault, Text
from dpsynth.errors import UsageError
from dpsynth.sequences_declared import STEPS, Stepping
from dpsynth.totals_declared import Counted, Rows, Summed

__all__ = ["Allowed", "Constraint", "Functional"]

KINDS = ("forbid", "require", "when", "allow", "order", "sum", "functional", "counts", "total", *STEPS)
MOST_ORDERED, MOST_LISTED = 20, 2_000
"""Columns of one order; rows or entries of one list."""
MAPS = "constraints: which value tells which"
"""Purpose of the charge for all maps that are learnt."""
_NUMBER = re.compile(r"-?\d{1,15}(\.\d{1,12})?")


def _scalar(value: Any) -> Value:
    """A value of a list or map, as the expressions know it."""
    if isinstance(value, bool):
        return Value("true" if value else "false")
    if isinstance(value, int | float):
        return Value(str(value), Fraction(str(value)))
    if isinstance(value, str):
        return Value(value, Fraction(value) if _NUMBER.fullmatch(value) else None)
    if hasattr(value, "isoformat"):
        return Value(value.isoformat())
    raise Fault("S162", "holds what is no value", "write texts, numbers, dates, true or false")


def _plain(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else value


def _key(value: Any) -> str:
    """A key of a map as YAML reads it: a text."""
    return _scalar(value).text


class Allowed(Declared):
    """The combinations of values that may occur; a row with one of the values missing is not judged."""

    columns: tuple[Text, ...]
    rows: tuple[tuple[Any, ...], ...]

    @field_validator("rows", mode="before")
    @classmethod
    def _values(cls, rows: Any) -> Any:
        if not isinstance(rows, list | tuple) or not all(isinstance(row, list | tuple) for row in rows):
            raise Fault("S162", "is no list of rows", "write rows: [[A, north], [B, south]]")
        return tuple(tuple(_plain(value) for value in row) for row in rows)

    @model_validator(mode="after")
    def _check(self) -> Allowed:
        if len(set(self.columns)) < max(2, len(self.columns)):
            raise Fault("S162", "allow needs two different columns or more", "name each once")
        if not self.rows or any(len(row) != len(self.columns) for row in self.rows):
            raise Fault("S162", "a row of allow has not one value for each column", "complete it")
        if len(self.rows) > MOST_LISTED:
            raise Fault("S162", f"allow lists {len(self.rows):,} rows", f"at most {MOST_LISTED:,}")
        for row in self.rows:
            for value in row:
                _scalar(value)
        return self

    @property
    def forbidden(self) -> Condition:
        """A row that is none of the listed ones: for each known beginning, any other value in the next column."""
        found: list[Condition] = []
        for depth, name in enumerate(self.columns):
            nexts: dict[tuple[Any, ...], dict[Any, None]] = {}
            for row in self.rows:
                nexts.setdefault(row[:depth], {})[row[depth]] = None
            for begin, values in nexts.items():
                known = [Compared(c, "==", _scalar(v)) for c, v in zip(self.columns, begin, strict=False)]
                other = OneOf(name, tuple(map(_scalar, values)), negated=True)
                found.append(_all((*known, other)))
        return _any(found)


@dataclass(frozen=True)
class Functional:
    """`dependent` is told by `determinant`; `known`: (value of the one, value of the other) where declared or learnt."""

    dependent: str
    determinant: str
    known: tuple[tuple[Value, Value], ...] | None
    one_to_one: bool

    @property
    def forbidden(self) -> Condition:
        found: list[Condition] = []
        for source, image in self.known or ():
            told, is_it = Compared(self.determinant, "==", source), Compared(self.dependent, "==", image)
            found.append(AllOf((told, negation(is_it))))
            if self.one_to_one:
                found.append(AllOf((is_it, negation(told))))
        return _any(found)


class RowRule(Declared):
    """The fields of a rule about each row by itself."""

    forbid: Text | None = None
    require: Text | None = None
    when: Text | None = None
    then: Text | None = None
    allow: Allowed | None = None
    order: tuple[Text, ...] | None = None
    strict: bool = False
    sum: Text | None = None
    functional: dict[Text, Text] | None = None
    map: dict[str, Any] | None = None
    one_to_one: bool = False


class Constraint(Stepping, RowRule):
    """One rule; see the head of this file. `change`: the columns that may be altered where a row would break it, the
    first choice first (default: those named last). `reason`: how the rule is known."""

    counts: Counted | None = None
    total: Summed | None = None
    of: Rows | None = None
    change: tuple[Text, ...] = ()
    reason: Text | None = None
    origin: Literal["public", "dp"] = "public"

    @field_validator("map", mode="before")
    @classmethod
    def _of_values(cls, value: Any) -> Any:
        return {_key(k): _plain(v) for k, v in value.items()} if isinstance(value, dict) else value

    @model_validator(mode="after")
    def _check(self) -> Constraint:
        belongs = {
            "then": ("when",), "strict": ("order",), "map": ("functional",),
            "one_to_one": ("functional",), "of": ("counts", "total"),
        }  # fmt: skip
        for part, kinds in belongs.items():
            if getattr(self, part) and self._kind not in kinds:
                raise Fault("S160", f"{part} does not belong to {self._kind}", f"it goes with {kinds[0]}")
        if self.when is not None and self.then is None:
            raise Fault("S160", "when lacks its then", "write then: and what must hold")
        _ = self.forbidden
        if set(self.change) - set(self.columns):
            raise Fault("S160", "change names a column that the rule does not", "correct the name")
        return self

    @cached_property
    def _kind(self) -> str:
        kinds = [kind for kind in KINDS if getattr(self, kind) is not None]
        if len(kinds) != 1:
            raise Fault("S160", "is not one rule", f"write one of {', '.join(KINDS)}")
        return kinds[0]

    @property
    def about(self) -> Literal["row", "table", "unit"]:
        """What it can be judged on: each row by itself, the whole table, or the rows of a unit."""
        if self.counts is not None or self.total is not None:
            return "table"
        return "row" if self.stepping is None else "unit"

    @property
    def is_open(self) -> bool:
        """Whether its map is to be learnt."""
        return self.functional is not None and self.map is None

    @cached_property
    def dependency(self) -> Functional | None:
        """The functional dependency, if it is one."""
        if self.functional is None:
            return None
        if len(self.functional) != 1:
            raise Fault("S160", "functional is not one pair", "write functional: {education_num: education}")
        ((dependent, determinant),) = self.functional.items()
        if dependent == determinant:
            raise Fault("S160", "a column tells itself", "name two columns")
        if self.map is None:
            return Functional(dependent, determinant, None, self.one_to_one)
        if not self.map or len(self.map) > MOST_LISTED:
            raise Fault("S162", f"map has {len(self.map):,} entries", f"1 to {MOST_LISTED:,}")
        known = tuple((_scalar(k), _scalar(v)) for k, v in self.map.items())
        if self.one_to_one and len({v.text for _, v in known}) < len(known):
            raise Fault("S162", "map is not one to one", "drop one_to_one, or correct it")
        return Functional(dependent, determinant, known, self.one_to_one)

    @cached_property
    def forbidden(self) -> Condition | None:
        """What no row may be; None while a map is open, and for what is not about single rows. Raises Fault (S160 to
        S162)."""
        if self.about != "row" or self.is_open:
            return None
        if (listed := self.dependency or self.allow) is not None:
            return listed.forbidden
        if self.order is not None:
            return _unordered(self.order, self.strict)
        if self.when is not None:
            return AllOf((_read(self.when, "when"), negation(_read(self.then or "", "then"))))
        if self.forbid is not None:
            return _read(self.forbid, "forbid")
        condition = _read(self.require or self.sum or "", "require" if self.require else "sum")
        if self.sum is not None and not isinstance(condition, SumCompared | ColumnsCompared):
            raise Fault("S161", "sum compares no sum", 'write such as sum: "total == rent + food"')
        return negation(condition)

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The columns that it is about, in the order in which a repair tries to alter them."""
        named = self._named()
        return tuple(dict.fromkeys((*self.change, *reversed(named))))

    def _named(self) -> list[str]:
        """As they first appear in the declaration; the dependent and the total come last."""
        of_table = self.counts or self.total
        if of_table is not None or self.about == "unit":
            return list(self.step_columns if of_table is None else of_table.columns)
        if self.dependency is not None:
            return [self.dependency.determinant, self.dependency.dependent]
        if self.allow is not None:
            return list(self.allow.columns)
        if self.order is not None:
            return list(self.order)
        assert self.forbidden is not None
        names = columns_of(self.forbidden)
        if self.when is not None:
            last = columns_of(_read(self.then or "", "then"))
            text = self.when
            return sorted(names - last, key=text.find) + sorted(last, key=(self.then or "").find)
        text = self.forbid or self.require or self.sum or ""
        found = sorted(names, key=text.find)
        return [*found[1:], found[0]] if self.sum is not None else found

    @property
    def words(self) -> str:
        """The rule for people."""
        return self._row_words() if self.about == "row" else self._other_words()

    def _other_words(self) -> str:
        if self.counts is not None:
            return f"fixed numbers of rows by {', '.join(self.counts.columns)}"
        if self.total is not None:
            return f"fixed total of {self.total.column}" + (f" by {self.total.by}" if self.total.by else "")
        return self.step_words

    def _row_words(self) -> str:
        match self._kind:
            case "functional":
                assert self.dependency is not None
                told = f"{self.dependency.determinant} tells {self.dependency.dependent}"
                return f"{told}, and the other way round" if self.one_to_one else told
            case "allow":
                assert self.allow is not None
                return f"only {len(self.allow.rows)} listed combinations of {', '.join(self.allow.columns)}"
            case "order":
                return (" < " if self.strict else " <= ").join(self.order or ())
            case "when":
                return f"where {self.when}: {self.then}"
            case "forbid":
                return f"never: {self.forbid}"
            case _:
                return f"always: {self.require or self.sum}"

    def with_map(self, known: Mapping[str, Any]) -> Constraint:
        """The same with a map that was learnt for a charge."""
        return Constraint.model_validate({**self.as_plain(), "map": dict(known), "origin": "dp"})

    def as_plain(self) -> dict[str, Any]:
        """As it stands in a file."""
        return self.model_dump(mode="json", exclude_defaults=True)


def _read(text: str, part: str) -> Condition:
    try:
        return parse(text)
    except UsageError as error:
        raise Fault("S161", f"{part}: {error.problem}", error.fix) from None


def _unordered(names: tuple[str, ...], strict: bool) -> Condition:
    """Any pair the wrong way round: also where one between them is missing."""
    if not 2 <= len(set(names)) == len(names) <= MOST_ORDERED:
        raise Fault("S160", "order is no list of different columns", f"name 2 to {MOST_ORDERED}")
    return _any([ColumnsCompared(a, ">=" if strict else ">", b) for a, b in combinations(names, 2)])


def _any(parts: list[Condition]) -> Condition:
    return parts[0] if len(parts) == 1 else AnyOf(tuple(parts))


def _all(parts: tuple[Condition, ...]) -> Condition:
    return parts[0] if len(parts) == 1 else AllOf(parts)
