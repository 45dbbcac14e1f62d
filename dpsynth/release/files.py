"""Files of a bundle, read and written so that nothing but plain files in plain folders takes part."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from dpsynth.errors import VerifyError

MAX_JSON_BYTES = 64 << 20
MAX_FILES = 10_000
MAX_SEARCHED = 64 << 20
"""A changed byte is looked for in files up to this size."""
_CHUNK = 1 << 20
_WORD = 1 << 64
_TRIES = 5

Json = dict[str, Any]


def canonical(value: object) -> bytes:
    """The one way a bundle writes JSON: UTF-8, two spaces, keys in the order they were given, newline at
    the end.

    ValueError for NaN and infinities. `parse` refuses bytes that are not exactly this.
    """
    return (json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def parse(data: bytes, name: str) -> Json:
    """The object that `canonical` wrote as `data`; VerifyError (V103) for any other bytes."""
    try:
        value = json.loads(data.decode(), object_pairs_hook=_unique, parse_constant=_refuse)
        if isinstance(value, dict) and canonical(value) == data:
            return value
    except (ValueError, RecursionError):  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        pass
    raise VerifyError("V103", f"{name} is not JSON as dpsynth writes it", "get an unchanged copy")


def _unique(pairs: list[tuple[str, Any]]) -> Json:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key occurs twice")
    return found


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number")


def listing(folder: Path) -> list[str]:
    """Relative paths ("a/b") of all plain files under `folder`, sorted.

    Raises VerifyError (V104) for a link, device, pipe or socket, or for more than MAX_FILES entries: none
    of them is ever in a bundle, and none is followed or opened.
    """
    found: list[str] = []
    waiting = [""]
    while waiting:
        here = waiting.pop()
        with os.scandir(folder / here) as entries:
            for entry in entries:
                path = f"{here}{entry.name}"
                if entry.is_symlink() or not (entry.is_file() or entry.is_dir(follow_symlinks=False)):
                    raise VerifyError(
                        "V104", f"{path!r} is a link or a special file", "a bundle has plain files only"
                    )
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(f"{path}/")
                else:
                    found.append(path)
                if len(found) + len(waiting) > MAX_FILES:
                    raise VerifyError("V104", f"more than {MAX_FILES} files", "this is no bundle")
    return sorted(found)


def folders(folder: Path) -> list[str]:
    """Relative paths of all folders under `folder`, sorted; links are not followed."""
    return sorted(
        str(Path(root, name).relative_to(folder).as_posix())
        for root, names, _ in os.walk(folder, followlinks=False)
        for name in names
    )


@dataclass(frozen=True)
class Digest:
    """Size in bytes, sha256, and two sums modulo 2**64: of the bytes, and of each byte times its place from 0.

    The sums protect nothing; from them follows where a single byte was changed, added or lost.
    """

    size: int
    sha256: str
    sums: tuple[int, int]


def digest(path: Path) -> Digest:
    """Of a plain file, read through one descriptor that follows no link."""
    hashed, size, total, moment = hashlib.sha256(), 0, 0, 0
    with opened(path) as file:
        while chunk := file.read(_CHUNK):
            hashed.update(chunk)
            here, first = _sums(chunk)
            total, moment = total + here, moment + first + size * here
            size += len(chunk)
    return Digest(size, hashed.hexdigest(), (total % _WORD, moment % _WORD))


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """A plain file for reading; VerifyError (V104) for a link or a special file."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise VerifyError(
                "V104", f"{path.name!r} is a link or a special file", "a bundle has plain files only"
            )
        yield file


def which_byte(path: Path, wanted: Digest) -> str | None:
    """Which single byte makes the difference to what was written; None when it is not one byte alone.

    A claim is made only when undoing that one change gives the file with the wanted sha256.
    """
    if wanted.size > MAX_SEARCHED:
        return None
    with opened(path) as file:
        data = file.read(MAX_SEARCHED + 2)
    total, moment = _sums(data)
    off, moved = _signed(total - wanted.sums[0]), _signed(moment - wanted.sums[1])
    for place, undone, words in _candidates(data, len(data) - wanted.size, off, moved):
        if hashlib.sha256(undone).hexdigest() == wanted.sha256:
            return f"byte {place} {words}"
    return None


def _candidates(data: bytes, longer: int, off: int, moved: int) -> Iterator[tuple[int, bytes, str]]:
    """Single changes that explain both sums: place from 0, the file without the change, in words."""
    if longer == 0 and off and moved % off == 0 and 0 <= moved // off < len(data):
        place = moved // off
        before = data[place] - off
        if 0 <= before <= 255:
            undone = data[:place] + bytes([before]) + data[place + 1 :]
            yield place, undone, f"is {data[place]} instead of {before}"
    values = np.frombuffer(data, dtype=np.uint8).astype(np.int64)
    behind = np.append(np.cumsum(values[::-1])[::-1], 0)  # sum of the bytes from each place on
    places = np.arange(len(data) + 1, dtype=np.int64)
    if longer == 1:  # an added byte v at p: what stands behind it moved by one place
        fits = (values == off) & (behind[1:] + places[:-1] * off == moved)
        for place in np.flatnonzero(fits)[:_TRIES].tolist():
            yield place, data[:place] + data[place + 1 :], f"was added ({off})"
    if longer == -1 and 0 <= -off <= 255:  # a lost byte v at p: what stood behind it is one place nearer
        fits = -behind + places * off == moved
        for place in np.flatnonzero(fits)[:_TRIES].tolist():
            yield place, data[:place] + bytes([-off]) + data[place:], f"is missing ({-off})"


def _sums(data: bytes) -> tuple[int, int]:
    """Sum of the bytes, and of each byte times its place."""
    values = np.frombuffer(data, dtype=np.uint8).astype(np.int64)
    return int(values.sum()), int(values @ np.arange(len(values), dtype=np.int64))


def _signed(difference: int) -> int:
    """Modulo 2**64, the value nearest to zero."""
    return (difference + _WORD // 2) % _WORD - _WORD // 2


def read_small(path: Path) -> bytes:
    """The bytes of a JSON or YAML file of a bundle; VerifyError (V105) when it is missing or absurdly
    large.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        raise VerifyError(
            "V105", f"there is no readable {path.name}", "give the folder of a whole bundle"
        ) from None
    with os.fdopen(descriptor, "rb") as file:
        state = os.fstat(descriptor)
        if not stat.S_ISREG(state.st_mode) or state.st_size > MAX_JSON_BYTES:
            raise VerifyError("V105", f"{path.name} is no plain file of a sensible size", "this is no bundle")
        return file.read()


def write_file(path: Path, data: bytes, mode: int) -> None:
    """A new file with these bytes, on disk when this returns."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fchmod(descriptor, mode)
        os.fsync(descriptor)


def sync_folder(path: Path) -> None:
    """The folder's entries, on disk when this returns."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
