"""The pages of docs/: current, complete, linked, and free of other hosts. `make docs` builds the site itself."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
import yaml

from docs.tools import command_line, errors_page, example, project_page
from docs.tools.papers import PAPERS, page_names, relinked
from dpsynth.columns import Column
from dpsynth.errors import DPSynthError

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
CODE = re.compile(r'"([SDBAVCU]\d{3})"')


def codes_in_the_code() -> set[str]:
    files = [path for package in ("dpsynth", "attacks") for path in (ROOT / package).rglob("*.py")]
    return {code for path in files for code in CODE.findall(path.read_text())}


def test_the_page_of_errors_is_current() -> None:
    assert errors_page.PAGE.read_text() == errors_page.page(), "run: python -m docs.tools.errors_page"


def test_every_error_code_is_explained() -> None:
    """Compared with a plain search of the text, so a place that the syntax tree misses would be noticed."""
    listed = dict(re.findall(r"`DPS-([A-Z]\d{3})`</span> \| (.*)", errors_page.page()))
    assert set(listed) == codes_in_the_code()
    for code, rest in listed.items():
        cause, way_out = rest.rstrip("| ").split(" | ")
        assert re.search(r"[a-z]{2}", cause), code
        assert re.search(r"[a-z]{2}", way_out), code


def test_every_letter_and_exit_code_is_that_of_its_exception() -> None:
    kinds = {kind.letter: kind.exit_code for kind in DPSynthError.__subclasses__() if kind.letter != "X"}
    assert {letter: code for letter, (_, code, _) in errors_page.KINDS.items()} == kinds


@pytest.mark.parametrize(
    ("source", "problem", "fix"),
    [
        ('raise DataError("D999", "it is wrong", "mend it")', "it is wrong", "mend it"),
        (
            'raise DataError("D999", f"column {name!r} is wrong", "mend " + name)',
            "column … is wrong",
            "mend …",
        ),
        ('def f():\n    fix = "mend it"\n    raise DataError("D999", "wrong", fix)', "wrong", "mend it"),
        ('Check("D999", "the rule", ok, "wrong", "mend it")', "wrong", "mend it"),
        ('refuse("D999", mask, "wrong", "mend it")', "wrong", "mend it"),
        ('found = ("D999", "wrong", "mend it")', "wrong", "mend it"),
        ('raise DataError("D999", a if b else "wrong")', "wrong", ""),
    ],
)
def test_errors_are_read_off_the_code(source: str, problem: str, fix: str) -> None:
    found = list(errors_page.sites_in(source, "here.py"))
    assert [(site.code, site.file) for site in found] == [("D999", "here.py")]
    assert (found[0].problem.replace(" / ", ""), found[0].fix) in {(problem, fix), (f"…{problem}", fix)}


def test_every_verb_has_its_entry() -> None:
    page = command_line.page()
    for verb in command_line.verbs():
        assert f"\n## {verb}\n" in page
    assert "`--epsilon <float>`" in page
    pipeline = (DOCS / "pipeline.md").read_text()
    for verb in {name.split()[0] for name in command_line.verbs()}:
        assert re.search(rf"\b{verb}\b", pipeline), f"docs/pipeline.md does not say where {verb} belongs"


def test_every_kind_of_column_has_its_entry() -> None:
    page = project_page.page()
    import typing

    kinds = typing.get_args(typing.get_args(Column)[0])
    assert kinds
    for kind in kinds:
        assert f"type: {kind.model_fields['type'].default}" in page
    assert "`rows_per_unit`" in page
    assert "`promise_epsilon`" in project_page.policy_page()


def nav_names(part: object) -> set[str]:
    if isinstance(part, str):
        return {part}
    inner = part if isinstance(part, list) else list(part.values()) if isinstance(part, dict) else []
    return {name for one in inner for name in nav_names(one)}


def test_every_page_is_in_the_menu() -> None:
    text = (ROOT / "mkdocs.yml").read_text()
    assert nav_names(yaml.safe_load(text)["nav"]) == page_names()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    names = page_names()
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text()):
        place = os.path.normpath(page.relative_to(DOCS).parent / target)
        assert place in names or (DOCS / place).exists(), f"{page.name}: {target}"


def test_nothing_is_fetched_from_elsewhere() -> None:
    for path in [
        *PAGES,
        ROOT / "mkdocs.yml",
        *(DOCS / "tools").glob("*.py"),
        *DOCS.glob("*.css"),
        *DOCS.glob("*.js"),
    ]:
        assert not re.search(r"https?://[a-z]", path.read_text()), path.name


def test_papers_keep_their_links() -> None:
    text = "[a](privacy_budget.md#x) [b](dpsynth/privacy/noise.py) ![c](docs/public-report.png)"
    moved = relinked(text, "README.md", "reference/page.md")
    assert "[a](../privacy_budget.md#x)" in moved
    assert "b (`dpsynth/privacy/noise.py`)" in moved
    for source in PAPERS:
        assert (ROOT / source).exists()


def test_the_example_is_what_its_script_makes() -> None:
    made = example.table().to_csv(index=False, lineterminator="\n")
    assert (example.FOLDER / "claims.csv").read_text() == made
