"""A released noisy marginal."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dpsynth.domain import Clique


@dataclass(frozen=True, eq=False)
class Measurement:
    """Noisy counts of one clique: ``values = exact + discrete Gaussian(sigma)``, cell by cell.

    `values` are integers of shape ``domain.shape(clique)`` and may be negative; `sigma` is the noise's
    scale parameter in rows (its standard deviation to within 1e-8 for sigma >= 1).
    """

    clique: Clique
    values: NDArray[np.int64]
    sigma: float

    def __post_init__(self) -> None:
        if self.values.ndim != len(self.clique):
            raise ValueError("one axis per attribute")
        if not self.sigma > 0:
            raise ValueError("a measurement has noise")
        self.values.setflags(write=False)

    @property
    def total(self) -> int:
        """The noisy number of records it implies; variance ``sigma**2 * cells``."""
        return int(self.values.sum())
