"""A zip file of a bundle, unpacked into a temporary folder without trusting a word of it."""

from __future__ import annotations

import os
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dpsynth.errors import VerifyError
from dpsynth.release.files import MAX_FILES
from dpsynth.release.manifest import is_plain

MAX_UNPACKED = 8 << 30
MAX_RATIO = 200
"""A file that unpacks to more than this many times its packed size is a bomb; tables pack to a tenth or so."""
_FREE = 10 << 20
_CHUNK = 1 << 20


@contextmanager
def folder_of(path: Path) -> Iterator[Path]:
    """The folder itself, or a temporary one with what a zip file holds; gone when the block ends.

    Raises VerifyError V136 for a zip file that is damaged, encrypted, or has links, path tricks, doubled names or
    more in it than a bundle can have.
    """
    if not path.is_file() or path.is_symlink() or not zipfile.is_zipfile(path):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="dpsynth-verify-") as folder:
        try:
            with zipfile.ZipFile(path) as packed:
                _unpack(packed, Path(folder))
        except (
            zipfile.BadZipFile,
            zlib.error,
            EOFError,
            NotImplementedError,
            ValueError,
            OSError,
        ) as problem:
            if isinstance(problem, OSError) and problem.errno is not None:
                raise
            raise _refused("it is damaged") from None
        except RuntimeError:  # what zipfile raises for an encrypted entry
            raise _refused("it is encrypted") from None
        yield _inner(Path(folder))


def _unpack(packed: zipfile.ZipFile, folder: Path) -> None:
    entries = packed.infolist()
    names = [entry.filename.rstrip("/").casefold() for entry in entries]
    if len(entries) > MAX_FILES:
        raise _refused(f"it has more than {MAX_FILES} entries")
    if len(set(names)) != len(names):
        raise _refused("two entries have the same name")
    left = MAX_UNPACKED
    for entry in entries:
        _check(entry)
        target = folder / entry.filename
        if entry.is_dir():
            target.mkdir(parents=True, exist_ok=True)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            left -= _copy(packed, entry, target, left)


def _check(entry: zipfile.ZipInfo) -> None:
    """Before a byte of it is unpacked."""
    if not is_plain(entry.filename.rstrip("/")):
        raise _refused("a name in it leads out of the folder, or is none that a bundle has")
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise _refused("a link or a special file is in it")
    if entry.flag_bits & 0x1:
        raise _refused("it is encrypted")
    if entry.file_size > _FREE and entry.file_size > MAX_RATIO * max(1, entry.compress_size):
        raise _refused("a file in it unpacks to far more than it holds")


def _copy(packed: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path, most: int) -> int:
    """Bytes unpacked, counted as they come: what the entry says of its size is not believed."""
    size = 0
    with packed.open(entry) as source, target.open("xb") as copy:
        while chunk := source.read(_CHUNK):
            size += len(chunk)
            if size > most or size > max(_FREE, MAX_RATIO * max(1, entry.compress_size)):
                raise _refused("a file in it unpacks to far more than it holds")
            copy.write(chunk)
    return size


def _inner(folder: Path) -> Path:
    """The one folder that many tools wrap around what they pack, or the folder itself."""
    entries = list(os.scandir(folder))
    return Path(entries[0].path) if len(entries) == 1 and entries[0].is_dir() else folder


def _refused(why: str) -> VerifyError:
    return VerifyError("V136", f"the zip file is refused: {why}", "ask for an unchanged copy")
