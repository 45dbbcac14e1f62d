"""What is wrong with constraints before any row is read: none can be kept together, or one never says anything.

Every column is cut into pieces on which each question about it has one answer. Then each rule is a table of combinations of
pieces that it forbids, and whether something is left is an elimination of variables, exact for questions about single
columns. Sums and comparisons of columns are judged by their least and largest values on the pieces: "no row can" and "no row
could break it" are certain, but not every such case is found. Orders that run in a circle are found by shortest paths.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dpsynth.constraints import Rule, Rules
from dpsynth.constraints.atoms import Axis, Linear
from dpsynth.constraints.sequences import Sequences
from dpsynth.constraints.totals import Totals
from dpsynth.constraints.zeros import Pieces, marked
from dpsynth.domain import Clique, Domain
from dpsynth.encoding import Encoding
from dpsynth.errors import SchemaError
from dpsynth.pgm import GraphicalModel
from dpsynth.pgm.graphical import plan_for
from dpsynth.schema import Schema

Mask = NDArray[np.bool_]

MOST_ROOM = 4_000_000
"""Cells of one elimination: rules that hang together in more are looked at one by one only."""
MOST_IMPLIED = 60
"""Rules for each of which it is looked at whether the others imply it."""


@dataclass(frozen=True)
class Finding:
    """`kind`: contradiction (these rules leave no row), useless (no row could break it, or the others imply it), or
    impossible (a value that no row can have). `rules`: numbers of the constraints, from 1."""

    kind: Literal["contradiction", "useless", "impossible"]
    rules: tuple[int, ...]
    words: str


def findings(schema: Schema) -> list[Finding]:
    """Everything that is wrong with the schema's constraints; a contradiction hides what else there may be."""
    rules = Rules.of(schema)
    parts = [_Part.of(group, rules, Encoding(schema).domain) for group in rules.together()]
    wrong = [found for part in parts for found in part.contradictions()] + _of_totals(schema)
    if wrong:
        return wrong
    return [found for part in parts for found in (*part.useless(), *part.impossible(Encoding(schema)))]


def refuse_contradictions(schema: Schema, lines: Sequence[int] = ()) -> None:
    """Raises SchemaError (S166) for constraints that no row can keep."""
    rules = Rules.of(schema)
    parts = (_Part.of(group, rules, Encoding(schema).domain) for group in rules.together())
    for found in chain((f for part in parts for f in part.contradictions()), _of_totals(schema)):
        named = ", ".join(named_rule(schema, number, lines) for number in found.rules)
        raise SchemaError("S166", f"{named}: {found.words}", "correct or drop one of them")


def _of_totals(schema: Schema) -> list[Finding]:
    Sequences.of(schema)
    refused = Totals.of(schema).refused()
    return [] if refused is None else [Finding("contradiction", *refused)]


def named_rule(schema: Schema, number: int, lines: Sequence[int] = ()) -> str:
    """A constraint in an error or a note."""
    where = f", line {lines[number - 1]}" if number <= len(lines) and lines[number - 1] else ""
    return f"constraint {number} ({schema.constraints[number - 1].words}{where})"


@dataclass(frozen=True, eq=False)
class _Part:
    """Rules that hang together, over pieces: `always` are the combinations that a rule forbids whatever the values inside
    the pieces, `sometimes` those that it may forbid; by the rule's number. Rules of too many pieces have none."""

    rules: tuple[Rule, ...]
    every: Rules
    pieces: Mapping[str, Pieces]
    domain: Domain
    always: Mapping[int, Mask]
    sometimes: Mapping[int, Mask]

    @classmethod
    def of(cls, group: Sequence[Rule], every: Rules, domain: Domain) -> _Part:
        names = domain.ordered(name for rule in group for name in rule.columns)
        clauses = [clause for rule in group for clause in rule.clauses]
        pieces = {
            name: Pieces.of(every.axes[name], [c.within[name] for c in clauses if name in c.within])
            for name in names
        }
        always, sometimes = {}, {}
        for rule in group:
            found = marked(rule.clauses, domain.ordered(rule.columns), pieces)
            if found is not None:
                always[rule.number], sometimes[rule.number] = found
        sizes = Domain.from_sizes({name: len(pieces[name].cell) for name in names})
        return cls(tuple(group), every, pieces, sizes, always, sometimes)

    def contradictions(self) -> list[Finding]:
        """At most one, of as few rules as possible."""
        circle = self._circle()
        if circle:
            return [Finding("contradiction", circle, "these run in a circle: no row can keep them all")]
        known = [rule.number for rule in self.rules if rule.number in self.always]
        alone = next((n for n in known if self.always[n].all()), None)
        if alone is not None:
            return [Finding("contradiction", (alone,), "no row can keep it")]
        if self._leaves_something(known) is not False:
            return []
        for number in list(known):
            fewer = [n for n in known if n != number]
            if self._leaves_something(fewer) is False:
                known = fewer
        return [Finding("contradiction", tuple(known), "no row can keep them all")]

    def useless(self) -> list[Finding]:
        found = []
        kept = [rule.number for rule in self.rules if rule.number in self.sometimes]
        for number in list(kept):
            if not self.sometimes[number].any():
                found.append(Finding("useless", (number,), "no row could break it"))
                kept.remove(number)
        for number in reversed(kept[:MOST_IMPLIED]):
            others = [n for n in kept if n != number]
            if others and self._leaves_something(others, self.sometimes[number], number) is False:
                found.append(Finding("useless", (number,), "the other constraints imply it"))
                kept.remove(number)
        return found

    def impossible(self, encoding: Encoding) -> list[Finding]:
        """Cells that no row can have, by column."""
        known = [rule.number for rule in self.rules if rule.number in self.always]
        model = self._model(known, None, 0)
        if model is None:
            return []
        found = []
        for name in self.domain.attributes:
            mass = np.bincount(self.pieces[name].cell, model.marginal((name,)))
            dead = np.flatnonzero(mass <= 0)
            if len(dead):
                numbers = tuple(r.number for r in self.rules if name in r.columns)
                labels = [encoding.labels(name)[cell] for cell in dead[:4]]
                more = f" and {len(dead) - 4} more" if len(dead) > 4 else ""
                listed = ", ".join(labels) + more
                found.append(Finding("impossible", numbers, f"no row can have {name} {listed}"))
        return found

    def _leaves_something(self, numbers: Iterable[int], only: Mask | None = None, of: int = 0) -> bool | None:
        """Whether a row can keep these rules (and lie in `only`, combinations of rule `of`); None where nobody knows."""
        model = self._model(numbers, only, of)
        if model is None:
            return None
        try:
            return model.log_z > -np.inf
        except ValueError:  # how an elimination says that nothing is left
            return False

    def _model(self, numbers: Iterable[int], only: Mask | None, of: int) -> GraphicalModel | None:
        """What is allowed, as a distribution; None when it takes too much room."""
        tables: dict[Clique, Mask] = {}
        cliques = {rule.number: self.domain.ordered(rule.columns) for rule in self.rules}
        for number in numbers:
            clique = cliques[number]
            tables[clique] = tables.get(clique, np.zeros((), bool)) | self.always[number]
        if only is not None:
            tables[cliques[of]] = tables.get(cliques[of], np.zeros((), bool)) | ~only
        for name in self.domain.attributes:
            if not any(name in clique for clique in tables):
                tables[(name,)] = np.zeros(self.domain[name], dtype=bool)
        if plan_for(self.domain, list(tables)).room > MOST_ROOM:
            return None
        logs = {clique: np.where(table, -np.inf, 0.0) for clique, table in tables.items()}
        return GraphicalModel(self.domain, 1.0, logs)

    def _circle(self) -> tuple[int, ...]:
        """Rules ``x - y <= c`` between columns that are never missing, whose sum around a circle is below zero."""
        axes = self.every.axes
        edges = [
            (edge, rule.number)
            for rule in self.rules
            for clause in rule.clauses
            if not clause.within and len(clause.linear) == 1
            for edge in _edges(clause.linear[0], axes)
            if not (axes[edge[0]].column.missing or axes[edge[1]].column.missing)
        ]
        names = list(dict.fromkeys(name for (a, b, _), _ in edges for name in (a, b)))
        distance, before = dict.fromkeys(names, Fraction(0)), dict[str, tuple[str, int]]()
        last = ""
        for _ in range(len(names) + 1):
            last = ""
            for (a, b, most), number in edges:
                if distance[b] + most < distance[a]:
                    distance[a], before[a], last = distance[b] + most, (b, number), a
        return _walked(last, before) if last else ()


def _walked(start: str, before: Mapping[str, tuple[str, int]]) -> tuple[int, ...]:
    """The rules of the circle behind a name that is on it or follows from it."""
    for _ in before:
        start = before[start][0]
    numbers: list[int] = []
    name = start
    while not numbers or name != start:
        name, number = before[name]
        numbers.append(number)
    return tuple(sorted(set(numbers)))


def _edges(linear: Linear, axes: Mapping[str, Axis]) -> list[tuple[str, str, Fraction]]:
    """What a row keeps of which the rule forbids ``f x - f y <= bound``: ``y - x <= most`` as (y, x, most)."""
    if linear.relation != "<=" or len(linear.terms) != 2:
        return []
    (x, f), (y, g) = ((name, factor * axes[name].scale) for name, factor in linear.terms)
    if f + g != 0:
        return []
    if f < 0:
        (x, f), (y, g) = (y, g), (x, f)
    # sums of steps are whole: not (f (x - y) <= bound)  <=>  f (x - y) >= bound + 1
    return [(y, x, Fraction(-(linear.bound + 1), f))]
