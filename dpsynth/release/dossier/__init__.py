"""The dossier: everything in a bundle that is rendered from privacy.json, the schema and the data file's name and hash."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dpsynth.release.dossier import cards, checklist, croissant, registry
from dpsynth.schema import Schema

DOCUMENTS = ("checklist.md", "croissant.json", "model_card.md", "sign_here.md")
"""In every bundle; registry.yaml is there when a publication was declared."""
REGISTRY = "registry.yaml"


@dataclass(frozen=True)
class Material:
    """What the documents are made of, all of it public. `data_bytes`, `data_sha256`: of the data file."""

    privacy: Mapping[str, Any]
    schema: Schema
    data_file: str
    data_bytes: int
    data_sha256: str
    rows: int

    @property
    def human(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.privacy["human"]
        return found


def render(material: Material) -> dict[str, bytes]:
    """Every document by its file name: a pure function, so that a verifier makes the same bytes again."""
    documents = {
        "checklist.md": checklist.checklist(material),
        "croissant.json": croissant.croissant(material),
        "model_card.md": cards.model_card(material),
        "sign_here.md": cards.sign_here(material),
    }
    if material.human["publication"] is not None:
        documents[REGISTRY] = registry.registry(material)
    return documents
