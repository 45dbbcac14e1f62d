"""SHA-256 (FIPS 180-4) of many messages of one length, several at a time."""

from __future__ import annotations

from math import isqrt

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
State = NDArray[np.uint32]

BLOCK = 64
"""Bytes that are absorbed at once."""
DIGEST = 32
_LANES = 256
_PIECE = 1 << 13
"""Messages that are laid out at once."""


def _primes(count: int) -> list[int]:
    found: list[int] = []
    number = 2
    while len(found) < count:
        if all(number % prime for prime in found):
            found.append(number)
        number += 1
    return found


def _cube_root(number: int) -> int:
    """Rounded down."""
    root = int(number ** (1 / 3))
    while root**3 > number:
        root -= 1
    while (root + 1) ** 3 <= number:
        root += 1
    return root


_CONSTANTS = np.array([_cube_root(p << 96) & 0xFFFFFFFF for p in _primes(64)], dtype=np.uint32)
"""The first 32 bits of the fractional parts of the cube roots of the first 64 primes."""
FIRST = np.array([isqrt(p << 64) & 0xFFFFFFFF for p in _primes(8)], dtype=np.uint32)
"""The same of the square roots of the first 8: the state before anything is absorbed."""


def after(block: bytes) -> State:
    """The state after one block."""
    states = _beginning(FIRST, 1)
    _absorb(states, np.frombuffer(block, np.uint8)[None])
    return states[0, :, 0].copy()


def digests(messages: Bytes, began: State = FIRST, before: int = 0) -> Bytes:
    """SHA-256 of each row of `messages`, shape (messages, length), behind the `before` bytes, whole blocks, after which the
    state was `began`. Shape (messages, 32).
    """
    many, length = messages.shape
    found = np.empty((many, DIGEST), dtype=np.uint8)
    size = -(-(length + 9) // BLOCK) * BLOCK
    for first in range(0, many, _PIECE):
        some = messages[first : first + _PIECE]
        padded = np.zeros((len(some), size), dtype=np.uint8)
        padded[:, :length] = some
        padded[:, length] = 0x80
        padded[:, -8:] = np.frombuffer((8 * (before + length)).to_bytes(8, "big"), np.uint8)
        states = _beginning(began, len(some))
        for block in range(0, size, BLOCK):
            _absorb(states, padded[:, block : block + BLOCK])
        words = states.transpose(0, 2, 1).reshape(-1, len(FIRST))[: len(some)]
        found[first : first + len(some)] = words.astype(">u4", order="C").view(np.uint8)
    return found


def _beginning(state: State, messages: int) -> State:
    """The same state for so many messages and as many more as fill the lanes, shape (parts, 8, lanes)."""
    return np.broadcast_to(state[:, None], (-(-messages // _LANES), len(FIRST), _LANES)).copy()


def _absorb(states: State, block: Bytes) -> None:
    """`states` after 64 bytes of each message, shape (messages, 64)."""
    from dpsynth.engines import hashing_loops

    words = np.zeros((len(states) * _LANES, BLOCK // 4), dtype=np.uint32)
    words[: len(block)] = np.ascontiguousarray(block).view(">u4")
    blocks = np.ascontiguousarray(words.reshape(len(states), _LANES, -1).transpose(0, 2, 1))
    hashing_loops.absorb(states, blocks, _CONSTANTS)
