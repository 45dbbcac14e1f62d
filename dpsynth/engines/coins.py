"""The secret choices about rows and units, the same in every engine: who is held out, which rows of a unit stay.

All of them are functions of the run key and of the row's or the unit's own content (a lone row: its place in the source),
never of who else is there, so that engines, partitions and retries agree and neighbours differ in one unit.
"""

from __future__ import annotations

import hashlib
import hmac

import numpy as np
from numpy.typing import NDArray

from dpsynth.records import Records
from dpsynth.unit_names import UnitNames

RUN_KEY_BYTES = 32
_COIN_BITS = 53
_HOLD_OUT = b"hold-out"
_BLOCK = 1 << 16
"""Rows whose coins are made together."""


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
    from dpsynth.engines import hashing_loops as loops

    digests = np.empty((len(units.ends) - 1, 32), dtype=np.uint8)
    padded = np.frombuffer(run_key.ljust(loops.BLOCK, b"\0"), dtype=np.uint8)
    label = np.frombuffer(_HOLD_OUT, dtype=np.uint8)
    loops.keyed(
        padded ^ 0x36,
        padded ^ 0x5C,
        label,
        units.data,
        units.ends,
        loops.FIRST_STATE,
        loops.ROUND_WORDS,
        digests,
    )
    return _words(digests)


def coins_of(words: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Words as uniforms in [0, 1): the first word of a unit as its `unit_coin`."""
    return words / 2.0**64


def ranks(units: UnitNames, records: Records, rows: NDArray[np.int64], run_key: bytes) -> NDArray[np.uint64]:
    """`rank` of each of these rows of `records` as four words, which sort as its bytes do, shape (rows, 4)."""
    from dpsynth.engines import hashing_loops as loops

    cells = np.empty((len(records), len(records.columns)), dtype=np.uint32)
    for i, column in enumerate(records.columns):
        cells[:, i] = column
    digests = np.empty((len(rows), 32), dtype=np.uint8)
    loops.ranked(
        np.frombuffer(run_key, dtype=np.uint8),
        units.data,
        units.ends,
        units.codes[rows],
        rows,
        cells.view(np.uint8),
        loops.FIRST_STATE,
        loops.ROUND_WORDS,
        digests,
    )
    return _words(digests)


def _words(digests: NDArray[np.uint8]) -> NDArray[np.uint64]:
    return digests.view(">u8").astype(np.uint64)


def check_split(run_key: bytes, holdout: float) -> None:
    """ValueError for a key of another length or a hold-out probability outside [0, 1)."""
    if len(run_key) != RUN_KEY_BYTES:
        raise ValueError(f"the run key has {RUN_KEY_BYTES} bytes")
    if not 0 <= holdout < 1:
        raise ValueError("the hold-out probability lies in [0, 1)")
