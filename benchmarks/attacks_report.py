"""The tables of `benchmarks/attacks.md`, from stored results."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from attacks.stats import clopper_pearson

Lines = Sequence[dict[str, Any]]
Grouped = dict[tuple[str, ...], list[dict[str, Any]]]


def report(lines: Lines) -> str:
    """Every table that there are results for, in Markdown."""
    parts = [_null(lines), _power(lines), _outputs(lines), _models(lines)]
    return "\n\n".join(part for part in parts if part)


def _of(lines: Lines, mode: str) -> Grouped:
    """Results of one mode by table and kind."""
    grouped: Grouped = defaultdict(list)
    for line in lines:
        if line["key"][0] == mode:
            grouped[(line["key"][1], line["key"][2])].append(line)
    return grouped


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def _null(lines: Lines) -> str:
    rows = []
    grouped = _of(lines, "null")
    everything = [line for some in grouped.values() for line in some]
    for (name, kind), some in [*grouped.items(), (("all", "all"), everything)]:
        alarms = sum(line["p"] <= 0.05 for line in some)
        broken = sum(line["epsilon_at_least"] > 0.1 for line in some)
        if some:
            rate = clopper_pearson(alarms, len(some))
            said = f"{100 * rate.value:.1f} % [{100 * rate.low:.1f}, {100 * rate.high:.1f}]"
            rows.append([name, kind, str(len(some)), f"{alarms}: {said}", str(broken)])
    return _table(["table", "output", "outputs", "leak called", "promise said broken"], rows) if rows else ""


def _power(lines: Lines) -> str:
    rows = [
        [name, kind, f"{sum(line['p'] <= 0.05 for line in some)} of {len(some)}", _commonest(some)]
        for (name, kind), some in _of(lines, "power").items()
    ]
    return _table(["table", "output", "leak called", "most often by"], rows) if rows else ""


def _commonest(some: Lines) -> str:
    names, counts = np.unique([line["by"] for line in some], return_counts=True)
    return str(names[counts.argmax()])


def _outputs(lines: Lines) -> str:
    rows, peers = [], _of(lines, "peer")
    for (name, kind), some in _of(lines, "outputs").items():
        means = {
            attack: np.nanmean([line["attacks"][attack] for line in some], axis=0)
            for attack in some[0]["attacks"]
        }
        best = sorted(means, key=lambda attack: (-means[attack][1], -means[attack][0]))[0]
        columns = ["origin of rows", "marginal ratio", "three-way ratio", "closer than people"]
        columns += ["density ratio", "Monte Carlo neighbourhood", "classifier"]
        found = sum(line["p"] <= 0.05 for line in some)
        rows.append([
            name, kind, *(_pair(means.get(attack)) for attack in columns), best, f"{found} of {len(some)}",
            _peer(peers.get((name, kind), [])),
        ])  # fmt: skip
    head = [
        "table",
        "output",
        "origin",
        "marginal",
        "three-way",
        "closer",
        "density",
        "Monte Carlo",
        "classifier",
    ]
    return _table([*head, "best at 1 %", "suite", "anonymeter"], rows) if rows else ""


def _pair(found: Any) -> str:
    return "-" if found is None else f"{found[0]:.2f} / {found[1]:.2f}"


def _peer(some: Lines) -> str:
    """Its largest risk with the interval, and how often some risk's interval is above 0."""
    if not some:
        return "-"
    risks = [max(line["risks"].items(), key=lambda item: item[1][1]) for line in some]
    seen = sum(found[1] > 0 for _, found in risks)
    attack, (risk, low, _) = risks[0]
    return f"{seen} of {len(some)} ({attack} {risk:.2f}, at least {low:.2f})"


def _models(lines: Lines) -> str:
    rows = []
    for (name, kind), some in _of(lines, "models").items():
        bound = max(line["epsilon_at_least"] for line in some)
        area = float(np.mean([line["auc"] for line in some]))
        found = sum(line["p"] <= 0.05 for line in some)
        rows.append([name, kind, f"{found} of {len(some)}", f"{area:.3f}", f"{bound:.2f}", _commonest(some)])
    head = [
        "table",
        "generator",
        "leak called",
        "mean AUC of the strongest",
        "largest proven epsilon",
        "most often by",
    ]
    return _table(head, rows) if rows else ""
