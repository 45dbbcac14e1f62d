"""Conditions on rows, written as text: ``income == '>50K' and 30 <= age < 40``.

    condition  = part { "or" part }            part    = factor { "and" factor }
    factor     = "not" factor | "(" condition ")" | question
    question   = term relation term { relation term } | column ["not"] "in" "[" value { "," value } "]"
               | column "is" ["not"] "missing"
    relation   = "==" | "!=" | "<" | "<=" | ">" | ">="          term = column | value | sum
    sum        = ["-"] summand { ("+" | "-") summand }          summand = column | number | number "*" column

A column is a plain name, or any name in backticks. A value is a number, a text in single or double quotes (a quote inside
is doubled), true or false. There is nothing else: no calls, no attributes, no products of columns, and nothing is executed.

A missing value meets no comparison, nor the negation of one; only ``is missing`` asks for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal

from dpsynth.errors import UsageError

Relation = Literal["==", "!=", "<", "<=", ">", ">="]
OPPOSITE: dict[str, Relation] = {"==": "!=", "!=": "==", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}
_TURNED: dict[str, Relation] = {"==": "==", "!=": "!=", "<": ">", ">": "<", "<=": ">=", ">=": "<="}

MAX_LENGTH, MAX_DEPTH = 10_000, 40
"""Characters of a condition, and brackets within brackets."""


@dataclass(frozen=True)
class Value:
    """A constant as it was written; `number` is None for a quoted text."""

    text: str
    number: Fraction | None = None


@dataclass(frozen=True)
class Compared:
    """A column beside a constant."""

    column: str
    relation: Relation
    value: Value


@dataclass(frozen=True)
class ColumnsCompared:
    """A column beside another column."""

    left: str
    relation: Relation
    right: str


@dataclass(frozen=True)
class SumCompared:
    """A sum of columns, each times a number, beside a constant: ``a + 2 * b <= 7``."""

    terms: tuple[tuple[str, Fraction], ...]
    relation: Relation
    constant: Fraction


@dataclass(frozen=True)
class OneOf:
    column: str
    values: tuple[Value, ...]
    negated: bool = False


@dataclass(frozen=True)
class IsMissing:
    column: str
    negated: bool = False


@dataclass(frozen=True)
class AllOf:
    parts: tuple[Condition, ...]


@dataclass(frozen=True)
class AnyOf:
    parts: tuple[Condition, ...]


Condition = Compared | ColumnsCompared | SumCompared | OneOf | IsMissing | AllOf | AnyOf


def parse(text: str) -> Condition:
    """The condition that `text` writes. UsageError U191 for anything else, with the place where it goes wrong."""
    if len(text) > MAX_LENGTH:
        raise UsageError("U191", f"a condition of more than {MAX_LENGTH:,} characters", "shorten it")
    return _Parser(text).whole()


def negation(condition: Condition) -> Condition:
    """What holds where the condition does not, for rows whose values are not missing."""
    match condition:
        case Compared() | ColumnsCompared() | SumCompared():
            return replace(condition, relation=OPPOSITE[condition.relation])
        case OneOf(column, values, negated):
            return OneOf(column, values, not negated)
        case IsMissing(column, negated):
            return IsMissing(column, not negated)
        case AllOf(parts):
            return AnyOf(tuple(negation(part) for part in parts))
        case AnyOf(parts):
            return AllOf(tuple(negation(part) for part in parts))


def columns_of(condition: Condition) -> frozenset[str]:
    """Every column that it names."""
    match condition:
        case ColumnsCompared(left, _, right):
            return frozenset((left, right))
        case SumCompared(terms, _, _):
            return frozenset(name for name, _ in terms)
        case AllOf(parts) | AnyOf(parts):
            return frozenset().union(*(columns_of(part) for part in parts))
        case _:
            return frozenset((condition.column,))


_TOKENS = re.compile(
    r"""(?P<space>\s+)
    |(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?(?![\w.]))
    |(?P<text>'(?:[^']|'')*'|"(?:[^"]|"")*")
    |(?P<quoted>`[^`]+`)
    |(?P<name>[^\W\d]\w*)
    |(?P<sign>==|!=|<=|>=|<|>|\(|\)|\[|\]|,|\+|-|\*)""",
    re.VERBOSE,
)
_WORDS = frozenset({"and", "or", "not", "in", "is", "missing", "true", "false"})


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    place: int


def _tokens(text: str) -> Iterator[_Token]:
    place = 0
    while place < len(text):
        found = _TOKENS.match(text, place)
        if found is None:
            raise _wrong(
                place, "this cannot be read", "texts stand in quotes, odd column names in `backticks`"
            )
        kind = str(found.lastgroup)
        piece = found[0]
        if kind == "name" and piece.lower() in _WORDS:
            kind, piece = "word", piece.lower()
        if kind != "space":
            yield _Token(kind, piece, place)
        place = found.end()
    yield _Token("end", "", len(text))


def _wrong(place: int, problem: str, fix: str) -> UsageError:
    return UsageError("U191", f"the condition goes wrong at character {place + 1}: {problem}", fix)


@dataclass(frozen=True)
class _Sum:
    """Columns and their factors, and a constant."""

    terms: dict[str, Fraction]
    constant: Fraction

    def plus(self, other: _Sum, times: int = 1) -> _Sum:
        terms = dict(self.terms)
        for name, factor in other.terms.items():
            terms[name] = terms.get(name, Fraction(0)) + times * factor
        return _Sum(terms, self.constant + times * other.constant)


_Side = str | Value | _Sum


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens = list(_tokens(text))
        self._at = 0
        self._depth = 0

    def whole(self) -> Condition:
        condition = self._any()
        if self._now.kind != "end":
            raise self._unexpected("it should end here, or go on with and / or")
        return condition

    @property
    def _now(self) -> _Token:
        return self._tokens[self._at]

    def _next(self) -> _Token:
        token = self._now
        self._at += 1
        return token

    def _took(self, *texts: str) -> bool:
        """Step over one of these words or signs, if it stands here."""
        there = self._now.kind in ("word", "sign") and self._now.text in texts
        self._at += there
        return there

    def _need(self, text: str) -> None:
        if not self._took(text):
            raise self._unexpected(f"here belongs {text}")

    def _unexpected(self, problem: str) -> UsageError:
        return _wrong(self._now.place, problem, "write such as: income == '>50K' and 30 <= age < 40")

    def _any(self) -> Condition:
        parts = [self._all()]
        while self._took("or"):
            parts.append(self._all())
        return parts[0] if len(parts) == 1 else AnyOf(tuple(parts))

    def _all(self) -> Condition:
        parts = [self._factor()]
        while self._took("and"):
            parts.append(self._factor())
        return parts[0] if len(parts) == 1 else AllOf(tuple(parts))

    def _factor(self) -> Condition:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self._unexpected("too many brackets within brackets")
        if self._took("not"):
            found = negation(self._factor())
        elif self._took("("):
            found = self._any()
            self._need(")")
        else:
            found = self._question()
        self._depth -= 1
        return found

    def _question(self) -> Condition:
        left = self._sum()
        if isinstance(left, str):
            if self._took("is"):
                negated = self._took("not")
                self._need("missing")
                return IsMissing(left, negated)
            if self._now.text in ("in", "not") and self._now.kind == "word":
                negated = self._took("not")
                self._need("in")
                return OneOf(left, self._list(), negated)
        parts = []
        while self._now.kind == "sign" and self._now.text in OPPOSITE:
            relation = OPPOSITE[OPPOSITE[self._next().text]]
            right = self._sum()
            parts.append(self._pair(left, relation, right))
            left = right
        if not parts:
            raise self._unexpected("here belongs a comparison (==, !=, <, <=, >, >=, in, is missing)")
        return parts[0] if len(parts) == 1 else AllOf(tuple(parts))

    def _pair(self, left: _Side, relation: Relation, right: _Side) -> Condition:
        if isinstance(left, Value) and isinstance(right, Value):
            raise self._unexpected("two constants are compared")
        if isinstance(left, str) and isinstance(right, str):
            return ColumnsCompared(left, relation, right)
        if isinstance(left, str) and isinstance(right, Value):
            return Compared(left, relation, right)
        if isinstance(left, Value) and isinstance(right, str):
            return Compared(right, _TURNED[relation], left)
        difference = self._as_sum(left).plus(self._as_sum(right), -1)
        terms = tuple((name, factor) for name, factor in difference.terms.items() if factor)
        if not terms:
            raise self._unexpected("the columns cancel out")
        if len(terms) == 1:
            ((name, factor),) = terms
            number = -difference.constant / factor
            return Compared(name, relation if factor > 0 else _TURNED[relation], Value(str(number), number))
        return SumCompared(terms, relation, -difference.constant)

    def _as_sum(self, side: _Side) -> _Sum:
        if isinstance(side, str):
            return _Sum({side: Fraction(1)}, Fraction(0))
        if isinstance(side, _Sum):
            return side
        if side.number is None:
            raise self._unexpected("a text stands beside a sum")
        return _Sum({}, side.number)

    def _sum(self) -> _Side:
        """A column's name or a constant by itself, otherwise what they add up to."""
        sign = -1 if self._took("-") else 1
        self._took("+")
        found = self._summand(sign)
        while self._now.kind == "sign" and self._now.text in ("+", "-"):
            sign = -1 if self._next().text == "-" else 1
            found = self._as_sum(found).plus(self._as_sum(self._summand(sign)))
        return found

    def _summand(self, sign: int) -> _Side:
        factor = self._term()
        if isinstance(factor, str):
            return factor if sign > 0 else _Sum({factor: Fraction(-1)}, Fraction(0))
        if factor.number is None:
            if sign > 0:
                return factor
            raise self._unexpected("a text has no sign")
        number = sign * factor.number
        if not self._took("*"):
            return Value(factor.text if sign > 0 else f"-{factor.text}", number)
        if self._now.kind not in ("name", "quoted"):
            raise self._unexpected("here belongs a column")
        return _Sum({self._name(): number}, Fraction(0))

    def _list(self) -> tuple[Value, ...]:
        close = "]" if self._took("[") else ")"
        if close == ")":
            self._need("(")
        values = [self._signed()]
        while self._took(","):
            values.append(self._signed())
        self._need(close)
        return tuple(values)

    def _signed(self) -> Value:
        if self._now.kind == "sign" and self._now.text in ("+", "-"):
            sign = self._next().text.strip("+")
            number = self._value()
            if number.number is None:
                raise self._unexpected("a text has no sign")
            return Value(sign + number.text, Fraction(sign + "1") * number.number)
        return self._value()

    def _term(self) -> str | Value:
        """A column's name, or a constant."""
        if self._now.kind in ("name", "quoted"):
            return self._name()
        return self._value()

    def _name(self) -> str:
        return self._next().text.strip("`")

    def _value(self) -> Value:
        token = self._now
        if token.kind == "number":
            self._at += 1
            return Value(token.text, Fraction(token.text))
        if token.kind == "text":
            self._at += 1
            quote = token.text[0]
            return Value(token.text[1:-1].replace(quote * 2, quote))
        if self._took("true", "false"):
            return Value(token.text)
        raise self._unexpected("here belongs a value: a number, or a text in quotes")
