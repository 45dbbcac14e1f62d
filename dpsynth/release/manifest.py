"""manifest.json: size and sha256 of every file, and an id over all of it."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dpsynth.errors import VerifyError
from dpsynth.release.files import (
    Digest,
    Json,
    canonical,
    digest,
    folders,
    listing,
    parse,
    read_small,
    which_byte,
)

NAME = "manifest.json"
ATTESTATION = "attestation.dsse.json"
"""The signature over the manifest: the only other file that is not in it."""
OUTSIDE = frozenset({NAME, ATTESTATION})
FORMAT = "dpsynth-manifest/2"
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,199}")
_HEX = re.compile(r"[0-9a-f]{64}")
_KEYS = ["format", "tool", "visibility", "files", "bundle_id"]
MOST_NAMED = 10


@dataclass(frozen=True)
class FileEntry:
    """One file of a bundle; `path` is relative, with forward slashes. `sums`: see `files.Digest`."""

    path: str
    digest: Digest

    @property
    def size(self) -> int:
        return self.digest.size

    @property
    def sha256(self) -> str:
        return self.digest.sha256


@dataclass(frozen=True)
class Manifest:
    """`visibility`: "public" or "internal". `tool`: name and version of what wrote it."""

    visibility: str
    tool: Mapping[str, str]
    files: tuple[FileEntry, ...]

    @property
    def bundle_id(self) -> str:
        """sha256 over everything else in the manifest: the same for the same bytes in every file."""
        return hashlib.sha256(canonical(self._plain())).hexdigest()

    @property
    def paths(self) -> tuple[str, ...]:
        return tuple(entry.path for entry in self.files)

    def _plain(self) -> Json:
        files = [
            {"path": f.path, "bytes": f.size, "sha256": f.sha256, "sums": list(f.digest.sums)}
            for f in self.files
        ]
        return {"format": FORMAT, "tool": dict(self.tool), "visibility": self.visibility, "files": files}

    def to_bytes(self) -> bytes:
        return canonical({**self._plain(), "bundle_id": self.bundle_id})


def describe(folder: Path, visibility: str, tool: Mapping[str, str]) -> Manifest:
    """The manifest of what lies in `folder` now (its own file and the signature left out)."""
    paths = [path for path in listing(folder) if path not in OUTSIDE]
    return Manifest(visibility, tool, tuple(FileEntry(path, digest(folder / path)) for path in paths))


def load(folder: Path) -> Manifest:
    """The manifest in `folder`, every field checked. Raises VerifyError (V103, V105 to V107)."""
    fields = parse(read_small(folder / NAME), NAME)
    try:
        manifest = _from_plain(fields)
    except (KeyError, TypeError, ValueError):
        raise VerifyError(
            "V106", f"{NAME} lacks a field or has a wrong one", "get an unchanged copy"
        ) from None
    if fields["bundle_id"] != manifest.bundle_id:
        raise VerifyError(
            "V107", f"{NAME} was changed: its bundle id is not that of its entries", "get an unchanged copy"
        )
    return manifest


def _from_plain(fields: Json) -> Manifest:
    if (
        list(fields) != _KEYS
        or fields["format"] != FORMAT
        or fields["visibility"] not in {"public", "internal"}
    ):
        raise ValueError
    tool = fields["tool"]
    if not all(isinstance(key, str) and isinstance(value, str) for key, value in tool.items()):
        raise ValueError
    manifest = Manifest(fields["visibility"], tool, tuple(_entry(raw) for raw in fields["files"]))
    if list(manifest.paths) != sorted({p.casefold(): p for p in manifest.paths}.values()):
        raise ValueError  # unsorted, twice, or the same but for letter case
    return manifest


def _entry(raw: Mapping[str, Any]) -> FileEntry:
    if list(raw) != ["path", "bytes", "sha256", "sums"]:
        raise ValueError
    path, size, sha256, sums = raw["path"], raw["bytes"], raw["sha256"], raw["sums"]
    if not is_plain(path) or path in OUTSIDE or not _HEX.fullmatch(sha256):
        raise ValueError
    if len(sums) != 2 or not all(type(n) is int and n >= 0 for n in (size, *sums)):
        raise ValueError
    return FileEntry(path, Digest(size, sha256, (sums[0], sums[1])))


def is_plain(path: object) -> bool:
    """Whether it is a relative path of ordinary ASCII names: no "..", no hidden file, no drive, no
    backslash.
    """
    return (
        isinstance(path, str) and len(path) < 1000 and all(_PART.fullmatch(part) for part in path.split("/"))
    )


def compare(folder: Path, manifest: Manifest) -> None:
    """Raise VerifyError (V108) naming every file that is missing, extra or changed, V104 for links."""
    present = set(listing(folder)) - OUTSIDE
    wanted = {entry.path: entry for entry in manifest.files}
    found = [f"{path} is missing" for path in sorted(wanted.keys() - present)]
    found += [f"{path!r} is not in the manifest" for path in sorted(present - wanted.keys())]
    found += [
        f"folder {name!r} is not in the manifest" for name in folders(folder) if not _holds(name, wanted)
    ]
    for path in sorted(wanted.keys() & present):
        found += _changed(folder / path, wanted[path])
    if found:
        more = f" and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else ""
        raise VerifyError("V108", "; ".join(found[:MOST_NAMED]) + more, "get an unchanged copy")


def _changed(path: Path, wanted: FileEntry) -> list[str]:
    """What differs, down to the byte where one byte is all; a file of another size is not read to the end."""
    size = os.lstat(path).st_size
    one_off = abs(size - wanted.size) <= 1
    if one_off and digest(path) == wanted.digest:
        return []
    where = which_byte(path, wanted.digest) if one_off else None
    if where is not None:
        return [f"{wanted.path} was changed: {where}"]
    if size != wanted.size:
        return [f"{wanted.path} has {size} bytes instead of {wanted.size}"]
    return [f"{wanted.path} was changed (same size, another sha256)"]


def _holds(folder: str, wanted: Mapping[str, FileEntry]) -> bool:
    return any(path.startswith(f"{folder}/") for path in wanted)
