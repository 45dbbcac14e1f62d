"""Files of a bundle, read and written so that nothing but plain files in plain folders takes part."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from pathlib import Path
from typing import Any

from dpsynth.errors import VerifyError

MAX_JSON_BYTES = 64 << 20
MAX_FILES = 10_000
_CHUNK = 1 << 20

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


def digest(path: Path) -> tuple[int, str]:
    """Size in bytes and sha256 of a plain file, read through one descriptor that follows no link."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise VerifyError(
                "V104", f"{path.name!r} is a link or a special file", "a bundle has plain files only"
            )
        hashed, size = hashlib.sha256(), 0
        while chunk := file.read(_CHUNK):
            hashed.update(chunk)
            size += len(chunk)
    return size, hashed.hexdigest()


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
