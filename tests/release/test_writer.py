"""Writing: whole or not at all, never over anything, the same bytes for the same release."""

from __future__ import annotations

import copy as copying
import errno
import json
import os
from pathlib import Path

import pytest
from release_parts import HUMAN, Parts

from dpsynth import release
from dpsynth.errors import AuditError, CapacityError, UsageError
from dpsynth.release import staging, writer
from dpsynth.table import read_table

PUBLIC = [
    "checklist.md",
    "croissant.json",
    "data.csv",
    "manifest.json",
    "measurements.json",
    "model_card.md",
    "privacy.json",
    "registry.yaml",
    "report.html",
    "report.json",
    "schema.yaml",
    "sign_here.md",
]


def tree(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_layout_and_its_rights(bundle: release.Bundle) -> None:
    assert sorted(p.name for p in bundle.root.iterdir()) == ["internal", "public"]
    assert sorted(p.name for p in bundle.public.iterdir()) == PUBLIC
    assert {p.name for p in bundle.internal.iterdir()} >= {
        "attacks.json",
        "evaluation.json",
        "model",
        "report.html",
    }
    assert bundle.internal.stat().st_mode & 0o777 == 0o700
    assert bundle.public.stat().st_mode & 0o777 == 0o755
    assert {p.stat().st_mode & 0o777 for p in bundle.public.iterdir()} == {0o644}
    assert {p.stat().st_mode & 0o077 for p in bundle.internal.rglob("*")} == {0}
    assert bundle.data.is_file()
    assert os.fspath(bundle) == str(bundle.root)


def test_the_data_come_back_as_they_were(bundle: release.Bundle, parts: Parts) -> None:
    again = read_table(bundle.data, parts.model.schema)
    assert again.to_frame().equals(parts.synthetic.to_frame())


def test_the_same_release_is_the_same_bytes_whatever_the_attacks_found(parts: Parts, tmp_path: Path) -> None:
    suite = copying.deepcopy(parts.suite)
    suite["attacks"][0]["auc"]["value"] = 0.77
    suite["attacks"] = [a for a in suite["attacks"] if a["group"] == "everyone"]
    suite["members"], suite["verdict"], suite["headline"] = 12, "LEAK", "Something was seen."
    evaluation = copying.deepcopy(parts.evaluation)
    evaluation["sizes"]["train"] = 1
    one = parts.write(tmp_path / "one")
    other = parts.write(
        tmp_path / "other", suite=suite, evaluation=evaluation, internal={"run.json": {"seconds": 7}}
    )
    assert tree(one.public) == tree(other.public)
    assert one.bundle_id == other.bundle_id
    assert tree(one.internal) != tree(other.internal)


def test_other_human_fields_change_the_bundle(parts: Parts, bundle: release.Bundle, tmp_path: Path) -> None:
    other = parts.write(
        tmp_path / "other", human=release.ReleaseFields(**{**vars(HUMAN), "recipient": "A school"})
    )
    assert other.bundle_id != bundle.bundle_id


def test_no_public_file_tells_when_it_was_written(bundle: release.Bundle) -> None:
    assert {path.stat().st_mtime for path in (bundle.public, *bundle.public.iterdir())} == {writer.EPOCH}


def test_parquet_has_no_notes_of_its_own(parts: Parts, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    written = parts.write(tmp_path / "out", form="parquet")
    assert set(pq.read_metadata(written.data).metadata) == {b"ARROW:schema"}  # types only
    assert release.verify(written).rows == len(parts.synthetic)


@pytest.mark.parametrize("kind", ["folder", "full folder", "file", "dangling link"])
def test_what_exists_is_never_touched(parts: Parts, tmp_path: Path, kind: str) -> None:
    out = tmp_path / "out"
    if kind == "file":
        out.write_text("mine")
    elif kind == "dangling link":
        out.symlink_to(tmp_path / "nowhere")
    else:
        out.mkdir()
        if kind == "full folder":
            (out / "mine").write_text("mine")
    with pytest.raises(UsageError, match="exists already") as caught:
        parts.write(out)
    assert caught.value.code == "DPS-U160"
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize(
    "step", ["write_table", "consistency", "public_page", "internal_page", "_sync_tree", "sync_folder"]
)
@pytest.mark.parametrize("failure", [KeyboardInterrupt(), RuntimeError("broken"), MemoryError()])
def test_a_failure_at_any_step_leaves_nothing(
    parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, failure: BaseException
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise failure

    monkeypatch.setattr(staging if "sync" in step else writer, step, fail)
    with pytest.raises(type(failure)):
        parts.write(tmp_path / "new" / "deep" / "out")
    if step != "sync_folder":  # it is called last, when the bundle is already whole
        assert list(tmp_path.iterdir()) == []


def test_a_folder_that_appears_meanwhile_wins(
    parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    page = writer.internal_page

    def meanwhile(report: dict[str, object]) -> bytes:
        out.mkdir()
        return page(report)

    monkeypatch.setattr(writer, "internal_page", meanwhile)
    with pytest.raises(UsageError, match="exists already"):
        parts.write(out)
    assert list(tmp_path.iterdir()) == [out]
    assert list(out.iterdir()) == []


def test_a_full_disk_and_a_forbidden_place_are_said_plainly(
    parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(writer, "write_file", full)
        with pytest.raises(CapacityError, match="disk is full"):
            parts.write(tmp_path / "out")
    with pytest.raises(UsageError, match="cannot be written"):
        parts.write(Path("/proc/nowhere/out"))
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written"):
        parts.write(tmp_path / "file" / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("name", ["../escape", "a/b", "", ".hidden", "a\nb"])
def test_further_internal_files_stay_inside(parts: Parts, tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="plain file name"):
        parts.write(tmp_path / "out", internal={name: "x"})
    assert list(tmp_path.iterdir()) == []


def test_further_internal_files_are_written(parts: Parts, tmp_path: Path) -> None:
    written = parts.write(
        tmp_path / "out", internal={"project.yaml": "version: 1\n", "run.json": {"holdout": 0.1}}
    )
    assert (written.internal / "project.yaml").read_text() == "version: 1\n"
    assert json.loads((written.internal / "run.json").read_text()) == {"holdout": 0.1}
    assert release.verify(written).internal


def test_a_form_that_is_none_is_refused(parts: Parts, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no form of a table"):
        parts.write(tmp_path / "out", form="xlsx")


def test_the_gate_refuses_before_anything_is_written(parts: Parts, tmp_path: Path) -> None:
    with pytest.raises(AuditError, match="contact") as caught:
        parts.write(tmp_path / "out", human=release.ReleaseFields(**{**vars(HUMAN), "contact": "???"}))
    assert caught.value.exit_code == 6
    with pytest.raises(AuditError, match="better than the promise"):
        parts.write(tmp_path / "out", suite={**parts.suite, "verdict": "VIOLATION"})
    with pytest.raises(AuditError, match="no attack ran"):
        parts.write(tmp_path / "out", suite={**parts.suite, "attacks": []})
    assert list(tmp_path.iterdir()) == []
