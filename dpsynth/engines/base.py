"""What every engine answers, with the same integers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dpsynth.domain import Clique, Domain
from dpsynth.entropy import Stream
from dpsynth.measurement import Merges
from dpsynth.records import Records

Counts = NDArray[np.int64]
"""Exact counts of one clique, shape ``domain.shape(clique)``. Private: they never leave `privacy/`."""


@dataclass(frozen=True, eq=False)
class Drawn:
    """Some units of a batch with all their records. Private.

    `units`: the number of each record's unit, shape (records,), ascending: a unit's records stand together.
    """

    records: Records
    units: NDArray[np.int64]


class Engine(Protocol):
    """Exact marginals of the bounded training records."""

    @property
    def domain(self) -> Domain: ...

    @property
    def rows_per_unit(self) -> int:
        """The bound that this engine has enforced: no unit has more records in any count."""
        ...

    def marginals(self, cliques: Sequence[Clique]) -> Mapping[Clique, Counts]:
        """Exact counts of all cliques, in one pass over the records."""
        ...

    def units_with(self, column: str) -> Mapping[str, int]:
        """Of a column whose values are unknown: how many units have each value that occurs."""
        ...

    def units_between(self, column: str, edges: Sequence[float]) -> Counts:
        """Of a column whose bounds are unknown: how many units have a number in each interval between these edges."""
        ...

    def merged(self, merges: Merges) -> Engine:
        """The same records on merged cells: ``merges[attribute][cell]`` is the cell's new number."""
        ...

    def unit_sizes(self) -> Counts:
        """How many units have 1, 2, ..., `rows_per_unit` records, shape (rows_per_unit,)."""
        ...

    def poisson_batches(self, rate: float, steps: int, stream: Stream) -> Iterator[Iterator[Drawn]]:
        """`steps` batches: each takes each unit, whole, by a secret coin of its own of probability `rate`.

        A batch comes in parts, at least one (without records, if need be), drawn as they are asked for, so that a batch
        larger than memory can be summed. How many units it has is secret.
        """
        ...
