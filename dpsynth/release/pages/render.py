"""report.json -> report.html: a pure function of the report's data, autoescaped, with nothing to load."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import jinja2
from markupsafe import Markup

from dpsynth.release.facts import percent
from dpsynth.release.pages import svg, svg_public
from dpsynth.release.pages.foreign import drawing
from dpsynth.unit_columns import several

Json = Mapping[str, Any]
MOST_SHOWN = 400
"""Characters of one declared text; a longer one is cut, visibly."""
WORST = 12
MOST_MEASURED = 25
"""Measured tables that are shown at once; the others are folded away."""
FEW = 8
"""So many more are not worth folding."""
MOST_NAMES = 16
"""Columns of the heat map; with more, the worst ones."""
MOST_PLOTS = 60
MOST_BARS = 700
"""Bars of all plots of columns together, so that a page stays below a megabyte."""
FURTHER = {
    "risk_by_isolation": "Whether people who are unlike everybody else are recognised more easily: the area of the "
    "strongest attack by how isolated they are.",
    "epsilon_bounds": "What each attack proves about epsilon at least, beside the promise.",
}
"""Drawings of the attacks that are shown beside the ROC curves, and what they show."""


def public_page(report: Json) -> bytes:
    """The public page of a public report."""
    report = _shown(report)
    plot = svg.trade_off(report["trade_off"], bound_name="the most that the promise allows")
    found = report["consistency"].get("by_column", [])
    shown, measured = _within(found, len(found)), report["consistency"]["by_clique"]
    return _render(
        "public.html",
        report=report,
        trade_off_plot=plot,
        charges=_grouped(report["charges"]),
        measured=measured,
        most_measured=MOST_MEASURED if len(measured) > MOST_MEASURED + FEW else len(measured),
        gauge=_gauge(report["ledger"]),
        band_plots=[_band(band) for band in shown],
        bands_left_out=report["generator"]["columns"] - len(shown) if len(shown) < len(found) else 0,
    )


def internal_page(report: Json) -> bytes:
    """The internal page of an internal report."""
    drawings = {name: drawing(text) for name, text in report["suite"].get("drawings", {}).items()}
    report = _shown({**report, "suite": {k: v for k, v in report["suite"].items() if k != "drawings"}})
    evaluation = report["evaluation"]
    shown = _within(evaluation["columns"], MOST_PLOTS)
    return _render(
        "internal.html",
        report=report,
        verdict=_verdict(report["suite"]),
        attacks=_attacks(report["suite"]["attacks"]),
        headlines=_headlines(report),
        sections=_sections(evaluation),
        attack_plot=drawings.get("roc") or _attack_plot(report),
        further_plots=[{"plot": drawings[n], "words": w} for n, w in FURTHER.items() if drawings.get(n)],
        guesses=[attack for attack in report["suite"]["attacks"] if attack.get("success")],
        fairness=_fairness(evaluation),
        most=WORST,
        most_numbers=MOST_PLOTS,
        new_pairs=[p for p in evaluation["rare"]["by_pair"][:WORST] if p["synthetic_share"]],
        worst=_worst(evaluation),
        pair_plot=_pair_plot(evaluation),
        column_plots=[_column(column) for column in shown],
        columns_left_out=len(evaluation["columns"]) - len(shown),
    )


def _within(columns: Sequence[Json], most: int) -> Sequence[Json]:
    """The first columns, at most so many, whose bars together are not too many for a page."""
    bars = 0
    for position, column in enumerate(columns[:most]):
        bars += len(column["labels"])
        if bars > MOST_BARS and position:
            return columns[:position]
    return columns[:most]


def _band(band: Json) -> dict[str, Any]:
    plot = svg_public.bands(band)
    return {
        "column": band["column"], "outside": band["outside"], "bars": len(band["labels"]), "plot": plot,
    }  # fmt: skip


def _gauge(ledger: Json) -> Markup | None:
    if not ledger["promise"]:
        return None
    spent = (ledger["spent_before"]["epsilon"], ledger["spent_after"]["epsilon"])
    return svg_public.gauge(*spent, ledger["promise"]["epsilon"])


def _sections(evaluation: Json) -> list[tuple[str, str]]:
    """Ids and names of the page's sections."""
    wanted = [
        ("attacks", "Attacks", True),
        ("close", "Closeness", True),
        ("learning", "Learning", evaluation["learned"]),
        ("units", "Units", evaluation.get("units")),
        ("groups", "Groups", evaluation["subgroups"]),
        ("constraints", "Rules", evaluation.get("constraints")),
        ("worst", "Worst first", True),
        ("columns", "Column by column", True),
    ]
    return [(name, words) for name, words, there in wanted if there]


def _verdict(suite: Json) -> dict[str, str]:
    """The attacks' verdict in words, and how alarming it is."""
    if suite["verdict"] == "LEAK" and suite.get("bound") == "within":
        return {"words": "LEAK, within the promise", "colour": "unsure"}
    colours = {"VIOLATION": "bad", "LEAK": "bad", "INCONCLUSIVE": "unsure"}
    return {"words": suite["verdict"], "colour": colours.get(suite["verdict"], "good")}


def _attacks(found: Sequence[Json]) -> list[Json]:
    """The most telling attack first, each on everybody before it is shown on the isolated."""
    telling: dict[str, tuple[float, float]] = {}
    for one in found:
        here = (one["adjusted_p_value"], -one["auc"]["value"])
        telling[one["attack"]] = min(telling.get(one["attack"], here), here)
    return sorted(found, key=lambda one: (telling[one["attack"]], one["attack"], one["group"] != "everyone"))


def _fairness(evaluation: Json) -> list[dict[str, Any]]:
    """Gaps between groups, of the first model for each target (the strongest learner)."""
    found: list[dict[str, Any]] = []
    for learned in evaluation["learned"]:
        if learned["model"] == evaluation["learned"][0]["model"]:
            about = {"target": learned["target"], "model": learned["model"]}
            found += [
                {**gap, **about, "small": any(g["small"] for g in gap["groups"])}
                for gap in learned["fairness"]
            ]
    return found


def _grouped(charges: Sequence[Json]) -> list[dict[str, Any]]:
    """Charges that say the same, one after the other, as one line with how often and their common share."""
    found: list[dict[str, Any]] = []
    for charge in charges:
        same = {key: value for key, value in charge.items() if key != "share"}
        if found and same.items() <= found[-1].items():
            found[-1]["times"] += 1
            found[-1]["share"] += charge["share"]
        else:
            found.append({**charge, "times": 1})
    return found


def _shown(value: Any) -> Any:
    """The same JSON with every text made `visible`: whatever a name holds, the page holds letters."""
    if isinstance(value, Mapping):
        return {key: _shown(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_shown(inner) for inner in value]
    return visible(value) if isinstance(value, str) else value


def visible(text: object) -> str:
    """Text for people: invisible and direction-changing characters are spelt out, long texts are cut."""
    spelt = (f"⟨U+{ord(c):04X}⟩" if _hidden(c) else c for c in str(text)[: MOST_SHOWN + 1])
    shown = "".join(spelt)
    return shown if len(str(text)) <= MOST_SHOWN else f"{shown[:MOST_SHOWN]}…"


def _hidden(character: str) -> bool:
    return unicodedata.category(character) in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def number(value: float | None) -> str:
    """Four significant digits, without an exponent where that reads well."""
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:.4g}".replace("e-0", "e-")


def odds(chance: float) -> str:
    """A small chance as "one in so many"; nothing where there is none."""
    return f"one in {whole(float(f'{1 / chance:.2g}'))}" if 0 < chance < 0.5 else ""


def decimal(value: float | None) -> str:
    """A figure between -1 and 1 with three or four decimals, so that those of one column can be compared."""
    if value is None or not math.isfinite(value):
        return "–"
    if abs(value) >= 10:
        return f"{value:.3g}"
    return f"{value:.3f}" if abs(value) >= 0.1 else f"{value + 0.0:.4f}".replace("-0.0000", "0.0000")


def short(value: float | None) -> str:
    """Three significant digits."""
    return "–" if value is None or not math.isfinite(value) else f"{value:.3g}"


def whole(value: float) -> str:
    return f"{round(value):,}".replace(",", "\u202f")


def _value(value: Any) -> str:
    """A quantile: a date as it is, a number in at most six digits."""
    return value if isinstance(value, str) else "–" if value is None else f"{value:.6g}"


def _percent(value: float | None) -> str:
    return "–" if value is None else percent(value)


def _capitalize_first(text: str) -> str:
    return text[:1].upper() + text[1:]


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("dpsynth.release", "pages"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        number=number,
        short=short,
        decimal=decimal,
        odds=odds,
        whole=whole,
        several=several,
        percent=_percent,
        capitalize_first=_capitalize_first,
        value=_value,
    )
    return environment


def _render(template: str, **values: Any) -> bytes:
    return (_environment().get_template(template).render(**values) + "\n").encode()


def _headlines(report: Json) -> list[dict[str, str]]:
    return [card for card in (_attack_card(report), _fidelity_card(report), _learning_card(report)) if card]


def _attack_card(report: Json) -> dict[str, str] | None:
    suite = report["suite"]
    if not suite["attacks"]:
        return None
    worst = min(suite["attacks"], key=lambda a: (a["adjusted_p_value"], -a["auc"]["value"]))
    at_least = suite["epsilon_at_least"]
    bound = "" if at_least is None else f" Epsilon is at least {short(at_least)} by these attacks."
    return {
        "name": "Most telling attack (AUC)",
        "value": percent(worst["auc"]["value"]),
        "baseline": f"50 % by guessing, {_percent(worst['auc_claim_allows_at_most'])} allowed at most",
        "words": f"'{worst['attack']}' ({worst['group']}), 95 % interval {percent(worst['auc']['low'])} to "
        f"{percent(worst['auc']['high'])}.{bound}",
    }


def _fidelity_card(report: Json) -> dict[str, str] | None:
    pairs = next((m for m in report["evaluation"]["marginals"] if m["ways"] == 2), None)
    score = report["evaluation"]["k_marginal"]
    if pairs is None:
        return None
    return {
        "name": "Error over all pairs of columns",
        "value": percent(pairs["error"]["value"]),
        "baseline": f"{percent(pairs['best_redrawn']['value'])} for rows drawn from the real table, "
        f"{percent(pairs['columns_independent'])} with columns unrelated",
        "words": f"The table is {score['words']}.",
    }


def _learning_card(report: Json) -> dict[str, str] | None:
    learned = report["evaluation"]["learned"]
    if not learned:
        return None
    best = max(learned, key=lambda one: one["scores"][0]["trained_on_real"]["value"])
    score = best["scores"][0]
    return {
        "name": f"Predicting a column ({score['measure']})",
        "value": decimal(score["trained_on_synthetic"]["value"]),
        "baseline": f"{decimal(score['trained_on_real']['value'])} trained on real rows, "
        f"{decimal(score['guess'])} by guessing",
        "words": f"Column '{best['target']}' by {best['model']}, tested on held-out real rows.",
    }


def _attack_plot(report: Json) -> Markup:
    marks = [
        svg.Mark(attack["attack"], tuple(_mark(rate) for rate in attack["tpr_at_fpr"] if rate["tpr"]))
        for attack in report["suite"]["attacks"]
        if attack["group"] == "everyone"
    ]
    return svg.trade_off(report["trade_off"], marks, bound_name="the most that the promise allows")


def _mark(rate: Json) -> tuple[float, float, float, float]:
    return rate["fpr"], rate["tpr"]["value"], rate["tpr"]["low"], rate["tpr"]["high"]


def _worst(evaluation: Json) -> list[dict[str, Any]]:
    return [{"ways": m["ways"], "rows": m["by_clique"][:WORST]} for m in evaluation["marginals"]]


def _pair_plot(evaluation: Json) -> Markup | None:
    errors = {
        frozenset(c["columns"]): c["error"] for m in evaluation["marginals"][:2] for c in m["by_clique"]
    }
    if not any(len(columns) == 2 for columns in errors):
        return None
    names = sorted((c["column"] for c in evaluation["columns"][:MOST_NAMES]), key=str.casefold)
    rows: Sequence[Sequence[float | None]] = [[errors.get(frozenset({a, b})) for b in names] for a in names]
    return svg.heat_map(names, rows, "Error of every pair of columns")


def _column(column: Json) -> dict[str, Any]:
    plot = svg.bars(column["labels"], column["real"], column["synthetic"], f"Column {column['column']}")
    return {"column": column["column"], "error": column["error"], "plot": plot}
