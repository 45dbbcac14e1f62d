"""A bundle grows in a hidden folder beside its target; what a killed process left there is swept up by the next."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dpsynth.errors import CapacityError, DPSynthError, UsageError, is_full
from dpsynth.release.files import sync_folder

_LONGEST = 100
_SUFFIX = ".partial"


def refuse_existing(out: str | os.PathLike[str]) -> Path:
    """The target as a path. Raises UsageError (U160) when anything has that name."""
    path = Path(out)
    if os.path.lexists(path):
        raise UsageError("U160", f"{path} exists already", "name a new folder; nothing is ever overwritten")
    return path


@contextmanager
def staged(root: Path) -> Iterator[Path]:
    """A private folder beside `root` that becomes `root` when the block ends well and vanishes when not.

    While it is in use it is locked; the lock ends with the process, however that ends.
    """
    made: list[Path] = []
    stage: Path | None = None
    lock: int | None = None
    try:
        made = _make_parents(root)
        sweep(root)
        stage, lock = _locked_folder(root)
        yield stage
        _sync_tree(stage)
        stage.chmod(0o755)
        refuse_existing(root)
        os.rename(stage, root)
        sync_folder(root.parent)
    except BaseException as problem:
        if stage is not None:
            shutil.rmtree(stage, ignore_errors=True)
        for folder in reversed(made):
            _remove_if_empty(folder)
        if isinstance(problem, OSError):
            raise _disk_error(root, problem) from None
        raise
    finally:
        if lock is not None:
            os.close(lock)


def sweep(root: Path) -> list[str]:
    """Remove what processes that are dead left of attempts to write `root`; names of what was removed.

    Only folders with our kind of name, of this user, that nobody holds locked: a living process holds its own.
    """
    ours = re.compile(re.escape(f".{root.name[:_LONGEST]}-") + r"[a-z0-9_]{8}" + re.escape(_SUFFIX))
    removed = []
    with os.scandir(root.parent) as entries:
        found = sorted(entry.name for entry in entries if ours.fullmatch(entry.name))
    for name in found:
        if _remove_if_dead(root.parent / name):
            removed.append(name)
    return removed


def _remove_if_dead(folder: Path) -> bool:
    try:
        state = os.lstat(folder)
        if not stat.S_ISDIR(state.st_mode) or state.st_uid != os.getuid():
            return False
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder)
    except OSError:  # locked by a living process, or gone meanwhile
        return False
    finally:
        os.close(lock)
    return True


def _locked_folder(root: Path) -> tuple[Path, int]:
    """A new folder and the descriptor that locks it. Between its making and its lock it may be swept: then anew."""
    while True:
        prefix = f".{root.name[:_LONGEST]}-"
        stage = Path(tempfile.mkdtemp(prefix=prefix, suffix=_SUFFIX, dir=root.parent))
        lock: int | None = None
        try:
            lock = os.open(stage, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(lock), os.lstat(stage)):
                return stage, lock
        except (FileNotFoundError, BlockingIOError):
            pass
        if lock is not None:
            os.close(lock)


def _make_parents(root: Path) -> list[Path]:
    """The folders above `root` that had to be made, outermost first."""
    missing = [folder for folder in root.absolute().parents if not folder.exists()][::-1]
    for folder in missing:
        folder.mkdir(exist_ok=True)
    return missing


def _remove_if_empty(folder: Path) -> None:
    if folder.exists() and not any(folder.iterdir()):
        folder.rmdir()


def _sync_tree(folder: Path) -> None:
    """Every file and folder, on disk."""
    for here, _, names in os.walk(folder):
        for name in names:
            descriptor = os.open(Path(here, name), os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        sync_folder(Path(here))


def _disk_error(root: Path, problem: OSError) -> DPSynthError:
    if is_full(problem):
        return CapacityError(
            "C160", f"the disk is full: {root} was not written", "free some space; nothing was left"
        )
    reason = problem.strerror or "no such place"
    return UsageError("U163", f"{root} cannot be written ({reason})", "choose a folder that you may write to")
