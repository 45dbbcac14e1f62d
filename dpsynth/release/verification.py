"""verify(): whether a bundle is what was written, and whether what it says follows from itself. Offline."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dpsynth.consistency import files as measured
from dpsynth.constraints.sequences import broken_rows
from dpsynth.constraints.totals import Totals
from dpsynth.encoding import Encoding
from dpsynth.errors import DataError, DPSynthError, VerifyError
from dpsynth.privacy.ledger import Ledger
from dpsynth.records import Records
from dpsynth.release import archive, attestation, dossier, manifest
from dpsynth.release.attestation import Signature
from dpsynth.release.documents import check_documents, check_report
from dpsynth.release.files import parse, read_small
from dpsynth.release.keys import PublicKey
from dpsynth.release.manifest import Manifest
from dpsynth.release.privacy_form import check_form
from dpsynth.release.privacy_json import tool
from dpsynth.release.purposes import check_purposes
from dpsynth.release.recheck import check_privacy
from dpsynth.release.wording import said, told
from dpsynth.release.writer import INTERNAL, PUBLIC
from dpsynth.schema import Schema
from dpsynth.table import read_table
from dpsynth.table.sources import header

REQUIRED = ("privacy.json", measured.NAME, "report.html", "report.json", "schema.yaml", *dossier.DOCUMENTS)
OPTIONAL = (dossier.REGISTRY,)
DATA = ("data.csv", "data.parquet")
MEASURED = 1e-4
"""Relative: figures about the rows are the same on every machine to better than this."""
Json = dict[str, Any]
ALL, NUMBERS, PARTLY = "all", "numbers", "in part"
VERDICTS = {
    ALL: "intact",
    NUMBERS: "intact, but for sentences of another build",
    PARTLY: "intact in part",
}
"""How much of a bundle follows from its facts: every byte; all but the wording of another build; less than that, because
numbers of another build's documents, or what its charges are called, could not be compared."""


@dataclass(frozen=True)
class Verification:
    """A bundle that passed. `ledger`: whether a ledger was compared. `signed_by`: id of the key whose signature fits, None
    without a signature; `pinned`: whether that is the key that the caller trusts. `pages`: in words, what could not be
    compared of documents that another build of this software wrote; empty where every byte was. `charges`: likewise, of
    what the charges are called. `compared`: `ALL`, `NUMBERS` where sentences were not, or `PARTLY`."""

    path: Path
    bundle_id: str
    files: int
    rows: int
    epsilon: float
    delta: float
    unit: str
    internal: bool
    ledger: bool
    signed_by: str | None = None
    pinned: bool = False
    pages: str = ""
    charges: str = ""
    compared: str = ALL

    @property
    def intact(self) -> str:
        """The verdict without the signature."""
        return VERDICTS[self.compared]

    @property
    def verdict(self) -> str:
        if self.signed_by is None:
            return f"{self.intact}, not signed"
        return f"{self.intact}, signed by the given key" if self.pinned else f"{self.intact}, signer unknown"

    @property
    def words(self) -> str:
        """One line: the verdict first."""
        checked = f"{self.files} files" + (", internal part included" if self.internal else "")
        head = "; the ledger contains its head and its release" if self.ledger else ""
        key = "" if self.signed_by is None else f" (key {self.signed_by[:16]})"
        told = "".join(f"; {words}" for words in (self.charges, self.pages) if words)
        return (
            f"{self.verdict}{key}: {checked}; {self.rows} rows fit the schema; the charges make epsilon "
            f"{self.epsilon:.4g}, delta {self.delta:.4g} for one {self.unit}{head}{told}"
        )

    def as_json(self) -> Json:
        return {
            "verdict": self.intact,
            "signature": self.verdict,
            "signer": self.signed_by if self.pinned else None,
            **vars(self),
            "path": str(self.path),
            "words": self.words,
        }


def verify(
    directory: str | os.PathLike[str],
    *,
    key: PublicKey | None = None,
    ledger: str | os.PathLike[str] | None = None,
) -> Verification:
    """Check a release, a copy of its public/ alone, or a zip file of either. Reads only; needs no network.

    Every file against the manifest, the manifest against its id and its signature, privacy.json against its own
    charges, every value of the data against schema.yaml, every document against what privacy.json makes of it. `key`:
    the publisher's, received by another way; then the bundle must be signed by it. With `ledger`, that it contains the
    stated head and this release, not withdrawn. Raises VerifyError (V1xx; V3xx for the ledger) naming what differs.
    """
    root = Path(directory)
    with archive.folder_of(root) as folder:
        return _verify(root, folder, key, ledger)


def _verify(
    root: Path, folder: Path, key: PublicKey | None, ledger: str | os.PathLike[str] | None
) -> Verification:
    public, internal = _parts(folder)
    try:
        listed = _check_files(public, PUBLIC)
        count = len(listed.files) + (0 if internal is None else _check_internal(internal, listed))
        privacy, rows, found = _check_content(public, listed)
        signature = _check_signature(public, listed, privacy, key)
    except OSError as problem:
        where = Path(os.fsdecode(problem.filename)).name if problem.filename else root.name
        raise VerifyError(
            "V102", f"{where} cannot be read ({problem.strerror})", "check its rights"
        ) from None
    if ledger is not None:
        _check_ledger(ledger, privacy, listed)
    guarantee, unit = privacy["guarantee"], privacy["unit"]
    return Verification(
        root,
        listed.bundle_id,
        count,
        rows,
        guarantee["epsilon"],
        guarantee["delta"],
        unit["entity"],
        internal is not None,
        ledger is not None,
        None if signature is None else signature.key.id,
        signature is not None and signature.key == key,
        told(found.remarks) if found.remarks else "",
        found.charges,
        found.compared,
    )


def _check_signature(
    folder: Path, listed: Manifest, privacy: Json, key: PublicKey | None
) -> Signature | None:
    """Raises VerifyError: V131 to V133 for a signature that does not fit, V134 and V135 when it is not the given key's."""
    if not os.path.lexists(folder / attestation.NAME):
        if key is not None:
            raise VerifyError(
                "V134", f"the bundle is not signed: there is no {attestation.NAME}", "ask its publisher"
            )
        return None
    found = attestation.check(folder, listed, privacy)
    if key is not None and found.key != key:
        raise VerifyError(
            "V135",
            f"signed by another key: {found.key.id[:16]}..., not the given {key.id[:16]}...",
            "it is not from whom you think, or you hold an old key",
        )
    return found


def _parts(root: Path) -> tuple[Path, Path | None]:
    """The public folder and, if it is there, the internal one. Raises VerifyError (V101)."""
    if not root.is_dir():
        raise VerifyError(
            "V101",
            f"{root} is no folder and no zip file",
            "name the folder of a release, a copy of its public/, or a zip file of either",
        )
    if os.path.lexists(root / manifest.NAME):
        return root, None
    if not (root / PUBLIC).is_dir():
        raise VerifyError(
            "V101", f"{root} holds no bundle", "name the folder of a release or a copy of its public/"
        )
    for entry in os.scandir(root):
        if entry.name not in {PUBLIC, INTERNAL} or entry.is_symlink():
            raise VerifyError(
                "V109", f"{entry.name!r} does not belong into a release", "remove it, or get another copy"
            )
    return root / PUBLIC, root / INTERNAL if (root / INTERNAL).is_dir() else None


def _check_files(folder: Path, visibility: str) -> Manifest:
    listed = manifest.load(folder)
    manifest.compare(folder, listed)
    if visibility == INTERNAL and os.path.lexists(folder / attestation.NAME):
        raise VerifyError("V137", f"{attestation.NAME} does not belong into internal/", "remove it")
    if listed.visibility != visibility:
        raise VerifyError(
            "V110",
            f"{folder.name} is an {listed.visibility} folder where a {visibility} one belongs",
            "get another copy",
        )
    return listed


def _check_internal(folder: Path, public: Manifest) -> int:
    """Number of files of the internal part, which must belong to this public one."""
    listed = _check_files(folder, INTERNAL)
    belongs = parse(read_small(folder / "bundle.json"), "bundle.json").get("public_bundle_id")
    if belongs != public.bundle_id:
        raise VerifyError("V111", "internal/ belongs to another public/", "put the right two together")
    return len(listed.files)


@dataclass(frozen=True)
class _Said:
    """What could not be compared: a remark for each document of another build, empty where its numbers were; and what the
    charges are called."""

    remarks: list[str]
    charges: str

    @property
    def compared(self) -> str:
        if said(self.remarks) or self.charges:
            return PARTLY
        return NUMBERS if self.remarks else ALL


def _check_content(folder: Path, listed: Manifest) -> tuple[Json, int, _Said]:
    """privacy.json, the number of rows, and what remains to be said of the documents."""
    data = [name for name in DATA if name in listed.paths]
    extra = sorted(set(listed.paths) - {*REQUIRED, *OPTIONAL, *DATA})
    lacking = [name for name in REQUIRED if name not in listed.paths]
    if extra or lacking or len(data) != 1:
        named = (
            ", ".join([*(f"no {n}" for n in lacking), *(f"{n} unknown" for n in extra)])
            or "not one data file"
        )
        raise VerifyError(
            "V112", f"the manifest lists other files than a bundle has: {named}", "get another copy"
        )
    schema = _schema(folder)
    privacy = parse(read_small(folder / "privacy.json"), "privacy.json")
    check_form(privacy)
    remarks = check_privacy(privacy, schema)
    charges = check_purposes(privacy, schema, same_build=privacy["tool"] == tool())
    records = _check_data(folder / data[0], schema)
    remarks += check_report(folder, privacy, schema, records, data[0])
    remarks += check_documents(folder, privacy, schema, listed, data[0], len(records))
    return privacy, len(records), _Said(remarks, charges)


def _schema(folder: Path) -> Schema:
    try:
        return Schema.from_yaml(read_small(folder / "schema.yaml"))
    except VerifyError:
        raise
    except DPSynthError as problem:
        raise VerifyError(
            "V113", f"schema.yaml does not load: {problem.problem}", "get another copy"
        ) from None


def _check_data(path: Path, schema: Schema) -> Records:
    """The encoded rows; every one fits the schema, bounds included (`clip` does not count here)."""
    try:
        if list(header(path, schema.csv)) != schema.written:
            raise VerifyError("V114", f"{path.name} has other columns than schema.yaml", "get another copy")
        table = read_table(path, _strict(schema), require_unit=False)
        for number, rows in broken_rows(table, schema).items():
            raise VerifyError(
                "V138", f"{len(rows)} rows of {path.name} break constraint {number}", "get another copy"
            )
        for number, words in Totals.of(schema).broken(table).items():
            raise VerifyError(
                "V139", f"{path.name} has not the {words} (constraint {number})", "get another copy"
            )
        return Encoding(schema).encode(table)
    except DataError as problem:
        raise VerifyError(
            "V115", f"{path.name} does not fit schema.yaml: {problem.problem}", "get another copy"
        ) from None


def _strict(schema: Schema) -> Schema:
    unclipped = {
        name: column.model_copy(update={"clip": False}) if getattr(column, "clip", False) else column
        for name, column in schema.columns.items()
    }
    return schema.with_columns(unclipped)


def _check_ledger(path: str | os.PathLike[str], privacy: Json, listed: Manifest) -> None:
    """The ledger contains the stated head, and knows this bundle as released and not withdrawn."""
    stated = privacy["ledger"]
    found = Ledger.verify(path, heads=[stated["head"]])
    if found.dataset != stated["dataset"]:
        raise VerifyError("V119", "the ledger is of another dataset than the bundle", "name the right ledger")
    with Ledger.load(path) as account:
        released = [one for one in account.releases() if one.bundle_id == listed.bundle_id]
    if not released:
        raise VerifyError(
            "V128",
            "the ledger knows no release of this bundle",
            "it was never released, or from another ledger",
        )
    why = released[-1].withdrawn
    if why is not None:
        raise VerifyError("V129", f"this bundle was withdrawn: {why}", "do not use it; ask for its successor")
