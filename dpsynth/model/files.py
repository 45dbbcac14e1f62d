"""A model as files: JSON for facts, YAML for the schema, npz for arrays. No pickle, hashes checked."""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpsynth.errors import CapacityError, UsageError, VerifyError, is_full

FORMAT = 1
INDEX, FACTS, SCHEMA, ARRAYS = "index.json", "model.json", "schema.yaml", "arrays.npz"
FILES = (FACTS, SCHEMA, ARRAYS)
MAX_BYTES = 1 << 30
"""Limit for a file, and for all arrays when unpacked: far more than a fit may hold, less than a bomb."""

DAMAGE = (
    ValueError,
    OSError,
    KeyError,
    EOFError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
    OverflowError,
)


@dataclass(frozen=True, eq=False)
class Stored:
    """What the files say: `facts` are JSON values, `schema` is YAML text, `arrays` have numeric types."""

    facts: Mapping[str, Any]
    schema: str
    arrays: Mapping[str, NDArray[Any]]


def content_id(stored: Stored) -> str:
    """32 hexadecimal digits that name exactly this content, whatever the file format of the arrays."""
    digest = hashlib.sha256()
    for part in (_as_json(stored.facts), stored.schema.encode()):
        digest.update(len(part).to_bytes(8, "big") + part)
    for name in sorted(stored.arrays):
        array = np.ascontiguousarray(stored.arrays[name])
        head = f"{name} {array.dtype.str} {array.shape}".encode()
        digest.update(len(head).to_bytes(8, "big") + head)
        digest.update(array.tobytes())
    return digest.hexdigest()[:32]


def write_model(directory: Path, stored: Stored) -> None:
    """Write to a hidden folder beside it, then rename; raises UsageError when `directory` exists or its folder
    cannot be written, CapacityError when the disk is full."""
    if directory.exists() or directory.is_symlink():
        raise UsageError("U151", f"{directory} exists already", "choose a new folder for the model")
    files = _contents(stored)
    index = {
        "format": FORMAT,
        "id": content_id(stored),
        "files": {name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
    }
    try:
        with _staged(directory) as workplace:
            for name, content in {**files, INDEX: _as_json(index)}.items():
                _write(workplace / name, content)
            workplace.chmod(0o755)
            workplace.rename(directory)
    except OSError as problem:
        raise _unwritten(directory, problem) from problem


@contextmanager
def _staged(directory: Path) -> Iterator[Path]:
    """A hidden folder beside it that vanishes when the block fails."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    workplace = Path(tempfile.mkdtemp(prefix=f".{directory.name[:100]}-", dir=directory.parent))
    try:
        yield workplace
    except BaseException:
        shutil.rmtree(workplace, ignore_errors=True)
        raise


def _unwritten(directory: Path, problem: OSError) -> UsageError | CapacityError:
    if is_full(problem):
        return CapacityError(
            "C150", f"the disk is full or failing: {directory} was not written", "make room; nothing was left"
        )
    return UsageError("U152", f"cannot write in {directory.parent}", "choose a folder you may write")


def read_model(directory: Path) -> Stored:
    """The content, checked against its hashes; raises VerifyError."""
    index = _json(_read(directory / INDEX), directory / INDEX)
    if not isinstance(index.get("format"), int):
        raise VerifyError(
            "V203", f"{directory / INDEX} is no index of a model", "fit it again or restore the files"
        )
    if index["format"] > FORMAT:
        raise VerifyError("V202", f"{directory} was written by a newer version", "upgrade dpsynth")
    contents = {name: _read(directory / name) for name in FILES}
    hashes = index.get("files", {})
    for name, content in contents.items():
        if not isinstance(hashes, dict) or hashes.get(name) != hashlib.sha256(content).hexdigest():
            raise VerifyError("V201", f"{directory / name} is not what was written", "restore the file")
    stored = Stored(
        facts=_json(contents[FACTS], directory / FACTS),
        schema=_text(contents[SCHEMA], directory / SCHEMA),
        arrays=_arrays(contents[ARRAYS], directory / ARRAYS),
    )
    if index.get("id") != content_id(stored):
        raise VerifyError(
            "V206", f"{directory}: the model is not the one its index names", "restore the files"
        )
    return stored


def _contents(stored: Stored) -> dict[str, bytes]:
    buffer = io.BytesIO()
    arrays: dict[str, Any] = dict(stored.arrays)
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return {FACTS: _as_json(stored.facts), SCHEMA: stored.schema.encode(), ARRAYS: buffer.getvalue()}


def _as_json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, indent=1, allow_nan=False).encode()


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _read(path: Path) -> bytes:
    """A plain file's content. No link is followed, no pipe waited for, no endless device read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode) or found.st_size > MAX_BYTES:
                raise VerifyError("V211", f"{path} is no plain file of a model", "restore the file")
            return file.read()
    except OSError as problem:
        raise VerifyError(
            "V207",
            f"cannot read {path}",
            "name the folder that a fit has written, or internal/model of a release",
        ) from problem


def _text(content: bytes, path: Path) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as problem:
        raise VerifyError("V212", f"{path} is no text", "restore the file") from problem


def _json(content: bytes, path: Path) -> dict[str, Any]:
    try:
        value = json.loads(content)
        json.dumps(value, allow_nan=False)
    except (ValueError, RecursionError) as problem:
        raise VerifyError("V208", f"{path} is not valid JSON", "restore the file") from problem
    if not isinstance(value, dict):
        raise VerifyError("V209", f"{path} holds no object", "restore the file")
    return value


def _arrays(content: bytes, path: Path) -> dict[str, NDArray[Any]]:
    try:
        _check_sizes(content)
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except DAMAGE as problem:
        raise VerifyError("V210", f"{path} holds no arrays that can be read", "restore the file") from problem


def _check_sizes(content: bytes) -> None:
    """ValueError when the arrays, as their headers declare them, exceed `MAX_BYTES` or their own member."""
    total = 0
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for member in archive.infolist():
            with archive.open(member) as file:
                version = np.lib.format.read_magic(file)
                read = np.lib.format.read_array_header_1_0
                shape, _, dtype = (read if version == (1, 0) else np.lib.format.read_array_header_2_0)(file)
            size = math.prod(shape) * dtype.itemsize
            total += size
            if dtype.hasobject or size > member.file_size or total > MAX_BYTES:
                raise ValueError("an array that cannot be")
