"""The released measurements as a file: what a recipient needs to judge the synthetic rows for himself."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dpsynth.consistency.intervals import Interval, interval
from dpsynth.domain import Domain
from dpsynth.encoding import Encoding
from dpsynth.errors import VerifyError
from dpsynth.measurement import Measurement
from dpsynth.schema import Schema

NAME = "measurements.json"
FORMAT = "dpsynth-measurements/1"
ABOUT = (
    "Tables of counts that were released with noise: each value is the exact count of counted records in one "
    "cell plus an independent discrete Gaussian of scale sigma. Cells are in the order of schema.yaml, a missing "
    "value last; values run through the cells of the last column fastest. Under merges: the number of the "
    "merged cell that each cell of a column was counted in."
)


def to_bytes(measurements: Sequence[Measurement]) -> bytes:
    """One JSON object, a line for each measurement."""
    lines = ",\n".join(json.dumps(_plain(one), ensure_ascii=False) for one in measurements)
    head = json.dumps({"format": FORMAT, "about": ABOUT}, ensure_ascii=False)[:-1]
    return f'{head}, "measurements": [\n{lines}\n]}}\n'.encode()


def from_bytes(data: bytes, domain: Domain) -> tuple[Measurement, ...]:
    """What `to_bytes` wrote; VerifyError V140 for anything else and for what does not fit the domain."""
    try:
        found = json.loads(data.decode())
        if found["format"] != FORMAT:
            raise ValueError("another format")
        measurements = tuple(_measurement(one, domain) for one in found["measurements"])
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError, IndexError):
        raise VerifyError(
            "V140", f"{NAME} is not what dpsynth writes for this schema", "get an unchanged copy"
        ) from None
    if to_bytes(measurements) != data:
        raise VerifyError("V141", f"{NAME} says something twice or in another form", "get an unchanged copy")
    return measurements


def _plain(one: Measurement) -> dict[str, Any]:
    return {
        "columns": list(one.clique),
        "sigma": one.sigma,
        "merges": {name: np.asarray(cells).tolist() for name, cells in one.merges.items()},
        "shape": list(one.values.shape),
        "values": one.values.ravel().tolist(),
    }


def _measurement(plain: Mapping[str, Any], domain: Domain) -> Measurement:
    clique = tuple(plain["columns"])
    merges = {name: np.array(cells, dtype=np.int64) for name, cells in plain["merges"].items()}
    shape = tuple(
        int(merges[a].max()) + 1 if a in merges else size
        for a, size in zip(clique, domain.shape(clique), strict=True)
    )
    whole = all(type(v) is int for v in plain["values"]) and len(plain["values"]) == math.prod(shape)
    fits = all(len(cells) == domain[a] and cells.min() >= 0 for a, cells in merges.items())
    sigma = plain["sigma"]
    if not whole or not fits or list(shape) != plain["shape"] or len(set(clique)) < len(clique):
        raise ValueError("the values do not fit their columns")
    if not isinstance(sigma, float) or not math.isfinite(sigma):
        raise ValueError("sigma is a number")
    return Measurement(clique, np.array(plain["values"], dtype=np.int64).reshape(shape), sigma, merges)


@dataclass(frozen=True, eq=False)
class Released:
    """What a release says of its source: the schema and the noisy counts. `verify` says whether it is whole."""

    schema: Schema
    measurements: tuple[Measurement, ...]

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Released:
        """Of a release or a copy of its public/. VerifyError V142 when it has no measurements."""
        root = Path(folder)
        public = root / "public" if (root / "public").is_dir() else root
        try:
            schema = Schema.from_yaml((public / "schema.yaml").read_bytes())
            data = (public / NAME).read_bytes()
        except OSError:
            raise VerifyError(
                "V142", f"{root} has no readable schema.yaml and {NAME}", "name the folder of a release"
            ) from None
        return cls(schema, from_bytes(data, Encoding(schema).domain))

    def interval(
        self, wanted: Mapping[str, Any], *, confidence: float = 0.95, questions: int = 1
    ) -> Interval:
        """How many counted records meet all conditions in `wanted`; see `interval`."""
        return interval(self.measurements, self.schema, wanted, confidence=confidence, questions=questions)
