"""A fitted model: released facts only. It can be kept, copied and sampled for ever at no cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dpsynth.domain import Domain
from dpsynth.encoding import Encoding
from dpsynth.errors import CapacityError, DPSynthError, UsageError, VerifyError
from dpsynth.measurement import Measurement
from dpsynth.model.files import Stored, content_id, read_model, write_model
from dpsynth.pgm import GraphicalModel
from dpsynth.privacy.receipt import Receipt
from dpsynth.records import Records
from dpsynth.schema import Schema
from dpsynth.table import Table

MAX_VALUES = 500_000_000
"""Limit for the values (rows times columns) of one sample."""

Arrays = Mapping[str, NDArray[Any]]


class Generator(Protocol):
    """A distribution over encoded records, as a file can hold it."""

    kind: ClassVar[str]

    @property
    def domain(self) -> Domain: ...

    @property
    def total(self) -> float:
        """Released number of records."""
        ...

    def sample(self, n: int, rng: np.random.Generator) -> Records: ...

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[np.float64]]]: ...


GENERATORS = {GraphicalModel.kind: GraphicalModel}
"""How a stored generator comes back: its kind -> the class with `from_state`."""


@dataclass(frozen=True, eq=False)
class FittedModel:
    """A generator with what was released to make it and what that cost.

    `id` is a hash of all of it, so a model that was saved and loaded, anywhere, is the same model.
    """

    schema: Schema
    generator: Generator
    method: str
    measurements: tuple[Measurement, ...]
    receipt: Receipt

    @classmethod
    def of(
        cls,
        schema: Schema,
        generator: Generator,
        method: str,
        measurements: Sequence[Measurement],
        receipt: Receipt,
    ) -> FittedModel:
        """A model of these released facts; raises ValueError when they do not belong together."""
        if Encoding(schema).domain != generator.domain:
            raise ValueError("the generator models another domain than the schema's")
        return cls(schema, generator, method, tuple(measurements), receipt)

    @property
    def domain(self) -> Domain:
        return self.generator.domain

    @property
    def releasable(self) -> bool:
        """Whether its account was on disk and its noise came from the operating system."""
        return self.receipt.releasable and not self.receipt.seeded

    @cached_property
    def id(self) -> str:
        return content_id(self._stored())

    def default_rows(self) -> int:
        """The released number of records, rounded: never the number of rows that were read."""
        return max(1, round(self.generator.total))

    def sample_records(self, n: int | None, rng: np.random.Generator) -> Records:
        """`n` encoded records (`default_rows()` without a number)."""
        rows = self.default_rows() if n is None else n
        if isinstance(rows, bool) or not isinstance(rows, int | np.integer) or rows < 0:
            raise UsageError("U150", "the number of rows to sample is no whole number of at least 0")
        require_rows(rows, len(self.domain))
        return self.generator.sample(int(rows), rng)

    def sample_table(self, n: int | None = None, rng: np.random.Generator | None = None) -> Table:
        """As `sample`, with the schema."""
        source = np.random.default_rng() if rng is None else rng
        return Encoding(self.schema).decode(self.sample_records(n, source), source)

    def sample(self, n: int | None = None, rng: np.random.Generator | None = None) -> pd.DataFrame:
        """`n` synthetic rows in the form of the input table; the same `rng` state gives the same rows."""
        return self.sample_table(n, rng).to_frame()

    def save(self, directory: str | Path) -> None:
        """Write it to a new folder: JSON, YAML and arrays, no code. All or nothing.

        Raises UsageError when the folder exists or cannot be made.
        """
        write_model(Path(directory), self._stored())

    @classmethod
    def load(cls, directory: str | Path) -> FittedModel:
        """A model that `save` wrote; raises VerifyError for files that are missing, altered or from a newer
        version. Nothing in the files is executed."""
        stored = read_model(Path(directory))
        try:
            return cls._restored(stored)
        except (VerifyError, CapacityError):
            raise
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, DPSynthError) as problem:
            raise VerifyError(
                "V205", f"the model in {Path(directory)} does not describe a model", "fit it again"
            ) from problem

    @classmethod
    def _restored(cls, stored: Stored) -> FittedModel:
        facts, arrays = stored.facts, stored.arrays
        kind = facts["generator"]["kind"]
        if kind not in GENERATORS:
            raise VerifyError("V204", "the model's kind is unknown to this version", "upgrade dpsynth")
        inside = {
            name.removeprefix("generator/"): a for name, a in arrays.items() if name.startswith("generator/")
        }
        generator = GENERATORS[kind].from_state(facts["generator"]["facts"], inside)
        measurements = [
            _measurement(m, arrays[f"measurement/{i}"]) for i, m in enumerate(facts["measurements"])
        ]
        receipt = Receipt.from_json(facts["receipt"])
        return cls.of(Schema.from_yaml(stored.schema), generator, facts["method"], measurements, receipt)

    def _stored(self) -> Stored:
        facts, inside = self.generator.state()
        arrays: dict[str, NDArray[Any]] = {f"generator/{name}": array for name, array in inside.items()}
        arrays |= {f"measurement/{i}": m.values for i, m in enumerate(self.measurements)}
        return Stored(
            facts={
                "method": self.method,
                "generator": {"kind": self.generator.kind, "facts": facts},
                "measurements": [{"clique": list(m.clique), "sigma": m.sigma} for m in self.measurements],
                "receipt": self.receipt.as_json(),
            },
            schema=self.schema.to_yaml(),
            arrays=arrays,
        )


def require_rows(rows: int, columns: int) -> None:
    """CapacityError for a table of so many values that no memory holds it."""
    if rows * columns > MAX_VALUES:
        raise CapacityError(
            "C151",
            f"{rows:.3g} rows of {columns} columns are more than the {MAX_VALUES:.3g} values of one sample",
            "draw several smaller samples",
        )


def _measurement(facts: Mapping[str, Any], values: NDArray[Any]) -> Measurement:
    if values.dtype != np.int64:
        raise ValueError("measured counts are integers")
    return Measurement(tuple(facts["clique"]), values, float(facts["sigma"]))
