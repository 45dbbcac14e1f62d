"""A small real release, fitted once and written once; tests that spoil it take a copy."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from release_parts import Parts, make_parts, reseal

from dpsynth import release
from dpsynth.release.files import canonical


@pytest.fixture(scope="session")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Parts:
    return make_parts(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="session")
def bundle(parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> release.Bundle:
    """One bundle for all tests that only read."""
    return parts.write(tmp_path_factory.mktemp("bundle") / "release")


@pytest.fixture
def copy(bundle: release.Bundle, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(bundle.root, tmp_path / "copy"))


@pytest.fixture
def edit() -> Callable[[Path, Callable[[dict[str, Any]], object]], None]:
    """Change a JSON file of a folder and make its manifest right again, as a forger would."""

    def change(path: Path, how: Callable[[dict[str, Any]], object]) -> None:
        value = json.loads(path.read_bytes())
        how(value)
        path.write_bytes(canonical(value))
        reseal(path.parent)

    return change
