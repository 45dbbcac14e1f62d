"""Both reports in a real browser: nothing leaves, nothing breaks, everybody can read them.

Screenshots and the printed pages are left in the folder that DPSYNTH_SHOTS names, to be looked at.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "release"))
from release_parts import make_parts

from dpsynth.release.pages import render

PARTS = ("public", "internal")
WIDTHS = (1280, 390)
HOSTILE = {
    "script": "<script>document.title='owned'</script>",
    "image": '"><img src=x onerror="document.title=\'owned\'">',
    "svg": "</text></svg><svg onload=\"document.title='owned'\">",
    "style": "</style><style>body{display:none}",
    "formula": "=cmd|' /C calc'!A0",
    "right to left": "\u202egnp.exe\u2066",
    "long": "x" * 10_000,
    "lines": "a\r\nb\u2028c\x00",
    "template": "{{ 7 * 7 }}{% endraw %}",
}
CONTRAST = r"""
() => {
  const rgb = text => text.match(/[\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = element => {
    for (let e = element; e; e = e.parentElement) {
      const colour = rgb(getComputedStyle(e).backgroundColor);
      if (colour.length < 4 || colour[3] > 0.99) return colour;
    }
    return [255, 255, 255];
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || element.closest('svg')) continue;
    const style = getComputedStyle(element);
    const [a, b] = [light(rgb(style.color)), light(behind(element))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 700);
    if (ratio < (large ? 3 : 4.5)) found.push([ratio.toFixed(2), walker.currentNode.data.trim().slice(0, 40)]);
  }
  return found;
}
"""


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("browser")
    return Path(make_parts(folder).write(folder / "release").root)


@pytest.fixture(scope="session")
def shots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    named = os.environ.get("DPSYNTH_SHOTS")
    folder = Path(named) if named else tmp_path_factory.mktemp("shots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page that notes every request and every message; `page.noted` holds them."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    opened = context.new_page()
    opened.noted = []
    opened.on("console", lambda message: opened.noted.append(f"console: {message.text}"))
    opened.on("pageerror", lambda error: opened.noted.append(f"error: {error}"))
    opened.on("request", lambda request: opened.noted.append(f"request: {request.url}"))
    yield opened
    context.close()


def show(page: Any, path: Path) -> None:
    page.noted.clear()
    page.goto(path.resolve().as_uri())
    page.wait_for_load_state("networkidle")


def spoil(value: Any, text: str) -> Any:
    """The same JSON with a hostile text appended to every text that is shown."""
    if isinstance(value, dict):
        return {key: spoil(inner, text) for key, inner in value.items()}
    if isinstance(value, list):
        return [spoil(inner, text) for inner in value]
    fixed = {"public", "internal", "everyone"}
    return f"{value}{text}" if isinstance(value, str) and value not in fixed else value


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("part", PARTS)
def test_it_shows_whole_and_asks_for_nothing(
    page: Any, root: Path, shots: Path, part: str, width: int
) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    show(page, root / part / "report.html")
    assert [note for note in page.noted if not note.endswith(f"/{part}/report.html")] == []
    page.screenshot(path=str(shots / f"{part}-{width}.png"), full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    clipped = page.evaluate(
        """() => [...document.querySelectorAll('main *, header *')].filter(e => {
          const box = e.getBoundingClientRect();
          return box.width && box.right > innerWidth + 1 && !e.closest('.scroll');
        }).map(e => e.outerHTML.slice(0, 80))"""
    )
    assert clipped == []


@pytest.mark.parametrize("part", PARTS)
def test_the_first_screen_says_what_matters(page: Any, root: Path, part: str) -> None:
    show(page, root / part / "report.html")
    words = page.evaluate(
        """() => [...document.querySelectorAll('header, h1, .verdict, dt, .card .value, .warn h2, .warn h3')]
          .filter(e => e.getBoundingClientRect().bottom <= innerHeight).map(e => e.innerText).join('\\n')"""
    )
    wanted = {"public": ["PUBLIC", "Epsilon", "Delta", "unit", "Generator", "What is not protected"]}
    for text in wanted.get(part, ["INTERNAL", "Epsilon", "Unit", "Generator", "Read with care"]):
        assert text in words
    assert words.count("%") >= 2


@pytest.mark.parametrize("part", PARTS)
def test_text_has_enough_contrast(page: Any, root: Path, part: str) -> None:
    show(page, root / part / "report.html")
    assert page.evaluate(CONTRAST) == []
    page.evaluate("document.querySelector('p').style.color = '#9a9a9a'")
    assert page.evaluate(CONTRAST) != []  # a pale text would be seen


@pytest.mark.parametrize("part", PARTS)
def test_a_keyboard_reaches_everything_in_order(page: Any, root: Path, part: str) -> None:
    show(page, root / part / "report.html")
    wanted = page.evaluate(
        """() => [...document.querySelectorAll('a[href], summary, [tabindex="0"]')]
          .filter(e => e.checkVisibility()).length"""
    )
    tops = []
    for _ in range(wanted):
        page.keyboard.press("Tab")
        seen = page.evaluate(
            """() => { const e = document.activeElement; const s = getComputedStyle(e);
              return [e.getBoundingClientRect().top + scrollY, e.tagName, e.getAttribute('aria-label'), s.outlineStyle]; }"""
        )
        assert seen[1] in {"A", "SUMMARY", "DIV"}
        assert seen[1] != "DIV" or seen[2]
        assert seen[3] != "none"
        tops.append(seen[0])
    headings = page.evaluate("() => [...document.querySelectorAll('h1,h2,h3')].map(e => +e.tagName[1])")
    assert headings[0] == 1
    assert headings.count(1) == 1
    assert all(b - a <= 1 for a, b in itertools.pairwise(headings[headings.index(2) :]))
    assert tops == sorted(tops)
    page.keyboard.press("Home")
    page.locator("nav a").first.press("Enter")
    assert "#" in page.url


@pytest.mark.parametrize("part", PARTS)
def test_a_screen_reader_hears_landmarks_tables_and_plots(page: Any, root: Path, part: str) -> None:
    show(page, root / part / "report.html")
    heard = page.locator("body").aria_snapshot()
    for landmark in ("banner", "main", "navigation", "contentinfo", "heading", "table", "region"):
        assert f"- {landmark}" in heard, landmark
    assert heard.index(part.upper()) < heard.index("heading")
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll('svg')].filter(e =>
          !(e.getAttribute('aria-label') || e.querySelector('desc'))).length"""
    )
    assert unnamed == 0
    assert page.evaluate("() => [...document.querySelectorAll('th')].length") > 10
    assert page.evaluate("document.documentElement.lang") == "en"


@pytest.mark.parametrize("part", PARTS)
def test_it_reads_without_scripts_and_prints(browser: Any, root: Path, shots: Path, part: str) -> None:
    context = browser.new_context(java_script_enabled=False, offline=True)
    page = context.new_page()
    page.goto((root / part / "report.html").as_uri())
    assert part.upper() in page.locator("header").inner_text()
    printed = page.pdf(path=str(shots / f"{part}.pdf"), format="A4")
    assert printed.startswith(b"%PDF")
    pages = len(re.findall(rb"/Type\s*/Page\b", printed))
    assert 2 <= pages <= 20
    context.close()


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("part", PARTS)
def test_hostile_names_do_nothing(page: Any, root: Path, tmp_path: Path, part: str, kind: str) -> None:
    report = json.loads((root / part / "report.json").read_text())
    make = render.public_page if part == "public" else render.internal_page
    path = tmp_path / "report.html"
    path.write_bytes(make(spoil(report, HOSTILE[kind])))
    show(page, path)
    assert [note for note in page.noted if not note.endswith("/report.html")] == []
    assert "owned" not in page.evaluate("document.title.replace(/<.*/s, '')")
    assert (
        page.evaluate("document.scripts.length + document.images.length + document.styleSheets.length") == 1
    )
    assert page.locator("main").is_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280
