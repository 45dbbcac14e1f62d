"""A released noisy marginal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpsynth.domain import Clique

Merges = Mapping[str, NDArray[np.integer[Any]]]
"""For some attributes: the new number of each cell, ``0 .. merged size - 1`` with none left out."""


@dataclass(frozen=True, eq=False)
class Measurement:
    """Noisy counts of one clique: ``values = exact + discrete Gaussian(sigma)``, cell by cell.

    `values` are integers and may be negative; `sigma` is the noise's scale parameter in rows (its standard
    deviation to within 1e-8 for sigma >= 1). Along an attribute in `merges` each value counts all records of the cells
    that fall together, along any other those of one cell: without merges the shape is ``domain.shape(clique)``.
    """

    clique: Clique
    values: NDArray[np.int64]
    sigma: float
    merges: Merges = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.values.ndim != len(self.clique):
            raise ValueError("one axis per attribute")
        if not self.sigma > 0:
            raise ValueError("a measurement has noise")
        for attribute, cells in self.merges.items():
            if attribute not in self.clique:
                raise ValueError("cells were merged of an attribute that was not measured")
            if int(cells.max()) + 1 != self.values.shape[self.clique.index(attribute)]:
                raise ValueError("as many values as merged cells")
        self.values.setflags(write=False)

    @property
    def total(self) -> int:
        """The noisy number of records it implies; variance ``sigma**2 * cells``."""
        return int(self.values.sum())
