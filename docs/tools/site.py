"""What the site adds to the pages in docs/: pages written from the code, the notebooks run, the papers of the repository.

A hook of mkdocs. It also keeps the promise that nothing is fetched: a built page that loads from a host stops the build.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
os.environ.setdefault("NUMBA_NUM_THREADS", "1")

from docs.tools import command_line, notebook_pages, project_page  # noqa: E402
from docs.tools.papers import PAPERS, relinked  # noqa: E402

_LOADED = re.compile(
    r"<(?:script|img|iframe|source|video|audio|embed|object)\b[^>]*\b(?:src|data)=[\"']?(?:https?:)?//"
    r"|<link\b(?=[^>]*\brel=[\"']?(?:stylesheet|preload|preconnect|dns-prefetch|icon))[^>]*\bhref=[\"']?(?:https?:)?//"
    r"|@import\s+(?:url\()?[\"']?(?:https?:)?//"
)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages that no file in docs/ holds."""
    for name, content in pages():
        files.append(File.generated(config, name, content=content))
    return files


def pages() -> Iterator[tuple[str, str]]:
    """(name on the site, content) of everything that is written at build time."""
    yield "reference/command-line.md", command_line.page()
    yield "reference/project-file.md", project_page.page()
    yield "reference/policy-file.md", project_page.policy_page()
    for source, name in PAPERS.items():
        yield name, relinked((ROOT / source).read_text(encoding="utf-8"), source, name)
    for path in notebook_pages.notebooks():
        outputs = notebook_pages.run(path)
        yield f"tutorials/{path.stem}.md", notebook_pages.as_page(path, outputs)
        yield f"tutorials/{path.stem}.ipynb", notebook_pages.as_ipynb(path, outputs)


def on_post_build(config: MkDocsConfig, **_: Any) -> None:
    """The check that nothing is fetched."""
    site = Path(config.site_dir)
    for page in [*site.rglob("*.html"), *site.rglob("*.css")]:
        found = _LOADED.search(page.read_text(encoding="utf-8"))
        if found:
            raise PluginError(f"{page.relative_to(site)} would load from another host: {found[0][:120]}")
