"""manifest.json: size and sha256 of every file, and an id over all of it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dpsynth.errors import VerifyError
from dpsynth.release.files import Json, canonical, digest, folders, listing, parse, read_small

NAME = "manifest.json"
FORMAT = "dpsynth-manifest/1"
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,199}")
_HEX = re.compile(r"[0-9a-f]{64}")
_KEYS = ["format", "tool", "visibility", "files", "bundle_id"]
MOST_NAMED = 10


@dataclass(frozen=True)
class FileEntry:
    """One file of a bundle; `path` is relative, with forward slashes."""

    path: str
    size: int
    sha256: str


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
        files = [{"path": f.path, "bytes": f.size, "sha256": f.sha256} for f in self.files]
        return {"format": FORMAT, "tool": dict(self.tool), "visibility": self.visibility, "files": files}

    def to_bytes(self) -> bytes:
        return canonical({**self._plain(), "bundle_id": self.bundle_id})


def describe(folder: Path, visibility: str, tool: Mapping[str, str]) -> Manifest:
    """The manifest of what lies in `folder` now (its own file left out)."""
    paths = [path for path in listing(folder) if path != NAME]
    return Manifest(visibility, tool, tuple(FileEntry(path, *digest(folder / path)) for path in paths))


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
    if list(raw) != ["path", "bytes", "sha256"]:
        raise ValueError
    path, size, sha256 = raw["path"], raw["bytes"], raw["sha256"]
    if not is_plain(path) or path == NAME or type(size) is not int or size < 0 or not _HEX.fullmatch(sha256):
        raise ValueError
    return FileEntry(path, size, sha256)


def is_plain(path: object) -> bool:
    """Whether it is a relative path of ordinary ASCII names: no "..", no hidden file, no drive, no
    backslash.
    """
    return (
        isinstance(path, str) and len(path) < 1000 and all(_PART.fullmatch(part) for part in path.split("/"))
    )


def compare(folder: Path, manifest: Manifest) -> None:
    """Raise VerifyError (V108) naming every file that is missing, extra or changed, V104 for links."""
    present = set(listing(folder)) - {NAME}
    wanted = {entry.path: entry for entry in manifest.files}
    found = [f"{path} is missing" for path in sorted(wanted.keys() - present)]
    found += [f"{path!r} is not in the manifest" for path in sorted(present - wanted.keys())]
    found += [
        f"folder {name!r} is not in the manifest" for name in folders(folder) if not _holds(name, wanted)
    ]
    for path in sorted(wanted.keys() & present):
        size, sha256 = digest(folder / path)
        if size != wanted[path].size:
            found.append(f"{path} has {size} bytes instead of {wanted[path].size}")
        elif sha256 != wanted[path].sha256:
            found.append(f"{path} was changed (same size, another sha256)")
    if found:
        more = f" and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else ""
        raise VerifyError("V108", "; ".join(found[:MOST_NAMED]) + more, "get an unchanged copy")


def _holds(folder: str, wanted: Mapping[str, FileEntry]) -> bool:
    return any(path.startswith(f"{folder}/") for path in wanted)
