"""A fitted model: released facts only. It can be kept, copied and sampled for ever at no cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dpsynth.conditions import parse
from dpsynth.domain import Domain
from dpsynth.encoding import Encoding
from dpsynth.errors import CapacityError, DPSynthError, UsageError, VerifyError
from dpsynth.evidence import Evidence
from dpsynth.measurement import Measurement
from dpsynth.model.files import Stored, content_id, read_model, write_model
from dpsynth.model.finishing import Finishing
from dpsynth.pgm import GraphicalModel, MergedMixture, MergedModel, MixtureModel
from dpsynth.privacy.receipt import Receipt
from dpsynth.records import Records
from dpsynth.schema import Schema
from dpsynth.table import Table, joined

MAX_VALUES = 500_000_000
"""Limit for the values (rows times columns) of one sample."""

DECODED = 1 << 18
"""Rows decoded together: bounds the memory of a stream. Part of what a seed means."""

LEAST_EXPECTED = 0.01
"""Rows that a model must expect of a kind before it is sampled."""

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

    def sample_batches(self, n: int, rng: np.random.Generator) -> Iterator[Records]:
        """The same records in batches of a size of its own, at least one."""
        ...

    def conditioned(self, weights: Mapping[str, NDArray[np.float64]]) -> Generator:
        """Given evidence: the share of each cell, shape (cells,), that may be. ValueError when no record may."""
        ...

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]: ...


Kind = type[GraphicalModel] | type[MergedModel] | type[MixtureModel] | type[MergedMixture]
KINDS: tuple[Kind, ...] = (GraphicalModel, MergedModel, MixtureModel, MergedMixture)
GENERATORS: Mapping[str, Kind] = {kind.kind: kind for kind in KINDS}
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
        rows = self.default_rows() if n is None else _row_number(n)
        require_rows(rows, len(self.domain))
        return self.generator.sample(rows, rng)

    def sample_batches(
        self, n: int | None = None, rng: np.random.Generator | None = None, where: str | None = None
    ) -> Iterator[Table]:
        """The rows of `sample` in batches of up to `DECODED`, made as they are asked for: any number of rows.

        `where` is a condition as `dpsynth.conditions` reads it; all rows meet it, and have the model's distribution
        given that. Then `n` defaults to the number of such rows that the model expects. Raises UsageError: U191
        to U195 for a condition that cannot be used, U153 when the model has next to no such rows.
        """
        encoding = Encoding(self.schema)
        evidence = None if where is None else Evidence.of(parse(where), encoding)
        generator = self.generator if evidence is None else _given(self.generator, evidence)
        rows = _row_number(max(1, round(generator.total)) if n is None else n)
        encoding.require_ids(rows)
        source = np.random.default_rng() if rng is None else rng
        return _decoded(Finishing(encoding, evidence), generator.sample_batches(rows, source), source)

    def sample_table(
        self, n: int | None = None, rng: np.random.Generator | None = None, where: str | None = None
    ) -> Table:
        """As `sample`, with the schema."""
        if n is not None:
            require_rows(_row_number(n), len(self.domain))
        return joined(list(self.sample_batches(n, rng, where)))

    def sample(
        self, n: int | None = None, rng: np.random.Generator | None = None, where: str | None = None
    ) -> pd.DataFrame:
        """`n` synthetic rows in the form of the input table; the same `rng` state gives the same rows.

        `where` and its errors are those of `sample_batches`.
        """
        return self.sample_table(n, rng, where).to_frame()

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
        merges = {
            a: arrays[f"merge/{i}"]
            for i, a in enumerate(generator.domain.attributes)
            if f"merge/{i}" in arrays
        }
        measurements = [
            _measurement(m, arrays[f"measurement/{i}"], merges) for i, m in enumerate(facts["measurements"])
        ]
        receipt = Receipt.from_json(facts["receipt"])
        return cls.of(Schema.from_yaml(stored.schema), generator, facts["method"], measurements, receipt)

    def _stored(self) -> Stored:
        facts, inside = self.generator.state()
        arrays: dict[str, NDArray[Any]] = {f"generator/{name}": array for name, array in inside.items()}
        arrays |= {f"measurement/{i}": m.values for i, m in enumerate(self.measurements)}
        merges = {a: cells for m in self.measurements for a, cells in m.merges.items()}
        arrays |= {
            f"merge/{self.domain.index(a)}": np.asarray(cells, np.int64) for a, cells in merges.items()
        }
        return Stored(
            facts={
                "method": self.method,
                "generator": {"kind": self.generator.kind, "facts": facts},
                "measurements": [_facts(m) for m in self.measurements],
                "receipt": self.receipt.as_json(),
            },
            schema=self.schema.to_yaml(),
            arrays=arrays,
        )


def _row_number(n: Any) -> int:
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 0:
        raise UsageError("U150", "the number of rows to sample is no whole number of at least 0")
    return int(n)


def _given(generator: Generator, evidence: Evidence) -> Generator:
    try:
        given = generator.conditioned(evidence.weights)
    except ValueError:
        expected = 0.0
    else:
        expected = given.total
    if expected < LEAST_EXPECTED:
        raise UsageError(
            "U153",
            f"the model expects {expected:.1g} rows of this kind among {generator.total:,.0f}",
            "widen the condition: what the model knows of so few is nothing but noise",
        )
    return given


def _decoded(finishing: Finishing, batches: Iterator[Records], rng: np.random.Generator) -> Iterator[Table]:
    first_id = 1
    for batch in batches:
        for start in range(0, max(len(batch), 1), DECODED):
            records = batch.take(slice(start, start + DECODED))
            yield finishing.rows(records, rng, first_id)
            first_id += len(records)


def require_rows(rows: int, columns: int) -> None:
    """CapacityError for a table of so many values that no memory holds it."""
    if rows * columns > MAX_VALUES:
        raise CapacityError(
            "C151",
            f"{rows:.3g} rows of {columns} columns are more than the {MAX_VALUES:.3g} values of one sample",
            "draw several smaller samples",
        )


def _facts(measurement: Measurement) -> dict[str, Any]:
    """What a file says of a measurement beside its values; "merged" only where cells were merged."""
    facts: dict[str, Any] = {"clique": list(measurement.clique), "sigma": measurement.sigma}
    return {**facts, "merged": list(measurement.merges)} if measurement.merges else facts


def _measurement(facts: Mapping[str, Any], values: NDArray[Any], merges: Arrays) -> Measurement:
    own = {a: merges[a] for a in facts.get("merged", [])}
    if values.dtype != np.int64 or any(cells.dtype != np.int64 for cells in own.values()):
        raise ValueError("measured counts are integers")
    return Measurement(tuple(facts["clique"]), values, float(facts["sigma"]), own)
