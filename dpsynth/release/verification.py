"""verify(): whether a bundle is what was written, and whether what it says follows from itself. Offline."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dpsynth.consistency import from_uniform
from dpsynth.encoding import Encoding
from dpsynth.errors import DataError, DPSynthError, VerifyError
from dpsynth.privacy.ledger import Ledger
from dpsynth.records import Records
from dpsynth.release import manifest
from dpsynth.release.facts import CHARGE, COPIED, columns, not_protected, trade_off_points
from dpsynth.release.files import parse, read_small
from dpsynth.release.manifest import Manifest
from dpsynth.release.pages.render import public_page
from dpsynth.release.privacy_json import charged_events, tool
from dpsynth.release.recheck import check_privacy, differences
from dpsynth.release.writer import INTERNAL, PUBLIC
from dpsynth.schema import Schema
from dpsynth.table import read_table
from dpsynth.table.sources import header

REQUIRED = ("privacy.json", "report.html", "report.json", "schema.yaml")
DATA = ("data.csv", "data.parquet")
Json = dict[str, Any]


@dataclass(frozen=True)
class Verification:
    """A bundle that passed. `ledger`: whether a ledger was compared. Nobody's signature was checked."""

    path: Path
    bundle_id: str
    files: int
    rows: int
    epsilon: float
    delta: float
    unit: str
    internal: bool
    ledger: bool

    @property
    def words(self) -> str:
        """One line: the verdict first."""
        checked = f"{self.files} files" + (", internal part included" if self.internal else "")
        head = "; the ledger contains its head" if self.ledger else ""
        return (
            f"intact, signer unknown: {checked}; {self.rows} rows fit the schema; the charges make epsilon "
            f"{self.epsilon:.4g}, delta {self.delta:.4g} for one {self.unit}{head}"
        )

    def as_json(self) -> Json:
        return {
            "verdict": "intact",
            "signer": None,
            **vars(self),
            "path": str(self.path),
            "words": self.words,
        }


def verify(
    directory: str | os.PathLike[str], *, ledger: str | os.PathLike[str] | None = None
) -> Verification:
    """Check a release, or a copy of its public/ alone. Reads only; needs no network.

    Every file against the manifest, the manifest against its id, privacy.json against its own charges, every
    value of the data against schema.yaml, the report against both. With `ledger`, that it contains the stated
    head. Raises VerifyError (V1xx; V3xx for the ledger) naming what differs.
    """
    root = Path(directory)
    public, internal = _parts(root)
    try:
        listed = _check_files(public, PUBLIC)
        count = len(listed.files) + (0 if internal is None else _check_internal(internal, listed))
        privacy, rows = _check_content(public, listed)
    except OSError as problem:
        where = Path(os.fsdecode(problem.filename)).name if problem.filename else root.name
        raise VerifyError(
            "V102", f"{where} cannot be read ({problem.strerror})", "check its rights"
        ) from None
    if ledger is not None:
        _check_ledger(ledger, privacy)
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
    )


def _parts(root: Path) -> tuple[Path, Path | None]:
    """The public folder and, if it is there, the internal one. Raises VerifyError (V101)."""
    if not root.is_dir():
        raise VerifyError(
            "V101", f"{root} is no folder", "name the folder of a release or a copy of its public/"
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


def _check_content(folder: Path, listed: Manifest) -> tuple[Json, int]:
    data = [name for name in DATA if name in listed.paths]
    extra = sorted(set(listed.paths) - {*REQUIRED, *DATA})
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
    check_privacy(privacy, schema)
    records = _check_data(folder / data[0], schema)
    _check_report(folder, privacy, schema, records)
    return privacy, len(records)


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
        return Encoding(schema).encode(read_table(path, _strict(schema), require_unit=False))
    except DataError as problem:
        raise VerifyError(
            "V115", f"{path.name} does not fit schema.yaml: {problem.problem}", "get another copy"
        ) from None


def _strict(schema: Schema) -> Schema:
    unclipped = {
        name: column.model_copy(update={"clip": False}) if getattr(column, "clip", False) else column
        for name, column in schema.columns.items()
    }
    return schema.model_copy(update={"columns": unclipped})


def _check_report(folder: Path, privacy: Json, schema: Schema, records: Records) -> None:
    """report.json repeats privacy.json, schema.yaml and the data; report.html is what report.json renders
    to.
    """
    report = parse(read_small(folder / "report.json"), "report.json")
    wanted: Json = {name: privacy[name] for name in COPIED}
    wanted["charges"] = [{key: charge[key] for key in CHARGE} for charge in privacy["charges"]]
    same_version = privacy["tool"] == tool()
    if same_version:
        wanted |= {
            "columns": columns(schema),
            "not_protected": not_protected(privacy["unit"]),
            "trade_off": trade_off_points(charged_events(privacy)),
        }
    for place in differences({name: report.get(name) for name in wanted}, wanted):
        raise VerifyError("V116", f"report.json: {place} is not what privacy.json says", "rely on neither")
    if not _describes(report, records):
        raise VerifyError(
            "V117", "report.json does not describe the rows of the data file", "rely on neither"
        )
    if same_version and not _renders_to(report, read_small(folder / "report.html")):
        raise VerifyError("V118", "report.html is not the page that report.json makes", "get another copy")


def _describes(report: Json, records: Records) -> bool:
    """Whether the number of rows and each measured table's distance from equal shares are those of the
    data.
    """
    try:
        found = [
            (tuple(c["columns"]), c["cells"], c["from_uniform"]) for c in report["consistency"]["by_clique"]
        ]
        rows = (report["generator"]["rows"], report["consistency"]["synthetic_rows"])
        return rows == (len(records), len(records)) and all(
            cells == records.domain.size(clique)
            and math.isclose(distance, from_uniform(records, clique), abs_tol=1e-5)
            for clique, cells, distance in found
        )
    except (KeyError, TypeError, ValueError):
        return False


def _renders_to(report: Json, page: bytes) -> bool:
    try:
        return public_page(report) == page
    except Exception as problem:  # whatever a forged report breaks in a template, it is no page of ours
        raise VerifyError("V116", "report.json cannot be rendered", "rely on neither") from problem


def _check_ledger(path: str | os.PathLike[str], privacy: Json) -> None:
    found = Ledger.verify(path, heads=[privacy["ledger"]["head"]])
    if found.dataset != privacy["ledger"]["dataset"]:
        raise VerifyError("V119", "the ledger is of another dataset than the bundle", "name the right ledger")
