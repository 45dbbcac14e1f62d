"""The compression function of SHA-256 (FIPS 180-4, 6.2.2) on many messages side by side, one in each lane of the arrays, so
that vector registers work on eight of them at once. Imported at first use only; no bounds are checked here.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dpsynth.compiling import compiled


@compiled
def expand(word: Any, next_one: Any, far: Any, near: Any) -> None:
    """The schedule's word 16 places on, in the place of the oldest one."""
    for i in range(len(word)):
        x, y = next_one[i], near[i]
        s0 = (
            ((x >> np.uint32(7)) | (x << np.uint32(25)))
            ^ ((x >> np.uint32(18)) | (x << np.uint32(14)))
            ^ (x >> np.uint32(3))
        )
        s1 = (
            ((y >> np.uint32(17)) | (y << np.uint32(15)))
            ^ ((y >> np.uint32(19)) | (y << np.uint32(13)))
            ^ (y >> np.uint32(10))
        )
        word[i] = word[i] + s0 + far[i] + s1


@compiled
def choose(e: Any, f: Any, g: Any, h: Any, word: Any, constant: Any) -> None:
    """The round's first sum, in the place of the eighth word."""
    for i in range(len(h)):
        x = e[i]
        s1 = (
            ((x >> np.uint32(6)) | (x << np.uint32(26)))
            ^ ((x >> np.uint32(11)) | (x << np.uint32(21)))
            ^ ((x >> np.uint32(25)) | (x << np.uint32(7)))
        )
        h[i] = h[i] + s1 + (g[i] ^ (x & (f[i] ^ g[i]))) + word[i] + constant


@compiled
def decide(a: Any, b: Any, c: Any, d: Any, h: Any) -> None:
    """The rest of the round: the fourth and the eighth word become the next round's fifth and first."""
    for i in range(len(h)):
        x, first = a[i], h[i]
        s0 = (
            ((x >> np.uint32(2)) | (x << np.uint32(30)))
            ^ ((x >> np.uint32(13)) | (x << np.uint32(19)))
            ^ ((x >> np.uint32(22)) | (x << np.uint32(10)))
        )
        d[i] = d[i] + first
        h[i] = first + s0 + ((x & b[i]) ^ (c[i] & (x ^ b[i])))


@compiled
def absorb(states: Any, blocks: Any, constants: Any) -> None:
    """`states`, shape (parts, 8, lanes), after `blocks`, shape (parts, 16, lanes), which are used up."""
    for part in range(len(states)):
        absorb_part(states[part], blocks[part], constants)


@compiled
def absorb_part(state: Any, words: Any, constants: Any) -> None:
    v = state.copy()
    for r in range(64):  # no word moves: the eight change their roles
        if r >= 16:
            expand(words[r % 16], words[(r + 1) % 16], words[(r + 9) % 16], words[(r + 14) % 16])
        choose(
            v[(68 - r) % 8], v[(69 - r) % 8], v[(70 - r) % 8], v[(71 - r) % 8], words[r % 16], constants[r]
        )
        decide(v[(64 - r) % 8], v[(65 - r) % 8], v[(66 - r) % 8], v[(67 - r) % 8], v[(71 - r) % 8])
    state += v
