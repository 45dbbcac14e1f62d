"""A bundle outlives the build that wrote it: its words are that build's, its numbers must still be the release's."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from release_parts import reseal

from dpsynth import release
from dpsynth.errors import VerifyError
from dpsynth.release import dossier, wording
from dpsynth.release.facts import CHARGE, COPIED
from dpsynth.release.files import canonical, digest
from dpsynth.release.pages.render import public_page
from dpsynth.release.privacy_json import tool
from dpsynth.schema import Schema
from dpsynth.versions import build

Json = dict[str, Any]
PAGES = ("report.html", "model_card.md", "checklist.md", "sign_here.md", "croissant.json", "registry.yaml")
SAYS = "written by another build of dpsynth: their wording is not compared"


def edit(path: Path, how: Callable[[Json], object]) -> Json:
    value: Json = json.loads(path.read_bytes())
    how(value)
    path.write_bytes(canonical(value))
    return value


def as_of(public: Path, stated: Json) -> None:
    """The same release as a build that calls itself `stated` writes it, in the words of this one."""
    privacy = edit(public / "privacy.json", lambda p: p.update(tool=stated))
    report = edit(public / "report.json", lambda r: r.update(tool=stated))
    schema, data = Schema.from_yaml((public / "schema.yaml").read_bytes()), digest(public / "data.csv")
    rows = report["generator"]["rows"]
    material = dossier.Material(privacy, schema, "data.csv", data.size, data.sha256, rows)
    for name, content in {**dossier.render(material), "report.html": public_page(report)}.items():
        (public / name).write_bytes(content)
    reseal(public)


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text, (path.name, old)
    path.write_text(text.replace(old, new), encoding="utf-8")
    reseal(path.parent)


@pytest.fixture(params=[{**tool(), "build": "0" * 64}, {"name": "dpsynth", "version": tool()["version"]}])
def other(request: pytest.FixtureRequest, bundle: release.Bundle, tmp_path: Path) -> Path:
    """A copy by another build, or by one that did not yet name itself."""
    public = Path(shutil.copytree(bundle.public, tmp_path / "other"))
    as_of(public, request.param)
    return public


def test_a_build_is_known_by_its_sources() -> None:
    assert re.fullmatch(r"[0-9a-f]{64}", build())
    assert tool()["build"] == build()


def test_what_this_build_wrote_is_compared_word_by_word(bundle: release.Bundle, copy: Path) -> None:
    found = release.verify(bundle)
    assert found.pages == ""
    assert "another build" not in found.words
    for name, code in (("report.html", "V118"), ("model_card.md", "V127"), ("checklist.md", "V127")):
        shutil.copy(copy / "public" / name, copy.parent / "before")
        change(copy / "public" / name, " the ", " thee ")
        with pytest.raises(VerifyError) as caught:
            release.verify(copy / "public")
        assert caught.value.code == f"DPS-{code}"
        shutil.copy(copy.parent / "before", copy / "public" / name)


@pytest.mark.parametrize(
    "how",
    [
        lambda r: r["numbers"][0].update(value="0.01 %"),
        lambda r: r["numbers"][1].update(baseline="explained by noise: up to 99 %"),
        lambda r: r["numbers"][2].update(words="Nothing to fear."),
        lambda r: r.update(data_file="other.csv"),
        lambda r: r.update(more="than a report says"),
        lambda r: r["constraints"].append({"number": 1, "rule": "x", "learnt": False, "reason": None}),
    ],
)
def test_a_report_says_nothing_that_the_bundle_does_not_make(
    copy: Path, how: Callable[[Json], object]
) -> None:
    """Also where the page is rendered from the forged report."""
    public = copy / "public"
    (public / "report.html").write_bytes(public_page(edit(public / "report.json", how)))
    reseal(public)
    with pytest.raises(VerifyError, match="does not follow from the bundle") as caught:
        release.verify(public)
    assert caught.value.code == "DPS-V116"


def test_other_words_of_another_build_are_told_and_pass(other: Path) -> None:
    found = release.verify(other)
    assert found.words.endswith(f"{SAYS}, all their numbers are")
    edit(other / "report.json", lambda r: r["not_protected"].append("Anything else."))
    for name in PAGES[:-2]:
        change(other / name, " the ", " thee ")
    found = release.verify(other)
    assert found.pages.endswith(f"{SAYS}, all their numbers are")
    assert found.as_json()["pages"] == found.pages


@pytest.mark.parametrize("name", PAGES)
def test_a_changed_number_in_a_page_of_another_build_is_found(other: Path, name: str) -> None:
    stated = wording.numbers(name, (other / name).read_bytes())
    number = next(n for n in stated if re.fullmatch(r"0\.\d+|\d{2,}|2|2000", n) and n not in {"800", "29"})
    text = (other / name).read_text(encoding="utf-8")
    spoilt, count = re.subn(rf"(?<![\w.,:+#-]){re.escape(number)}(?![\w:+-]|[.,]\w)", "77.7", text, count=1)
    assert count == 1
    (other / name).write_text(spoilt, encoding="utf-8")
    reseal(other)
    with pytest.raises(VerifyError, match=r"says .*77.* where the facts of the bundle make") as caught:
        release.verify(other)
    assert caught.value.code == "DPS-V143"


def test_a_changed_headline_of_another_build_is_found_though_page_and_report_agree(other: Path) -> None:
    report = edit(other / "report.json", lambda r: r["numbers"][0].update(value="0.01 %"))
    (other / "report.html").write_bytes(public_page(report))
    reseal(other)
    with pytest.raises(VerifyError) as caught:
        release.verify(other)
    assert caught.value.code == "DPS-V143"


@pytest.mark.parametrize(
    ("how", "code"),
    [
        (lambda p: p["guarantee"].update(epsilon=0.5), "V122"),
        (lambda p: p["ledger"]["spent_after"].update(mu=0.001), "V124"),
        (lambda p: p["unit"].update(rows_per_unit=9), "V123"),
        (lambda p: p["bounds"].pop(), "V122"),
    ],
)
def test_facts_of_another_build_are_checked_as_ever(
    other: Path, how: Callable[[Json], object], code: str
) -> None:
    edit(other / "privacy.json", how)
    reseal(other)
    with pytest.raises(VerifyError) as caught:
        release.verify(other)
    assert caught.value.code == f"DPS-{code}"


def test_sentences_of_privacy_json_are_the_other_builds_own(other: Path) -> None:
    def reworded(p: Json) -> None:
        p["neighbours"]["words"] = "in other words"
        p["guarantee"]["noise"] = "of whole numbers"
        p["unprotected_quantities"][0]["why"] = "it was declared"

    privacy = edit(other / "privacy.json", reworded)
    edit(
        other / "report.json",
        lambda r: r.update(
            {name: privacy[name] for name in ("neighbours", "guarantee", "unprotected_quantities")}
        ),
    )
    reseal(other)
    assert SAYS in release.verify(other).words


@pytest.mark.parametrize(
    "how",
    [
        lambda p: p["charges"][0].update(
            noise="integer noise of standard deviation 50000 rows on every cell"
        ),
        lambda p: p["unit"].update(enforced="of each person 1 row is kept, and epsilon is 0.01"),
        lambda p: p["guarantee"].update(theorem="by theorem 1 epsilon is 0.001"),
        lambda p: p["bounds"][0].update(decided_by="The regulator"),
    ],
)
def test_a_sentence_with_another_number_is_found_though_all_pages_agree(
    other: Path, how: Callable[[Json], object]
) -> None:
    privacy = edit(other / "privacy.json", how)
    edit(
        other / "report.json",
        lambda r: r.update(
            {name: privacy[name] for name in COPIED},
            charges=[{key: charge[key] for key in CHARGE} for charge in privacy["charges"]],
        ),
    )
    as_of(other, privacy["tool"])
    with pytest.raises(VerifyError) as caught:
        release.verify(other)
    assert caught.value.code in {"DPS-V122", "DPS-V143"}


def test_a_page_that_hides_its_numbers_is_told(other: Path) -> None:
    hidden = '<style>body{visibility:hidden}body::before{visibility:visible;content:"0.01"}</style></head>'
    change(other / "report.html", "</head>", hidden)
    card = other / "model_card.md"
    card.write_text(
        f"Epsilon is a hundredth.\n<!--\n{card.read_text(encoding='utf-8')}\n-->\n", encoding="utf-8"
    )
    reseal(other)
    said = release.verify(other).words
    assert "report.html is laid out otherwise" in said
    assert "model_card.md is laid out otherwise" in said


def test_dropped_unprotected_quantities_are_told(other: Path) -> None:
    privacy = edit(other / "privacy.json", lambda p: p["unprotected_quantities"].pop(0))
    quantities = privacy["unprotected_quantities"]
    edit(other / "report.json", lambda r: r.update(unprotected_quantities=quantities))
    as_of(other, privacy["tool"])
    assert "fewer unprotected quantities" in release.verify(other).words


def test_further_numbers_and_another_order_are_told() -> None:
    made = b"epsilon 1, delta 1e-9 for 2,000 rows"
    assert (
        wording.compare("a.md", b"2,000 rows; epsilon: 1 (delta: 1e-9).", made)
        == "a.md has them in another order"
    )
    assert wording.compare("a.md", made + b" of version 3", made) == "a.md has further numbers (3)"
    assert wording.compare("a.md", b"epsilon 1 for 2,000 rows", made) == "a.md lacks numbers (1e-9)"
    assert wording.told(["", ""]).endswith("all their numbers are")
    assert wording.told(["", "a.md lacks numbers (3)"]).endswith(
        "their numbers are, but a.md lacks numbers (3)"
    )
    with pytest.raises(VerifyError, match=r"says 0\.1 where the facts of the bundle make 1;"):
        wording.compare("a.md", made.replace(b"epsilon 1", b"epsilon 0.1"), made)


def test_a_page_is_read_as_it_is_shown() -> None:
    page = (
        b"<style>.a{width:7px}</style><p>epsilon <b>1</b>0</p><p>2</p><svg width='9'><text>0.5</text></svg>"
    )
    assert wording.numbers("a.html", page) == ["10", "2", "0.5"]
