"""The only source of secret bits: operating-system entropy, stretched by AES-256 in counter mode.

Counter mode under a secret key cannot be told from uniform bits except with advantage about
blocks**2 / 2**129; a key serves at most 2**26 bytes (2**22 blocks): below 2**-84 per key.

What it holds against: a forked child starts with a new key and a new lock (`os.register_at_fork`, and the
process id at every call, for forks made by C code); threads share a stream under a lock; a stream cannot be
pickled, copied or seeded, except by `Stream.for_tests`, which marks it `seeded` for ever. What it cannot
see: a virtual machine resumed twice from one snapshot repeats the bytes until the next key.
"""

from __future__ import annotations

import builtins
import hashlib
import os
import threading
import weakref
from typing import Final, NoReturn, final

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR
from numpy.typing import NDArray

_BYTES_PER_KEY: Final = 1 << 26
_ZEROS: Final = memoryview(builtins.bytes(1 << 20))


@final
class Stream:
    """Secret uniform bits. `Stream()` takes its key from the operating system and has no parameter."""

    __slots__ = ("__weakref__", "_cipher", "_left", "_lock", "_pid", "_seeded")

    def __init__(self) -> None:
        self._seeded = False
        self._lock = threading.Lock()
        self._start(os.urandom(32))
        _streams.add(self)

    @classmethod
    def for_tests(cls, key: builtins.bytes) -> Stream:
        """A reproducible stream; `seeded` is True, so nothing made with it may be released."""
        if not isinstance(key, builtins.bytes) or not key:
            raise ValueError("a test stream needs a key of at least one byte")
        stream = cls()
        stream._seeded = True
        stream._start(hashlib.sha256(key).digest())
        return stream

    @property
    def seeded(self) -> bool:
        """Whether somebody chose the key."""
        return self._seeded

    def words(self, n: int) -> NDArray[np.uint64]:
        """`n` independent uniform 64-bit words, shape (n,)."""
        out = np.empty(n, np.uint64)
        self._fill(out.view(np.uint8).data)
        return out

    def bytes(self, n: int) -> builtins.bytes:
        """`n` uniform bytes."""
        out = bytearray(n)
        self._fill(memoryview(out))
        return builtins.bytes(out)

    def below(self, bound: int, n: int) -> NDArray[np.int64]:
        """`n` independent integers, exactly uniform on ``0 .. bound - 1``, shape (n,).

        As many bits as `bound - 1` has, drawn again while they are too many (at most two draws on average).
        ValueError for a bound outside 1 .. 2**63.
        """
        if isinstance(bound, bool) or not 1 <= bound <= 1 << 63:
            raise ValueError("a bound lies in 1 .. 2**63")
        bits = (int(bound) - 1).bit_length()
        if bits == 0:
            return np.zeros(n, np.int64)
        out = np.empty(n, np.int64)
        filled = 0
        while filled < n:
            missing = n - filled
            drawn = self.words(min(2 * missing + 8, 1 << 17)) >> np.uint64(64 - bits)
            fit = drawn[drawn < np.uint64(bound)][:missing]
            out[filled : filled + len(fit)] = fit
            filled += len(fit)
        return out

    def _fill(self, out: memoryview) -> None:
        if self._pid != os.getpid():
            self._forget()
        for start in range(0, len(out), len(_ZEROS)):
            part = out[start : start + len(_ZEROS)]
            with self._lock:
                self._keyed(len(part)).update_into(_ZEROS[: len(part)], part)

    def _keyed(self, need: int) -> CipherContext:
        """The cipher, under a fresh key where the old one is used up or was a parent's; the lock is held."""
        if self._left < need:
            if self._cipher is None and self._seeded:
                raise RuntimeError("a test stream does not cross a fork: the children would draw alike")
            if not self._seeded:
                self._start(os.urandom(32))
        self._left -= need
        assert self._cipher is not None
        return self._cipher

    def _start(self, key: builtins.bytes) -> None:
        self._cipher: CipherContext | None = Cipher(AES(key), CTR(builtins.bytes(16))).encryptor()
        self._left = _BYTES_PER_KEY
        self._pid = os.getpid()

    def _forget(self) -> None:
        """In a forked child: drop the parent's key and its lock, which a thread may hold that is not here."""
        self._cipher, self._left, self._lock = None, 0, threading.Lock()

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a secret stream is never pickled or copied: two copies draw the same noise")

    def __copy__(self) -> NoReturn:
        self.__reduce_ex__(None)

    def __deepcopy__(self, memo: object) -> NoReturn:
        self.__reduce_ex__(None)


_streams: Final[weakref.WeakSet[Stream]] = weakref.WeakSet()
_system: Final[list[Stream]] = []


def system() -> Stream:
    """The process's stream: operating-system entropy, shared by all threads, new in every forked child."""
    if not _system:
        _system.append(Stream())
    return _system[0]


def _forget_after_fork() -> None:
    for stream in list(_streams):
        stream._forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)
