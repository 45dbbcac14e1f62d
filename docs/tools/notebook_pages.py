"""Notebooks: read from `notebooks/*.py` (jupytext's percent format), run cell by cell, written as pages and as .ipynb.

The cells run in this process, one after another in one namespace, in a temporary folder; that needs no kernel. A cell that
raises ends it: a notebook with an error in it is never written.
"""

from __future__ import annotations

import ast
import contextlib
import html
import io
import json
import os
import re
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "notebooks"
_CELL = re.compile(r"^# %%(?P<markdown> \[markdown\])?.*$", re.MULTILINE)


@dataclass(frozen=True)
class Cell:
    """Source of a cell: Markdown, or Python."""

    source: str
    is_markdown: bool


@dataclass(frozen=True)
class Output:
    """What a cell showed: what it printed, and its last value as (media type, text)."""

    printed: str = ""
    shown: tuple[str, str] | None = None


def notebooks() -> list[Path]:
    """The notebooks, in the order of reading."""
    return sorted(FOLDER.glob("[0-9]_*.py"))


def cells(path: Path) -> list[Cell]:
    """Cells of a file in percent format; what stands before the first one is the header."""
    text = path.read_text(encoding="utf-8")
    marks = list(_CELL.finditer(text))
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    found = []
    for mark, end in zip(marks, ends, strict=True):
        body = text[mark.end() : end].strip("\n")
        if mark["markdown"]:
            body = "\n".join(line.removeprefix("#").removeprefix(" ") for line in body.splitlines())
        found.append(Cell(body, bool(mark["markdown"])))
    return found


def run(path: Path) -> list[Output]:
    """Runs a notebook in a folder of its own. What a cell raises is raised."""
    before, names = Path.cwd(), {"__name__": "__main__"}
    sys.path.insert(0, str(FOLDER))
    try:
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            return [
                Output() if cell.is_markdown else _run_cell(cell, names, path.name) for cell in cells(path)
            ]
    finally:
        os.chdir(before)
        sys.path.remove(str(FOLDER))


def _run_cell(cell: Cell, names: dict[str, Any], file: str) -> Output:
    tree = ast.parse(cell.source, file)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, file, "exec"), names)  # noqa: S102
        value = None
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), file, "eval"), names)  # noqa: S307
    return Output(printed.getvalue(), None if value is None else _shown(value))


def _shown(value: Any) -> tuple[str, str]:
    for name, kind in (("_repr_svg_", "image/svg+xml"), ("_repr_html_", "text/html")):
        draw = getattr(value, name, None)
        if draw is not None:
            return kind, str(draw())
    return "text/plain", value if isinstance(value, str) else repr(value)


def as_page(path: Path, outputs: Sequence[Output]) -> str:
    """The notebook as Markdown for the site, pictures and tables inside."""
    download = f"[This page as a notebook]({path.stem}.ipynb){{download}}\n"
    parts = []
    for cell, output in zip(cells(path), outputs, strict=True):
        if cell.is_markdown:
            parts.append(cell.source)
            if len(parts) == 1:
                parts.append(download)
            continue
        parts.append(f"```python\n{cell.source}\n```")
        if output.printed.strip():
            parts.append(f"```text\n{output.printed.rstrip()}\n```")
        if output.shown is not None:
            parts.append(_page_value(*output.shown))
    return "\n\n".join(parts) + "\n"


def _page_value(kind: str, text: str) -> str:
    if kind == "text/plain":
        return f"```text\n{text.rstrip()}\n```"
    one_line = (
        "&#10;".join(line for line in text.strip().splitlines()) if "<pre" in text else " ".join(text.split())
    )
    return f'<div class="shown">{one_line}</div>'


def as_ipynb(path: Path, outputs: Sequence[Output]) -> str:
    """The notebook with its outputs, format 4.5."""
    written = [
        _ipynb_cell(number, cell, output)
        for number, (cell, output) in enumerate(zip(cells(path), outputs, strict=True))
    ]
    about = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    return (
        json.dumps({"cells": written, "metadata": about, "nbformat": 4, "nbformat_minor": 5}, indent=1) + "\n"
    )


def _ipynb_cell(number: int, cell: Cell, output: Output) -> dict[str, Any]:
    base = {"id": f"cell-{number}", "metadata": {}, "source": cell.source}
    if cell.is_markdown:
        return {"cell_type": "markdown", **base}
    found: list[dict[str, Any]] = []
    if output.printed:
        found.append({"output_type": "stream", "name": "stdout", "text": output.printed})
    if output.shown is not None:
        kind, text = output.shown
        plain = (
            {} if kind == "text/plain" else {"text/plain": html.unescape(re.sub(r"<[^>]+>", " ", text))[:200]}
        )
        data = {kind: text, **plain}
        found.append(
            {"output_type": "execute_result", "execution_count": number, "metadata": {}, "data": data}
        )
    return {"cell_type": "code", "execution_count": number, "outputs": found, **base}
