"""SHA-256 (FIPS 180-4) of many short texts, one after the other. Imported at first use only; no bounds are checked here."""

from __future__ import annotations

from math import isqrt
from typing import Any

import numpy as np

from dpsynth.compiling import compiled

BLOCK, STATE = 64, 8
"""Bytes of a block, words of the state."""


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


ROUND_WORDS = np.array([_cube_root(p << 96) & 0xFFFFFFFF for p in _primes(64)], dtype=np.uint32)
"""The first 32 bits of the fractional parts of the cube roots of the first 64 primes."""
FIRST_STATE = np.array([isqrt(p << 64) & 0xFFFFFFFF for p in _primes(STATE)], dtype=np.uint32)
"""The same of the square roots of the first 8."""


@compiled
def turned(x: Any, by: int) -> Any:
    """A 32-bit word rotated to the right."""
    return np.uint32((x >> by) | (x << np.uint32(np.uint32(32) - by)))


@compiled
def step(a: Any, b: Any, c: Any, d: Any, e: Any, f: Any, g: Any, h: Any, word: Any) -> Any:
    """One round: what becomes of the fourth and of the eighth word; the others stay, each in the next one's place."""
    s1 = turned(e, np.uint32(6)) ^ turned(e, np.uint32(11)) ^ turned(e, np.uint32(25))
    one = np.uint32(h + s1 + ((e & f) ^ (~e & g)) + word)
    s0 = turned(a, np.uint32(2)) ^ turned(a, np.uint32(13)) ^ turned(a, np.uint32(22))
    return np.uint32(d + one), np.uint32(one + s0 + ((a & b) ^ (a & c) ^ (b & c)))


@compiled
def absorb(state: Any, block: Any, at: int, w: Any, words: Any) -> None:
    """`state` after the 64 bytes from ``block[at]`` on. `w`: room for 64 words."""
    for i in range(16):
        j = at + 4 * i
        w[i] = np.uint32(
            (np.uint32(block[j]) << np.uint32(24))
            | (np.uint32(block[j + 1]) << np.uint32(16))
            | (np.uint32(block[j + 2]) << np.uint32(8))
            | np.uint32(block[j + 3])
        )
    for i in range(16, 64):
        x, y = w[i - 15], w[i - 2]
        s0 = turned(x, np.uint32(7)) ^ turned(x, np.uint32(18)) ^ np.uint32(x >> np.uint32(3))
        s1 = turned(y, np.uint32(17)) ^ turned(y, np.uint32(19)) ^ np.uint32(y >> np.uint32(10))
        w[i] = np.uint32(w[i - 16] + s0 + w[i - 7] + s1)
    a, b, c, d = state[0], state[1], state[2], state[3]
    e, f, g, h = state[4], state[5], state[6], state[7]
    for i in range(0, 64, 8):  # eight at a time, so that no word moves
        d, h = step(a, b, c, d, e, f, g, h, np.uint32(words[i] + w[i]))
        c, g = step(h, a, b, c, d, e, f, g, np.uint32(words[i + 1] + w[i + 1]))
        b, f = step(g, h, a, b, c, d, e, f, np.uint32(words[i + 2] + w[i + 2]))
        a, e = step(f, g, h, a, b, c, d, e, np.uint32(words[i + 3] + w[i + 3]))
        h, d = step(e, f, g, h, a, b, c, d, np.uint32(words[i + 4] + w[i + 4]))
        g, c = step(d, e, f, g, h, a, b, c, np.uint32(words[i + 5] + w[i + 5]))
        f, b = step(c, d, e, f, g, h, a, b, np.uint32(words[i + 6] + w[i + 6]))
        e, a = step(b, c, d, e, f, g, h, a, np.uint32(words[i + 7] + w[i + 7]))
    for i, word in enumerate((a, b, c, d, e, f, g, h)):
        state[i] = np.uint32(state[i] + word)


@compiled
def finish(state: Any, message: Any, length: int, before: int, w: Any, words: Any) -> None:
    """`state` after `message` (with 72 bytes of room behind its `length`) and its padding. `before`: bytes already in it."""
    message[length] = 0x80
    end = (length + 9 + 63) // 64 * 64
    for i in range(length + 1, end - 8):
        message[i] = 0
    bits = 8 * (before + length)
    for i in range(8):
        message[end - 1 - i] = (bits >> (8 * i)) & 0xFF
    for at in range(0, end, 64):
        absorb(state, message, np.int64(at), w, words)


@compiled
def written(state: Any, out: Any) -> None:
    """The state as 32 bytes."""
    for i in range(8):
        for j in range(4):
            out[4 * i + j] = (state[i] >> np.uint32(24 - 8 * j)) & np.uint32(0xFF)


@compiled
def keyed(inner: Any, outer: Any, label: Any, data: Any, ends: Any, first: Any, words: Any, out: Any) -> None:
    """``out[i]``: HMAC of ``label + data[ends[i]:ends[i + 1]]``. `inner`, `outer`: the key's two padded blocks."""
    w, began, closed, state = np.empty(64, np.uint32), first.copy(), first.copy(), first.copy()
    absorb(began, inner, np.int64(0), w, words)
    absorb(closed, outer, np.int64(0), w, words)
    longest = 0
    for i in range(len(ends) - 1):
        longest = max(longest, ends[i + 1] - ends[i])
    message, digest = np.empty(len(label) + longest + 72, np.uint8), np.empty(32 + 72, np.uint8)
    message[: len(label)] = label
    for i in range(len(ends) - 1):
        size = ends[i + 1] - ends[i]
        for j in range(size):
            message[len(label) + j] = data[ends[i] + j]
        state[:] = began
        finish(state, message, np.int64(len(label) + size), np.int64(64), w, words)
        written(state, digest)
        state[:] = closed
        finish(state, digest, np.int64(32), np.int64(64), w, words)
        written(state, out[i])


@compiled
def ranked(
    key: Any, data: Any, ends: Any, codes: Any, rows: Any, cells: Any, first: Any, words: Any, out: Any
) -> None:
    """``out[i]``: hash of the key, the length and the bytes of unit ``codes[i]``, and the bytes ``cells[rows[i]]``."""
    w, width, start, state = np.empty(64, np.uint32), cells.shape[1], len(key) + 4, first.copy()
    longest = 0
    for i in range(len(ends) - 1):
        longest = max(longest, ends[i + 1] - ends[i])
    message = np.empty(start + longest + width + 72, np.uint8)
    message[: len(key)] = key
    for i in range(len(rows)):
        row = rows[i]
        begin = ends[codes[i]]
        size = ends[codes[i] + 1] - begin
        for j in range(4):
            message[len(key) + j] = (size >> (24 - 8 * j)) & 0xFF
        for j in range(size):
            message[start + j] = data[begin + j]
        for j in range(width):
            message[start + size + j] = cells[row, j]
        state[:] = first
        finish(state, message, np.int64(start + size + width), np.int64(0), w, words)
        written(state, out[i])
