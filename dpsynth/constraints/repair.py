"""Sampled rows mended until none breaks a rule: three steps, each of bounded length.

1. *Drawn again.* Where rules fall inside cells, a row's values are drawn again within its cells, a few times: what is kept
   has the model's cells, and inside them the even distribution over what the rules allow.
2. *One column altered.* What is left of a row's columns decides exactly which values another one may take; it gets one of
   them, inside its cell if there is one, else any, as likely as the model finds its cell. Each such step mends at least one
   clause and breaks none, so there are no more steps than clauses.
3. *Taken over.* Where no single column can mend a row, the columns that hang together by rules come from another row.
4. *Several columns altered.* Where no other row can lend them, one value after another is moved as long as that brings the
   row nearer to its rules (`descent`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpsynth.allowed import Allowed
from dpsynth.columns import NumberColumn
from dpsynth.constraints.atoms import Axis, Clause, State
from dpsynth.constraints.choices import Choices
from dpsynth.constraints.descent import descended
from dpsynth.constraints.rules import Rule, Rules
from dpsynth.errors import DataError
from dpsynth.table import Table

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]

REDRAWN, WORTH = 8, 0.02
"""Draws again within cells, at most; they end when one of them mends less than this share."""
TOGETHER = 1 << 21
"""Rows times clauses that are looked at together."""
DESCENTS, TOGETHER_DOWN = (2, 4, 8, 16, 32), 128
"""Passes in which several columns of a row are altered, between looks whether one alone can do the rest, and rows that go
through them together."""
VAIN = 1 << 12
"""Rows that may go through them in vain before those that are left are given up, where rows may be given up at all."""

Redraw = Callable[[Rows], Table]
"""Rows of the sample, by number -> the same rows with other values inside the same cells."""


@dataclass(frozen=True, eq=False)
class Repair:
    """Mends the rows of one sample. `likely`: how likely each cell of an attribute is, shape (cells,); `guards`: what a
    column may be in any case (a condition that the rows were asked to meet); `fixed`: columns that are not altered,
    `placed`: those that stay inside their cells; `kept`: for some columns the rows, shape (rows,), in which they are not
    altered.
    """

    rules: Rules
    likely: Callable[[str], Floats]
    guards: Mapping[str, Allowed] = field(default_factory=dict)
    fixed: frozenset[str] = frozenset()
    placed: frozenset[str] = frozenset()
    kept: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)

    def mended(self, table: Table, redraw: Redraw, rng: np.random.Generator) -> Table:
        """The same rows, of which none breaks a rule. Raises DataError (D210) when that cannot be done."""
        found, lost = self._mended(table, redraw, rng, patient=False)
        for one in lost:
            raise one.error
        return found

    def tried(
        self, table: Table, redraw: Redraw, rng: np.random.Generator
    ) -> tuple[Table, tuple[Hopeless, ...]]:
        """The same, with the rows that cannot be made to keep the rules, instead of an error: they break them still. Once
        `VAIN` rows of a sample took the last step in vain, it is not tried on others, which are among these rows then."""
        return self._mended(table, redraw, rng, patient=True)

    def _mended(
        self, table: Table, redraw: Redraw, rng: np.random.Generator, patient: bool
    ) -> tuple[Table, tuple[Hopeless, ...]]:
        whole = self.rules.state(table)
        changed: set[str] = set()
        lost: list[Hopeless] = []
        for part in (_Part(rules, self.rules.axes) for rules in self.rules.together()):
            rows = np.flatnonzero(part.broken(whole))
            if not len(rows):
                continue
            state = whole.take(rows)
            own = replace(self, kept={n: mask[rows] for n, mask in self.kept.items() if n in part.columns})
            own._redrawn(part, state, rows, redraw)
            for _ in range(len(part.clauses)):
                if not own._altered(part, state, rng):
                    break
            left = own._mended_together(part, state, whole, rows, rng, patient)
            if len(left):
                lost.append(Hopeless(rows[left], len(whole), part.words))
                if not patient:
                    break
            whole.put(rows, state, part.columns)
            changed.update(part.columns)
        return _written(table, whole, changed, self.rules.axes), tuple(lost)

    def _mended_together(
        self, part: _Part, state: State, whole: State, rows: Rows, rng: np.random.Generator, patient: bool
    ) -> Rows:
        """The last two steps; the rows that are still broken, where some of them were altered in vain twice."""
        left = self._taken_over(part, state, whole, rows, rng)
        tried = np.zeros(len(rows), dtype=np.int64)
        while len(left):
            vain = tried[left] > 1
            some = left[~vain][:TOGETHER_DOWN]
            if vain.sum() > (VAIN if patient else 0) or not len(some):
                break
            tried[some] += 1
            self._descended(part, state, some, rng)
            left = self._taken_over(part, state, whole, rows, rng)
        return left

    def _redrawn(self, part: _Part, state: State, rows: Rows, redraw: Redraw) -> None:
        if not any(axis.is_grid and (axis.ends > axis.starts).any() for axis in part.axes):
            return
        left = np.arange(len(rows))
        for _ in range(REDRAWN):
            again, now = self.rules.state(redraw(rows[left])), state.take(left)
            again.put(np.arange(len(left)), now, tuple(self.fixed.intersection(part.columns)))
            self._restored(again, now, left)
            good = ~part.broken(again)
            state.put(left[good], again.take(good), part.columns)
            tried, left = len(left), left[~good]
            if len(left) > (1 - WORTH) * tried or not len(left):
                return

    def _restored(self, state: State, before: State, rows: Rows) -> None:
        """What is kept in some of these rows, as it was before."""
        for name, mask in self.kept.items():
            same = np.flatnonzero(mask[rows])
            state.put(same, before.take(same), (name,))

    def _altered(self, part: _Part, state: State, rng: np.random.Generator) -> bool:
        """One pass over the rules: whether any value was altered."""
        done = False
        for rule in part.rules:
            for inside in (True, False):
                for name in rule.columns:
                    if name in (self.fixed if inside else self.fixed | self.placed):
                        continue
                    rows = np.flatnonzero(rule.broken(state) & ~self.kept.get(name, False))
                    size = max(1, TOGETHER // (1 + len(part.clauses)))
                    for start in range(0, len(rows), size):
                        chunk = rows[start : start + size]
                        done |= self._alter(part, name, state, chunk, inside, rng)
        return done

    def _alter(
        self, part: _Part, name: str, state: State, rows: Rows, inside: bool, rng: np.random.Generator
    ) -> bool:
        """Give the column a value that no clause forbids, within its cell or anywhere; False when no row can be helped."""
        axis, some = self.rules.axes[name], state.take(rows)
        choices = Choices.of(axis, part.about(name), some, self.guards.get(name))
        wrong = choices.blocked(some)
        if inside:
            cell = axis.cell_of(some.steps[name], some.gone[name])
            wrong &= cell < len(axis.starts)
            which = np.flatnonzero(wrong)
            room = choices.free(axis.starts[cell[which]], axis.ends[cell[which]], which).sum(axis=1) > 0
            which = which[room]
            chosen = cell[which]
        else:
            which = np.flatnonzero(wrong)
            weights = _weights(choices.shares(which), self.likely(name))
            possible = weights[:, -1] > 0
            which, weights = which[possible], weights[possible]
            place = rng.random(len(which)) * weights[:, -1]
            chosen = np.minimum((weights <= place[:, None]).sum(axis=1), axis.cells - 1)
        if not len(which):
            return False
        _set_cells(axis, choices, some, which, chosen, rng)
        state.put(rows, some, (name,))
        return True

    def _taken_over(
        self, part: _Part, state: State, whole: State, rows: Rows, rng: np.random.Generator
    ) -> Rows:
        """The rows that are still broken."""
        broken = np.flatnonzero(part.broken(state))
        if not len(broken):
            return broken
        donors = np.setdiff1d(np.arange(len(whole)), rows)
        mended = np.flatnonzero(~part.broken(state))
        names = tuple(name for name in part.columns if name not in self.fixed | self.placed)
        pool = [whole.take(donors)] if len(donors) else []
        pool += [state.take(mended)] if len(mended) else []
        for _ in range(REDRAWN if pool and names else 0):
            source = pool[int(rng.integers(len(pool)))]
            trial = state.take(broken)
            from_rows = rng.integers(len(source), size=len(broken))
            trial.put(np.arange(len(broken)), source.take(from_rows), names)
            self._restored(trial, state.take(broken), broken)
            good = ~part.broken(trial)
            state.put(broken[good], trial.take(good), names)
            broken = broken[~good]
            if not len(broken):
                break
        return broken

    def _descended(self, part: _Part, state: State, rows: Rows, rng: np.random.Generator) -> None:
        some = state.take(rows)
        own = replace(self, kept={name: mask[rows] for name, mask in self.kept.items()})
        may = {
            name: ~own.kept.get(name, np.zeros(len(rows), dtype=bool))
            for name in part.columns
            if name not in self.fixed
        }
        for passes in DESCENTS:
            for _ in range(passes):
                descended(some, part.clauses, part.every, self.likely, self.placed, may, self.guards, rng)
            own._altered(part, some, rng)
            if not part.broken(some).any():
                break
        state.put(rows, some, part.columns)


@dataclass(frozen=True, eq=False)
class Hopeless:
    """`rows` of a sample of `of` rows that cannot be made to keep some rules (`words`)."""

    rows: Rows
    of: int
    words: str

    @property
    def error(self) -> DataError:
        return DataError(
            "D210",
            f"{len(self.rows)} of {self.of} sampled rows cannot be made to keep {self.words}",
            "draw more rows at once, or let the rule's change: name columns with more freedom",
        )

    def of_units(self, units: int, of: int) -> DataError:
        """The same about whole units, others in whose place were drawn in vain."""
        return DataError(
            "D210",
            f"{units} of {of} sampled units cannot be made to keep {self.words}, and hardly any that were drawn instead can",
            "the rule leaves room to next to nobody whom the model knows: relax it, or name columns with more freedom",
        )


@dataclass(frozen=True, eq=False)
class _Part:
    """Rules that hang together by their columns."""

    rules: tuple[Rule, ...]
    every: Mapping[str, Axis]

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for rule in self.rules for name in rule.columns))

    @property
    def axes(self) -> Sequence[Axis]:
        return [self.every[name] for name in self.columns]

    @property
    def clauses(self) -> Sequence[Clause]:
        return [clause for rule in self.rules for clause in rule.clauses]

    @property
    def words(self) -> str:
        return "; ".join(rule.words for rule in self.rules)

    def about(self, name: str) -> list[Clause]:
        return [clause for clause in self.clauses if name in clause.columns]

    def broken(self, state: State) -> NDArray[np.bool_]:
        found = np.zeros(len(state), dtype=bool)
        for rule in self.rules:
            found |= rule.broken(state)
        return found


def _weights(shares: Floats, likely: Floats) -> Floats:
    """Running sums over cells, shape (rows, cells): as likely as the model says, or evenly where it says never."""
    weighed = shares * likely
    never = ~(weighed.sum(axis=1) > 0)
    weighed[never] = shares[never]
    return np.asarray(np.cumsum(weighed, axis=1), dtype=np.float64)


def _set_cells(
    axis: Axis, choices: Choices, state: State, rows: Rows, cells: Rows, rng: np.random.Generator
) -> None:
    grid = len(axis.starts)
    steps, gone = state.steps[axis.name], state.gone[axis.name]
    on_grid = cells < grid
    steps[rows[on_grid]] = choices.drawn(cells[on_grid], rows[on_grid], rng)
    beside = cells[~on_grid] - grid
    is_gone = beside >= len(axis.codes)
    filler = axis.starts[0] if axis.is_grid else 0
    codes = np.append(axis.codes, filler)
    steps[rows[~on_grid]] = codes[np.minimum(beside, len(axis.codes))]
    gone[rows] = False
    gone[rows[~on_grid][is_gone]] = True


def _written(table: Table, state: State, changed: set[str], axes: Mapping[str, Axis]) -> Table:
    """The table with those columns as the state has them."""
    values: dict[str, Any] = dict(table.values)
    missing = dict(table.missing)
    for name in changed:
        axis, steps = axes[name], state.steps[name]
        exact = steps / axis.scale if isinstance(axis.column, NumberColumn) else steps
        values[name] = exact.astype(table.values[name].dtype)
        missing[name] = state.gone[name]
    return replace(table, values=values, missing=missing)
