"""Papers of the repository that are pages of the site too, their links turned to it; and the names of all pages."""

from __future__ import annotations

import os
import re
from pathlib import Path

from docs.tools import notebook_pages

ROOT = Path(__file__).resolve().parents[2]
PAPERS = {
    "privacy_budget.md": "privacy_budget.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "changelog.md",
    "benchmarks/generators.md": "reference/generators.md",
    "benchmarks/thinning.md": "reference/thinning.md",
    "benchmarks/attacks.md": "reference/benchmarks.md",
}
"""Markdown files of the repository that are pages of the site too."""
_LINK = re.compile(r"(?<!!)\[([^\]]*)\]\((?!https?:|#|mailto:)([^)#\s]+)(#[^)]*)?\)")


def page_names() -> set[str]:
    """Every page of the site: files in docs/, and what is written when it is built."""
    written = {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")}
    tutorials = {f"tutorials/{path.stem}.md" for path in notebook_pages.notebooks()}
    from_code = {f"reference/{name}.md" for name in ("command-line", "project-file", "policy-file")}
    return written | tutorials | from_code | set(PAPERS.values())


def relinked(text: str, source: str, name: str) -> str:
    """A paper's links from its new place: to pages of the site where there is one, else the path as code."""

    def replaced(found: re.Match[str]) -> str:
        words, target, anchor = found[1], found[2], found[3] or ""
        place = os.path.normpath(os.path.join(os.path.dirname(source), target))
        inside = PAPERS.get(place) or (place.removeprefix("docs/") if place.startswith("docs/") else None)
        if inside is None:
            return f"{words} (`{place}`)" if place not in words else words
        return f"[{words}]({os.path.relpath(inside, os.path.dirname(name) or '.')}{anchor})"

    return _LINK.sub(replaced, text)
