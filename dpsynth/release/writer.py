"""Write a bundle: everything beside the target first, then one rename. Never over anything."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dpsynth.consistency import consistency
from dpsynth.encoding import Encoding
from dpsynth.errors import CapacityError, UsageError, is_full
from dpsynth.model import FittedModel
from dpsynth.release import manifest
from dpsynth.release.facts import Internal, Public
from dpsynth.release.fields import AuditFacts, ReleaseFields
from dpsynth.release.files import canonical, sync_folder, write_file
from dpsynth.release.gate import Gate, judge
from dpsynth.release.pages.render import internal_page, public_page
from dpsynth.release.privacy_json import privacy_json, tool
from dpsynth.table import Table, write_table

PUBLIC, INTERNAL = "public", "internal"
FORMS = ("csv", "parquet")
EPOCH = 315_532_800
"""1980-01-01: the time stamped on every public file, so that none tells when a private step ran."""

Json = dict[str, Any]


@dataclass(frozen=True)
class Bundle:
    """A written bundle; usable as a path."""

    root: Path
    bundle_id: str
    data: Path

    @property
    def public(self) -> Path:
        return self.root / PUBLIC

    @property
    def internal(self) -> Path:
        return self.root / INTERNAL

    def __fspath__(self) -> str:
        return str(self.root)


def write(
    out: str | os.PathLike[str],
    *,
    model: FittedModel,
    synthetic: Table,
    suite: Mapping[str, Any],
    evaluation: Mapping[str, Any],
    human: ReleaseFields,
    form: str = "csv",
    samples_audited: int = 1,
    internal: Mapping[str, object] | None = None,
) -> Bundle:
    """Write `out`/public and `out`/internal, whole or not at all.

    `synthetic`: audited rows of `model`. `suite`, `evaluation`: their results as JSON. `form`: csv or
    parquet. `samples_audited`: how many samples of this model were ever audited. `internal`: further files
    for internal/, name -> JSON value or text (run configuration, hold-out information). Public files
    depend on nothing but the model, the rows, the human fields, the number of samples and the attacks' names.

    Raises UsageError (U160 to U162) when `out` exists or cannot be written, AuditError (A3xx) when the policy
    gate refuses, CapacityError (C160) when the disk is full.
    """
    root = refuse_existing(out)
    if form not in FORMS:
        raise UsageError("U161", f"{form!r} is no form of a table", f"use one of {', '.join(FORMS)}")
    gate = judge(model.schema, human, model.receipt, suite)
    gate.require()
    with _staged(root) as stage:
        audit = AuditFacts.of(suite, samples_audited)
        report = _write_public(stage / PUBLIC, model, synthetic, audit, human, gate, form)
        bundle_id = manifest.load(stage / PUBLIC).bundle_id
        pages = Internal(report, suite, evaluation).as_json()
        _write_internal(stage / INTERNAL, model, pages, bundle_id, internal or {})
    return Bundle(root, bundle_id, root / PUBLIC / f"data.{form}")


def refuse_existing(out: str | os.PathLike[str]) -> Path:
    """The target as a path. Raises UsageError (U160) when anything has that name."""
    path = Path(out)
    if os.path.lexists(path):
        raise UsageError("U160", f"{path} exists already", "name a new folder; nothing is ever overwritten")
    return path


def _write_public(
    folder: Path,
    model: FittedModel,
    synthetic: Table,
    audit: AuditFacts,
    human: ReleaseFields,
    gate: Gate,
    form: str,
) -> Json:
    """All public files and their manifest; returns what report.json says."""
    folder.mkdir(mode=0o755)
    data_file = f"data.{form}"
    write_table(synthetic.to_frame(), folder / data_file, model.schema)
    found = consistency(Encoding(model.schema).encode(synthetic), model.measurements, model.domain)
    privacy = privacy_json(model.receipt, model.schema, audit, method=model.method, model_id=model.id)
    report = Public(privacy, model.schema, found, human, gate, data_file).as_json()
    files = {
        "schema.yaml": model.schema.to_yaml().encode(),
        "privacy.json": canonical(privacy),
        "report.json": canonical(report),
        "report.html": public_page(report),
    }
    for name, content in files.items():
        write_file(folder / name, content, 0o644)
    write_file(folder / manifest.NAME, manifest.describe(folder, PUBLIC, tool()).to_bytes(), 0o644)
    (folder / data_file).chmod(0o644)
    folder.chmod(0o755)
    for path in (*folder.iterdir(), folder):
        os.utime(path, (EPOCH, EPOCH))
    return report


def _write_internal(
    folder: Path, model: FittedModel, report: Json, bundle_id: str, further: Mapping[str, object]
) -> None:
    folder.mkdir(mode=0o700)
    model.save(folder / "model")
    files: dict[str, object] = {
        "bundle.json": {"public_bundle_id": bundle_id, "model_id": model.id},
        "attacks.json": report["suite"],
        "evaluation.json": report["evaluation"],
        "report.json": report,
        "report.html": internal_page(report),
        **further,
    }
    for name, content in files.items():
        if not manifest.is_plain(name) or "/" in name:
            raise UsageError(
                "U162", f"{name!r} is no plain file name", "use letters, digits, dots and dashes"
            )
        write_file(folder / name, _bytes(content), 0o600)
    for path in (folder / "model").iterdir():
        path.chmod(0o600)
    (folder / "model").chmod(0o700)
    write_file(folder / manifest.NAME, manifest.describe(folder, INTERNAL, tool()).to_bytes(), 0o600)


def _bytes(content: object) -> bytes:
    if isinstance(content, bytes):
        return content
    return content.encode() if isinstance(content, str) else canonical(content)


@contextmanager
def _staged(root: Path) -> Iterator[Path]:
    """A private folder beside `root` that becomes `root` when the block ends well and vanishes when not."""
    made: list[Path] = []
    stage: Path | None = None
    try:
        made = _make_parents(root)
        stage = Path(tempfile.mkdtemp(prefix=f".{root.name[:100]}-", suffix=".partial", dir=root.parent))
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


def _disk_error(root: Path, problem: OSError) -> UsageError | CapacityError:
    if is_full(problem):
        return CapacityError(
            "C160", f"the disk is full: {root} was not written", "free some space; nothing was left"
        )
    reason = problem.strerror or "no such place"
    return UsageError("U163", f"{root} cannot be written ({reason})", "choose a folder that you may write to")
