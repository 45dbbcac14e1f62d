"""A model as files: JSON for facts, YAML for the schema, npz for arrays. No pickle, hashes checked."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpsynth.errors import UsageError, VerifyError

FORMAT = 1
INDEX, FACTS, SCHEMA, ARRAYS = "index.json", "model.json", "schema.yaml", "arrays.npz"
FILES = (FACTS, SCHEMA, ARRAYS)


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
    """Write to a hidden folder beside it, then rename; raises UsageError when `directory` exists."""
    if directory.exists() or directory.is_symlink():
        raise UsageError("U151", f"{directory} exists already", "choose a new folder for the model")
    files = _contents(stored)
    index = {
        "format": FORMAT,
        "id": content_id(stored),
        "files": {name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
    }
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        workplace = Path(tempfile.mkdtemp(prefix=f".{directory.name}-", dir=directory.parent))
    except OSError as problem:
        raise UsageError(
            "U152", f"cannot write in {directory.parent}", "choose a folder you may write"
        ) from problem
    try:
        for name, content in {**files, INDEX: _as_json(index)}.items():
            _write(workplace / name, content)
        workplace.chmod(0o755)
        workplace.rename(directory)
    except BaseException:
        shutil.rmtree(workplace, ignore_errors=True)
        raise


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
        schema=contents[SCHEMA].decode(),
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
    try:
        return path.read_bytes()
    except OSError as problem:
        raise VerifyError(
            "V207", f"cannot read {path}", "name the folder that a fit or a run has written"
        ) from problem


def _json(content: bytes, path: Path) -> dict[str, Any]:
    try:
        value = json.loads(content)
    except ValueError as problem:
        raise VerifyError("V208", f"{path} is not valid JSON", "restore the file") from problem
    if not isinstance(value, dict):
        raise VerifyError("V209", f"{path} holds no object", "restore the file")
    return value


def _arrays(content: bytes, path: Path) -> dict[str, NDArray[Any]]:
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (ValueError, OSError, KeyError, zipfile.BadZipFile) as problem:
        raise VerifyError("V210", f"{path} holds no arrays that can be read", "restore the file") from problem
