"""What does not fit the schema: which cells, why, and the way out. Never a value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Arrow = Any
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Misfit:
    """Cells of one column that do not fit, for one reason."""

    code: str
    rows: NDArray[np.int64]
    problem: str
    fix: str


class DoesNotFit(Exception):
    """Carries the misfit; becomes a DataError with column and line."""

    def __init__(self, misfit: Misfit) -> None:
        super().__init__(misfit.problem)
        self.misfit = misfit


def whole_column(rows: int, problem: str) -> Misfit:
    """Every cell is of another kind."""
    return Misfit("D119", np.arange(rows), problem, "write plain numbers, texts, dates or truth values")


def refuse(code: str, bad: Mask, problem: str, fix: str) -> NoReturn:
    """Raises DoesNotFit for the marked cells."""
    raise DoesNotFit(Misfit(code, np.flatnonzero(bad), problem, fix))


def to_numpy(array: Arrow) -> NDArray[Any]:
    return np.asarray(
        array.to_numpy(zero_copy_only=False) if isinstance(array, pa.Array) else array.to_numpy()
    )


def is_text(kind: Any) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))
