"""From sampled cells to finished rows: every step, in the one order that they have.

Values are drawn inside their cells, drawn again where a condition cuts a cell, moved where a constraint needs it; then come
columns that follow rules. All of it is computed from released facts and costs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dpsynth.encoding import Encoding
from dpsynth.evidence import Evidence
from dpsynth.records import Records
from dpsynth.table import Table


@dataclass(frozen=True, eq=False)
class Finishing:
    """What turns the records of one sample into rows. `evidence`: what the rows were asked to be, if anything."""

    encoding: Encoding
    evidence: Evidence | None = None

    def rows(self, records: Records, rng: np.random.Generator, first_id: int = 1) -> Table:
        """A row for each record, in its order; ids count from `first_id`."""
        table = self.encoding.decode(records, rng, first_id)
        if self.evidence is not None:
            table = self.evidence.refined(table, records, rng)
        return table
