"""A zip file of a bundle: verified like a folder, and never trusted."""

from __future__ import annotations

import stat
import struct
import zipfile
from pathlib import Path

import pytest

from dpsynth import release
from dpsynth.errors import VerifyError
from dpsynth.release import archive


def packed(source: Path, target: Path, inside: str = "") -> Path:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as file:
        for path in sorted(p for p in source.rglob("*") if p.is_file()):
            file.write(path, f"{inside}{path.relative_to(source).as_posix()}")
    return target


@pytest.mark.parametrize("inside", ["", "release/"])
def test_a_zip_is_verified_like_its_folder(bundle: release.Bundle, tmp_path: Path, inside: str) -> None:
    for source in (bundle.root, bundle.public):
        found = release.verify(packed(source, tmp_path / f"{source.name}.zip", inside))
        assert (found.bundle_id, found.internal) == (bundle.bundle_id, source == bundle.root)
    assert "dpsynth-verify" not in str(found.path)


def refused(path: Path, match: str) -> None:
    with pytest.raises(VerifyError, match=match) as caught:
        release.verify(path)
    assert caught.value.code == "DPS-V136"


@pytest.mark.parametrize(
    "name", ["../evil", "/etc/evil", "a/../../evil", "a\\..\\evil", "C:evil", ".hidden", "a//b", "a/\u202eb"]
)
def test_names_that_lead_elsewhere(tmp_path: Path, name: str) -> None:
    path = tmp_path / "bad.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(zipfile.ZipInfo(name), "x")
    refused(path, "a name in it")
    assert not (tmp_path / "evil").exists()


def test_links_doubles_bombs_and_damage(
    bundle: release.Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = zipfile.ZipInfo("privacy.json")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as file:
        file.writestr(link, "/etc/passwd")
    refused(tmp_path / "link.zip", "link")
    with zipfile.ZipFile(tmp_path / "twice.zip", "w") as file:
        file.writestr("a", "1")
        with pytest.warns(UserWarning, match="Duplicate"):
            file.writestr("a", "2")
    refused(tmp_path / "twice.zip", "same name")
    with zipfile.ZipFile(tmp_path / "case.zip", "w") as file:
        file.writestr("a", "1")
        file.writestr("A", "2")
    refused(tmp_path / "case.zip", "same name")
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("data.csv", bytes(30 << 20))
    refused(tmp_path / "bomb.zip", "far more")
    monkeypatch.setattr(archive, "MAX_FILES", 3)
    refused(packed(bundle.public, tmp_path / "many.zip"), "more than 3")


def test_a_size_that_lies(tmp_path: Path) -> None:
    """The entry says one byte; what unpacks is counted."""
    path = tmp_path / "lie.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("data.csv", bytes(30 << 20))
    raw = path.read_bytes().replace(struct.pack("<L", 30 << 20), struct.pack("<L", 1))
    path.write_bytes(raw)
    with pytest.raises(VerifyError):
        release.verify(path)


def test_damaged_and_encrypted(bundle: release.Bundle, tmp_path: Path) -> None:
    path = packed(bundle.public, tmp_path / "whole.zip")
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 3] ^= 0xFF
    path.write_bytes(raw)
    with pytest.raises(VerifyError):
        release.verify(path)
    secret = tmp_path / "secret.zip"
    with zipfile.ZipFile(secret, "w") as file:
        file.writestr("a", "1")
    raw = bytearray(secret.read_bytes())
    raw[6] |= 1
    raw[raw.index(b"PK\x01\x02") + 8] |= 1
    secret.write_bytes(raw)
    refused(secret, "encrypted")
    (tmp_path / "text.zip").write_text("no zip")
    with pytest.raises(VerifyError, match="no folder and no zip"):
        release.verify(tmp_path / "text.zip")
