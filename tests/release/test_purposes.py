"""What charges are called is checked against the plan of the method; what could not be compared has a verdict of its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from release_parts import Parts, reseal
from test_builds import PAGES, as_of, change, edit, other
from typer.testing import CliRunner

from dpsynth import Schema, release
from dpsynth.cli.app import app
from dpsynth.errors import VerifyError
from dpsynth.mechanisms import METHODS
from dpsynth.privacy.events import to_json
from dpsynth.release.facts import CHARGE
from dpsynth.release.privacy_json import tool
from dpsynth.release.purposes import check_purposes
from dpsynth.synthesis import plan
from dpsynth.workload import Workload

__all__ = ["other"]

Json = dict[str, Any]
COLUMNS: Json = {
    "id": {"type": "id", "format": "P-####"},
    "age": {"type": "integer", "min": 0, "max": 99, "cells": 10},
    "sex": {"type": "category", "values": ["f", "m"]},
    "city": {"type": "category", "values": list("ABCDE")},
    "job": {"type": "category", "values": list("xyz")},
}
UNIT = {"entity": "person", "column": "id", "rows_per_unit": 2}


def stated(schema: Schema, method: str, target: str | None) -> Json:
    made = plan(schema, method=method, epsilon=1.0, delta=1e-9, workload=Workload(target=target))
    charges = [{"purpose": c.purpose, "event": to_json(c.event)} for c in made.charges]
    return {"charges": charges, "model": {"method": method}}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("target", [None, "sex", "age"])
def test_every_methods_own_plan_passes(method: str, target: str | None) -> None:
    schema = Schema(columns=COLUMNS, unit=UNIT)
    assert check_purposes(stated(schema, method, target), schema, same_build=True) == ""


def test_maps_and_searches_come_before_it() -> None:
    cities = {"city": {"type": "category", "discover": {"max_values": 9}, "origin": "dp"}}
    asked = Schema(columns={**COLUMNS, **cities}, unit=UNIT)
    found = stated(asked, "tree", None)
    known = {
        "city": {
            "type": "category",
            "values": ["A", "(other)"],
            "origin": "dp",
            "learnt": "discovered values",
        }
    }
    schema = Schema(columns={**COLUMNS, **known}, unit=UNIT)
    assert check_purposes(found, schema, same_build=True) == ""
    found["charges"].pop(0)
    assert "number or order" in check_purposes(found, schema, same_build=True)
    found["charges"] = [stated(asked, "tree", None)["charges"][0]] * 2 + found[
        "charges"
    ]  # the schema has one answer
    assert "number or order" in check_purposes(found, schema, same_build=True)
    told: list[Json] = [{"functional": {"city": "job"}}]
    open_maps = Schema(columns=COLUMNS, unit=UNIT, constraints=told)
    cities_of = {"x": "A", "y": "B", "z": "C"}
    learnt = Schema(columns=COLUMNS, unit=UNIT, constraints=[{**told[0], "map": cities_of, "origin": "dp"}])
    assert "constraints" in stated(open_maps, "mst", None)["charges"][0]["purpose"]
    assert check_purposes(stated(open_maps, "mst", None), learnt, same_build=True) == ""


@pytest.mark.parametrize(
    "how",
    [
        lambda charges: charges[1].update(purpose="a question that nobody asks"),
        lambda charges: charges[1].update(purpose="one-way marginals"),  # a choice is none
        lambda charges: charges[0].update(purpose="rows per unit", event=charges[1]["event"]),
        lambda charges: charges.append({**charges[1], "purpose": "aim: all rounds"}),
    ],
)
def test_a_purpose_that_the_method_does_not_charge_is_refused(how: Callable[[list[Json]], object]) -> None:
    schema = Schema(columns=COLUMNS, unit=UNIT)
    found = stated(schema, "mst", None)
    how(found["charges"])
    with pytest.raises(VerifyError) as caught:
        check_purposes(found, schema, same_build=True)
    assert caught.value.code == "DPS-V145"
    assert "knows no charge of mst" in check_purposes(found, schema, same_build=False)


def test_what_cannot_be_checked_is_told() -> None:
    schema = Schema(columns=COLUMNS, unit=UNIT)
    found = stated(schema, "mst", None)
    found["charges"].append(found["charges"][1])
    assert "number or order" in check_purposes(found, schema, same_build=True)
    found["model"]["method"] = "a method of tomorrow"
    assert "knows no charge of a method of tomorrow" in check_purposes(found, schema, same_build=True)


def renamed(public: Path, purpose: str) -> None:
    """All pages agree on another purpose of the first charge."""
    privacy = edit(public / "privacy.json", lambda p: p["charges"][0].update(purpose=purpose))
    charges = [{key: charge[key] for key in CHARGE} for charge in privacy["charges"]]
    edit(public / "report.json", lambda r: r.update(charges=charges))
    as_of(public, privacy["tool"])


def test_a_bundle_with_another_purpose_is_not_intact(copy: Path, other: Path) -> None:
    renamed(copy / "public", "a harmless question")
    with pytest.raises(VerifyError) as caught:
        release.verify(copy / "public")
    assert caught.value.code == "DPS-V145"
    renamed(other, "a harmless question")
    found = release.verify(other)
    assert (found.verdict, found.compared) == ("intact in part, not signed", "in part")
    assert "'a harmless question'" in found.words


def verified(folder: Path) -> tuple[int, Json]:
    done = CliRunner().invoke(app, ["verify", str(folder), "--json"])
    found: Json = json.loads(done.stdout)
    return done.exit_code, found


def test_what_was_not_compared_has_a_verdict_and_an_exit_code_of_its_own(
    parts: Parts, bundle: release.Bundle, other: Path
) -> None:
    code, found = verified(bundle.public)
    assert (code, found["verdict"], found["compared"]) == (0, "intact", "all")
    code, found = verified(other)
    assert (code, found["verdict"]) == (0, "intact, but for sentences of another build")
    assert found["compared"] == "numbers"
    assert found["words"].startswith("intact, but for sentences of another build, not signed")
    change(other / PAGES[1], "# ", "# Version 3 of ")
    code, found = verified(other)
    assert (code, found["verdict"], found["compared"]) == (9, "intact in part", "in part")
    assert "further numbers" in found["pages"]
    edit(other / "privacy.json", lambda p: p.update(tool=tool()))
    reseal(other)
    assert verified(other)[0] == 7
