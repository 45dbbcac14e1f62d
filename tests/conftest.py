"""A small private table with a project file, made anew for each test that asks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from example import PROJECT, SECRET, small_table
from hypothesis import settings

__all__ = ["PROJECT", "SECRET", "small_table"]

settings.register_profile("no clock", deadline=None)  # the first example may wait for a compiler
settings.load_profile("no clock")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Path of a project file beside its table."""
    small_table().to_csv(tmp_path / "claims.csv", index=False)
    path = tmp_path / "project.yaml"
    path.write_text(PROJECT)
    return path


@pytest.fixture
def rewrite(project: Path) -> Callable[[str, str], Path]:
    """Replace a piece of the project file."""

    def change(old: str, new: str) -> Path:
        text = project.read_text()
        assert old in text
        project.write_text(text.replace(old, new))
        return project

    return change
