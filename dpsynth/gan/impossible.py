"""Combinations of cells that no record has (structural zeros), as a penalty on a mixture of products.

A mixture cannot be made to exclude them exactly, as a graphical model can: a product gives every combination of its cells
a chance. The share of all records that the mixture puts there is a linear penalty, which a softmax follows down to next
to nothing; what is left is mended when rows are sampled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpsynth.domain import Clique, Domain
from dpsynth.gan.layout import Layout, Singles
from dpsynth.measurement import Merges
from dpsynth.pgm.problem import merged_zeros

MOST_CELLS = 20_000
"""Tables with more cells are left to mending: a step would take too long."""


@dataclass(frozen=True, eq=False)
class Impossible:
    """`tables`: attributes by number, the largest last, and 1 for each cell that cannot be, shape (all but the last
    together, last)."""

    layout: Layout
    tables: tuple[tuple[tuple[int, ...], Singles], ...]

    @classmethod
    def of(cls, domain: Domain, zeros: Mapping[Clique, NDArray[np.bool_]], merges: Merges) -> Impossible:
        """On merged cells, `domain`'s: one cannot be when none of those that fall together can."""
        found = []
        for clique, mask in merged_zeros(zeros, merges).items():
            if len(clique) < 2 or mask.size > MOST_CELLS or not mask.any():
                continue
            order = sorted(range(len(clique)), key=lambda axis: domain[clique[axis]])
            table = mask.transpose(order).reshape(-1, domain[clique[order[-1]]]).astype(np.float32)
            found.append((tuple(domain.index(clique[axis]) for axis in order), table))
        return cls(Layout(domain), tuple(found))

    def mass(self, parts: Sequence[Any], tables: Sequence[Any] | None = None) -> Any:
        """The mean over components of their shares of impossible records, summed over tables.

        `parts`: per attribute, the shares of its cells, shape (components, cells), NumPy's or PyTorch's; `tables`: those of
        this object, of the same kind.
        """
        whole: Any = 0.0
        for (numbers, own), given in zip(self.tables, tables or [None] * len(self.tables), strict=True):
            table = own if given is None else given
            left = _outer([parts[number] for number in numbers[:-1]])
            whole = whole + ((left @ table) * parts[numbers[-1]]).sum()
        return whole / len(parts[0])

    def slope(self, shares: Singles) -> Singles:
        """How each component's mass grows with its shares, shape (components, width)."""
        found = np.zeros_like(shares)
        parts = [shares[:, self.layout.columns(i)] for i in range(len(self.layout.domain))]
        for numbers, table in self.tables:
            cells = [parts[number].shape[1] for number in numbers]
            last = self.layout.columns(numbers[-1])
            found[:, last] += _outer([parts[number] for number in numbers[:-1]]) @ table
            rest = (parts[numbers[-1]] @ table.T).reshape(len(shares), *cells[:-1])
            for axis, number in enumerate(numbers[:-1]):
                others = rest
                for other, own in reversed(list(enumerate(numbers[:-1]))):
                    if other != axis:
                        moved = np.moveaxis(others, other + 1, -1)
                        others = (moved @ parts[own].reshape(len(shares), *_ones(moved), -1, 1))[..., 0]
                found[:, self.layout.columns(number)] += others
        return found


def _ones(moved: NDArray[Any]) -> tuple[int, ...]:
    return (1,) * (moved.ndim - 3)


def _outer(parts: Sequence[Any]) -> Any:
    """Products of one cell of each, shape (components, cells of all together)."""
    found = parts[0]
    for part in parts[1:]:
        found = (found[:, :, None] * part[:, None, :]).reshape(len(found), -1)
    return found
