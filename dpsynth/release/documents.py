"""Whether the documents of a bundle say what its facts make: byte by byte for those of this build, else number by number."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dpsynth.consistency import Consistency, consistency
from dpsynth.consistency import files as measured
from dpsynth.encoding import Encoding
from dpsynth.errors import VerifyError
from dpsynth.records import Records
from dpsynth.release import dossier, wording
from dpsynth.release.facts import CHARGE, COPIED, Public
from dpsynth.release.files import canonical, parse, read_small
from dpsynth.release.manifest import Manifest
from dpsynth.release.pages.render import public_page
from dpsynth.release.privacy_json import tool
from dpsynth.release.recheck import differences
from dpsynth.schema import Schema

MEASURED = 1e-4
"""Relative: figures about the rows are the same on every machine to better than this."""

ROWS = f"the rows of the data file and {measured.NAME}"
FIGURES = (("generator", "V117", ROWS), ("consistency", "V117", ROWS), ("trade_off", "V116", "the charges"))
"""Parts of report.json that are computed again, up to the rounding of another machine."""

Json = dict[str, Any]


def check_report(folder: Path, privacy: Json, schema: Schema, records: Records, data: str) -> list[str]:
    """report.json is what privacy.json, schema.yaml and the data make, report.html what report.json renders to. Returns a
    remark for each file that another build wrote otherwise (empty where its numbers are the same).

    Raises VerifyError: V116 to V118, V143.
    """
    stated = parse(read_small(folder / "report.json"), "report.json")
    wanted: Json = {name: privacy[name] for name in COPIED}
    wanted["charges"] = [{key: charge[key] for key in CHARGE} for charge in privacy["charges"]]
    for place in differences({name: stated.get(name) for name in wanted}, wanted):
        raise VerifyError("V116", f"report.json: {place} is not what privacy.json says", "rely on neither")
    made = Public(privacy, schema, _described(folder, schema, records), data).as_json()
    same_build = privacy["tool"] == tool()
    for name, code, words in FIGURES:
        ours = made[name] if same_build else _shared(made[name], stated.get(name))
        theirs = stated.get(name) if same_build else _shared(stated.get(name), made[name])
        for place in differences({name: theirs}, {name: ours}, tolerance=MEASURED):
            raise VerifyError(
                code, f"report.json does not describe {words}: {place} differs", "rely on neither"
            )
        made[name] = stated[name]
    page = read_small(folder / "report.html")
    if same_build:
        for place in differences(stated, made):
            raise VerifyError(
                "V116", f"report.json: {place} does not follow from the bundle", "rely on neither"
            )
        if _rendered(stated) != page:
            raise VerifyError(
                "V118", "report.html is not the page that report.json makes", "get another copy"
            )
        return []
    rest = [name for name in stated if name not in wanted and name not in {one for one, _, _ in FIGURES}]
    said = [canonical({name: report.get(name) for name in rest}) for report in (stated, made)]
    return [
        wording.compare("report.json", *said),
        wording.compare("report.html", page, _rendered(made)),
    ]


def _shared(value: Any, other: Any) -> Any:
    """What both have, as far as they are mappings: another build may know more or less."""
    if isinstance(value, dict) and isinstance(other, dict):
        return {key: _shared(inner, other[key]) for key, inner in value.items() if key in other}
    if isinstance(value, list) and isinstance(other, list) and len(value) == len(other):
        return [_shared(*pair) for pair in zip(value, other, strict=True)]
    return value


def check_documents(
    folder: Path, privacy: Json, schema: Schema, listed: Manifest, data: str, rows: int
) -> list[str]:
    """Every other rendered document, made again; remarks as above. Raises VerifyError: V127, V144, V143."""
    entry = next(one for one in listed.files if one.path == data)
    made = dossier.render(dossier.Material(privacy, schema, data, entry.size, entry.sha256, rows))
    if (dossier.REGISTRY in made) != (dossier.REGISTRY in listed.paths):
        raise VerifyError(
            "V144",
            f"{dossier.REGISTRY} is there without a stated publication, or not with one",
            "get another copy",
        )
    found = {name: read_small(folder / name) for name in made}
    changed = [name for name in made if found[name] != made[name]]
    if privacy["tool"] != tool():
        return [wording.compare(name, found[name], made[name]) for name in changed]
    for name in changed:
        pairs = enumerate(zip(found[name], made[name], strict=False))
        end = min(len(found[name]), len(made[name]))
        place = next((i for i, (one, other) in pairs if one != other), end)
        raise VerifyError(
            "V127", f"{name} is not what privacy.json makes, from byte {place} on", "get another copy"
        )
    return []


def _described(folder: Path, schema: Schema, records: Records) -> Consistency:
    """What a report says of rows and released measurements, computed from both."""
    released = measured.from_bytes(read_small(folder / measured.NAME), schema.domain)
    try:
        return consistency(records, released, schema.domain, Encoding(schema))
    except ValueError:
        raise VerifyError(
            "V117", f"{measured.NAME} has nothing to compare the rows with", "rely on neither"
        ) from None


def _rendered(report: Json) -> bytes:
    try:
        return public_page(report)
    except Exception as problem:  # whatever a forged report breaks in a template, it is no page of ours
        raise VerifyError("V116", "report.json cannot be rendered", "rely on neither") from problem
