"""Declared constraints bound to a schema: for each, the clauses of which a row may meet none."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import product

import numpy as np
from numpy.typing import NDArray

from dpsynth.allowed import Allowed, question
from dpsynth.columns import (
    BooleanColumn,
    CategoryColumn,
    DateColumn,
    IntegerColumn,
    Modelled,
    MomentColumn,
    NumberColumn,
    value_cells,
)
from dpsynth.conditions import (
    AllOf,
    AnyOf,
    ColumnsCompared,
    Compared,
    Condition,
    IsMissing,
    OneOf,
    Relation,
    SumCompared,
    Value,
)
from dpsynth.constraints.atoms import Axis, Clause, Linear, State, Within
from dpsynth.constraints_declared import Constraint
from dpsynth.encoding import Encoding
from dpsynth.errors import SchemaError, UsageError
from dpsynth.schema import Schema
from dpsynth.table import Table

MOST_CLAUSES = 20_000
"""Of one rule: a rule of more is too complicated to be kept."""
MOST_SUM = 1 << 58
"""Sums are exact below it."""

Question = Compared | OneOf | IsMissing


@dataclass(frozen=True, eq=False)
class Rule:
    """A constraint of the schema. `number`: its place in the file, from 1; `columns`: those that a repair may alter, the
    first choice first."""

    number: int
    declared: Constraint
    columns: tuple[str, ...]
    clauses: tuple[Clause, ...]

    @property
    def words(self) -> str:
        return self.declared.words

    def broken(self, state: State) -> NDArray[np.bool_]:
        """The rows that break it, shape (rows,)."""
        found = np.zeros(len(state), dtype=bool)
        for clause in self.clauses:
            found |= clause.holds(state)
        return found


@dataclass(frozen=True, eq=False)
class Rules:
    """All rules of a schema that are known: those with an open map, or about values still to be discovered, are not."""

    every: tuple[Rule, ...]
    axes: Mapping[str, Axis]

    @classmethod
    def of(cls, schema: Schema) -> Rules:
        """Raises SchemaError (S164, S165) for a rule that means nothing for its columns."""
        encoding = Encoding(schema)
        known = [
            (number, rule)
            for number, rule in enumerate(schema.constraints, 1)
            if rule.about == "row" and not rule.is_open and not set(rule.columns) & set(schema.unknown)
        ]
        names = encoding.domain.ordered(name for _, rule in known for name in rule.columns)
        axes = {name: Axis.of(name, encoding) for name in names}
        return cls(tuple(_bound(n, rule, encoding, axes) for n, rule in known), axes)

    def __bool__(self) -> bool:
        return bool(self.every)

    def together(self) -> list[tuple[Rule, ...]]:
        """Rules that hang together by their columns, each set in the order of the file."""
        sets: list[list[Rule]] = []
        for rule in self.every:
            touching = [s for s in sets if any(set(rule.columns) & set(r.columns) for r in s)]
            sets = [s for s in sets if s not in touching] + [[r for s in touching for r in s] + [rule]]
        return [tuple(sorted(found, key=lambda rule: rule.number)) for found in sets]

    def only_about(self, names: Iterable[str]) -> Rules:
        """What the rules say of none but these columns: of ``a < b < c`` that ``a < b``, where c is another."""
        inside, found = frozenset(names), []
        for rule in self.every:
            clauses = tuple(clause for clause in rule.clauses if clause.columns <= inside)
            columns = tuple(name for name in rule.columns if name in inside)
            if clauses and columns:
                found.append(replace(rule, clauses=clauses, columns=columns))
        return Rules(tuple(found), self.axes)

    def state(self, table: Table) -> State:
        return State.of(table, self.axes)

    def broken(self, table: Table) -> dict[int, NDArray[np.int64]]:
        """The rows of a table, counted from 0, that break each rule, by its number; rules that none breaks are left out."""
        state = self.state(table)
        found = {rule.number: np.flatnonzero(rule.broken(state)) for rule in self.every}
        return {number: rows for number, rows in found.items() if len(rows)}


def _bound(number: int, rule: Constraint, encoding: Encoding, axes: Mapping[str, Axis]) -> Rule:
    assert rule.forbidden is not None
    try:
        found = _clauses(_plainly(rule.forbidden, encoding.schema.modelled), encoding, axes)
    except UsageError as error:
        problem = f"constraint {number} ({rule.words}): {error.problem}"
        raise SchemaError("S164", problem, error.fix) from None
    return Rule(number, rule, rule.columns, tuple(found))


def _plainly(condition: Condition, columns: Mapping[str, Modelled]) -> Condition:
    """Texts of two columns that are not listed alike, compared value by value."""
    match condition:
        case AllOf(parts):
            return AllOf(tuple(_plainly(part, columns) for part in parts))
        case AnyOf(parts):
            return AnyOf(tuple(_plainly(part, columns) for part in parts))
        case ColumnsCompared(left, "==" | "!=", right):
            ours, theirs = _texts(columns[left]), _texts(columns[right])
            if ours is None or theirs is None or ours == theirs:
                return condition
            same = condition.relation == "=="
            return AnyOf(
                tuple(
                    AllOf((Compared(left, "==", Value(t)), OneOf(right, (Value(t),), not same)))
                    for t in ours
                    if t in theirs
                )
                + (() if same else (_others(left, ours, theirs, right),))
            )
        case _:
            return condition


def _others(left: str, ours: tuple[str, ...], theirs: tuple[str, ...], right: str) -> Condition:
    alone = tuple(Value(t) for t in ours if t not in theirs)
    there = IsMissing(right, negated=True)
    return AllOf((OneOf(left, alone), there)) if alone else AnyOf(())


def _texts(column: Modelled) -> tuple[str, ...] | None:
    return column.values if isinstance(column, CategoryColumn) else None


def _clauses(condition: Condition, encoding: Encoding, axes: Mapping[str, Axis]) -> list[Clause]:
    """Disjunctive normal form; what can never be is left out."""
    found = []
    for parts in _products(condition):
        within: dict[str, Allowed] = {}
        linear = []
        for part in parts:
            if isinstance(part, ColumnsCompared | SumCompared):
                linear.append(_linear(part, axes))
            else:
                allowed = _question(part, encoding)
                name = part.column
                within[name] = within[name].also(allowed) if name in within else allowed
        if all(a.spans or a.single.any() for a in within.values()):
            asked = {name: Within(axes[name], allowed) for name, allowed in within.items()}
            found.append(Clause(asked, tuple(linear)))
    return found


Part = Compared | OneOf | IsMissing | ColumnsCompared | SumCompared


def _products(condition: Condition) -> list[tuple[Part, ...]]:
    match condition:
        case AnyOf(parts):
            found = [clause for part in parts for clause in _products(part)]
        case AllOf(parts):
            each = [_products(part) for part in parts]
            if math.prod(map(len, each)) > MOST_CLAUSES:
                raise UsageError("U196", "it has too many cases", "split it into several constraints")
            found = [tuple(p for clause in choice for p in clause) for choice in product(*each)]
        case _:
            found = [(condition,)]
    if len(found) > MOST_CLAUSES:
        raise UsageError("U196", "it has too many cases", "split it into several constraints")
    return found


def _question(asked: Question, encoding: Encoding) -> Allowed:
    """As `allowed.question`; a discovered column may lack a value that the rule names: then nothing is so."""
    column = encoding.schema.modelled[asked.column]
    if isinstance(column, CategoryColumn) and column.origin == "dp":
        known = set(column.values)
        if isinstance(asked, OneOf):
            asked = replace(asked, values=tuple(v for v in asked.values if v.text in known))
        lacking = (isinstance(asked, OneOf) and not asked.values) or (
            isinstance(asked, Compared) and asked.value.text not in known
        )
        if lacking:
            negated = asked.negated if isinstance(asked, OneOf) else asked.relation == "!="  # type: ignore[union-attr]
            single = np.full(value_cells(column) + column.missing, negated)
            if column.missing:
                single[-1] = False
            return Allowed((), single)
    return question(asked, encoding)


def _linear(asked: ColumnsCompared | SumCompared, axes: Mapping[str, Axis]) -> Linear:
    if isinstance(asked, ColumnsCompared):
        if asked.left == asked.right:
            raise UsageError("U196", "a column is compared with itself", "name two columns")
        _comparable(axes[asked.left].column, axes[asked.right].column, asked.relation)
        terms: tuple[tuple[str, Fraction], ...] = ((asked.left, Fraction(1)), (asked.right, Fraction(-1)))
        constant = Fraction(0)
    else:
        _addable([axes[name].column for name, _ in asked.terms])
        terms, constant = asked.terms, asked.constant
    if asked.relation in (">", ">="):
        terms, constant = tuple((name, -factor) for name, factor in terms), -constant
    factors = [factor / axes[name].scale for name, factor in terms]
    common = math.lcm(constant.denominator, *(f.denominator for f in factors))
    whole = tuple((name, int(f * common)) for (name, _), f in zip(terms, factors, strict=True))
    bound = int(constant * common) - (asked.relation in ("<", ">"))
    if sum(abs(f) * _largest(axes[name]) for name, f in whole) + abs(bound) > MOST_SUM:
        raise UsageError("U196", "its sums are too large to be exact", "declare fewer decimals")
    kept: Relation = asked.relation if asked.relation in ("==", "!=") else "<="
    return Linear(whole, kept, bound)  # type: ignore[arg-type]


def _largest(axis: Axis) -> int:
    ends: Iterable[int] = np.concatenate([axis.starts, axis.ends, axis.codes]).tolist()
    return max(map(abs, ends), default=0)


def _comparable(left: Modelled, right: Modelled, relation: Relation) -> None:
    numbers = isinstance(left, IntegerColumn | NumberColumn) and isinstance(
        right, IntegerColumn | NumberColumn
    )
    moments = isinstance(left, MomentColumn) and type(left) is type(right)
    if isinstance(left, MomentColumn) and isinstance(right, MomentColumn) and moments:
        moments = left.step == right.step and _zoned(left) == _zoned(right)
    texts = isinstance(left, CategoryColumn) and isinstance(right, CategoryColumn)
    if isinstance(left, CategoryColumn) and isinstance(right, CategoryColumn):
        ordered = left.ordered and right.ordered
        texts = left.values == right.values and (ordered or relation in ("==", "!="))
    truths = isinstance(left, BooleanColumn) and isinstance(right, BooleanColumn) and relation in ("==", "!=")
    if not (numbers or moments or texts or truths):
        raise UsageError(
            "U197",
            "it compares columns that cannot be compared",
            "two numbers, two moments of one kind and precision, or texts from one list (ordered: true for < and >)",
        )


def _zoned(column: MomentColumn) -> bool:
    return getattr(column, "timezone", None) is not None


def _addable(columns: list[Modelled]) -> None:
    if not (
        all(isinstance(column, IntegerColumn | NumberColumn) for column in columns)
        or all(isinstance(column, DateColumn) for column in columns)
    ):
        raise UsageError("U197", "it adds up columns that are no numbers", "add numbers, or dates (in days)")
