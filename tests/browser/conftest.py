"""A real browser, driven by Playwright. These tests are `make test-browser`, not part of `make test`."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

WANTED = "DPSYNTH_BROWSER"
NAMES = ("chromium", "chromium-browser", "google-chrome")


collect_ignore_glob = [] if WANTED in os.environ else ["test_*.py"]
"""A plain `pytest` needs no browser and leaves these out."""


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Fails, and says what is missing, when there is no driver or no browser."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        pytest.fail("the browser tests need the extra: pip install 'dpsynth-audit[browser]'", pytrace=False)
    named = os.environ.get(WANTED, "")
    path = named if "/" in named else next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.fail(
            f"no browser found: install chromium (apt-get install chromium) or set {WANTED}=/path/to/it",
            pytrace=False,
        )
    with sync_playwright() as driver:
        # A container's root may not use the sandbox; the pages are our own and load nothing.
        flags = ["--no-sandbox"] if os.geteuid() == 0 else []
        opened = driver.chromium.launch(executable_path=path, args=flags)
        yield opened
        opened.close()
