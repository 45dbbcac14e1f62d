"""What a step of the descent makes of the gradient: it follows the noise of each cell and the order of columns.

Neither changes where the loss is least, only what is learnt first, and so what an early stop leaves out.

*Noise.* Mirror descent moves a cell at a rate in proportion to its share of the records, so that cells of a few standard
deviations wait for ever longer as the table grows. The residual of a cell of m records is therefore divided by
``1 + m / (DAMPING * sigma)``: no cell's rate is more than `DAMPING` times that of one at its noise, however many rows.

*Order.* Along ordered columns neighbours mostly have similar log-odds, and noise has not. Residuals pass through
``ROUGH * I + (1 - ROUGH) * S`` with S a mean of exponential kernels of row sums at most 1: what neighbours agree on is
learnt up to 1 / ROUGH times faster than what one cell alone says. That is gradient descent in the kernel's Hilbert space,
which early stopping turns into smoothing (Yao, Rosasco and Caponnetto 2007). A cell whose count is far above its noise
speaks for itself: spikes and edges stay.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

DAMPING = 150.0
"""From this many standard deviations on, a cell's residual counts in proportion to its count."""

ALONE = 30.0
"""At this many standard deviations, a cell's own residual has half of its full weight."""

ROUGH = 0.2
"""Weight of a cell's own residual where its count is within its noise."""

REACHES = (1.0, 4.0)
"""After so many cells a kernel has fallen to 1 / e."""

WIDEST = 2048
"""A column with more cells than that is not smoothed: its kernel would be a table of its own."""


@dataclass(frozen=True)
class Axes:
    """Where a target's cells lie in the vector of all, its shape, and how many first cells of each axis are in order
    (0 for a column without order)."""

    cells: slice
    shape: tuple[int, ...]
    ordered: tuple[int, ...]


class Stepping:
    """Turns weighted residuals into the direction of a step; `sigma` has the noise scale of each cell, in rows."""

    def __init__(self, targets: Sequence[Axes], sigma: Floats) -> None:
        self._damping = 1.0 / (DAMPING * sigma)
        self._alone = ALONE * sigma
        self._smoothed = [(t, kernels) for t in targets if (kernels := _kernels(t))]

    def direction(self, counts: Floats, residuals: Floats) -> Floats:
        """`counts` the model's, at least 0, and ``residuals`` in units of 1 / sigma^2, both shape (cells,)."""
        own = residuals / (1.0 + counts * self._damping)
        if not self._smoothed:
            return own
        found = own.copy()
        for target, kernels in self._smoothed:
            part, count, alone = own[target.cells], counts[target.cells], self._alone[target.cells]
            smooth = part
            for axis, kernel in kernels.items():
                smooth = _along(kernel, smooth, target.shape, axis)
            found[target.cells] = smooth + (1.0 - ROUGH) * part * (count / (count + alone))
        return found


def ordered_after(ordered: Mapping[str, int], merges: Mapping[str, NDArray[np.int64]]) -> dict[str, int]:
    """How many first cells are in order when cells were merged; attributes whose merged cells are not are left out."""
    found = {}
    for attribute, first in ordered.items():
        cells = merges.get(attribute)
        if cells is None:
            found[attribute] = first
        elif first and (np.diff(cells[:first]) >= 0).all():
            found[attribute] = int(cells[:first].max()) + 1
    return found


def _kernels(target: Axes) -> dict[int, Floats]:
    return {
        axis: _kernel(size, ordered)
        for axis, (size, ordered) in enumerate(zip(target.shape, target.ordered, strict=True))
        if ordered > 2 and size <= WIDEST
    }


def _along(kernel: Floats, cells: Floats, shape: Sequence[int], axis: int) -> Floats:
    after = int(np.prod(shape[axis + 1 :], dtype=np.int64))
    return np.asarray(np.matmul(kernel, cells.reshape(-1, shape[axis], after)).reshape(-1))


@lru_cache(maxsize=64)
def _kernel(size: int, ordered: int) -> Floats:
    """Shape (size, size), symmetric, positive, eigenvalues at most 1: the first `ordered` cells smoothed."""
    places = np.arange(ordered)
    apart = np.abs(places[:, None] - places)
    smooth = np.zeros((ordered, ordered))
    for reach in REACHES:
        falling = np.exp(-apart / reach)
        smooth += falling / falling.sum(axis=0).max() / len(REACHES)
    kernel = np.eye(size)
    kernel[:ordered, :ordered] = ROUGH * np.eye(ordered) + (1.0 - ROUGH) * smooth
    kernel.setflags(write=False)
    return kernel
