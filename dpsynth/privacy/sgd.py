"""Noisy sums of clipped gradients over secret Poisson batches of units (DP-SGD: Abadi and others 2016).

*Bound.* A record's gradient is scaled so that the norms of all gradients of one unit add up to at most `clip`
(triangle inequality: whatever the number of its records and the angles between them). A gradient that is not
finite counts as zero: one such record would turn the sum into NaN, which tells that it is there.

*Grid.* A clipped contribution is cut to whole steps of `clip` / `GRID`, towards zero, which shortens it. Norms are
computed in floats, so contributions are scaled to a little below the bound (`MARGIN` is far above all rounding).
Sums of whole numbers below 2**53 are exact in any order, so a unit moves the sum by an integer vector of L2 norm at
most `GRID`, not nearly so.

*Noise.* Discrete Gaussian of scale `sigma * GRID` on every coordinate. At such scales its price differs from the
Gaussian's by less than 1e-9 of itself (`gaussian.discrete_gaussian_mu`, shifts by integer vectors), which `SAFETY`
covers, so that N(0, sigma**2) against N(1, sigma**2) dominates one sum; Poisson sampling then acts on the dominating
pair (Zhu, Dong and Wang 2022, theorem 11), which is what the event `DpSgd` prices.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dpsynth.engines.base import Drawn
from dpsynth.entropy import Stream
from dpsynth.privacy import noise
from dpsynth.privacy.events import DpSgd
from dpsynth.records import Records

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

GRID = 1 << 20
"""Steps of the grid in one unit's largest contribution."""
HALF = 1 << 10
"""Steps for a row of `Outer.inputs`: its square is `GRID`."""
MARGIN = 2.0**-30
SAFETY = 1 + 1e-8
MIN_SIGMA, MAX_SIGMA = 2.0**-6, 2.0**19
"""Noise multipliers for which noise on the grid is drawn."""
PIECE = 1 << 12
"""Records whose gradients are held at once, but for a unit that has more."""
_FARTHEST = 2.0**300
"""Squared norms of the factors of an `Outer` above this are not sound: the other factor's may have vanished in rounding."""
_MOST_ROWS = 1 << 28
"""Records whose gradients are summed in floats at once: below 2**53 / GRID."""


@dataclass(frozen=True)
class SgdPlan:
    """Constants of one training: nothing of it depends on the data.

    Each of `steps` sums takes each unit with probability `rate`. `clip`: largest L2 norm of what one unit adds.
    `sigma`: noise scale in units of `clip`. ValueError outside the range of the noise, BudgetError for what no event
    may state.
    """

    rate: float
    steps: int
    sigma: float
    clip: float

    def __post_init__(self) -> None:
        event = self.event
        if not MIN_SIGMA <= event.sigma <= MAX_SIGMA:
            raise ValueError(f"sigma lies in [{MIN_SIGMA:g}, {MAX_SIGMA:g}]")
        if not 2.0**-40 <= self.clip <= 2.0**40:
            raise ValueError("clip lies in [2**-40, 2**40]")

    @property
    def event(self) -> DpSgd:
        """What is charged."""
        return DpSgd(self.rate, self.sigma, self.steps)


class Part(Protocol):
    """Some coordinates of the gradients of several records: row i belongs to record i."""

    @property
    def size(self) -> int:
        """Coordinates; public."""
        ...

    def squares(self) -> Floats:
        """Squared L2 norm of each row, shape (records,); not finite for a row that is not."""
        ...

    def total(self, scales: Floats) -> Integers:
        """Sum over rows of ``scales[i]`` times row i, cut towards zero: shape (size,). Rows of scale 0 are left out."""
        ...


@dataclass(frozen=True, eq=False)
class Dense:
    """`values`: gradients as they are, shape (records, size)."""

    values: Floats

    @property
    def size(self) -> int:
        return int(self.values.shape[1])

    def squares(self) -> Floats:
        return _squares(self.values)

    def total(self, scales: Floats) -> Integers:
        used = scales > 0
        found: Integers = _cut(self.values[used] * scales[used, None]).sum(axis=0)
        return found


@dataclass(frozen=True, eq=False)
class Indicators:
    """Blocks of one coordinate per cell; a record touches one cell of each block.

    `cells`: which one, shape (records, blocks); `sizes`: cells of each block; `values`: the entry there, shape
    (records, blocks). Blocks do not overlap, so that a row's norm is that of its values. Cells out of range make a row
    not finite.
    """

    cells: NDArray[np.integer[Any]]
    sizes: tuple[int, ...]
    values: Floats

    @property
    def size(self) -> int:
        return sum(self.sizes)

    def squares(self) -> Floats:
        outside = ((self.cells < 0) | (self.cells >= np.array(self.sizes))).any(axis=1)
        return np.where(outside, np.nan, _squares(self.values))

    def total(self, scales: Floats) -> Integers:
        used = scales > 0
        starts = np.cumsum((0, *self.sizes[:-1]))
        places = (self.cells[used].astype(np.int64) + starts).ravel()
        whole = np.trunc(self.values[used] * scales[used, None]).ravel()
        return _whole(np.bincount(places, whole, minlength=self.size))


@dataclass(frozen=True, eq=False)
class Outer:
    """A layer ``inputs @ weights``: record i's gradient is the outer product of its input and its delta.

    `inputs` (records, p), `deltas` (records, q); coordinates in the order of a (p, q) matrix. No gradient is ever
    written out: norms multiply, and the sum is one matrix product.
    """

    inputs: Floats
    deltas: Floats

    @property
    def size(self) -> int:
        return int(self.inputs.shape[1]) * int(self.deltas.shape[1])

    def squares(self) -> Floats:
        inputs, deltas = _squares(self.inputs), _squares(self.deltas)
        sound = (inputs <= _FARTHEST) & (deltas <= _FARTHEST)
        found: Floats = np.multiply(inputs, deltas, out=np.full(len(inputs), np.nan), where=sound)
        return found

    def total(self, scales: Floats) -> Integers:
        used = scales > 0
        lengths = np.sqrt(_squares(self.inputs[used]))[:, None]
        share = np.divide(HALF, lengths, out=np.zeros_like(lengths), where=lengths > 0)
        inputs = np.trunc(self.inputs[used] * share * (1 - MARGIN))
        deltas = np.trunc(self.deltas[used] * (lengths * scales[used, None] / HALF))
        return _whole(inputs.T @ deltas).ravel()


Gradient = Callable[[Records], Sequence[Part]]
"""Records -> their gradients, in parts whose coordinates follow each other.

Row i of a part may depend on record i and on what was released, on no other record: what mixes rows (batch
normalisation, a mean over the batch) has no bound that clipping could enforce. The parts' sizes are always the same.
"""


def exact_sum(batch: Iterable[Drawn], gradient: Gradient, clip: float) -> Integers:
    """Sum of all clipped contributions in steps of ``clip / GRID``. Private: it never leaves `privacy/`."""
    total: Integers | None = None
    for drawn in _pieces(batch):
        parts = gradient(drawn.records)
        scales = _scales(parts, drawn, clip)
        found = np.concatenate([part.total(scales) for part in parts])
        total = found if total is None else total + found
    if total is None:
        raise ValueError("an empty batch is a batch without records, not none")
    return total


def _pieces(batch: Iterable[Drawn]) -> Iterator[Drawn]:
    """The same units in pieces of about `PIECE` records, so that their gradients fit in memory; no unit is cut."""
    for drawn in batch:
        rows = len(drawn.units)
        begins = np.flatnonzero(np.diff(drawn.units, prepend=-1))
        wanted = np.arange(0, max(rows, 1), PIECE)
        cuts = np.unique(begins[np.searchsorted(begins, wanted, side="right") - 1]).tolist() if rows else [0]
        for first, end in zip(cuts, [*cuts[1:], rows], strict=True):
            yield Drawn(drawn.records.take(slice(first, end)), drawn.units[first:end])


def noised(total: Integers, plan: SgdPlan, stream: Stream) -> Floats:
    """The sum with its noise, in the gradient's own unit."""
    drawn = noise.discrete_gaussian(plan.sigma * GRID * SAFETY, total.shape, stream)
    found: Floats = (total + drawn).astype(np.float64) * (plan.clip / GRID)
    return found


def _scales(parts: Sequence[Part], drawn: Drawn, clip: float) -> Floats:
    """Grid steps per unit of gradient, for each record; 0 for one that is not finite."""
    rows = len(drawn.records)
    if rows > _MOST_ROWS or not parts:
        raise ValueError("gradients come in parts, of at most 2**28 records at once")
    if (np.diff(drawn.units) < 0).any():
        raise ValueError("the records of a unit stand together")
    squares = np.zeros(rows)
    for part in parts:
        own = part.squares()
        if own.shape != (rows,):
            raise ValueError("each part has a row for each record")
        squares = squares + own
    norms = np.sqrt(squares)
    sound = np.isfinite(norms)
    unit = np.cumsum(np.diff(drawn.units, prepend=drawn.units[:1]) != 0) if rows else drawn.units
    together = np.bincount(unit, np.where(sound, norms, 0.0))[unit] if rows else norms
    shrink = np.divide(clip, together, out=np.ones(rows), where=together > clip)
    return np.where(sound, shrink * (GRID / clip * (1 - MARGIN)), 0.0)


def _squares(values: Floats) -> Floats:
    with np.errstate(over="ignore", invalid="ignore"):
        found: Floats = np.einsum("ij,ij->i", values, values)
    return found


def _cut(values: Floats) -> Integers:
    return np.trunc(values).astype(np.int64)


def _whole(sums: NDArray[Any]) -> Integers:
    """Sums of whole numbers, exact as floats, as integers."""
    return sums.astype(np.int64)
