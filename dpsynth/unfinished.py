"""A model that was paid for outlives a run that fails after its fit."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dpsynth.errors import AuditError, CapacityError, DPSynthError, UsageError, is_full
from dpsynth.model import FittedModel

ROOM = 4 << 20
"""Bytes that must fit beside a model before anything is paid for it."""

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
                f"{folder} is left from an earlier run that was paid for and did not finish",
                "finish it with dpsynth sample, audit and release, or remove the folder",
            )
        return cls(folder)

    def keep(self, model: FittedModel, held_out: Mapping[str, Any]) -> None:
        """Write both, or nothing: UsageError or CapacityError."""
        try:
            with translated(self.folder):
                self.folder.mkdir(mode=0o700, parents=True)
            keep(model, held_out, self.folder / MODEL)
        except BaseException:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise

    def note(self, name: str, content: Mapping[str, Any]) -> None:
        """A further private file, as JSON."""
        write_private(self.folder / name, content)

    @contextmanager
    def told(self) -> Iterator[None]:
        """What goes wrong inside says where the model is that was paid for, and how to go on with it; not where the attacks
        or the gate refuse: rows are not drawn until they are let through."""
        try:
            yield
        except DPSynthError as error:
            if not isinstance(error, AuditError) and (model := self.folder / MODEL).exists():
                error.add(
                    f"the model that was paid for is in {model}: go on with dpsynth sample, audit and release "
                    "(sample --without-rule N leaves out a rule of the project; such rows stay inside)"
                )
            raise

    def remove(self) -> None:
        """The run has finished well."""
        shutil.rmtree(self.folder)


def require_room(folder: Path) -> None:
    """Try the disk before anything is paid: UsageError or CapacityError when nothing can be written for `folder`.

    What its missing parents will be made in is tried, and left as it was.
    """
    there = next(parent for parent in folder.absolute().parents if os.path.lexists(parent))
    with translated(folder), tempfile.TemporaryFile(dir=there) as file:
        file.write(bytes(ROOM))
        file.flush()
        os.fsync(file.fileno())


def keep(model: FittedModel, held_out: Mapping[str, Any], folder: Path) -> None:
    """The model (released facts) in `folder`; beside it, private, who was held out of its fit. Both or neither."""
    side = holdout_file(folder)
    write_private(side, held_out)
    try:
        model.save(folder)
    except BaseException:
        side.unlink()
        raise


def write_private(path: Path, content: Mapping[str, Any]) -> None:
    """JSON that only the operator may read. UsageError or CapacityError when it cannot be written."""
    with translated(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.chmod(0o600)  # a file that was there keeps its own mode otherwise
        path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """What the operating system says about `path`, in the words of this package."""
    try:
        yield
    except OSError as problem:
        reason = f"{path} cannot be written ({problem.strerror or 'no such place'})"
        if is_full(problem):
            raise CapacityError("C152", reason, "make room, then run again") from None
        raise UsageError("U125", reason, "choose a folder that you may write to") from None


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
        raise UsageError(
            "U122", f"{path} is missing or unreadable", "it is written by dpsynth fit, beside the model"
        )
    return found
