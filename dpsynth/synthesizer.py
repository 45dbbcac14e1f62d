"""A scikit-learn-shaped wrapper: parameters in the constructor, `fit`, `sample`, `get_params`."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import pandas as pd

from dpsynth.errors import UsageError
from dpsynth.fitting import fit
from dpsynth.model import FittedModel
from dpsynth.privacy.ledger import Ledger
from dpsynth.progress import Progress, silent
from dpsynth.schema import Schema
from dpsynth.table import Source

_PARAMETERS = ("schema", "method", "epsilon", "delta", "ledger")


class Synthesizer:
    """`fit(rows)` spends once; `sample(n)` is free and never touches the rows again.

    >>> synthesizer = Synthesizer(schema, method="mst", epsilon=1.0, delta=1e-9)   # doctest: +SKIP
    >>> synthesizer.fit(frame).sample(1000)                                        # doctest: +SKIP

    `epsilon` has no default. `delta` defaults to the ledger's. Without a ledger the account lives in memory
    and the model can never be released.
    """

    model_: FittedModel

    def __init__(
        self,
        schema: Schema,
        *,
        method: str,
        epsilon: float,
        delta: float | None = None,
        ledger: Ledger | None = None,
    ) -> None:
        self.schema = schema
        self.method = method
        self.epsilon = epsilon
        self.delta = delta
        self.ledger = ledger

    def fit(self, rows: Source, y: None = None, *, progress: Progress = silent) -> Self:
        """Fit a new model, which is charged anew each time. Errors as `dpsynth.fit`."""
        self.model_ = fit(
            rows,
            self.schema,
            method=self.method,
            epsilon=self.epsilon,
            delta=self.delta,
            ledger=self.ledger,
            progress=progress,
        )
        return self

    def sample(self, n: int | None = None, rng: np.random.Generator | None = None) -> pd.DataFrame:
        """`n` synthetic rows (the released number of rows without one)."""
        if not hasattr(self, "model_"):
            raise UsageError("U115", "this Synthesizer was never fitted", "call fit(rows) first")
        return self.model_.sample(n, rng)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _PARAMETERS}

    def set_params(self, **parameters: Any) -> Self:
        for name, value in parameters.items():
            if name not in _PARAMETERS:
                raise UsageError(
                    "U116", f"there is no parameter {name!r}", f"known: {', '.join(_PARAMETERS)}"
                )
            setattr(self, name, value)
        return self
