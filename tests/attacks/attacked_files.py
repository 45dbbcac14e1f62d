"""Files of members, controls and reference rows, and the suite run on them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

import attacks
from dpsynth.domain import Clique
from dpsynth.records import Records
from dpsynth.schema import Schema

COLUMNS, CELLS = 10, 8
SCHEMA = Schema(
    columns={
        f"c{i}": {"type": "category", "values": [str(v) for v in range(CELLS)]}
        if i % 2
        else {"type": "integer", "min": 0, "max": CELLS - 1}
        for i in range(COLUMNS)
    }
)


@dataclass(frozen=True)
class Files:
    """Encoded members, controls and reference rows of one population; `run` is the suite on them."""

    members: Records
    controls: Records
    reference: Records
    rng: np.random.Generator

    def run(
        self,
        synthetic: Records,
        claim: tuple[float, float] | None = (1.0, 1e-9),
        cliques: tuple[Clique, ...] | None = None,
        **options: object,
    ) -> attacks.SuiteResult:
        return attacks.run_suite(
            frame(synthetic), frame(self.members), frame(self.controls), SCHEMA, claim,
            cliques=cliques, rng=self.rng, **options,  # type: ignore[arg-type]
        )  # fmt: skip


def frame(records: Records) -> pd.DataFrame:
    columns = {a: records[a].astype(np.int64) for a in records.domain.attributes}
    return pd.DataFrame({a: c if int(a[1:]) % 2 == 0 else c.astype(str) for a, c in columns.items()})
