"""From sampled cells to finished rows: every step, in the one order that they have.

Values are drawn inside their cells, drawn again where a condition cuts a cell, moved where a constraint needs it; then come
columns that follow rules. All of it is computed from released facts and costs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dpsynth.encoding import Encoding
from dpsynth.evidence import Evidence
from dpsynth.model.units import Drawn, with_units
from dpsynth.records import Records
from dpsynth.table import Table


@dataclass(frozen=True, eq=False)
class Finishing:
    """What turns the records of one sample into rows. `evidence`: what the rows were asked to be, if anything."""

    encoding: Encoding
    evidence: Evidence | None = None

    def of_units(self, drawn: Drawn, rng: np.random.Generator) -> Table:
        """The rows of whole units: the unit's id stands in each of them, static columns have one value."""
        return self.rows(drawn.records, rng, drawn.first_row + 1, drawn.unit)

    def rows(
        self,
        records: Records,
        rng: np.random.Generator,
        first_id: int = 1,
        unit: NDArray[np.int64] | None = None,
    ) -> Table:
        """A row for each record, in its order; ids count from `first_id`. `unit`: each row's unit, as for `decode`."""
        table = self.encoding.decode(records, rng, first_id, unit)
        if self.evidence is not None:
            table = self.evidence.refined(table, records, rng)
        if unit is not None:
            table = with_units(table, unit)
        return table
