"""Values as they were read, of bounded training rows: what is counted before the domain is known. Private."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpsynth.engines.base import Counts


@dataclass(frozen=True, eq=False)
class RawColumn:
    """One column before its domain is known. With `words`, `values` are positions among these different texts (in any
    order: no answer depends on it); without, they are numbers. `known` is False where a value is missing or a declared
    code. In the methods ``units[i]`` is the number of row i's unit."""

    values: NDArray[Any]
    known: NDArray[np.bool_]
    words: Sequence[str] | None = None

    def take(self, rows: NDArray[np.int64]) -> RawColumn:
        return RawColumn(self.values[rows], self.known[rows], self.words)

    def units_with(self, units: NDArray[np.int64]) -> dict[str, int]:
        """How many units have each text that occurs."""
        if self.words is None:
            raise ValueError("the column holds numbers")
        counts = self._units_each(units, self.values, len(self.words))
        return {word: int(n) for word, n in zip(self.words, counts, strict=True) if n}

    def units_between(self, units: NDArray[np.int64], edges: Sequence[float]) -> Counts:
        """How many units have a number in each of the intervals ``[edges[i], edges[i + 1])``, the last one closed."""
        if self.words is not None:
            raise ValueError("the column holds texts")
        last = max(0, len(edges) - 2)
        bins = np.clip(np.searchsorted(np.array(edges), self.values, side="right") - 1, 0, last)
        return self._units_each(units, bins, last + 1)

    def _units_each(self, units: NDArray[np.int64], values: NDArray[Any], size: int) -> Counts:
        """A unit counts once for each different value that it brings, however often it brings it."""
        pairs = np.unique(units[self.known] * np.int64(size) + values[self.known].astype(np.int64))
        return np.bincount(pairs % size, minlength=size).astype(np.int64)

    def __reduce__(self) -> str:
        raise TypeError("raw values are private: they cannot be pickled or copied")
