"""A large sample in parts that can be drawn apart, each on another machine: together they are one sample."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from dpsynth.constraints.totals import Totals
from dpsynth.encoding import Encoding
from dpsynth.errors import UsageError
from dpsynth.model.drawing import Drawable, decoded
from dpsynth.model.finishing import Finishing
from dpsynth.model.units import Counts, Units
from dpsynth.table import Table

PART = 1 << 22
"""Rows of a part, about. Part of what a seed means."""


@dataclass(frozen=True, eq=False)
class Shares:
    """`rows` rows of a model, where units have several: in whole units. Every part has its share, exact to a row (to a unit
    of each size), numbers of its own for rows and units, and its own stream of random numbers, all from one `seed`: what
    a part holds depends neither on who draws it nor on how often.

    ValueError for a negative number of rows or seed.
    """

    model: Drawable
    rows: int
    seed: int
    part_rows: int = PART

    def __post_init__(self) -> None:
        if self.rows < 0 or self.seed < 0 or self.part_rows < 1:
            raise ValueError("rows and the seed are not negative, a part has rows")

    @cached_property
    def parts(self) -> int:
        """How many there are, at least one."""
        return max(1, -(-self.rows // self.part_rows))

    def require_ids(self) -> None:
        """Raises DataError (D201) when an id column's format has too few digits for all rows, or units; UsageError (U268)
        for declared totals, which parts that know nothing of each other do not keep."""
        if Totals.of(self.model.schema):
            raise UsageError(
                "U268",
                "rows with declared totals are not drawn in parts",
                "draw them on one machine: dpsynth sample",
            )
        whole = self._people
        if whole is None:
            Encoding(self.model.schema).require_ids(self.rows)
        else:
            Encoding(self.model.schema).require_ids(whole.rows, whole.units)

    def rng(self, part: int) -> np.random.Generator:
        """The stream of a part: the child of that number of the seed's sequence, independent of the others."""
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(part,)))

    def tables(self, part: int) -> Iterator[Table]:
        """The rows of a part, batch by batch, one at least."""
        if not 0 <= part < self.parts:
            raise ValueError("no such part")
        rng, generator = self.rng(part), self.model.generator
        finishing = self.model.finishing(None, generator)
        if self._people is not None:
            if self._units.rules:
                finishing = replace(finishing, sequenced=self._units.sequenced)
            return self._of_units(part, self._people.by_size, finishing, rng)
        first, last = (self.rows * place // self.parts for place in (part, part + 1))
        return decoded(finishing, generator.sample_batches(last - first, rng), rng, first + 1)

    @cached_property
    def _people(self) -> Counts | None:
        """Units of each size; None where every row stands for itself."""
        return None if self.model.sizes is None else self._units.counts(self.rows, None)

    @cached_property
    def _units(self) -> Units:
        assert self.model.sizes is not None
        generator = self.model.generator
        return Units.of(self.model.schema, self.model.sizes, generator, generator, None)

    def _of_units(
        self, part: int, by_size: NDArray[np.int64], finishing: Finishing, rng: np.random.Generator
    ) -> Iterator[Table]:
        before, upto = (Counts(by_size * place // self.parts) for place in (part, part + 1))
        for drawn in self._units.batches(Counts(upto.by_size - before.by_size), rng):
            placed = replace(drawn, unit=drawn.unit + before.units, first_row=drawn.first_row + before.rows)
            yield finishing.of_units(placed, rng)
