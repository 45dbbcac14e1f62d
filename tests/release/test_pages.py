"""The two pages: nothing to load, nothing to run, hostile names harmless, the twin's numbers."""

from __future__ import annotations

import copy as copying
import json
import re
import xml.etree.ElementTree as ElementTree
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from release_parts import Parts

from dpsynth import release
from dpsynth.release.facts import percent
from dpsynth.release.pages import render, svg
from dpsynth.release.pages.foreign import drawing

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</svg></title></style>",
    "'; DROP TABLE people; --",
    "=cmd()",
    "{{ 7 * 7 }}{% raw %}",
    "\u202egnp.exe",
    "x" * 10_000,
    "&lt;b&gt;&#60;",
    "javascript:alert(1)",
    "\x00\x1b[31m",
    "\ud800",
]
VOID = {"meta", "br", "img", "link", "input", "hr"}


class Reader(HTMLParser):
    """Tags, attributes and text; fails when tags do not match."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: Counter[str] = Counter()
        self.attributes: set[tuple[str, str]] = set()
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes |= {(name, value or "") for name, value in attrs}
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes |= {(name, value or "") for name, value in attrs}

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def read(page: bytes) -> Reader:
    reader = Reader()
    reader.feed(page.decode())
    reader.close()
    assert reader.open == []
    return reader


def pages(bundle: release.Bundle) -> dict[str, bytes]:
    return {part: (bundle.root / part / "report.html").read_bytes() for part in ("public", "internal")}


@pytest.mark.parametrize("part", ["public", "internal"])
def test_a_page_loads_and_runs_nothing(bundle: release.Bundle, part: str) -> None:
    page = pages(bundle)[part]
    reader = read(page)
    assert not set(reader.tags) & {"script", "img", "link", "iframe", "object", "embed", "form", "base"}
    names = {name for name, _ in reader.attributes}
    assert not [
        name for name in names if name.startswith("on") or name in {"src", "srcset", "action", "ping"}
    ]
    targets = {value for name, value in reader.attributes if name == "href"}
    assert targets == {f"#{value}" for name, value in reader.attributes if name == "id"} & targets
    assert targets
    assert not re.search(rb"https?:|//[a-z]|url\(|@import|javascript:", page)
    policy = (
        dict(reader.attributes)["content"] if False else [v for n, v in reader.attributes if n == "content"]
    )
    assert "default-src 'none'; style-src 'unsafe-inline'" in policy
    assert len(page) < 1_000_000


@pytest.mark.parametrize("part", ["public", "internal"])
def test_a_page_says_at_once_who_may_see_it(bundle: release.Bundle, part: str) -> None:
    reader = read(pages(bundle)[part])
    assert ("class", part) in reader.attributes
    words = "".join(reader.words)
    assert words.index(part.upper()) < words.index("Epsilon")
    other = {"public": "INTERNAL", "internal": "PUBLIC"}[part]
    assert other not in words


def test_the_first_screen_of_the_public_page_has_what_matters(bundle: release.Bundle) -> None:
    report = json.loads((bundle.public / "report.json").read_text())
    words = " ".join("".join(read(pages(bundle)["public"]).words).split())
    first = words[: words.index("What the promise leaves to an attacker")]
    for text in [
        report["verdict"]["verdict"].capitalize(),
        render.number(report["guarantee"]["epsilon"]),
        render.number(report["guarantee"]["delta"]),
        "person",
        "2 at most",
        "mst",
        "What is not protected",
        "was: inspected",
        *(n["value"] for n in report["numbers"]),
        *(n["baseline"] for n in report["numbers"]),
    ]:
        assert text in first, text


def test_the_public_page_and_its_twin_have_the_same_numbers(bundle: release.Bundle) -> None:
    report = json.loads((bundle.public / "report.json").read_text())
    words = "".join(read(pages(bundle)["public"]).words)
    for one in report["consistency"]["by_clique"]:
        assert " × ".join(one["columns"]) in words
        assert percent(one["expected_error"]) in words
        assert percent(one["distance"]) in words
    for row in report["attacker"]:
        assert percent(row["true_positive_rate_at_most"]) in words
    for point in report["curve"]:
        assert render.number(point["delta"]) in words
    privacy = json.loads((bundle.public / "privacy.json").read_text())
    assert report["guarantee"] == privacy["guarantee"]


def test_the_internal_page_and_its_twin_have_the_same_numbers(bundle: release.Bundle) -> None:
    report = json.loads((bundle.internal / "report.json").read_text())
    words = "".join(read(pages(bundle)["internal"]).words)
    for attack in report["suite"]["attacks"]:
        assert percent(attack["auc"]["value"]) in words
        assert render.short(attack["adjusted_p_value"]) in words
    for one in report["evaluation"]["marginals"]:
        assert percent(one["error"]["value"]) in words
        assert percent(one["best_redrawn"]["value"]) in words
    assert str(report["evaluation"]["k_marginal"]["score"]) in words
    for column in report["evaluation"]["columns"]:
        assert f"error {percent(column['error'])}" in words


def test_the_most_telling_attack_comes_first_and_the_verdict_says_what_it_means(
    bundle: release.Bundle,
) -> None:
    report = json.loads((bundle.internal / "report.json").read_text())
    attacks = report["suite"]["attacks"]
    last = attacks[-1]["attack"]
    for one in attacks:
        one["adjusted_p_value"] = 0.001 if one["attack"] == last else 0.9
    report["suite"] |= {"verdict": "LEAK", "bound": "within"}
    words = "".join(read(render.internal_page(report)).words)
    table = words[words.index("Members, controls") :]
    assert table.index(last) < table.index(attacks[0]["attack"])
    assert "Attacks: LEAK, within the promise" in words
    report["suite"] |= {"bound": "none claimed"}
    assert "within the promise" not in "".join(read(render.internal_page(report)).words)


def test_a_long_list_of_measured_tables_is_folded(bundle: release.Bundle) -> None:
    report = json.loads((bundle.public / "report.json").read_text())
    one = report["consistency"]["by_clique"][0]
    report["consistency"]["by_clique"] = [{**one, "columns": [f"c{i}"]} for i in range(40)]
    page = render.public_page(report).decode()
    folded = page[page.index("The other 15 tables") :]
    assert "c24</td>" in page.replace(folded, "")
    assert "c25</td>" in folded
    assert "c39</td>" in folded


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.9, "0.900"), (0.03091, "0.0309"), (1e-6, "0.0000"), (-2e-6, "0.0000"), (123.4, "123")],
)
def test_decimals_of_one_column_can_be_compared(value: float, shown: str) -> None:
    assert render.decimal(value) == shown


def test_small_chances_are_said_as_one_in_so_many() -> None:
    assert render.odds(1e-9) == "one in 1\u202f000\u202f000\u202f000"
    assert render.odds(0.0) == ""
    assert percent(1e-9) == "below 0.001 %"
    assert percent(0.0) == "0 %"


def test_the_internal_page_has_attacks_utility_and_plots(bundle: release.Bundle) -> None:
    reader = read(pages(bundle)["internal"])
    words = "".join(reader.words)
    for text in [
        "closest record",
        "most isolated 5%",
        "893 held-out people",
        "NIST k-marginal",
        "forbidden by the promise",
    ]:
        assert text in words, text
    assert (
        reader.tags["svg"] == 2 + 4
    )  # attacker, pairs, one per modelled column (no drawings of attacks here)
    assert reader.tags["figure"] == reader.tags["svg"]


def test_every_plot_has_a_text_for_those_who_do_not_see_it(bundle: release.Bundle) -> None:
    for page in pages(bundle).values():
        found = re.findall(rb"<svg [^>]*>", page)
        assert found
        assert all(b'role="img"' in tag and b"aria-label=" in tag for tag in found)


def spoil(value: Any, text: str) -> Any:
    """The same JSON with a hostile text appended to every text that is shown."""
    if isinstance(value, dict):
        return {key: spoil(inner, text) for key, inner in value.items()}
    if isinstance(value, list):
        return [spoil(inner, text) for inner in value]
    return (
        f"{value}{text}"
        if isinstance(value, str) and value not in {"public", "internal", "everyone"}
        else value
    )


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("part", ["public", "internal"])
def test_hostile_texts_everywhere_change_no_tag(bundle: release.Bundle, part: str, text: str) -> None:
    report = json.loads((bundle.root / part / "report.json").read_text())
    make = render.public_page if part == "public" else render.internal_page
    honest, spoilt = read(make(report)), read(make(spoil(report, text)))
    assert spoilt.tags == honest.tags
    assert {name for name, _ in spoilt.attributes} == {name for name, _ in honest.attributes}
    shown = "".join(spoilt.words)
    assert not re.search(r"[\x00-\x08\x0b-\x1f\u200e\u200f\u202a-\u202e\u2066-\u2069]", shown)
    assert "49" not in text or "{{ 7 * 7 }}" in shown


def test_invisible_characters_are_spelt_out_and_long_texts_cut() -> None:
    assert render.visible("a\u202eb") == "a⟨U+202E⟩b"
    assert render.visible("a\nb") == "a⟨U+000A⟩b"
    assert len(render.visible("x" * 5000)) == render.MOST_SHOWN + 1
    assert render.visible("żółć 東京 שלום") == "żółć 東京 שלום"


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_plots_are_well_formed_whatever_the_labels(text: str) -> None:
    label = render.visible(text)
    plots = [
        svg.bars([label, "b"], [0.2, 0.8], [0.0, 1.0], label),
        svg.heat_map([label, "b"], [[0.1, None], [None, 0.0]], label),
        svg.trade_off(
            [[0.001, 0.01], [1.0, 1.0]], [svg.Mark(label, ((0.01, 0.0, 0.0, 0.1),))], bound_name=label
        ),
    ]
    for plot in plots:
        assert ElementTree.fromstring(str(plot)).tag == "svg"


def test_plots_of_nothing_are_still_plots() -> None:
    for plot in [svg.bars([], [], [], "x"), svg.heat_map([], [], "x"), svg.bars(["a"], [0.0], [0.0], "x")]:
        assert ElementTree.fromstring(str(plot)).tag == "svg"


def test_a_page_without_learning_pairs_or_attacks(parts: Parts, bundle: release.Bundle) -> None:
    report = json.loads((bundle.internal / "report.json").read_text())
    bare = copying.deepcopy(report)
    bare["suite"].update(
        attacks=[], controls=[], warnings=[], smallest_copied_share_seen=None, epsilon_at_least=None
    )
    bare["evaluation"].update(
        learned=[], k_marginal=None, marginals=bare["evaluation"]["marginals"][:1], notes=[]
    )
    assert read(render.internal_page(bare)).tags["h1"] == 1


def test_shares_in_words() -> None:
    words = {
        0.0: "0 %",
        0.00049: "0.049 %",
        0.01: "1 %",
        0.0999: "10 %",
        0.5: "50 %",
        0.98765: "98.8 %",
        1.0: "100 %",
    }
    assert {share: percent(share) for share in words} == words


def test_the_templates_are_installed_with_the_package() -> None:
    folder = Path(render.__file__).parent
    assert {p.name for p in folder.iterdir()} >= {"base.html", "public.html", "internal.html", "style.css"}


def test_a_spreadsheet_warning_appears_only_when_it_is_due(bundle: release.Bundle) -> None:
    report = json.loads((bundle.public / "report.json").read_text())
    words = "".join(read(render.public_page(report)).words)
    assert "spreadsheet" not in words
    report["columns"][0]["formulas"] = 3
    words = "".join(read(render.public_page(report)).words)
    assert "3 declared column names or values begin with a character that spreadsheets run" in words


HARMLESS = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9" role="img" aria-label="a"><title>a &lt; b</title>'
    '<rect x="1" y="1" width="2" height="2" fill="#fff"/><text x="1" y="2">&lt;script&gt;</text></svg>'
)


@pytest.mark.parametrize(
    "hostile",
    [
        "<svg onload='alert(1)'></svg>",
        "<svg><script>alert(1)</script></svg>",
        "<svg><foreignObject><p>x</p></foreignObject></svg>",
        "<svg><image href='http://example.org/x'/></svg>",
        "<svg><a href='#x'><text>x</text></a></svg>",
        "<svg><rect fill='url(http://example.org/x)'/></svg>",
        "<svg><rect style='fill: red'/></svg>",
        "<svg><style>*{display:none}</style></svg>",
        '<!DOCTYPE svg [<!ENTITY x "y">]><svg><text>&x;</text></svg>',
        "<?xml-stylesheet href='x'?><svg/>",
        "<p>not a drawing</p>",
        "<svg><rect></svg>",
        "no markup at all",
        f"<svg><text>{'x' * 300_000}</text></svg>",
        7,
        None,
    ],
)
def test_foreign_drawings_are_drawings_or_nothing(hostile: object) -> None:
    assert drawing(hostile) is None
    shown = drawing(HARMLESS)
    assert shown is not None
    assert "<title>a &lt; b</title>" in shown
    assert "<script>" not in shown


def test_drawings_of_the_attacks_are_on_the_internal_page_and_hostile_ones_are_not(
    bundle: release.Bundle,
) -> None:
    report = json.loads((bundle.internal / "report.json").read_text())
    plain = read(render.internal_page(report)).tags["svg"]
    report["suite"]["drawings"] = {
        "roc": HARMLESS,
        "epsilon_bounds": HARMLESS,
        "risk_by_isolation": "<svg onload='x'/>",
    }
    assert read(render.internal_page(report)).tags["svg"] == plain + 1  # one in the place of ours, one more
