"""The recipes of CONTRIBUTING.md, followed to the letter in a copy of the repository."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
BLOCK = re.compile(r'^```(python|diff) title="([^"]+)"\n(.*?)^```$', re.DOTALL | re.MULTILINE)
COPIED = ("dpsynth", "attacks", "tests", "pyproject.toml", "privacy_budget.md", "README.md")
RUN = [
    "tests/mechanisms/test_every_mechanism.py",
    "tests/attacks/test_agreement.py",
    "tests/engines/test_sql.py",
    "tests/test_architecture.py",
    "-k",
    "star or sees_copies or same_integers or downwards",
]
"""What the recipes say to run, and the house's order of imports, in one go."""


def patched(text: str, change: str) -> str:
    """`text` after the hunks of `change` (parted by @@): what they keep and remove stands in it exactly once."""
    for hunk in change.split("@@\n"):
        lines = hunk.splitlines()
        old = "\n".join(line[1:] for line in lines if line[:1] in " -")
        new = "\n".join(line[1:] for line in lines if line[:1] in " +")
        if text.count(old) != 1:
            raise ValueError(f"found {text.count(old)} times: {old}")
        text = text.replace(old, new)
    return text


def test_the_recipes_work(tmp_path: Path) -> None:
    for name in COPIED:
        source = ROOT / name
        # compiled loops are copied too: they need not be compiled again
        (shutil.copytree if source.is_dir() else shutil.copy2)(source, tmp_path / name)
    found = BLOCK.findall(TEXT)
    assert {title.split("/")[0] for _, title, _ in found} >= {"dpsynth", "attacks", "tests"}
    for language, title, text in found:
        path = tmp_path / title
        assert (language == "diff") == path.exists(), title
        path.write_text(patched(path.read_text(), text) if language == "diff" else text)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *RUN]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:]
    assert "[100%]" in done.stdout


def test_a_recipe_that_no_longer_fits_would_be_noticed() -> None:
    assert patched("a\nb\nc\n", " b\n+x\n") == "a\nb\nx\nc\n"
    with pytest.raises(ValueError, match="0 times"):
        patched("a\n", " b\n+x\n")
    with pytest.raises(ValueError, match="2 times"):
        patched("a\na\n", " a\n+x\n")


def test_the_floors_are_those_of_the_house() -> None:
    """The table names rooms from top to bottom as the layers of tests/test_architecture.py have them."""
    from test_architecture import RANK

    rows = re.findall(r"^\| \d+ \| (.+?) \|", TEXT, flags=re.MULTILINE)
    floors = [[RANK[room] for room in re.findall(r"`(\w+)`", row) if room in RANK] for row in rows]
    assert all(floors)
    for above, below in pairwise(floors):
        assert max(above) < min(below), (above, below)


def test_no_path_of_the_guide_is_made_up() -> None:
    made = {title for _, title, _ in BLOCK.findall(TEXT)}
    for path in re.findall(r"`((?:tests|dpsynth|attacks|benchmarks)/[\w/.]+)`", TEXT):
        assert (ROOT / path).exists() or path in made, path
