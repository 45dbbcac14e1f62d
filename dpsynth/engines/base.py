"""What every engine answers, with the same integers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dpsynth.domain import Clique, Domain
from dpsynth.measurement import Merges

Counts = NDArray[np.int64]
"""Exact counts of one clique, shape ``domain.shape(clique)``. Private: they never leave `privacy/`."""


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

    def merged(self, merges: Merges) -> Engine:
        """The same records on merged cells: ``merges[attribute][cell]`` is the cell's new number."""
        ...
