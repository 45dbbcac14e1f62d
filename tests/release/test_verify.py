"""verify(): finds every change, names the file, and cannot be led outside the folder."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from release_parts import HUMAN, Parts, reseal

from dpsynth import release
from dpsynth.budget import Budget
from dpsynth.errors import BudgetError, VerifyError
from dpsynth.privacy.ledger import Ledger, Unit
from dpsynth.release import manifest
from dpsynth.release.files import canonical, parse
from dpsynth.release.verification import _check_data
from dpsynth.schema import Schema

Edit = Callable[[Path, Callable[[dict[str, Any]], object]], None]


def fails(path: Path, code: str = "V", match: str | None = None) -> VerifyError:
    with pytest.raises(VerifyError, match=match) as caught:
        release.verify(path)
    assert caught.value.exit_code == 7
    assert caught.value.code.startswith(f"DPS-{code}")
    return caught.value


def test_an_untouched_bundle_is_intact(bundle: release.Bundle, parts: Parts) -> None:
    found = release.verify(bundle)
    assert found.words.startswith("intact, not signed")
    assert (found.rows, found.unit, found.internal, found.ledger) == (2000, "person", True, False)
    assert found.epsilon == pytest.approx(parts.model.receipt.certificate.epsilon)
    assert json.dumps(found.as_json())


def test_the_public_part_alone_is_intact(bundle: release.Bundle, tmp_path: Path) -> None:
    alone = Path(shutil.copytree(bundle.public, tmp_path / "sent"))
    found = release.verify(alone)
    assert (found.bundle_id, found.internal) == (bundle.bundle_id, False)


def test_a_release_without_its_internal_part_is_intact(copy: Path) -> None:
    shutil.rmtree(copy / "internal")
    assert not release.verify(copy).internal


def test_every_one_byte_change_is_found_and_the_file_is_named(copy: Path) -> None:
    chance = random.Random(7)
    files = sorted(p for p in copy.rglob("*") if p.is_file())
    for path in files + [chance.choice(files) for _ in range(400)]:
        before = path.read_bytes()
        spoilt = bytearray(before)
        kind = chance.choice(["change", "drop", "add"])
        place = chance.randrange(len(spoilt))
        if kind == "change":
            spoilt[place] ^= 1 << chance.randrange(8)
        elif kind == "drop":
            del spoilt[place]
        else:
            spoilt.insert(place, chance.randrange(256))
        path.write_bytes(spoilt)
        error = fails(copy)
        assert path.name in error.problem, (path.name, kind, place, error.problem)
        path.write_bytes(before)
    assert release.verify(copy)


@pytest.mark.parametrize("name", ["data.csv", "privacy.json", "report.html", "report.json", "schema.yaml"])
def test_a_missing_file_is_named(copy: Path, name: str) -> None:
    (copy / "public" / name).unlink()
    fails(copy, "V108", f"{name} is missing")


def test_without_a_manifest_there_is_no_bundle(copy: Path, tmp_path: Path) -> None:
    (copy / "public" / "manifest.json").unlink()
    fails(copy, "V105", "manifest.json")
    fails(tmp_path, "V101", "holds no bundle")
    fails(tmp_path / "nowhere", "V101", "is no folder")
    (tmp_path / "file").write_text("")
    fails(tmp_path / "file", "V101", "is no folder")


def test_extra_files_and_folders_are_named(copy: Path) -> None:
    (copy / "public" / "more.csv").write_text("1")
    fails(copy, "V108", "'more.csv' is not in the manifest")
    (copy / "public" / "more.csv").rename(copy / "internal" / "more.csv")
    fails(copy, "V108", "'more.csv' is not in the manifest")
    (copy / "internal" / "more.csv").unlink()
    (copy / "public" / "empty").mkdir()
    fails(copy, "V108", "folder 'empty'")
    (copy / "public" / "empty").rename(copy / "third")
    fails(copy, "V109", "'third'")


def test_swapped_and_renamed_files_are_found(copy: Path) -> None:
    public = copy / "public"
    (public / "report.json").rename(public / "other")
    (public / "privacy.json").rename(public / "report.json")
    (public / "other").rename(public / "privacy.json")
    error = fails(copy, "V108")
    assert "privacy.json" in error.problem
    assert "report.json" in error.problem


@pytest.mark.parametrize("place", ["public/data.csv", "internal/attacks.json", "public", "internal"])
def test_links_are_refused_even_to_the_right_content(copy: Path, tmp_path: Path, place: str) -> None:
    shutil.move(copy / place, tmp_path / "aside")
    (copy / place).symlink_to(tmp_path / "aside")
    fails(copy, "V1")


def test_pipes_are_refused_without_waiting_for_them(copy: Path) -> None:
    (copy / "public" / "data.csv").unlink()
    os.mkfifo(copy / "public" / "data.csv")
    fails(copy, "V104", "special file")
    (copy / "public" / "manifest.json").unlink()
    os.mkfifo(copy / "public" / "manifest.json")
    fails(copy, "V105")


@pytest.mark.parametrize(
    "path",
    [
        "../../etc/passwd",
        "/etc/passwd",
        "a/../../b",
        "a\\b",
        "C:x",
        ".hidden",
        "manifest.json",
        "a\0b",
        "",
        "a//b",
        7,
        None,
    ],
)
def test_a_manifest_cannot_name_anything_outside(copy: Path, path: object) -> None:
    def forge(fields: dict[str, Any]) -> None:
        fields["files"].append({"path": path, "bytes": 1, "sha256": "0" * 64})
        fields["files"].sort(key=lambda entry: str(entry["path"]))

    file = copy / "public" / "manifest.json"
    fields = json.loads(file.read_bytes())
    forge(fields)
    file.write_bytes(canonical(fields))
    fails(copy, "V106")


@pytest.mark.parametrize(
    "forge",
    [
        lambda f: f.pop("files"),
        lambda f: f.update(files={}),
        lambda f: f.update(more=1),
        lambda f: f.update(format="dpsynth-manifest/1"),
        lambda f: f.update(tool={"name": 1}),
        lambda f: f.update(visibility="secret"),
        lambda f: f["files"][0].update(bytes=-1),
        lambda f: f["files"][0].update(bytes=True),
        lambda f: f["files"][0].update(sha256="x" * 64),
        lambda f: f["files"].reverse(),
        lambda f: f["files"].append(f["files"][-1]),
        lambda f: f["files"].insert(1, {**f["files"][0], "path": f["files"][0]["path"].upper()}),
        lambda f: f.update(bundle_id="0" * 64),
        lambda f: f.update(visibility="internal"),
    ],
)
def test_a_manifest_of_another_shape_is_refused(
    copy: Path, forge: Callable[[dict[str, Any]], object]
) -> None:
    file = copy / "public" / "manifest.json"
    fields = json.loads(file.read_bytes())
    forge(fields)
    file.write_bytes(canonical(fields))
    fails(copy, "V10")


@pytest.mark.parametrize(
    "text",
    [b"", b"[]\n", b"{}", b'{\n  "a": 1,\n  "a": 1\n}\n', b'{\n  "a": NaN\n}\n', b"\xff", b"[" * 100_000],
)
def test_json_that_dpsynth_did_not_write_is_refused(text: bytes) -> None:
    with pytest.raises(VerifyError, match="is not JSON as dpsynth writes it"):
        parse(text, "x.json")


FORGERIES: dict[str, Callable[[dict[str, Any]], object]] = {
    "a smaller epsilon": lambda p: p["guarantee"].update(epsilon=0.5),
    "a slightly smaller epsilon": lambda p: p["guarantee"].update(epsilon=p["guarantee"]["epsilon"] * 0.999),
    "a smaller delta": lambda p: p["guarantee"].update(delta=1e-12),
    "a smaller request": lambda p: p["guarantee"]["requested"].update(delta=1e-12),
    "epsilon as text": lambda p: p["guarantee"].update(epsilon="2"),
    "epsilon as nothing": lambda p: p["guarantee"].update(epsilon=None),
    "another theorem": lambda p: p["guarantee"].update(theorem="trust me"),
    "a larger unit": lambda p: p["unit"].update(rows_per_unit=20),
    "a smaller unit": lambda p: p["unit"].update(rows_per_unit=1),
    "another entity": lambda p: p["unit"].update(entity="household"),
    "another enforcement": lambda p: p["unit"].update(enforced="by law"),
    "replace neighbours": lambda p: p["neighbours"].update(relation="replace one unit"),
    "a charge less": lambda p: p["charges"].pop(),
    "a charge twice": lambda p: p["charges"].append(p["charges"][-1]),
    "no charges": lambda p: p.update(charges=[]),
    "more noise than there was": lambda p: p["charges"][-1]["event"].update(sigma=1e6),
    "smaller sensitivity": lambda p: p["charges"][-2]["event"].update(sensitivity=1),
    "an unknown event": lambda p: p["charges"][-1]["event"].update(kind="magic"),
    "noise in other words": lambda p: p["charges"][-1].update(noise="plenty"),
    "another share": lambda p: p["charges"][-1].update(share=0.0),
    "a kinder curve": lambda p: p["curve"][0].update(delta=0.0),
    "a weaker attacker": lambda p: p["attacker"][0].update(true_positive_rate_at_most=0.0),
    "a doubting attacker": lambda p: p["attacker"][0]["posteriors"][0].update(posterior_at_most=0.0),
    "a smaller mu": lambda p: p["gaussian"].update(mu=0.1),
    "nothing unprotected": lambda p: p.update(unprotected_quantities=[]),
    "never inspected": lambda p: p["unprotected_quantities"].pop(),
    "more samples audited in one place": lambda p: p["audits"].update(samples_audited=5),
    "nothing spent": lambda p: p["ledger"]["spent_after"].update(epsilon=0.0),
    "no mu spent": lambda p: p["ledger"]["spent_after"].update(mu=0.0),
    "no promise": lambda p: p["ledger"].update(promise=None),
    "a tight promise": lambda p: p["ledger"]["promise"].update(epsilon=0.1),
    "an earlier format": lambda p: p.update(format="dpsynth-privacy/0"),
    "a part more": lambda p: p.update(certified_by="nobody"),
    "a part less": lambda p: p.pop("audits"),
    "a list for a part": lambda p: p.update(unit=[]),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_privacy_json_that_does_not_follow_is_refused_although_all_hashes_fit(
    copy: Path, edit: Edit, name: str
) -> None:
    edit(copy / "public" / "privacy.json", FORGERIES[name])
    error = fails(copy / "public", "V12")
    assert "privacy.json" in error.problem


REPORTS: dict[str, Callable[[dict[str, Any]], object]] = {
    "another epsilon": lambda r: r["guarantee"].update(epsilon=0.1),
    "nothing unprotected": lambda r: r.update(unprotected_quantities=[]),
    "another column": lambda r: r["columns"].pop(),
    "another charge": lambda r: r["charges"].pop(),
    "another head": lambda r: r["ledger"].update(head="0" * 64),
    "another bound": lambda r: r.update(trade_off=[[0.01, 0.01], [1.0, 1.0]]),
    "more rows": lambda r: r["generator"].update(rows=5000),
    "another table": lambda r: r["consistency"]["by_clique"][0].update(from_uniform=0.0),
    "unknown columns": lambda r: r["consistency"]["by_clique"][0].update(columns=["no such"]),
    "a lost part": lambda r: r.pop("verdict"),
}


@pytest.mark.parametrize("name", REPORTS)
def test_a_report_that_says_something_else_is_refused(copy: Path, edit: Edit, name: str) -> None:
    edit(copy / "public" / "report.json", REPORTS[name])
    error = fails(copy / "public", "V11")
    assert "report" in error.problem


def test_a_page_that_was_touched_up_is_refused(copy: Path) -> None:
    page = copy / "public" / "report.html"
    page.write_text(page.read_text().replace("What is not protected", "Everything is protected"))
    reseal(copy / "public")
    fails(copy / "public", "V118", "report.html")


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("\nP-0001,", "\nP-0001,\nP-0001,", "V115"),
        ("P-0002,", "P-0002,999", "V115"),
        ("person,age", "person,years", "V114"),
        ("person,age", "age,person", "V114"),
        (",basic,", ",platinum,", "V115"),
    ],
)
def test_data_that_do_not_fit_the_schema_are_refused(copy: Path, old: str, new: str, code: str) -> None:
    data = copy / "public" / "data.csv"
    text = data.read_text()
    assert old in text
    data.write_text(text.replace(old, new, 1))
    reseal(copy / "public")
    fails(copy / "public", code, "data.csv")


def test_rows_of_another_sample_are_refused(parts: Parts, copy: Path) -> None:
    lines = (copy / "public" / "data.csv").read_text().splitlines()
    (copy / "public" / "data.csv").write_text("\n".join([*lines[:1], *(lines[1:1001] * 2)]) + "\n")
    reseal(copy / "public")
    fails(copy / "public", "V117", "does not describe the rows")


def test_a_schema_with_other_bounds_or_origins_is_refused(copy: Path) -> None:
    schema = copy / "public" / "schema.yaml"
    text = schema.read_text()
    for old, new, code in [
        ("max: 110", "max: 60", "V115"),
        ("    was: inspected\n", "", "V122"),
        ("rows_per_unit: 2", "rows_per_unit: 1", "V123"),
        ("rows_per_unit: 2", "rows_per_unit: 3", "V122"),
        ("max: 110", "max: [", "V113"),
        ("type: boolean", "type: magic", "V113"),
    ]:
        assert old in text
        schema.write_text(text.replace(old, new))
        reseal(copy / "public")
        fails(copy / "public", code)


def test_the_ledger_must_contain_the_head(
    bundle: release.Bundle, parts: Parts, tmp_path: Path, copy: Path, edit: Edit
) -> None:
    with pytest.raises(VerifyError, match="knows no release of this bundle"):
        release.verify(bundle, ledger=parts.ledger)
    with Ledger.load(parts.ledger) as account:
        account.record_release(parts.model.id, bundle.bundle_id)
    assert release.verify(bundle, ledger=parts.ledger).ledger
    other = tmp_path / "other.ledger"
    with Ledger.open(other, dataset="people", promise=Budget(3.0, 1e-6), unit=Unit("person", "person", 2)):
        pass
    with pytest.raises(VerifyError, match="does not contain the stated head"):
        release.verify(bundle, ledger=other)
    with pytest.raises(BudgetError):
        release.verify(bundle, ledger=tmp_path / "none.ledger")


def test_an_internal_part_of_another_release_is_refused(parts: Parts, copy: Path, tmp_path: Path) -> None:
    other = parts.write(tmp_path / "other", human=release.ReleaseFields(**{**vars(HUMAN), "recipient": "B"}))
    shutil.rmtree(copy / "internal")
    shutil.copytree(other.internal, copy / "internal")
    fails(copy, "V111", "another public")


def test_an_internal_folder_is_no_public_one(bundle: release.Bundle, copy: Path) -> None:
    fails(copy / "internal", "V110")


def test_a_public_manifest_lists_what_a_bundle_has_and_nothing_else(copy: Path) -> None:
    (copy / "public" / "notes.txt").write_text("x")
    reseal(copy / "public")
    fails(copy / "public", "V112", "notes.txt unknown")
    (copy / "public" / "notes.txt").rename(copy / "public" / "data.parquet")
    reseal(copy / "public")
    fails(copy / "public", "V112", "not one data file")
    (copy / "public" / "data.parquet").unlink()
    (copy / "public" / "privacy.json").unlink()
    reseal(copy / "public")
    fails(copy / "public", "V112", "no privacy.json")


def test_an_absurdly_large_manifest_is_not_read(copy: Path) -> None:
    with (copy / "public" / "manifest.json").open("r+b") as file:
        file.truncate(10**12)
    fails(copy, "V105", "sensible size")


def test_what_cannot_be_read_is_said(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(path: Path) -> tuple[int, str]:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(manifest, "digest", denied)
    fails(copy, "V102", "cannot be read")


def test_a_value_beyond_the_bounds_is_refused_where_reading_would_clip_it(tmp_path: Path) -> None:
    schema = Schema(columns={"age": {"type": "integer", "min": 0, "max": 9, "clip": True}})
    file = tmp_path / "data.csv"
    for value, fits in (("9", True), ("10", False)):
        file.write_text(f"age\n{value}\n")
        if fits:
            assert len(_check_data(file, schema)) == 1
        else:
            with pytest.raises(VerifyError) as caught:
                _check_data(file, schema)
            assert caught.value.code.endswith("V115")
