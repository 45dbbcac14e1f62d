"""The notebooks run on the bundled table, show what they talk about, and are what jupytext reads."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from docs.tools import notebook_pages
from docs.tools.notebook_pages import Cell, Output, as_ipynb, as_page, cells, notebooks, run

WORDS = {
    "1_release": ["intact", "DPS-V108", "dpsynth ledger show", "<svg"],
    "2_audit": ["VIOLATION", "A: dpsynth", "recoded", "<svg"],
    "3_budget": ["DPS-B210", "fits", "histogram of plans", "DpSgd", "<svg"],
    "4_epsilon": ["50 % sure becomes at most", "<svg"],
}
"""What the output of each must hold."""


@pytest.mark.parametrize("path", notebooks(), ids=lambda path: path.stem)
def test_a_notebook_runs_and_shows_what_it_talks_about(path: Path) -> None:
    outputs = run(path)
    page = as_page(path, outputs)
    shown = " ".join(output.printed + (output.shown[1] if output.shown else "") for output in outputs)
    assert "Traceback" not in shown
    for words in WORDS[path.stem]:
        assert words in shown, words
    written = json.loads(as_ipynb(path, outputs))
    assert len(written["cells"]) == len(outputs)
    assert page.count("<svg") == shown.count("<svg")


def test_notebooks_are_written_for_reading() -> None:
    """No walls of code: cells are short, and every one is led up to in words."""
    assert [path.stem for path in notebooks()] == list(WORDS)
    for path in notebooks():
        found = cells(path)
        assert found[0].is_markdown
        assert found[0].source.startswith("# ")
        code = [cell for cell in found if not cell.is_markdown]
        assert max(cell.source.count("\n") for cell in code) < 32, path.name
        told = sum(len(cell.source) for cell in found if cell.is_markdown)
        assert told > sum(len(cell.source) for cell in code), path.name


def test_links_of_the_notebooks_lead_to_pages() -> None:
    from docs.tools.papers import page_names

    names = page_names()
    for path in notebooks():
        for target in re.findall(r"\]\(([^)#]+\.md)", path.read_text()):
            place = (Path("tutorials") / target).as_posix()
            while re.search(r"[^/]+/\.\./", place):
                place = re.sub(r"[^/]+/\.\./", "", place, count=1)
            assert place in names, f"{path.name}: {target}"


def test_cells_are_those_that_jupytext_reads() -> None:
    import jupytext

    for path in notebooks():
        theirs = [(c.cell_type == "markdown", c.source.strip()) for c in jupytext.read(path).cells]
        assert [(c.is_markdown, c.source.strip()) for c in cells(path)] == theirs


def test_a_cell_that_raises_ends_it(tmp_path: Path) -> None:
    broken = tmp_path / "5_broken.py"
    broken.write_text("# %% [markdown]\n# # Broken\n\n# %%\n1 / 0\n")
    assert cells(broken) == [Cell("# Broken", True), Cell("1 / 0", False)]
    with pytest.raises(ZeroDivisionError):
        run(broken)


def test_values_are_shown_as_a_reader_expects(tmp_path: Path) -> None:
    path = tmp_path / "6_values.py"
    path.write_text("# %% [markdown]\n# # Values\n\n# %%\nprint('said')\n[1, 2]\n")
    outputs = run(path)
    assert outputs == [Output(), Output("said\n", ("text/plain", "[1, 2]"))]
    assert "```text\nsaid\n```\n\n```text\n[1, 2]\n```" in as_page(path, outputs)
    assert notebook_pages.FOLDER.name == "notebooks"
