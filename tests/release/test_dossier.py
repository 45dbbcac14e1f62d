"""The rendered documents: what others' tools say of them, hostile names, and that they are one truth."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from markdown_it import MarkdownIt
from registry_schema import SCHEMA as REGISTRY_SCHEMA
from release_parts import HUMAN, Parts, reseal

import attacks
from dpsynth import release, strict_yaml
from dpsynth.errors import VerifyError
from dpsynth.project import json_schema as project_schema
from dpsynth.release import dossier, policy, privacy_form
from dpsynth.release.dossier.markdown import inline, text
from dpsynth.schema import Schema

HOSTILE = [
    "<script>alert(1)</script>",
    "[x](javascript:alert(1))",
    "![x](http://evil/x.png)",
    "http://evil/",
    "www.evil.example",
    "a|b|c",
    "`code` **bold** _it_ ~~no~~",
    "- item",
    "1. item",
    "# head",
    "> quote",
    "---",
    "&lt;b&gt;&#60;",
    "\\",
    "a\\|b",
    "{{ 7 * 7 }} !!python/object: x",
    '\': x, "y": z # c',
    "line\nbreak\r\n| x |",
    "\u202egnp.exe",
    "\u2028",
    "@everyone #1",
    "=cmd()",
    "$x$",
    "null",
    "yes",
    "1e5",
    "~",
]


@pytest.fixture(scope="module")
def privacy(bundle: release.Bundle) -> dict[str, Any]:
    return dict(json.loads((bundle.public / "privacy.json").read_text()))


def material(parts: Parts, privacy: dict[str, Any], schema: Schema | None = None) -> dossier.Material:
    return dossier.Material(privacy, schema or parts.model.schema, "data.csv", 7, "0" * 64, 2000)


# --- what others' tools say ---------------------------------------------------------------------------------


def test_croissant_is_accepted_by_its_own_package(
    bundle: release.Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    import mlcroissant

    caplog.set_level(logging.CRITICAL)
    path = bundle.public / "croissant.json"
    found = mlcroissant.Dataset(jsonld=str(path))
    assert not found.metadata.issues.errors
    assert found.metadata.data_use_cases == ["Teaching", "Not for: Re-identification"]
    assert found.metadata.personal_sensitive_information
    rows = [row for _, row in zip(range(3), found.records("rows"), strict=False)]
    assert len(rows) == 3
    assert len(rows[0]) == 5
    spoilt = json.loads(path.read_text())
    spoilt["distribution"][0].pop("contentUrl")
    spoilt["recordSet"][0]["field"][0]["source"]["fileObject"]["@id"] = "nowhere"
    with pytest.raises(mlcroissant.ValidationError):
        mlcroissant.Dataset(jsonld=spoilt)


def test_the_registry_entry_keeps_the_registrys_schema(bundle: release.Bundle) -> None:
    data = (bundle.public / "registry.yaml").read_bytes()
    entry = yaml.safe_load(data)
    check = jsonschema.Draft202012Validator(REGISTRY_SCHEMA, format_checker=jsonschema.FormatChecker())
    assert list(check.iter_errors(entry)) == []
    assert strict_yaml.loads(data)[0] == entry
    assert entry["deployment"]["privacy_loss"]["privacy_parameters"]["epsilon"] < 2.0
    for place, value in (("status", "Fine"), ("tier", 4)):
        spoilt = {**entry, "deployment": json.loads(json.dumps(entry["deployment"]))}
        spoilt["deployment"]["administrative"][place] = value
        assert list(check.iter_errors(spoilt))
    assert list(check.iter_errors({**entry, "more": 1}))


def test_privacy_json_keeps_its_published_schema(privacy: dict[str, Any]) -> None:
    check = jsonschema.Draft202012Validator(privacy_form.published("privacy"))
    assert list(check.iter_errors(privacy)) == []
    for spoil in (
        lambda p: p["guarantee"].pop("epsilon"),
        lambda p: p["guarantee"].update(epsilon="1"),
        lambda p: p["human"].update(approver=""),
        lambda p: p["ledger"].update(head="0"),
        lambda p: p.update(more=1),
        lambda p: p["gate"]["checks"][0].update(passed=False),
    ):
        spoilt = json.loads(json.dumps(privacy))
        spoil(spoilt)
        assert list(check.iter_errors(spoilt))
        with pytest.raises(VerifyError):
            privacy_form.check_form(spoilt)


@pytest.mark.parametrize(
    ("name", "current"),
    [
        ("privacy", privacy_form.json_schema),
        ("project", project_schema),
        ("policy", policy.json_schema),
    ],
)
def test_published_schemas_are_those_of_the_code(name: str, current: Any) -> None:
    """Otherwise: dpsynth schema --of NAME > dpsynth/release/schemas/NAME.schema.json"""
    jsonschema.Draft202012Validator.check_schema(privacy_form.published(name))
    assert privacy_form.published(name) == json.loads(json.dumps(current()))


# --- hostile names ------------------------------------------------------------------------------------------


def shown(markdown: str) -> tuple[str, set[str]]:
    """What a reader sees, and the kinds of markup that made it."""
    kinds: set[str] = set()
    words: list[str] = []
    reader = (
        MarkdownIt("commonmark", {"html": True, "linkify": False}).enable("table").enable("strikethrough")
    )
    for token in reader.parse(markdown):
        kinds.add(token.type)
        for child in token.children or []:
            kinds.add(child.type)
            words.append(child.content)
    return "".join(words), kinds


@pytest.mark.parametrize("name", HOSTILE)
def test_a_text_renders_as_itself(name: str) -> None:
    seen, kinds = shown(text(name))
    assert kinds <= {"paragraph_open", "inline", "text", "paragraph_close", "text_special"}, kinds
    plain = " ".join(name.split()).replace("\u202e", "⟨U+202E⟩")
    assert seen == plain
    seen, kinds = shown(f"| a | b |\n|---|---|\n| {inline(name)} | x |")
    assert not kinds & {"html_inline", "html_block", "link_open", "image", "code_inline", "strong_open"}
    assert seen == f"ab{plain}x"
    assert "http://" not in text(name)  # nothing that a reader turns into a link by itself


def hostile_schema() -> Schema:
    usable = [name for name in HOSTILE if name.isprintable()]
    columns: dict[str, Any] = {name: {"type": "boolean"} for name in usable}
    columns["plain"] = {"type": "category", "values": usable, "was": "inspected", "reason": usable[1]}
    return Schema(columns=columns)


def test_hostile_columns_are_harmless_in_every_document(parts: Parts, privacy: dict[str, Any]) -> None:
    schema = hostile_schema()
    bounds = [
        {"column": n, "origin": "public", "was": None, "reason": None, "decided_by": n}
        for n in schema.columns
    ]
    human = {**privacy["human"], "purpose": HOSTILE[0], "recipient": HOSTILE[1], "title": HOSTILE[2]}
    quantities = [{"quantity": name, "why": name} for name in HOSTILE]
    spoilt = {**privacy, "bounds": bounds, "human": human, "unprotected_quantities": quantities}
    made = dossier.render(material(parts, spoilt, schema))
    for name in ("checklist.md", "model_card.md", "sign_here.md"):
        _, kinds = shown(made[name].decode())
        assert not kinds & {"html_inline", "html_block", "link_open", "image", "code_inline", "hr"}, name
    rows = [
        line
        for line in made["model_card.md"].decode().splitlines()
        if "declared" not in line and "| boolean |" in line
    ]
    assert len(rows) == len(schema.columns) - 1
    assert "http://evil" not in b"".join(v for n, v in made.items() if n.endswith(".md")).decode()
    entry = yaml.safe_load(made["registry.yaml"])
    jsonschema.validate(entry, REGISTRY_SCHEMA)
    croissant = json.loads(made["croissant.json"])
    assert [f["name"] for f in croissant["recordSet"][0]["field"]] == list(schema.columns)
    assert len({f["@id"] for f in croissant["recordSet"][0]["field"]}) == len(schema.columns)


# --- one truth ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*dossier.DOCUMENTS, dossier.REGISTRY])
def test_a_document_that_was_touched_up_is_refused_and_the_byte_named(copy: Path, name: str) -> None:
    path = copy / "public" / name
    before = path.read_bytes()
    place = before.index(b"epsilon")
    path.write_bytes(before[:place] + b"E" + before[place + 1 :])
    reseal(copy / "public")
    with pytest.raises(VerifyError, match=f"{name} is not what privacy.json makes, from byte {place} on"):
        release.verify(copy / "public")


def test_without_a_publication_there_is_no_registry_entry(parts: Parts, tmp_path: Path) -> None:
    written = parts.write(tmp_path / "out", human=replace(HUMAN, publication=None))
    assert not (written.public / dossier.REGISTRY).exists()
    assert release.verify(written).rows == 2000
    assert "not claimed: no licence" in (written.public / "model_card.md").read_text()
    assert "license" not in json.loads((written.public / "croissant.json").read_text())
    (written.public / dossier.REGISTRY).write_text("url_slug: x\n")
    reseal(written.public)
    with pytest.raises(VerifyError, match="without a stated publication"):
        release.verify(written.public)


def test_every_point_of_the_checklist_is_evidence_or_not_claimed(bundle: release.Bundle) -> None:
    lines = (bundle.public / "checklist.md").read_text().splitlines()
    claims = [
        line.split(" | ")[1] for line in lines if line.startswith("| ") and not line.startswith("| Point")
    ]
    assert len(claims) > 25
    assert set(claims) == {"evidence", "not claimed"}


def test_the_approvers_page_says_whom_and_what(bundle: release.Bundle, privacy: dict[str, Any]) -> None:
    page = (bundle.public / "sign_here.md").read_text()
    for words in (
        HUMAN.approver,
        HUMAN.review_date,
        "first learnt by looking at the rows, and declared public",
        "plan",
    ):
        assert words in page
    assert len(page) < 6000  # one page
    assert [b["decided_by"] for b in privacy["bounds"]] == list(dict(HUMAN.bounds_decided_by).values())  # type: ignore[arg-type]


def test_the_three_risks_name_the_attacks_of_their_kind() -> None:
    """By what an attack declares, whatever it is called: one of the owner's own may be called anything."""
    names = ["closest record", "infer nothing", "mine", "link link_id"]
    wants = [
        attacks.Wants.MEMBERSHIP,
        attacks.Wants.SINGLING_OUT,
        attacks.Wants.LINKAGE,
        attacks.Wants.ATTRIBUTE,
    ]
    privacy = {
        "unit": {"entity": "person"},
        "attacker": [{"false_positive_rate": 0.01, "true_positive_rate_at_most": 0.03}],
        "audits": {
            "attacks": [{"name": name, "wants": str(aim)} for name, aim in zip(names, wants, strict=True)]
        },
    }
    told = {point[0]: point[2].split("that ran: ")[1] for point in dossier.checklist.wp29(privacy)}
    assert told == {"Singling out": names[1], "Linkability": names[2], "Inference": names[3]}
