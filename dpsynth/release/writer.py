"""Write a bundle: everything beside the target first, then one rename. Never over anything."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dpsynth.consistency import consistency
from dpsynth.consistency import files as measurements
from dpsynth.encoding import Encoding
from dpsynth.errors import UsageError
from dpsynth.model import FittedModel
from dpsynth.release import attestation, dossier, manifest
from dpsynth.release.facts import Internal, Public
from dpsynth.release.fields import AuditFacts, ReleaseFields
from dpsynth.release.files import canonical, digest, write_file
from dpsynth.release.gate import judge
from dpsynth.release.keys import Signer
from dpsynth.release.pages.render import internal_page, public_page
from dpsynth.release.policy import Policy
from dpsynth.release.privacy_json import Said, privacy_json, tool
from dpsynth.release.staging import refuse_existing, staged
from dpsynth.release.standing import Standing
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
    policy: Policy | None = None,
    standing: Standing | None = None,
    published: Sequence[Json] = (),
    signer: Signer | None = None,
    internal: Mapping[str, object] | None = None,
) -> Bundle:
    """Write `out`/public and `out`/internal, whole or not at all.

    `synthetic`: audited rows of `model`. `suite`, `evaluation`: their results as JSON. `form`: csv or
    parquet. `samples_audited`: how many samples of this model were ever audited. `policy`: an organisation's rules.
    `standing`: of the ledger (without it, the model's run was the last). `published`: figures that were paid for.
    `signer`: signs the manifest. `internal`: further files for internal/, name -> JSON value or text (run
    configuration, hold-out information). Public files depend on nothing but the model, the rows, the human fields, the
    policy, the standing, the figures, the key, the number of samples and the attacks' names.

    Raises UsageError (U160 to U163) when `out` exists or cannot be written, AuditError (A3xx) when the policy
    gate refuses, CapacityError (C160) when the disk is full.
    """
    root = refuse_existing(out)
    require_form(form)
    standing = standing or Standing.alone(model.receipt)
    gate = judge(model.schema, human, model.receipt, suite, policy, standing)
    gate.require()
    said = Said(human, gate.as_json(), standing, published, model.prior)
    with staged(root) as stage:
        audit = AuditFacts.of(suite, samples_audited)
        report = _write_public(stage / PUBLIC, model, synthetic, audit, said, form, signer)
        bundle_id = manifest.load(stage / PUBLIC).bundle_id
        pages = Internal(report, suite, evaluation).as_json()
        _write_internal(stage / INTERNAL, model, pages, bundle_id, internal or {})
    return Bundle(root, bundle_id, root / PUBLIC / f"data.{form}")


def require_form(form: str) -> None:
    """UsageError (U161) for a form in which no table is written."""
    if form not in FORMS:
        raise UsageError("U161", f"{form!r} is no form of a table", f"use one of {', '.join(FORMS)}")


def _write_public(
    folder: Path,
    model: FittedModel,
    synthetic: Table,
    audit: AuditFacts,
    said: Said,
    form: str,
    signer: Signer | None,
) -> Json:
    """All public files, their manifest and its signature; returns what report.json says."""
    folder.mkdir(mode=0o755)
    data_file = f"data.{form}"
    write_table(synthetic.to_frame(), folder / data_file, model.schema)
    encoding = Encoding(model.schema)
    found = consistency(encoding.encode(synthetic), model.measurements, model.domain, encoding)
    privacy = privacy_json(
        model.receipt, model.schema, audit, method=model.method, model_id=model.id, said=said
    )
    report = Public(privacy, model.schema, found, data_file).as_json()
    written = digest(folder / data_file)
    material = dossier.Material(
        privacy, model.schema, data_file, written.size, written.sha256, len(synthetic)
    )
    files = {
        "schema.yaml": model.schema.to_yaml().encode(),
        "privacy.json": canonical(privacy),
        measurements.NAME: measurements.to_bytes(model.measurements),
        "report.json": canonical(report),
        "report.html": public_page(report),
        **dossier.render(material),
    }
    for name, content in files.items():
        write_file(folder / name, content, 0o644)
    listed = manifest.describe(folder, PUBLIC, tool())
    write_file(folder / manifest.NAME, listed.to_bytes(), 0o644)
    if signer is not None:
        write_file(folder / attestation.NAME, attestation.attest(listed, privacy, signer), 0o644)
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
