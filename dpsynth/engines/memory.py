"""The memory engine: bounds each unit's records, flips the hold-out coins, counts."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpsynth.counting import count
from dpsynth.domain import Clique, Domain
from dpsynth.engines.base import Counts
from dpsynth.measurement import Merges
from dpsynth.records import Records

RUN_KEY_BYTES = 32
_COIN_BITS = 53


@dataclass(frozen=True, eq=False)
class Bounded:
    """Which raw rows take part: row numbers, ascending. Private."""

    training: NDArray[np.int64]
    holdout: NDArray[np.int64]


def bound_and_split(
    records: Records,
    units: Sequence[bytes] | None,
    *,
    rows_per_unit: int,
    holdout: float,
    run_key: bytes,
) -> Bounded:
    """Choose at most `rows_per_unit` records of each unit, then send each unit to training or hold-out.

    `units[i]` is the identity of row i's unit; None makes every row a unit of its own. Records of a unit are
    ranked by sha256(run key || unit || encoded record) and the first stay, so the choice depends neither on
    the row order nor on the engine; equal records tie, and which of them stays makes no difference. A unit is
    held out when its own keyed coin falls below `holdout` (in [0, 1)). Both bits are secret: `run_key` is 32
    bytes from the operating system, new for each run.
    """
    if len(run_key) != RUN_KEY_BYTES:
        raise ValueError(f"the run key has {RUN_KEY_BYTES} bytes")
    if not 0 <= holdout < 1:
        raise ValueError("the hold-out probability lies in [0, 1)")
    if units is None:
        if rows_per_unit != 1:
            raise ValueError("without a unit column every row is a unit: rows_per_unit is 1")
        held = _row_coins(len(records), run_key) < holdout
        rows = np.arange(len(records), dtype=np.int64)
    else:
        held_of, rows = _bound(records, units, rows_per_unit, run_key, holdout)
        held = held_of[rows]
    return Bounded(training=rows[~held], holdout=rows[held])


def _bound(
    records: Records, units: Sequence[bytes], rows_per_unit: int, run_key: bytes, holdout: float
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Which rows belong to held-out units (a mask over all rows), and the rows kept, ascending."""
    if len(units) != len(records):
        raise ValueError("one unit for each record")
    matrix = np.ascontiguousarray(records.matrix(), dtype=np.uint32)
    held = np.empty(len(records), dtype=np.bool_)
    rows_of: dict[bytes, list[tuple[bytes, int]]] = {}
    for row, unit in enumerate(units):
        framed = run_key + len(unit).to_bytes(4, "big") + unit
        rank = hashlib.sha256(framed + matrix[row].tobytes()).digest()
        rows_of.setdefault(unit, []).append((rank, row))
    kept: list[int] = []
    for unit, ranked in rows_of.items():
        coin = _unit_coin(unit, run_key) < holdout
        ranked.sort()
        kept.extend(row for _, row in ranked[:rows_per_unit])
        for _, row in ranked:
            held[row] = coin
    return held, np.sort(np.array(kept, dtype=np.int64))


def _unit_coin(unit: bytes, run_key: bytes) -> float:
    """Uniform in [0, 1) for whoever lacks the key."""
    digest = hmac.digest(run_key, b"hold-out" + unit, "sha256")
    return int.from_bytes(digest[:8], "big") / 2**64


def _row_coins(rows: int, run_key: bytes) -> NDArray[np.float64]:
    """Independent uniforms in [0, 1), one for each row, from a keyed stream."""
    words = hashlib.shake_256(run_key + b"hold-out rows").digest(8 * rows)
    return (np.frombuffer(words, dtype="<u8") >> np.uint64(64 - _COIN_BITS)) / 2.0**_COIN_BITS


@dataclass(frozen=True, eq=False)
class MemoryEngine:
    """Counts over records that are already bounded; refuses to be pickled or copied.

    `rows_per_unit` states the bound that `bound_and_split` enforced on `records`. Counts are remembered:
    a mechanism that chooses round by round asks for the same cliques again.
    """

    records: Records
    rows_per_unit: int
    _known: dict[Clique, Counts] = field(default_factory=dict, repr=False)

    @property
    def domain(self) -> Domain:
        return self.records.domain

    def marginals(self, cliques: Sequence[Clique]) -> Mapping[Clique, Counts]:
        for clique in cliques:
            if clique not in self._known:
                self._known[clique] = count(self.records, clique)
                self._known[clique].setflags(write=False)
        return {clique: self._known[clique] for clique in cliques}

    def merged(self, merges: Merges) -> MemoryEngine:
        columns: dict[str, NDArray[Any]] = {a: self.records[a] for a in self.domain.attributes}
        sizes = dict(zip(self.domain.attributes, self.domain.sizes, strict=True))
        for attribute, cells in merges.items():
            columns[attribute] = np.take(cells, columns[attribute])
            sizes[attribute] = int(cells.max()) + 1
        return MemoryEngine(Records.of(Domain.from_sizes(sizes), columns), self.rows_per_unit)

    def __reduce__(self) -> str:
        raise TypeError("an engine holds private rows: it cannot be pickled or copied")
