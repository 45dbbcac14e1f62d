"""Records: encoded rows, one small-integer column per attribute."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpsynth.domain import Domain

Codes = NDArray[np.unsignedinteger[Any]]
"""Cells of one attribute, shape (records,)."""


def code_dtype(size: int) -> type[np.uint8] | type[np.uint16] | type[np.uint32]:
    """The smallest unsigned type that holds ``0 .. size - 1``."""
    if size <= 1 << 8:
        return np.uint8
    return np.uint16 if size <= 1 << 16 else np.uint32


@dataclass(frozen=True, eq=False)
class Records:
    """Encoded rows, column-major: `columns[i]` has shape (n,) and values in ``[0, domain.sizes[i])``.

    The caller vouches for the range; `Records.of` checks it.
    """

    domain: Domain
    columns: tuple[Codes, ...]

    @classmethod
    def of(cls, domain: Domain, columns: Mapping[str, NDArray[Any]]) -> Records:
        """From integer arrays by attribute, checked and narrowed."""
        return cls(
            domain,
            tuple(_narrow(columns[a], size) for a, size in zip(domain.attributes, domain.sizes, strict=True)),
        )

    def __len__(self) -> int:
        return len(self.columns[0]) if self.columns else 0

    def __getitem__(self, attribute: str) -> Codes:
        return self.columns[self.domain.index(attribute)]

    def take(self, index: NDArray[Any] | slice) -> Records:
        """The chosen records (an index array, a boolean mask or a slice)."""
        return Records(self.domain, tuple(column[index] for column in self.columns))

    def project(self, attributes: Sequence[str]) -> Records:
        return Records(self.domain.project(attributes), tuple(self[a] for a in attributes))

    def matrix(self) -> NDArray[np.int64]:
        """Shape (records, attributes)."""
        return (
            np.stack([c.astype(np.int64) for c in self.columns], axis=1)
            if self.columns
            else np.empty((0, 0), np.int64)
        )


def joined(parts: Sequence[Records]) -> Records:
    """The records of all parts, one at least, in their order."""
    if len(parts) == 1:
        return parts[0]
    columns = zip(*(part.columns for part in parts), strict=True)
    return Records(parts[0].domain, tuple(map(np.concatenate, columns)))


def _narrow(column: NDArray[Any], size: int) -> Codes:
    if len(column) and (column.min() < 0 or column.max() >= size):
        raise ValueError("a code lies outside its attribute's domain")
    return np.ascontiguousarray(column, dtype=code_dtype(size))
