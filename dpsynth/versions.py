"""The version of this software, as it is written into models and bundles."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

SOURCES = frozenset({".py", ".html", ".css", ".json"})

try:
    VERSION = version("dpsynth-audit")
except PackageNotFoundError:  # a source tree on the path, never installed
    VERSION = "0+source"


@cache
def build() -> str:
    """SHA-256 of the sources of this package, by which two states of one version are told apart: 64 hexadecimal digits."""
    root, found = Path(__file__).parent, hashlib.sha256()
    for path in sorted(p for p in root.rglob("*") if p.suffix in SOURCES):
        content = path.read_bytes().replace(b"\r\n", b"\n")
        found.update(b"%s %d\n" % (path.relative_to(root).as_posix().encode(), len(content)) + content)
    return found.hexdigest()
