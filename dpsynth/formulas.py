"""Formulas over columns, written as text: ``if visits > 0 then round(cost / visits) else 0``. Nothing is executed.

    formula   = "if" condition "then" formula "else" formula | sum
    sum       = product { ("+" | "-") product }          product = factor { ("*" | "/") factor }
    factor    = "-" factor | "(" formula ")" | number | text | column | function "(" formula { "," formula } ")"
    condition = conjunction { "or" conjunction }         conjunction = question { "and" question }
    question  = "not" question | "(" condition ")" | sum relation sum | column "is" ["not"] "missing"
    relation  = "==" | "!=" | "<" | "<=" | ">" | ">="
    function  = round | floor | ceil | abs | sqrt | exp | log | min | max | year | month | day | weekday | years | passed

A column is a plain name, or any name in backticks. Texts stand in quotes. Dates count in days; year, month, day and weekday
(1 is Monday) are those of a date, ``years(from, to)`` are completed years. What is computed from a missing value is missing,
and so is a division by zero; a comparison with a missing value does not hold. A *passed* function is handed over by a
program under a name that the column declares: nothing is looked up or imported by name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dpsynth.calendar_days import CALENDAR
from dpsynth.declared import Fault

Kind = Literal["number", "text"]
Mask = NDArray[np.bool_]

MAX_LENGTH, MAX_DEPTH = 4_000, 40
Functions = Mapping[str, Callable[..., NDArray[Any]]]
"""Of own arrays of float64, one for each argument, shape (rows,): one of that shape; what is not finite is missing."""


@dataclass(frozen=True, eq=False)
class Values:
    """A column of values, shape (rows,): float64, or texts (object). Where `missing`, the value is a filler."""

    kind: Kind
    array: NDArray[Any]
    missing: Mask


@dataclass(frozen=True)
class Constant:
    value: float | str


@dataclass(frozen=True)
class Named:
    column: str


@dataclass(frozen=True)
class Applied:
    """`operator`: one of + - * /, negative, or a function's name."""

    operator: str
    parts: tuple[Formula, ...]


@dataclass(frozen=True)
class Chosen:
    condition: Truth
    then: Formula
    otherwise: Formula


@dataclass(frozen=True)
class Related:
    relation: str
    left: Formula
    right: Formula


@dataclass(frozen=True)
class Lacking:
    column: str
    negated: bool


@dataclass(frozen=True)
class Joined:
    """`operator`: and, or, not."""

    operator: str
    parts: tuple[Truth, ...]


Formula = Constant | Named | Applied | Chosen
Truth = Related | Lacking | Joined

_FUNCTIONS: Mapping[str, tuple[int, Callable[..., Any]]] = {
    "round": (1, np.rint), "floor": (1, np.floor), "ceil": (1, np.ceil), "abs": (1, np.abs), "sqrt": (1, np.sqrt),
    "exp": (1, np.exp), "log": (1, np.log), "min": (2, np.minimum), "max": (2, np.maximum),
    **CALENDAR,
}  # fmt: skip
_OPERATORS: Mapping[str, Callable[..., Any]] = {
    "+": np.add, "-": np.subtract, "*": np.multiply, "/": np.divide, "negative": np.negative,
    **{name: function for name, (_, function) in _FUNCTIONS.items()},
}  # fmt: skip
_RELATIONS: Mapping[str, Callable[..., Any]] = {
    "==": np.equal, "!=": np.not_equal, "<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal,
}  # fmt: skip
_WORDS = frozenset({"if", "then", "else", "and", "or", "not", "is", "missing"})
_TOKENS = re.compile(
    r"""(?P<space>\s+)|(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?(?![\w.]))
    |(?P<text>'(?:[^']|'')*'|"(?:[^"]|"")*")|(?P<quoted>`[^`]+`)|(?P<name>[^\W\d]\w*)
    |(?P<sign>==|!=|<=|>=|<|>|[-+*/(),])""",
    re.VERBOSE,
)


def parse(text: str, passed: Collection[str] = ()) -> Formula:
    """The formula that `text` writes, which may call the functions in `passed`. Fault (S170), with the place, for others."""
    if len(text) > MAX_LENGTH:
        raise Fault(
            "S170", f"a formula of more than {MAX_LENGTH:,} characters", "split it into several columns"
        )
    parser = _Parser(text, passed)
    found = parser.formula()
    parser.need_end()
    return found


def columns_of(node: Formula | Truth) -> frozenset[str]:
    """Every column that it names."""
    match node:
        case Named(column) | Lacking(column, _):
            return frozenset({column})
        case Applied(_, parts) | Joined(_, parts):
            return frozenset[str]().union(*map(columns_of, parts))
        case Chosen(condition, then, otherwise):
            return columns_of(condition) | columns_of(then) | columns_of(otherwise)
        case Related(_, left, right):
            return columns_of(left) | columns_of(right)
        case Constant():
            return frozenset()


def texts_in(node: Formula) -> list[str]:
    """The texts that it may give."""
    match node:
        case Constant(str() as value):
            return [value]
        case Chosen(_, then, otherwise):
            return [*texts_in(then), *texts_in(otherwise)]
        case _:
            return []


def kind_of(node: Formula, columns: Mapping[str, Kind]) -> Kind:
    """What it gives, when the columns are of these kinds. Fault (S170) for numbers among texts, or an unknown column."""
    match node:
        case Constant(value):
            return "text" if isinstance(value, str) else "number"
        case Named(column):
            if column not in columns:
                raise Fault(
                    "S170", "the formula names a column that is not there, or comes later", "correct it"
                )
            return columns[column]
        case Applied(_, parts):
            if any(kind_of(part, columns) != "number" for part in parts):
                raise Fault(
                    "S170", "the formula calculates with texts", "compare texts, calculate with numbers"
                )
            return "number"
        case Chosen(condition, then, otherwise):
            _check_truth(condition, columns)
            found = kind_of(then, columns)
            if kind_of(otherwise, columns) != found:
                raise Fault("S170", "the formula gives a number here and a text there", "give one kind")
            return found


def _check_truth(node: Truth, columns: Mapping[str, Kind]) -> None:
    match node:
        case Joined(_, parts):
            for part in parts:
                _check_truth(part, columns)
        case Lacking(column, _):
            kind_of(Named(column), columns)
        case Related(relation, left, right):
            kinds = {kind_of(left, columns), kind_of(right, columns)}
            if len(kinds) > 1 or (kinds == {"text"} and relation not in ("==", "!=")):
                raise Fault(
                    "S170", "the formula compares texts with numbers, or orders texts", "use == or !="
                )


def evaluated(
    node: Formula, columns: Mapping[str, Values], rows: int, functions: Functions = MappingProxyType({})
) -> Values:
    """Its value for each row. Numbers that are not finite are missing. ValueError for a passed function of another shape."""
    match node:
        case Constant(value):
            kind: Kind = "text" if isinstance(value, str) else "number"
            array = np.full(rows, value, dtype=object if kind == "text" else np.float64)
            return Values(kind, array, np.zeros(rows, dtype=bool))
        case Named(column):
            return columns[column]
        case Applied(operator, parts):
            values = [evaluated(part, columns, rows, functions) for part in parts]
            with np.errstate(all="ignore"):
                apply = _OPERATORS.get(operator) or functions[operator]
                found = np.asarray(apply(*(v.array.copy() for v in values)), dtype=np.float64)
            if found.shape != (rows,):
                raise ValueError(f"{operator} gives no number for each row")
            gone = ~np.isfinite(found)
            for v in values:
                gone = gone | v.missing
            return Values("number", np.where(gone, 0.0, found), gone)
        case Chosen(condition, then, otherwise):
            holds = _holds(condition, columns, rows, functions)
            one, two = (evaluated(part, columns, rows, functions) for part in (then, otherwise))
            return Values(
                one.kind, np.where(holds, one.array, two.array), np.where(holds, one.missing, two.missing)
            )


def _holds(node: Truth, columns: Mapping[str, Values], rows: int, functions: Functions) -> Mask:
    match node:
        case Lacking(column, negated):
            return np.asarray(columns[column].missing != negated)
        case Joined("not", (part,)):
            return ~_holds(part, columns, rows, functions)
        case Joined(operator, parts):
            each = [_holds(part, columns, rows, functions) for part in parts]
            return np.asarray(np.all(each, axis=0) if operator == "and" else np.any(each, axis=0))
        case Related(relation, left, right):
            one, two = (evaluated(part, columns, rows, functions) for part in (left, right))
            found = np.asarray(_RELATIONS[relation](one.array, two.array), dtype=bool)
            return found & ~one.missing & ~two.missing


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    place: int


class _Parser:
    def __init__(self, text: str, passed: Collection[str]) -> None:
        self._passed = passed
        self._tokens: list[_Token] = []
        self._at = self._depth = place = 0
        while place < len(text):
            found = _TOKENS.match(text, place)
            if found is None:
                raise Fault(
                    "S170", f"the formula cannot be read from character {place + 1} on", "see the manual"
                )
            kind = str(found.lastgroup)
            if kind != "space":
                word = kind == "name" and found[0] in _WORDS
                self._tokens.append(_Token("word" if word else kind, found[0], place))
            place = found.end()
        self._tokens.append(_Token("end", "", len(text)))

    @property
    def _now(self) -> _Token:
        return self._tokens[self._at]

    def _took(self, *texts: str) -> str | None:
        """Step over one of these words or signs, if it stands here."""
        token = self._now
        if token.kind in ("word", "sign") and token.text in texts:
            self._at += 1
            return token.text
        return None

    def _need(self, text: str) -> None:
        if self._took(text) is None:
            raise self._wrong(f"here belongs {text}")

    def _wrong(self, problem: str) -> Fault:
        place = self._now.place + 1
        return Fault(
            "S170", f"the formula goes wrong at character {place}: {problem}", "such as: cost / visits"
        )

    def need_end(self) -> None:
        if self._now.kind != "end":
            raise self._wrong("it should end here, or go on with + - * /")

    def formula(self) -> Formula:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self._wrong("too deep")
        if self._took("if"):
            condition = self._any()
            self._need("then")
            then = self.formula()
            self._need("else")
            found: Formula = Chosen(condition, then, self.formula())
        else:
            found = self._sum()
        self._depth -= 1
        return found

    def _sum(self) -> Formula:
        found = self._product()
        while sign := self._took("+", "-"):
            found = Applied(sign, (found, self._product()))
        return found

    def _product(self) -> Formula:
        found = self._factor()
        while sign := self._took("*", "/"):
            found = Applied(sign, (found, self._factor()))
        return found

    def _factor(self) -> Formula:
        token = self._now
        if self._took("-"):
            self._depth += 1
            if self._depth > MAX_DEPTH:
                raise self._wrong("too deep")
            found = Applied("negative", (self._factor(),))
            self._depth -= 1
            return found
        if self._took("("):
            inside = self.formula()
            self._need(")")
            return inside
        return self._operand(token)

    def _operand(self, token: _Token) -> Formula:
        callable_ = token.text in _FUNCTIONS or token.text in self._passed
        if token.kind == "name" and callable_ and self._tokens[self._at + 1].text == "(":
            self._at += 1
            return self._function(token.text)
        if token.kind not in ("number", "text", "quoted", "name"):
            raise self._wrong("here belongs a number, a text in quotes or a column")
        self._at += 1
        match token.kind:
            case "number":
                return Constant(float(token.text))
            case "text":
                quote = token.text[0]
                return Constant(token.text[1:-1].replace(quote * 2, quote))
            case _:
                return Named(token.text.strip("`"))

    def _function(self, name: str) -> Formula:
        self._need("(")
        parts = [self.formula()]
        while self._took(","):
            parts.append(self.formula())
        if name in _FUNCTIONS and len(parts) != _FUNCTIONS[name][0]:
            raise self._wrong(f"{name} takes {_FUNCTIONS[name][0]}")
        self._need(")")
        return Applied(name, tuple(parts))

    def _any(self) -> Truth:
        return self._chain("or", lambda: self._chain("and", self._question))

    def _chain(self, word: str, part: Callable[[], Truth]) -> Truth:
        parts = [part()]
        while self._took(word):
            parts.append(part())
        return parts[0] if len(parts) == 1 else Joined(word, tuple(parts))

    def _question(self) -> Truth:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self._wrong("too deep")
        found = self._asked()
        self._depth -= 1
        return found

    def _asked(self) -> Truth:
        if self._took("not"):
            return Joined("not", (self._question(),))
        start, depth = self._at, self._depth
        if self._took("("):  # brackets around a condition, or around the left side of one
            try:
                inside = self._any()
                self._need(")")
                if self._now.text not in (*_RELATIONS, "+", "-", "*", "/"):
                    return inside
            except Fault:
                pass
            self._at, self._depth = start, depth
        left = self._sum()
        if isinstance(left, Named) and self._took("is"):
            negated = self._took("not") is not None
            self._need("missing")
            return Lacking(left.column, negated)
        if self._now.text not in _RELATIONS or self._now.kind != "sign":
            raise self._wrong("here belongs a comparison")
        relation = self._now.text
        self._at += 1
        return Related(relation, left, self._sum())
