"""report.json: what the two pages say, as plain data. The pages are rendered from it and from nothing
else.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dpsynth.consistency import Consistency
from dpsynth.privacy.accounting import privacy_profile
from dpsynth.privacy.events import Event
from dpsynth.release.privacy_json import charged_events
from dpsynth.ruled import RuledColumn, ruled_texts, ruled_words
from dpsynth.schema import Schema
from dpsynth.unit_columns import several

FORMAT = "dpsynth-report/1"
AT_RATE = 0.01
"""The false-positive rate of the headline."""
AT_PRIOR = 0.5
COPIED = (
    "guarantee",
    "unit",
    "neighbours",
    "unprotected_quantities",
    "attacker",
    "curve",
    "ledger",
    "audits",
    "human",
    "published_figures",
    "tool",
)
"""Parts of privacy.json that the public report repeats word for word."""
CHARGE = ("purpose", "mechanism", "noise", "sensitivity", "share")

Json = dict[str, Any]


@dataclass(frozen=True)
class Public:
    """What the public page is made of: declared, released or charged, all of it."""

    privacy: Json
    schema: Schema
    consistency: Consistency
    data_file: str

    def as_json(self) -> Json:
        privacy = self.privacy
        return {
            "format": FORMAT,
            "visibility": "public",
            "title": title(privacy),
            "verdict": privacy["gate"],
            "generator": self._generator(),
            "numbers": [self._error(), self._consistency(), attacker_number(privacy)],
            "not_protected": not_protected(privacy["unit"]),
            **{name: privacy[name] for name in COPIED},
            "charges": [{key: charge[key] for key in CHARGE} for charge in privacy["charges"]],
            "trade_off": trade_off_points(charged_events(privacy)),
            "consistency": self.consistency.as_json(),
            "columns": columns(self.schema),
            "constraints": constraints(self.schema),
            "data_file": self.data_file,
        }

    def _generator(self) -> Json:
        model = self.privacy["model"]
        return {
            "method": model["method"],
            "model_id": model["id"],
            "rows": self.consistency.rows,
            "columns": len(self.schema.written),
            "noisy_rows_used": round(self.consistency.total),
        }

    def _error(self) -> Json:
        found = self.consistency
        return {
            "name": "Error of the released tables",
            "value": percent(found.mean_expected_error),
            "baseline": f"without any data: {percent(found.mean_from_uniform)}",
            "words": (
                f"{len(found.cliques)} tables of counts were measured with noise (noisy marginals). On "
                "average the noise puts this share of rows into a wrong cell (expected total variation)."
            ),
        }

    def _consistency(self) -> Json:
        found = self.consistency
        return {
            "name": "Distance of the rows from them",
            "value": percent(found.mean_distance),
            "baseline": f"explained by noise: up to {percent(found.mean_explained)}",
            "words": (
                "How far the synthetic rows lie from the measured tables on average (consistency). For "
                f"{found.consistent} of {len(found.cliques)} tables the noise alone explains it"
                + (
                    "."
                    if found.consistent == len(found.cliques)
                    else "; one in a hundred exceeds that by chance, more is the model's own error."
                )
            ),
        }


def title(privacy: Mapping[str, Any]) -> str:
    """The heading: a person's, or made of the dataset's name."""
    return str(privacy["human"]["title"] or f"Synthetic table: {privacy['ledger']['dataset']}")


def attacker_number(privacy: Mapping[str, Any]) -> Json:
    """What epsilon allows an attacker at most, at 1 % false accusations and from an even prior."""
    entity = privacy["unit"]["entity"]
    row = next(r for r in privacy["attacker"] if r["false_positive_rate"] == AT_RATE)
    after = next(p["posterior_at_most"] for p in row["posteriors"] if p["prior"] == AT_PRIOR)
    return {
        "name": "What an attacker gains at most",
        "value": percent(row["true_positive_rate_at_most"]),
        "baseline": f"by guessing: {percent(AT_RATE)}",
        "words": (
            f"Somebody who knows everything but whether one {entity} is in the source, and accuses "
            f"{percent(AT_RATE)} of outsiders wrongly, recognises at most this share of insiders "
            f"(true-positive rate). If they were {percent(AT_PRIOR)} sure before, an alarm makes them "
            f"{percent(after)} sure at most."
        ),
    }


def trade_off_points(events: Sequence[Event]) -> list[list[float]]:
    """(false-positive rate, largest true-positive rate), 41 points from 0.1 % to 100 % on a logarithmic
    scale.

    tpr <= delta(e) + exp(e) fpr and tpr <= 1 - exp(-e) (1 - delta(e) - fpr) for every e >= 0 (the two
    sides of the privacy profile); the least over 400 values of e is at most 1 % above the exact curve.
    """
    epsilons = np.linspace(0.0, 20.0, 401)
    deltas = privacy_profile(events, epsilons.tolist())
    rates = np.logspace(-3, 0, 41)
    with np.errstate(over="ignore"):
        above = deltas[:, None] + np.exp(epsilons)[:, None] * rates
        below = 1 - np.exp(-epsilons)[:, None] * (1 - deltas[:, None] - rates)
    largest = np.minimum(1.0, np.minimum(above, below).min(axis=0))
    return [[float(f"{f:.4g}"), float(f"{t:.4g}")] for f, t in zip(rates, largest, strict=True)]


def not_protected(unit: Mapping[str, Any]) -> list[str]:
    """What differential privacy does not promise, in words for people who were never told."""
    entity = unit["entity"]
    found = [
        "What is true of people in general. If the data shows that a habit makes ill, that is learnt about "
        "everybody with the habit, in the source or not.",
        f"Groups. For two {several(entity)} together, what an attacker may gain (epsilon) about doubles.",
        "Column names, and the bounds and categories that were declared: as public knowledge, before the run.",
    ]
    if unit["column"] is None:
        found.insert(2, f"Several rows of one person. Every {entity} is protected by itself, whosever it is.")
    return found


def columns(schema: Schema) -> list[Json]:
    """Each column with what was declared of it and how that became known."""
    found = []
    for name in schema.written:
        column = schema.columns[name]
        found.append(
            {
                "name": name,
                "type": column.type,
                "declared": _declared(schema, name),
                "origin": column.origin,
                "was": column.was,
                "reason": column.reason,
                "formulas": _formulas(schema, name),
            }
        )
    return found


def constraints(schema: Schema) -> list[Json]:
    """The rules that no synthetic row breaks: declared, or learnt for a charge."""
    return [
        {"number": number, "rule": rule.words, "learnt": rule.origin == "dp", "reason": rule.reason}
        for number, rule in enumerate(schema.constraints, 1)
    ]


FORMULA = ("=", "+", "-", "@")
"""What a spreadsheet takes for a formula when a text begins with it."""


def _formulas(schema: Schema, name: str) -> int:
    """How many texts of the column, its name included, a spreadsheet would run. They are declared, so that this
    is public; they are written as they are, because a changed value would not come back the same."""
    column = schema.columns[name]
    texts = [name]
    if column.type == "category":
        texts += column.values
    elif column.type == "boolean":
        texts += [text for text in (column.true_value, column.false_value) if text is not None]
    elif column.type == "id":
        texts.append(column.format)
    elif isinstance(column, RuledColumn):
        texts += ruled_texts(column)
    return sum(text.startswith(FORMULA) and not _is_number(text) for text in texts)


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _declared(schema: Schema, name: str) -> str:
    modelled = schema.modelled.get(name)
    if modelled is None:
        column = schema.columns[name]
        return (
            ruled_words(column) if isinstance(column, RuledColumn) else "made-up identifiers, counted upwards"
        )
    if modelled.type == "category":
        words = f"{len(modelled.values)} values: {_some(modelled.values)}"
    elif modelled.type == "boolean":
        words = " or ".join(modelled.texts)
    else:
        low, high = (f"{v:.12g}" if isinstance(v, float) else str(v) for v in (modelled.min, modelled.max))
        words = f"{low} to {high} in {schema.domain[name] - modelled.missing} cells"
    return f"{words}; may be missing" if modelled.missing else words


def _some(values: Sequence[str], most: int = 6) -> str:
    shown = ", ".join(value if len(value) <= 40 else f"{value[:39]}…" for value in values[:most])
    return shown if len(values) <= most else f"{shown}, …"


def percent(share: float) -> str:
    """A share in words: two significant digits below 10 %, one decimal above; never 0 for something."""
    value = 100 * share
    if 0 < abs(value) < 0.001:
        return "below 0.001 %" if value > 0 else "above -0.001 %"
    if abs(value) < 10:
        return f"{value:.2g} %"
    return f"{value:.1f}".removesuffix(".0") + " %"


@dataclass(frozen=True)
class Internal:
    """What the internal page is made of: comparisons with real rows, beside the public facts."""

    public: Json
    suite: Mapping[str, Any]
    evaluation: Mapping[str, Any]

    def as_json(self) -> Json:
        names = ("generator", "guarantee", "unit", "ledger", "trade_off", "consistency", "tool")
        return {
            "format": FORMAT,
            "visibility": "internal",
            "title": self.public["title"],
            **{name: self.public[name] for name in names},
            "suite": self.suite,
            "evaluation": self.evaluation,
        }
