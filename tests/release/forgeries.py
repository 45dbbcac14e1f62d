"""Fifty changes that mean something, each made as a forger would: hashes, ids and pages made right where one can.

Used by the tests, and with more random changes by `benchmarks/bundle_changes.py`.
"""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dpsynth import release
from dpsynth.errors import DPSynthError
from dpsynth.release import attestation, dossier, manifest
from dpsynth.release.files import canonical, digest
from dpsynth.release.pages.render import public_page
from dpsynth.release.privacy_json import tool
from dpsynth.schema import Schema

Json = dict[str, Any]
Change = Callable[["Scene"], None]


@dataclass(frozen=True)
class Scene:
    """A copy of a signed bundle's public folder, another bundle of the same people, and keys."""

    public: Path
    other: Path
    stranger: release.Signer

    def reseal(self) -> None:
        (self.public / manifest.NAME).write_bytes(manifest.describe(self.public, "public", tool()).to_bytes())

    def resign(self) -> None:
        """By a key that is not the publisher's."""
        self.reseal()
        privacy = json.loads((self.public / "privacy.json").read_bytes())
        signed = attestation.attest(manifest.load(self.public), privacy, self.stranger)
        (self.public / attestation.NAME).write_bytes(signed)

    def edit(self, name: str, how: Callable[[Json], object]) -> None:
        path = self.public / name
        value = json.loads(path.read_bytes())
        how(value)
        path.write_bytes(canonical(value))

    def render_again(self) -> None:
        """Every document and page as the changed privacy.json makes them."""
        privacy = json.loads((self.public / "privacy.json").read_bytes())
        report = json.loads((self.public / "report.json").read_bytes())
        schema = Schema.from_yaml((self.public / "schema.yaml").read_bytes())
        found = digest(self.public / "data.csv")
        rows = report["generator"]["rows"]
        material = dossier.Material(privacy, schema, "data.csv", found.size, found.sha256, rows)
        for name, content in dossier.render(material).items():
            (self.public / name).write_bytes(content)
        (self.public / "report.html").write_bytes(public_page(report))

    def everywhere(self, how: Callable[[Json], object]) -> None:
        """In privacy.json and in the report that repeats it, everything rendered and sealed again."""
        self.edit("privacy.json", how)
        self.edit("report.json", how)
        self.render_again()
        self.reseal()


def _swap(one: str, other: str, seal: bool = False) -> Change:
    def change(scene: Scene) -> None:
        a, b = scene.public / one, scene.public / other
        first = a.read_bytes()
        a.write_bytes(b.read_bytes())
        b.write_bytes(first)
        if seal:
            scene.reseal()

    return change


def _drop(name: str, seal: bool = False) -> Change:
    def change(scene: Scene) -> None:
        (scene.public / name).unlink()
        if seal:
            scene.reseal()

    return change


def _rename(name: str, to: str, seal: bool = False) -> Change:
    def change(scene: Scene) -> None:
        (scene.public / name).rename(scene.public / to)
        if seal:
            scene.reseal()

    return change


def _foreign(name: str, seal: bool = True) -> Change:
    """A file of another genuine bundle."""

    def change(scene: Scene) -> None:
        shutil.copy(scene.other / name, scene.public / name)
        if seal:
            scene.reseal()

    return change


def _privacy(how: Callable[[Json], object]) -> Change:
    return lambda scene: scene.everywhere(how)


def _text(name: str, old: bytes, new: bytes) -> Change:
    def change(scene: Scene) -> None:
        path = scene.public / name
        before = path.read_bytes()
        assert old in before, (name, old)
        path.write_bytes(before.replace(old, new, 1))
        scene.reseal()

    return change


def _rows(how: Callable[[list[str]], list[str]]) -> Change:
    def change(scene: Scene) -> None:
        path = scene.public / "data.csv"
        head, *lines = path.read_text().splitlines()
        path.write_text("\n".join([head, *how(lines)]) + "\n")
        scene.reseal()

    return change


def _stranger(before: Change | None = None) -> Change:
    def change(scene: Scene) -> None:
        if before is not None:
            before(scene)
        scene.resign()

    return change


def _add(name: str) -> Change:
    def change(scene: Scene) -> None:
        (scene.public / name).write_text("x")
        scene.reseal()

    return change


def _link(scene: Scene) -> None:
    path = scene.public / "model_card.md"
    path.rename(scene.public.parent / "aside")
    path.symlink_to(scene.public.parent / "aside")


SEMANTIC: dict[str, Change] = {
    "two documents swapped": _swap("model_card.md", "sign_here.md"),
    "two documents swapped and sealed": _swap("model_card.md", "checklist.md", seal=True),
    "privacy and report swapped": _swap("privacy.json", "report.json", seal=True),
    "page and card swapped": _swap("report.html", "model_card.md", seal=True),
    "the checklist dropped": _drop("checklist.md"),
    "the checklist dropped and sealed": _drop("checklist.md", seal=True),
    "the approver's page dropped": _drop("sign_here.md", seal=True),
    "the registry entry dropped": _drop("registry.yaml", seal=True),
    "the measurements dropped": _drop("measurements.json", seal=True),
    "the data dropped": _drop("data.csv", seal=True),
    "the manifest dropped": _drop("manifest.json"),
    "the signature dropped": _drop("attestation.dsse.json"),
    "the data renamed": _rename("data.csv", "data2.csv"),
    "the data renamed and sealed": _rename("data.csv", "rows.csv", seal=True),
    "the data called parquet": _rename("data.csv", "data.parquet", seal=True),
    "the page in capitals": _rename("report.html", "REPORT.HTML", seal=True),
    "another bundle's data": _foreign("data.csv"),
    "another bundle's privacy.json": _foreign("privacy.json"),
    "another bundle's report": _foreign("report.json"),
    "another bundle's schema and data": lambda s: (_foreign("schema.yaml")(s), _foreign("data.csv")(s), None)[2],
    "a measured count": _text("measurements.json", b'"values": [', b'"values": [1'),
    "another bundle's signature": _foreign("attestation.dsse.json", seal=False),
    "another bundle's manifest": _foreign("manifest.json", seal=False),
    "another bundle's manifest and signature": lambda s: (
        _foreign("manifest.json", seal=False)(s), _foreign("attestation.dsse.json", seal=False)(s), None,
    )[2],
    "a replayed head": _privacy(lambda p: p["ledger"].update(head="ab" * 32)),
    "a smaller epsilon everywhere": _privacy(lambda p: p["guarantee"].update(epsilon=0.5)),
    "an epsilon a little smaller": _privacy(
        lambda p: p["guarantee"].update(epsilon=p["guarantee"]["epsilon"] * 0.9999)
    ),
    "a smaller delta everywhere": _privacy(lambda p: p["guarantee"].update(delta=1e-12)),
    "another unit everywhere": _privacy(lambda p: p["unit"].update(entity="household")),
    "more rows per unit": _privacy(lambda p: p["unit"].update(rows_per_unit=9)),
    "a charge less": _privacy(lambda p: p["charges"].pop()),
    "nothing unprotected": _privacy(lambda p: p.update(unprotected_quantities=[])),
    "another approver": _privacy(lambda p: p["human"].update(approver="Mallory")),
    "another purpose": _privacy(lambda p: p["human"].update(purpose="Anything")),
    "no prohibited uses": _privacy(lambda p: p["human"].update(prohibited_uses=[])),
    "a later review": _privacy(lambda p: p["human"].update(review_date="2099-12-31")),
    "another licence": _privacy(lambda p: p["human"]["publication"].update(license="None")),
    "a rule less": _privacy(lambda p: p.get("gate", p.get("verdict"))["checks"].pop()),
    "no spending before": _privacy(lambda p: p["ledger"]["spent_after"].update(epsilon=0.1)),
    "a smaller account": _privacy(lambda p: p["ledger"]["spent_at_release"].update(epsilon=0.1)),
    "a predecessor": _privacy(
        lambda p: p["ledger"]["predecessors"].append({"bundle_id": "x", "model_id": "y", "withdrawn": True})
    ),
    "fewer audits": _privacy(lambda p: p["audits"].update(samples_audited=9)),
    "other bounds": _text("schema.yaml", b"max: 110", b"max: 111"),
    "an origin forgotten": _text("schema.yaml", b"was: inspected", b"origin: public"),
    "a kinder page": _text("report.html", b"not protected", b"all protected"),
    "rows twice": _rows(lambda lines: [*lines[:-1], lines[0]]),
    "rows in another order": _rows(lambda lines: lines[::-1]),
    "signed by a stranger": _stranger(),
    "a smaller epsilon signed by a stranger": _stranger(_privacy(lambda p: p["human"].update(approver="Mallory"))),
    "a hidden file": _add(".notes"),
    "a file more": _add("notes.txt"),
    "a link": _link,
}  # fmt: skip


def found(public: Path, key: release.PublicKey, ledger: Path | None = None) -> str | None:
    """What verify says of a changed copy; None when it is called intact."""
    try:
        release.verify(public, key=key, ledger=ledger)
    except DPSynthError as error:
        return f"{error.code}: {error.problem}"
    return None


def random_change(path: Path, chance: random.Random) -> tuple[bytes, int, str]:
    """One byte of a file changed, added or lost; what it was before, where, and which."""
    before = path.read_bytes()
    spoilt, place = bytearray(before), chance.randrange(len(before))
    kind = chance.choice(["change", "change", "drop", "add"])
    if kind == "change":
        spoilt[place] ^= chance.randrange(1, 256)
    elif kind == "drop":
        del spoilt[place]
    else:
        spoilt.insert(place, chance.randrange(256))
    path.write_bytes(bytes(spoilt))
    return before, place, kind


def random_changes(public: Path, key: release.PublicKey, count: int, seed: int) -> list[str]:
    """Changes that were not found, or whose file or byte was not named."""
    chance, missed = random.Random(seed), []
    files = sorted(path for path in public.iterdir() if path.is_file())
    for number in range(count):
        path = files[number % len(files)] if number < len(files) else chance.choice(files)
        before, place, kind = random_change(path, chance)
        said = found(public, key)
        told = said is not None and path.name in said
        by_hash = path.name not in manifest.OUTSIDE
        if not told or (by_hash and kind == "change" and f"byte {place} is" not in str(said)):
            missed.append(f"{kind} at {place} of {path.name}: {said}")
        path.write_bytes(before)
        os.utime(path, (0, 0))
    return missed
