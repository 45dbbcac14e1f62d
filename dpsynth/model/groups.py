"""Groups of rows with shares that were asked for: rare classes made frequent, a fixed number of rows for each group.

A group is a combination of cells, one for each column that forms groups. How many rows each gets is fixed beforehand; all
else is drawn from the model given the group.
"""

from __future__ import annotations

import csv
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dpsynth.encoding import Encoding
from dpsynth.errors import UsageError
from dpsynth.evidence import Evidence
from dpsynth.pgm.completing import Conditioned, complete
from dpsynth.records import Records
from dpsynth.ruled import not_modelled

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Shares = None | Sequence[float] | Mapping[str, float]
Balance = str | Sequence[str] | Mapping[str, Shares]
"""A column (equal shares of its values), several (of all combinations), or per column the shares: None for equal ones, a
number for each value in the schema's order, or a number for each of some values. Shares are relative: 1, 1 is 0.5, 0.5."""

MOST_GROUPS = 100_000
LEAST_EXPECTED = 0.01
"""Rows that a model must expect of a kind before it is sampled."""

BLOCK = 1 << 20
"""Rows drawn together. Part of what a seed means."""


class Sampled(Conditioned, Protocol):
    """A distribution scaled to a number of records."""

    @property
    def total(self) -> float: ...

    def marginal(self, clique: tuple[str, ...]) -> Floats: ...


@dataclass(frozen=True, eq=False)
class Groups:
    """`cells` (groups, columns) of each group, and its share, (groups,), positive, summing to 1."""

    columns: tuple[str, ...]
    cells: Integers
    shares: Floats

    @classmethod
    def of(cls, balance: Balance, encoding: Encoding, evidence: Evidence | None = None) -> Groups:
        """The combinations of all cells with a share; missing values are no group, nor what the evidence excludes.

        Raises UsageError: U231 for a column that forms no groups, U232 for shares that are none, U233 for too many
        groups or none.
        """
        wanted: dict[str, Shares] = (
            dict(balance)
            if isinstance(balance, Mapping)
            else dict.fromkeys([balance] if isinstance(balance, str) else balance)
        )
        found = [_shares(name, shares, encoding, evidence) for name, shares in wanted.items()]
        kept = [np.flatnonzero(shares) for shares in found]
        number = math.prod(len(cells) for cells in kept)
        if not wanted or not 1 <= number <= MOST_GROUPS:
            raise UsageError(
                "U233", f"{number if wanted else 0:,} groups were asked for", f"form 1 to {MOST_GROUPS:,}"
            )
        cells = np.array(list(itertools.product(*kept)), dtype=np.int64)
        shares = np.prod([s[c] for s, c in zip(found, cells.T, strict=True)], axis=0)
        return cls(tuple(wanted), cells, shares / shares.sum())

    def __len__(self) -> int:
        return len(self.cells)

    def equally(self) -> Groups:
        """The same groups, all with the same share."""
        return Groups(self.columns, self.cells, np.full(len(self), 1.0 / len(self)))

    def only(self, rows: Integers) -> Groups:
        """The groups of which `rows` are wanted, with shares in proportion to them."""
        kept = rows > 0
        return Groups(self.columns, self.cells[kept], rows[kept] / rows.sum())

    def require_mass(self, model: Sampled, encoding: Encoding) -> None:
        """Raises UsageError (U234) for groups of which the model has next to no rows."""
        expected = model.marginal(self.columns)[tuple(self.cells.T)]
        rare = np.flatnonzero(expected < LEAST_EXPECTED)
        if not len(rare):
            return
        cells = zip(self.columns, self.cells[rare[0]].tolist(), strict=True)
        named = ", ".join(f"{name} {encoding.labels(name)[cell]}" for name, cell in cells)
        others = f" (and of {len(rare) - 1} more groups)" if len(rare) > 1 else ""
        raise UsageError(
            "U234",
            f"the model expects {expected[rare[0]]:.1g} rows of the group {named}{others}",
            "leave such groups out with a condition (--where), or give them no share",
        )

    def numbers(self, rows: int) -> Iterator[Integers]:
        """Blocks of group numbers, each block in the groups' order: after the first block each group has had its share of
        the rows so far, rounded down or up; after any other, less than two rows more or less."""
        upto = np.concatenate([[0.0], np.cumsum(self.shares)])
        upto[-1] = 1.0
        before = np.zeros(len(self), dtype=np.int64)
        for start in range(0, max(rows, 1), BLOCK):
            done = min(start + BLOCK, rows)
            # rounded running sums: they add up, and rows in all never exceed what was asked
            now = np.maximum(np.diff(np.floor(upto * done + 0.5).astype(np.int64)), before)
            now = _trimmed(now, before, done)
            yield np.repeat(np.arange(len(self)), now - before)
            before = now

    def records(self, model: Sampled, rows: int, rng: np.random.Generator) -> Iterator[Records]:
        """`rows` records in random order, a block at a time, one block at least."""
        for numbers in self.numbers(rows):
            group = rng.permutation(numbers)
            yield complete(model, dict(zip(self.columns, self.cells[group].T, strict=True)), rng)


def _trimmed(now: Integers, before: Integers, total: int) -> Integers:
    """Counts that sum to `total`: what rounding gave too much is taken where something was added."""
    extra = int(now.sum()) - total
    for group in np.flatnonzero(now > before)[::-1]:
        if extra <= 0:
            break
        less = min(extra, int(now[group] - before[group]))
        now[group] -= less
        extra -= less
    return now


def _shares(name: str, shares: Shares, encoding: Encoding, evidence: Evidence | None) -> Floats:
    """One number per cell of the column, 0 for cells that form no group."""
    if name not in encoding.domain:
        why, instead = not_modelled(encoding.schema.columns.get(name))
        raise UsageError("U231", f"there is no modelled column {name!r}{why}", f"form groups by {instead}")
    size = encoding.domain[name]
    values = size - (encoding.missing_cell(name) is not None)
    found = np.zeros(size)
    if shares is None:
        found[:values] = 1.0
    elif isinstance(shares, Mapping):
        labels = encoding.labels(name)[:values]
        for label, share in shares.items():
            if label not in labels:
                fix = "write it as the schema does" if values > 50 else f"it has {', '.join(labels)}"
                raise UsageError("U232", f"column {name!r} has no value {label!r}", fix)
            found[labels.index(label)] = _share(name, share)
    elif len(shares) != values:
        raise UsageError(
            "U232", f"{len(shares)} shares for the {values} values of column {name!r}", "give one for each"
        )
    else:
        found[:values] = [_share(name, share) for share in shares]
    if evidence is not None and name in evidence.weights:
        found[evidence.weights[name] == 0] = 0.0
    return found


def _share(name: str, share: Any) -> float:
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share < math.inf:
        raise UsageError("U232", f"a share of column {name!r} is no number of at least 0", "such as 0.5")
    return float(share)


def read_balance(texts: Sequence[str]) -> Balance:
    """What the command line says: ``sex,race`` (equal shares), ``income=0.3,0.7`` (in the schema's order) or
    ``income=>50K:0.3,<=50K:0.7``; a value or a name with a comma stands in double quotes. Raises UsageError (U232)."""
    found: dict[str, Shares] = {}
    for text in texts:
        name, sign, rest = text.partition("=")
        if not sign:
            found.update(dict.fromkeys(_fields(text)))
        else:
            found[name.strip().strip('"')] = _written(text, _fields(rest))
    return found


def _fields(text: str) -> list[str]:
    return [field.strip() for field in next(csv.reader([text], skipinitialspace=True), [])]


def _written(text: str, fields: Sequence[str]) -> Shares:
    named = dict[str, float]()
    plain = list[float]()
    for field in fields:
        value, colon, number = field.rpartition(":")
        try:
            share = float(number)
        except ValueError:
            raise UsageError(
                "U232",
                f"the shares in {text!r} cannot be read",
                "write income=0.3,0.7 or income=yes:0.3,no:0.7",
            ) from None
        if colon:
            named[value] = share
        else:
            plain.append(share)
    if bool(named) == bool(plain):
        raise UsageError("U232", f"{text!r} names some values and others not", "name all, or none")
    return named or plain
