"""A fitted model: released facts only. It can be kept, copied and sampled for ever at no cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpsynth.encoding import Encoding
from dpsynth.errors import CapacityError, DPSynthError, VerifyError
from dpsynth.formulas import Functions
from dpsynth.measurement import Measurement
from dpsynth.model.drawing import Drawable, Generator
from dpsynth.model.files import Stored, content_id, read_model, write_model
from dpsynth.model.prior_note import PriorNote
from dpsynth.persons import UnitSizes
from dpsynth.pgm import GraphicalModel, MergedMixture, MergedModel, MixtureModel
from dpsynth.privacy.receipt import Receipt
from dpsynth.schema import Schema

Arrays = Mapping[str, NDArray[Any]]


Kind = type[GraphicalModel] | type[MergedModel] | type[MixtureModel] | type[MergedMixture]
KINDS: tuple[Kind, ...] = (GraphicalModel, MergedModel, MixtureModel, MergedMixture)
GENERATORS: Mapping[str, Kind] = {kind.kind: kind for kind in KINDS}
"""How a stored generator comes back: its kind -> the class with `from_state`."""


@dataclass(frozen=True, eq=False)
class FittedModel(Drawable):
    """A generator with what was released to make it and what that cost.

    `id` is a hash of all of it, so a model that was saved and loaded, anywhere, is the same model.
    """

    schema: Schema
    generator: Generator
    method: str
    measurements: tuple[Measurement, ...]
    receipt: Receipt
    sizes: UnitSizes | None = None
    """How many rows units have; None where a row stands for itself."""
    prior: PriorNote | None = None
    """The public table that the fit began from."""
    functions: Functions = field(default_factory=dict)
    """Those that formulas call by name, as a program passes them; no file holds them."""

    @classmethod
    def of(
        cls,
        schema: Schema,
        generator: Generator,
        method: str,
        measurements: Sequence[Measurement],
        receipt: Receipt,
        sizes: UnitSizes | None = None,
    ) -> FittedModel:
        """A model of these released facts; raises ValueError when they do not belong together."""
        if Encoding(schema).domain != generator.domain:
            raise ValueError("the generator models another domain than the schema's")
        if sizes is not None and (not schema.several_rows or sizes.most != schema.unit.rows_per_unit):
            raise ValueError("the sizes of units are not of the schema's unit")
        return cls(schema, generator, method, tuple(measurements), receipt, sizes)

    def with_functions(self, functions: Functions) -> FittedModel:
        """The same model, whose computed columns may call these functions by name (`passed` in their declaration). They
        get arrays of float64 and give one number for each row. They are not saved with the model."""
        return replace(self, functions=dict(functions))

    @property
    def releasable(self) -> bool:
        """Whether its account was on disk and its noise came from the operating system."""
        return self.receipt.releasable and not self.receipt.seeded

    @cached_property
    def id(self) -> str:
        return content_id(self._stored())

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
        sizes = UnitSizes.from_state(facts["unit_sizes"]) if "unit_sizes" in facts else None
        schema = Schema.from_yaml(stored.schema)
        model = cls.of(schema, generator, facts["method"], measurements, receipt, sizes)
        return replace(model, prior=PriorNote.from_json(facts["prior"])) if "prior" in facts else model

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
                **({} if self.prior is None else {"prior": self.prior.as_json()}),
                **({} if self.sizes is None else {"unit_sizes": self.sizes.state()}),
            },
            schema=self.schema.to_yaml(),
            arrays=arrays,
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
