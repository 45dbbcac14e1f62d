"""Every change to a bundle is found: random bytes, and fifty that mean something. The full number: benchmarks."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from forgeries import SEMANTIC, Scene, found, random_changes
from release_parts import HUMAN, Parts

from dpsynth import release
from dpsynth.privacy.ledger import Ledger
from dpsynth.release.files import digest, which_byte


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, release.Signer]:
    folder = tmp_path_factory.mktemp("keys")
    names = ("own", "stranger")
    for name in names:
        release.generate(folder / f"{name}.key", folder / f"{name}.pub")
    return {name: release.load_signer(folder / f"{name}.key") for name in names}


@pytest.fixture(scope="module")
def originals(
    parts: Parts, keys: dict[str, release.Signer], tmp_path_factory: pytest.TempPathFactory
) -> list[Path]:
    """A signed bundle that its ledger knows, and another one of other rows."""
    folder, own = tmp_path_factory.mktemp("originals"), keys["own"]
    bundle = parts.write(folder / "one", signer=own)
    ledger = Path(shutil.copytree(parts.ledger.parent, folder / "account")) / parts.ledger.name
    with Ledger.load(ledger) as account:
        account.record_release(parts.model.id, bundle.bundle_id)
    import numpy as np

    rows = parts.model.sample_table(1500, np.random.default_rng(5))
    human = release.ReleaseFields(**{**vars(HUMAN), "title": "Another"})
    other = parts.write(folder / "two", signer=own, synthetic=rows, human=human)
    return [bundle.public, other.public, ledger]


def test_two_hundred_random_bytes(
    originals: list[Path], keys: dict[str, release.Signer], tmp_path: Path
) -> None:
    public = Path(shutil.copytree(originals[0], tmp_path / "public"))
    assert random_changes(public, keys["own"].public, 200, seed=11) == []
    assert found(public, keys["own"].public) is None


def test_there_are_fifty() -> None:
    assert len(SEMANTIC) >= 50


@pytest.mark.parametrize("name", SEMANTIC)
def test_what_means_something(
    originals: list[Path], keys: dict[str, release.Signer], tmp_path: Path, name: str
) -> None:
    """With the publisher's key and the owner's ledger."""
    public = Path(shutil.copytree(originals[0], tmp_path / "public"))
    SEMANTIC[name](Scene(public, originals[1], keys["stranger"]))
    assert found(public, keys["own"].public, originals[2]) is not None


def test_the_untouched_copy_is_intact(originals: list[Path], keys: dict[str, release.Signer]) -> None:
    assert found(originals[0], keys["own"].public, originals[2]) is None


@pytest.mark.parametrize("data", [b"", b"\x00" * 50, b"abcabcabc" * 100, bytes(range(256)) * 40])
def test_the_byte_is_named(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(data)
    wanted = digest(path)
    for place in (0, len(data) // 2, max(0, len(data) - 1)):
        if data:
            path.write_bytes(data[:place] + bytes([data[place] ^ 255]) + data[place + 1 :])
            assert which_byte(path, wanted) == f"byte {place} is {data[place] ^ 255} instead of {data[place]}"
            path.write_bytes(data[:place] + data[place + 1 :])
            assert "is missing" in str(which_byte(path, wanted))
        path.write_bytes(data[:place] + b"Z" + data[place:])
        assert "was added (90)" in str(which_byte(path, wanted))
    path.write_bytes(data + b"xy")
    assert which_byte(path, wanted) is None
    path.write_bytes(b"q" * len(data) if data else b"qq")
    assert which_byte(path, wanted) is None
