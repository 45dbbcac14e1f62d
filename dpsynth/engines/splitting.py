"""A stream of encoded rows -> bounded training records on disk: the same units, rows and hold-out as in memory.

Where a row is a unit, its coin is thrown as it comes by. Where units have rows all over the stream, training rows go to
one of `BUCKETS` files by a keyed hash of their unit, so that a unit's rows meet; then one bucket after the other, in parts
where it is large, is brought into memory, sorted by unit and rank, cut to the bound and written to its place. Memory holds
a batch, or a part of a bucket.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpsynth.domain import Domain
from dpsynth.engines.bounding import first_of_each
from dpsynth.engines.coins import check_split, coins_of, ranks, row_coins, unit_words
from dpsynth.engines.spool import Column, Spool
from dpsynth.engines.spooled import SpoolEngine
from dpsynth.engines.unknown import Unknown
from dpsynth.records import Records, code_dtype
from dpsynth.unit_names import UnitNames

BUCKETS = 64
TOGETHER = 1 << 19
"""About so many rows of a bucket are brought into memory at once: of a fuller one, one part of its units after another."""
_KEYS = ["unit 0", "unit 1", "rank 0", "rank 1"]
_PAIRS = (("unit 0", "unit 1"), ("rank 0", "rank 1"))


@dataclass(frozen=True, eq=False)
class Batch:
    """Consecutive rows of a source. `units[i]` names row i's unit; None: every row is one. `ranked`: records of the same
    rows, by which those of a unit are ranked where it is not by `records`."""

    records: Records
    units: Sequence[bytes] | None = None
    ranked: Records | None = None


def spooled(
    batches: Iterable[Batch],
    domain: Domain,
    *,
    rows_per_unit: int,
    holdout: float,
    run_key: bytes,
    folder: Path | None = None,
    unknown: Unknown | None = None,
) -> SpoolEngine:
    """The engine over the training part of all batches; see `bound_and_split` for what is decided and how. `unknown`: where
    the records hold columns that are still to be discovered.

    CapacityError C170 when `folder` (the temporary folder without one) is full.
    """
    check_split(run_key, holdout)
    rows: _Rows | _Units | None = None
    first = 0
    for batch in batches:
        if rows is None:
            rows = (
                _Rows(domain, rows_per_unit, folder)
                if batch.units is None
                else _Units(domain, rows_per_unit, folder)
            )
        rows.take(batch, first, holdout, run_key)
        first += len(batch.records)
    if rows is None:
        raise ValueError("one batch at least")
    return replace(rows.engine(), unknown=unknown)


class _Rows:
    """Every row is a unit."""

    def __init__(self, domain: Domain, rows_per_unit: int, folder: Path | None) -> None:
        if rows_per_unit != 1:
            raise ValueError("without a unit column every row is a unit: rows_per_unit is 1")
        self._spool = Spool(domain, folder)

    def take(self, batch: Batch, first: int, holdout: float, run_key: bytes) -> None:
        held = row_coins(first, len(batch.records), run_key) < holdout
        self._spool.append(batch.records.take(~held))

    def engine(self) -> SpoolEngine:
        return SpoolEngine(self._spool, 1)


class _Units:
    """Rows meet the others of their unit in a bucket."""

    def __init__(self, domain: Domain, rows_per_unit: int, folder: Path | None) -> None:
        self._domain, self._bound, self._folder = domain, rows_per_unit, folder
        cells = [(str(i), code_dtype(size)) for i, size in enumerate(domain.sizes)]
        self._kind = np.dtype([(key, "<u8") for key in _KEYS] + cells)
        self._buckets = [Column(self._kind, folder) for _ in range(BUCKETS)]

    def take(self, batch: Batch, first: int, holdout: float, run_key: bytes) -> None:
        if batch.units is None:
            raise ValueError("a batch without the units that others have")
        training, keys = _keys(batch, holdout, run_key)
        rows = np.empty(len(training), self._kind)
        for name, values in zip(_KEYS, keys.T, strict=True):
            rows[name] = values
        for i, codes in enumerate(batch.records.columns):
            rows[str(i)] = codes[training]
        bucket = (keys[:, 0] % np.uint64(BUCKETS)).astype(np.uint8)  # sorted by its digits
        order = np.argsort(bucket, kind="stable")
        ends = np.cumsum(np.bincount(bucket, minlength=BUCKETS))
        for number, part in enumerate(np.split(rows[order], ends[:-1])):
            if len(part):
                self._buckets[number].append(part)

    def engine(self) -> SpoolEngine:
        spool, sizes = Spool(self._domain, self._folder), Column(np.uint16, self._folder)
        while self._buckets:
            bucket = self._buckets[-1]
            parts = -(-bucket.rows // TOGETHER)
            for part in range(parts):
                rows = _part(bucket, part, parts)
                kept, held = _bounded(rows, self._bound)
                columns = tuple(rows[str(i)][kept] for i in range(len(self._domain)))
                spool.append(Records(self._domain, columns))
                sizes.append(held)
            self._buckets.pop()  # its file goes with it: never two copies of everything
        return SpoolEngine(spool, self._bound, sizes)


def _part(bucket: Column, part: int, parts: int) -> NDArray[Any]:
    """The rows of some of a bucket's units, whose hash says so; the bucket is read once for each part."""
    if parts == 1:
        return bucket.read(0, bucket.rows)
    found = []
    for first in range(0, bucket.rows, TOGETHER // 4):
        rows = bucket.read(first, TOGETHER // 4)
        found.append(rows[rows["unit 0"] // np.uint64(BUCKETS) % np.uint64(parts) == part])
    return np.concatenate(found)


def _keys(batch: Batch, holdout: float, run_key: bytes) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """The rows of the batch that are for training, and for each 128 bits of its unit and of its rank, shape (rows, 4)."""
    units = UnitNames.of(batch.units or ())
    words = units.once(run_key, unit_words)
    training = np.flatnonzero((coins_of(words[:, 0]) >= holdout)[units.codes])
    ranked = ranks(units, batch.records if batch.ranked is None else batch.ranked, training, run_key)
    return training, np.concatenate([words[units.codes[training], 1:3], ranked[:, :2]], axis=1)


def _bounded(rows: NDArray[Any], bound: int) -> tuple[NDArray[np.int64], NDArray[np.uint16]]:
    """The first `bound` rows of each unit by rank, a unit's rows together, and how many each unit has."""
    units, found = ((np.ascontiguousarray(rows[one]), np.ascontiguousarray(rows[two])) for one, two in _PAIRS)
    kept, sizes = first_of_each(units, found, bound)
    return kept, sizes.astype(np.uint16)
