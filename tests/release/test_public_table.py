"""A model that began from a public table: every document of its release says so, and none can be made to forget it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from release_parts import Parts

from dpsynth import release
from dpsynth.errors import VerifyError
from dpsynth.model.prior_note import PriorNote

NOTE = PriorNote("old.csv", 512, "ab" * 32, "published in 2019")


@pytest.fixture(scope="module")
def public(parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> Path:
    began = replace(parts.model, prior=NOTE)
    return parts.write(tmp_path_factory.mktemp("prior") / "release", model=began).public


def test_every_document_names_it(public: Path) -> None:
    privacy = json.loads((public / "privacy.json").read_text())
    assert privacy["prior"] == NOTE.as_json()
    for name in ("model_card.md", "report.html", "report.json", "registry.yaml", "croissant.json"):
        text = (public / name).read_text()
        assert "old.csv" in text, name
        assert "published in 2019" in text, name
    release.verify(public)


def test_it_cannot_be_forgotten(
    public: Path, edit: Callable[[Path, Callable[[dict[str, Any]], object]], None]
) -> None:
    edit(public / "privacy.json", lambda privacy: privacy.pop("prior"))
    with pytest.raises(VerifyError):
        release.verify(public)
