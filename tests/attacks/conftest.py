"""One small population with dependent columns, and files made from it."""

from __future__ import annotations

from collections.abc import Callable

import known_leaks
import numpy as np
import pytest
from attacked_files import CELLS, COLUMNS, Files


@pytest.fixture
def files() -> Callable[..., Files]:
    def make(members: int = 2000, controls: int = 1000, seed: int = 0) -> Files:
        rng = np.random.default_rng(seed)
        rows = known_leaks.population(2 * members + controls, rng, COLUMNS, CELLS)
        cut = np.split(np.arange(len(rows)), [members, members + controls])
        return Files(rows.take(cut[0]), rows.take(cut[1]), rows.take(cut[2]), rng)

    return make
