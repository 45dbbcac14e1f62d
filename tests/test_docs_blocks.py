"""Every block of code in README, CONTRIBUTING and docs/ runs.

Blocks of a page run in order, in one temporary folder that holds the example table and its project file, the Python
ones in one namespace. `sh` blocks may call `dpsynth` only, in this process; `# exit 6` at a line's end states its exit
code. A `yaml` block with a title is written to a file of that name. `text`, `diff`, `bash` and untitled `yaml` blocks
only show something.
"""

from __future__ import annotations

import hashlib
import re
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from dpsynth.cli.app import app

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "docs" / "example"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
SKIPPED = {"make", "git", "cd", "."}
"""Commands before the first one of ours: getting it and setting it up."""
SHOWN = {"text", "diff", "json", "yaml", "bash"}
RUNNER = CliRunner()


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its title if it has one, what is in it."""

    language: str
    title: str | None
    text: str


def blocks(page: Path) -> list[Block]:
    found = []
    for info, text in BLOCK.findall(page.read_text(encoding="utf-8")):
        title = re.search(r'title="([^"]+)"', info)
        found.append(Block(info.split(" ")[0].strip(), title[1] if title else None, text))
    return found


def runs(block: Block) -> bool:
    return block.language in {"python", "sh"} or is_plain_shell(block)


def is_plain_shell(block: Block) -> bool:
    """A block without a language, every line of which is a command or a remark."""
    lines = [line.split(" ")[0] for line in block.text.splitlines() if line]
    return not block.language and set(lines) <= {"dpsynth", "#", *SKIPPED}


@pytest.fixture(scope="session")
def finished_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the outcome of `dpsynth run project.yaml -o release` is kept: several pages begin with it."""
    return tmp_path_factory.mktemp("runs")


@pytest.mark.parametrize("page", [p for p in PAGES if any(map(runs, blocks(p)))], ids=lambda p: p.stem)
def test_the_blocks_of_a_page_run(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, finished_runs: Path
) -> None:
    for name in ("claims.csv", "project.yaml"):
        shutil.copy(EXAMPLE / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "__main__"}
    for block in blocks(page):
        if block.language == "python":
            exec(compile(block.text, page.name, "exec"), names)  # noqa: S102
        elif runs(block):
            for line in block.text.replace("\\\n", " ").splitlines():
                type_in(line, tmp_path, finished_runs)
        else:
            assert block.language in SHOWN, block.language
        if block.title:
            (tmp_path / block.title).write_text(block.text, encoding="utf-8")


def type_in(line: str, folder: Path, kept: Path) -> None:
    """Runs one line of a shell block and checks its exit code."""
    command, _, comment = line.partition("  #")
    words = shlex.split(command)
    if not words or words[0] in {"#", *SKIPPED}:
        return
    assert words[0] == "dpsynth", f"blocks call dpsynth and nothing else: {line}"
    stated = re.search(r"exit (\d+)", comment)
    wanted = int(stated[1]) if stated else 0
    if words[1] == "init":
        (folder / "project.yaml").unlink(missing_ok=True)
    if " ".join(words) == "dpsynth run project.yaml -o release" and not (folder / "claims.ledger").exists():
        reuse(folder, kept, words)
        return
    done = RUNNER.invoke(app, words[1:])
    assert done.exit_code == wanted, f"{line}: exit {done.exit_code}\n{done.output}"
    if words[1] == "init":  # what a person does next: fill it in
        shutil.copy(EXAMPLE / "project.yaml", folder / "project.yaml")


def reuse(folder: Path, kept: Path, words: list[str]) -> None:
    """The same command on the same files was run before: its outcome is copied."""
    inputs = (folder / "claims.csv").read_bytes() + (folder / "project.yaml").read_bytes()
    known = kept / hashlib.sha256(inputs).hexdigest()
    if not known.exists():
        done = RUNNER.invoke(app, words[1:])
        assert done.exit_code == 0, done.output
        known.mkdir()
        shutil.copytree(folder / "release", known / "release")
        for ledger in folder.glob("claims.ledger*"):
            shutil.copy(ledger, known / ledger.name)
    shutil.copytree(known, folder, dirs_exist_ok=True)


def test_no_block_is_of_an_unknown_kind() -> None:
    for page in PAGES:
        for block in blocks(page):
            assert runs(block) or block.language in SHOWN, f"{page.name}: {block.language}"


def test_a_wrong_exit_code_would_be_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    type_in("dpsynth check nowhere.yaml  # exit 3", tmp_path, tmp_path)
    with pytest.raises(AssertionError, match="exit 3"):
        type_in("dpsynth check nowhere.yaml", tmp_path, tmp_path)
    with pytest.raises(AssertionError, match="nothing else"):
        type_in("rm -rf somewhere", tmp_path, tmp_path)
