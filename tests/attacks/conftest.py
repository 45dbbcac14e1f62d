"""One small population with dependent columns, and files made from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import known_leaks
import numpy as np
import pandas as pd
import pytest

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


@pytest.fixture
def files() -> Callable[..., Files]:
    def make(members: int = 2000, controls: int = 1000, seed: int = 0) -> Files:
        rng = np.random.default_rng(seed)
        rows = known_leaks.population(2 * members + controls, rng, COLUMNS, CELLS)
        cut = np.split(np.arange(len(rows)), [members, members + controls])
        return Files(rows.take(cut[0]), rows.take(cut[1]), rows.take(cut[2]), rng)

    return make
