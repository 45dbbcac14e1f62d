"""The version of this software, as it is written into models and bundles."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

try:
    VERSION = version("dpsynth-audit")
except PackageNotFoundError:  # a source tree on the path, never installed
    VERSION = "0+source"
