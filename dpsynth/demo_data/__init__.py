"""The bundled demonstration: a real, public table and its project file. ORIGIN.md says where it comes from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import as_file, files

from dpsynth.project import Project

STORY = """\
RAND Health Insurance Experiment: 5,912 people, up to five years each, on one of five insurance plans.
The table is public, so you may look behind every step; it is handled here as if it were not.
"""


@contextmanager
def project() -> Iterator[Project]:
    """The demonstration's project, its files on disk while the block runs."""
    with as_file(files(__name__)) as folder:
        yield Project.load(folder / "demo.yaml")
