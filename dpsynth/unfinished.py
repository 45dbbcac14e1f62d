"""A model that was paid for outlives a run that fails after its fit."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dpsynth.errors import UsageError
from dpsynth.model import FittedModel

MODEL = "model"
SUFFIX = ".unfinished"


@dataclass(frozen=True)
class UnfinishedRun:
    """The folder ``DIR.unfinished`` beside a release ``DIR``: private, there only while the run is not finished.

    It holds the model and who was held out, so that `dpsynth audit` and `dpsynth release` can go on where a
    failed run stopped, at no further charge.
    """

    folder: Path

    @classmethod
    def beside(cls, release: Path) -> UnfinishedRun:
        """Raises UsageError when an earlier run left one: it was paid for and is not thrown away."""
        folder = release.with_name(release.name + SUFFIX)
        if folder.exists():
            raise UsageError(
                "U121",
                f"{folder} holds the model of an earlier run that did not finish",
                "finish it with dpsynth sample, audit and release, or remove the folder",
            )
        return cls(folder)

    @contextmanager
    def holding(self, model: FittedModel, held_out: Mapping[str, Any]) -> Iterator[None]:
        """Keep both on disk until the block ends well."""
        self.folder.mkdir(mode=0o700, parents=True)
        keep(model, held_out, self.folder / MODEL)
        yield
        shutil.rmtree(self.folder)


def keep(model: FittedModel, held_out: Mapping[str, Any], folder: Path) -> None:
    """The model (released facts) in `folder`; beside it, private, who was held out of its fit."""
    model.save(folder)
    side = holdout_file(folder)
    side.touch(mode=0o600)
    side.write_text(json.dumps(held_out), encoding="utf-8")


def holdout_file(model: Path) -> Path:
    """Where `keep` wrote who was held out."""
    return model.with_name(f"{model.name}.holdout.json")


def load_held_out(model: Path) -> dict[str, Any]:
    """Raises UsageError when the file is missing or no such file."""
    path = holdout_file(model)
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = None
    if not isinstance(found, dict):
        raise UsageError("U122", f"{path} is missing or unreadable", "it is written by dpsynth fit, beside the model")
    return found
