"""The secret choices about rows and units, the same in every engine: who is held out, which rows of a unit stay.

All of them are functions of the run key and of the row's or the unit's own content (a lone row: its place in the source),
never of who else is there, so that engines, partitions and retries agree and neighbours differ in one unit.
"""

from __future__ import annotations

import hashlib
import hmac
import sys
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from dpsynth.engines import hashing
from dpsynth.records import Records
from dpsynth.unit_names import UnitNames

Bytes = NDArray[np.uint8]

RUN_KEY_BYTES = 32
_COIN_BITS = 53
_HOLD_OUT = b"hold-out"
_BLOCK = 1 << 16
"""Rows whose coins, or ranks, are made together."""
UNCOMPILED = 1 << 16
"""Names and records that are hashed one by one in a process before the compiled loops are loaded: ten times slower each, but
loading takes as long as this many. The digests are the same."""


def row_coins(first: int, rows: int, run_key: bytes) -> NDArray[np.float64]:
    """Independent uniforms in [0, 1) of the rows numbered `first`, `first` + 1, ..., shape (rows,)."""
    if not rows:
        return np.zeros(0)
    blocks = range(first // _BLOCK, -(-(first + rows) // _BLOCK))
    words = b"".join(_block(run_key, block) for block in blocks)
    start = first - blocks.start * _BLOCK
    coins = np.frombuffer(words, dtype="<u8")[start : start + rows]
    return np.asarray((coins >> np.uint64(64 - _COIN_BITS)) / 2.0**_COIN_BITS)


def _block(run_key: bytes, block: int) -> bytes:
    return hashlib.shake_256(run_key + b"hold-out rows" + block.to_bytes(8, "big")).digest(8 * _BLOCK)


def unit_coin(unit: bytes, run_key: bytes) -> float:
    """Uniform in [0, 1) for whoever lacks the key."""
    digest = hmac.digest(run_key, _HOLD_OUT + unit, "sha256")
    return int.from_bytes(digest[:8], "big") / 2**64


def rank(unit: bytes, record: bytes, run_key: bytes) -> bytes:
    """By which the records of a unit are sorted before the first are kept, 32 bytes. `record`: its cells, 32 bits each."""
    return hashlib.sha256(run_key + len(unit).to_bytes(4, "big") + unit + record).digest()


def unit_words(units: UnitNames, run_key: bytes) -> NDArray[np.uint64]:
    """For each different name the four words of the digest of which `unit_coin` takes the first, shape (names, 4).

    They are independent of each other for whoever lacks the key; the second and the third name the unit where 128 bits are
    handier than its name.
    """
    many = len(units.ends) - 1
    if _Bulk.not_worth(many):
        found = [hmac.digest(run_key, _HOLD_OUT + name, "sha256") for name in units.names]
        return _words(np.frombuffer(b"".join(found), np.uint8).reshape(many, hashing.DIGEST))
    padded = np.frombuffer(run_key.ljust(hashing.BLOCK, b"\0"), dtype=np.uint8)
    inner, outer = (hashing.after((padded ^ pad).tobytes()) for pad in (0x36, 0x5C))
    digests = np.empty((many, hashing.DIGEST), dtype=np.uint8)
    for some, names in _by_length(units, np.arange(many, dtype=np.int64)):
        within = hashing.digests(_rows_of(names, _HOLD_OUT), inner, hashing.BLOCK)
        digests[some] = hashing.digests(within, outer, hashing.BLOCK)
    return _words(digests)


def _by_length(units: UnitNames, codes: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], Bytes]]:
    """Positions in `codes` whose names have the same length, and these names' bytes, shape (positions, length)."""
    lengths = np.diff(units.ends)[codes]
    for length in np.unique(lengths).tolist():
        some = np.flatnonzero(lengths == length)
        yield some, units.data[units.ends[codes[some]][:, None] + np.arange(length)]


def _rows_of(own: Bytes, before: bytes, behind: Bytes | None = None) -> Bytes:
    """`before`, the bytes of each row and those of the row in `behind`."""
    parts = [np.broadcast_to(np.frombuffer(before, np.uint8), (len(own), len(before))), own]
    return np.concatenate(parts if behind is None else [*parts, behind], axis=1)


class _Bulk:
    """Whether the compiled hashing is worth loading."""

    hashed = 0

    @classmethod
    def not_worth(cls, more: int) -> bool:
        """For so many names or records more; once loaded it is used for everything."""
        cls.hashed += more
        return cls.hashed <= UNCOMPILED and "dpsynth.engines.hashing_loops" not in sys.modules


def coins_of(words: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Words as uniforms in [0, 1): the first word of a unit as its `unit_coin`."""
    return words / 2.0**64


def ranks(units: UnitNames, records: Records, rows: NDArray[np.int64], run_key: bytes) -> NDArray[np.uint64]:
    """`rank` of each of these rows of `records` as four words, which sort as its bytes do, shape (rows, 4)."""
    found = np.empty((len(rows), 4), dtype=np.uint64)
    for first in range(0, len(rows), _BLOCK):
        found[first : first + _BLOCK] = _ranks(units, records, rows[first : first + _BLOCK], run_key)
    return found


def _ranks(units: UnitNames, records: Records, rows: NDArray[np.int64], run_key: bytes) -> NDArray[np.uint64]:
    cells = np.empty((len(rows), len(records.columns)), dtype="<u4")
    for i, column in enumerate(records.columns):
        cells[:, i] = column[rows]
    content = cells.view(np.uint8).reshape(len(rows), 4 * len(records.columns))
    digests = np.empty((len(rows), hashing.DIGEST), dtype=np.uint8)
    if _Bulk.not_worth(len(rows)):
        for i, row in enumerate(rows.tolist()):
            digests[i] = np.frombuffer(rank(units[row], content[i].tobytes(), run_key), np.uint8)
        return _words(digests)
    for some, names in _by_length(units, units.codes[rows]):
        before = run_key + names.shape[1].to_bytes(4, "big")
        digests[some] = hashing.digests(_rows_of(names, before, content[some]))
    return _words(digests)


def _words(digests: NDArray[np.uint8]) -> NDArray[np.uint64]:
    return digests.view(">u8").astype(np.uint64)


def check_split(run_key: bytes, holdout: float) -> None:
    """ValueError for a key of another length or a hold-out probability outside [0, 1)."""
    if len(run_key) != RUN_KEY_BYTES:
        raise ValueError(f"the run key has {RUN_KEY_BYTES} bytes")
    if not 0 <= holdout < 1:
        raise ValueError("the hold-out probability lies in [0, 1)")
