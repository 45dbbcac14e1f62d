"""Documents that cannot drift: what they name exists, what they show runs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

import dpsynth
from dpsynth.cli.app import LEDGER_VERBS, VERBS, app

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
BUDGET_PAGE = (ROOT / "privacy_budget.md").read_text()


def python_blocks(text: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)


def test_every_verb_is_in_the_readme() -> None:
    for name in (*VERBS, *LEDGER_VERBS):
        assert f"`{name}`" in README


def test_every_command_in_the_readme_exists() -> None:
    known = {*VERBS, "ledger"}
    named = set(re.findall(r"^dpsynth (\w+)", README, flags=re.MULTILINE))
    assert named
    assert named <= known


@pytest.mark.parametrize("block", python_blocks(README), ids=lambda block: block.splitlines()[0])
def test_the_readme_code_runs(block: str, tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", block], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "epsilon" in done.stdout


def test_the_readme_says_which_dpsynth_this_is() -> None:
    assert "dpsynth-audit" in README
    assert python_blocks(README)


def test_public_names_can_be_imported() -> None:
    for name in dpsynth.__all__:
        assert getattr(dpsynth, name) is not None
    with pytest.raises(AttributeError):
        dpsynth.nothing_of_the_kind  # noqa: B018


def test_every_charge_purpose_is_on_the_budget_page() -> None:
    """Purposes are literals in the mechanisms; each must be explained to a reviewer."""
    found = set()
    for path in (ROOT / "dpsynth" / "mechanisms").glob("*.py"):
        found |= set(
            re.findall(r'"((?:mst: |aim: |privbayes: |tree: |gan: |one-way )[^"]+)"', path.read_text())
        )
    assert found
    for purpose in found:
        assert f"`{purpose}`" in BUDGET_PAGE, purpose


@pytest.mark.parametrize("file", ["test_planted_lies.py", "test_sgd_lies.py"])
def test_every_planted_lie_is_on_the_budget_page(file: str) -> None:
    lies = (ROOT / "tests" / "privacy" / file).read_text()
    table = re.search(r"^LIES.*?^\]", lies, flags=re.DOTALL | re.MULTILINE)
    assert table
    pairs = re.findall(r"\((\w+), (\w+)\)", table.group())
    assert pairs
    for lie, audit in pairs:
        assert f"`{lie}`" in BUDGET_PAGE, lie
        assert f"`{audit}`" in BUDGET_PAGE, audit


def test_every_event_is_on_the_budget_page() -> None:
    from dpsynth.privacy import events

    for kind in events._KINDS.values():
        assert f"`{kind.__name__}`" in BUDGET_PAGE, kind.__name__


def test_the_command_line_names_itself() -> None:
    assert get_command(app).name == "dpsynth"
