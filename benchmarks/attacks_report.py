"""The tables of `benchmarks/attacks.md`, from stored results."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from attacks.stats import clopper_pearson
from benchmarks.attacks_version import digest

Lines = Sequence[dict[str, Any]]
Grouped = dict[tuple[str, ...], list[dict[str, Any]]]


def tables(lines: Lines) -> dict[str, str]:
    """Every table that there are results for, in Markdown, by name."""
    made = {
        "versions": _versions(lines), "null": _null(lines), "power": _power(lines), "outputs": _outputs(lines),
        "models": _models(lines), "beside": _beside(lines),
    }  # fmt: skip
    return {name: table for name, table in made.items() if table}


def rewritten(page: str, lines: Lines) -> str:
    """The page with today's tables between its marks, `<!-- NAME -->` and `<!-- /NAME -->`.

    Raises ValueError when a table has no place in the page.
    """
    for name, table in tables(lines).items():
        start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        if page.count(start) != 1 or page.count(end) != 1:
            raise ValueError(f"the page has no marks for {name}")
        before, rest = page.split(start)
        page = f"{before}{start}\n{table}\n{end}{rest.split(end)[1]}"
    return page


def _versions(lines: Lines) -> str:
    """With which code the results were made, and how many of an earlier one came out the same now."""
    now, rows = digest(), []
    for mode in ("null", "power", "outputs", "models"):
        made = [line.get("attacks_version") for line in lines if line["key"][0] == mode]
        again = [
            line for line in lines if line["key"][:2] == ["again", mode] and line["attacks_version"] == now
        ]
        same = f"{sum(line['same'] for line in again)} of {len(again)}" if again else "-"
        rows.append([mode, str(len(made)), str(made.count(now)), same])
    head = ["results", "stored", "by today's code", "of earlier ones computed again, the same"]
    return f"Today's code of the attacks: `{now}`.\n\n{_table(head, rows)}"


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


_SHOWN = (
    "origin of rows", "marginal ratio", "marginal ratio, guessed tree", "three-way ratio", "closer than people",
    "density ratio", "classifier", "ensemble", "Monte Carlo neighbourhood",
)  # fmt: skip
_EXTENDED = {"Monte Carlo neighbourhood", "ratio of the two closest", "link by known columns"}


def _outputs(lines: Lines) -> str:
    """Area and true-positive rate at 1 % false positives, means over the seeds; the largest of each row in bold."""
    rows = []
    for (name, kind), some in _of(lines, "outputs").items():
        each = [[line["attacks"].get(attack, [np.nan] * 4)[:2] for attack in _SHOWN] for line in some]
        means = np.mean(each, axis=0)
        best = np.nanmax(means.round(2), axis=0)
        cells = [_pair(pair, best) for pair in means]
        rows.append([name, kind, str(len(some)), *cells, _seen(some)])
    return _table(["table", "output", "runs", *_SHOWN, "suite"], rows) if rows else ""


def _pair(found: Any, best: Any) -> str:
    if np.isnan(found[0]):
        return "-"
    said = ["-" if np.isnan(value) else f"{value:.2f}" for value in found]
    return " / ".join(
        f"**{one}**" if one == f"{top:.2f}" else one for one, top in zip(said, best, strict=True)
    )


def _seen(some: Lines) -> str:
    return f"{sum(line['p'] <= 0.05 for line in some)} of {len(some)}"


def _models(lines: Lines) -> str:
    """One line a fit: what ours saw, what is proven, and what the other package saw in the very same rows."""
    rows = []
    for (name, kind), some in _of(lines, "models").items():
        for line in some:
            ours = _ours(line)
            seen = [ours[0], f"{line['attacks'][ours[0]][0]:.3f}", f"{ours[1]:.3f}", f"{ours[2]:.1g}"]
            beside = (
                [*_told(_theirs(line)), _stronger(ours, _theirs(line))]
                if line.get("anonymeter")
                else ["-"] * 4
            )
            rows.append([name, kind, *seen, f"{line['epsilon_at_least']:.2f}", *beside])
    head = [
        "table",
        "generator",
        "ours: strongest",
        "AUC",
        "excess",
        "p",
        "epsilon at least",
        "anonymeter: strongest",
    ]
    return f"{_table([*head, 'excess', 'p', 'stronger'], rows)}\n\n{_count(lines, 'models')}" if rows else ""


def _beside(lines: Lines) -> str:
    """Ours and the other package's on each planted output: what saw most, how much more often right, and the p-value."""
    rows = [
        [name, kind, *_told(_ours(line)), *_told(_theirs(line)), _stronger(_ours(line), _theirs(line))]
        for (name, kind), some in _of(lines, "outputs").items()
        for line in some
        if line.get("anonymeter")
    ]
    head = ["table", "output", "ours", "excess", "p", "anonymeter", "excess", "p", "stronger"]
    return f"{_table(head, rows)}\n\n{_count(lines, 'outputs')}" if rows else ""


def _count(lines: Lines, mode: str) -> str:
    """How often which of the two was stronger."""
    asked = [line for line in lines if line["key"][0] == mode and line.get("anonymeter")]
    who = [_stronger(_ours(line), _theirs(line)) for line in asked]
    return f"Stronger: {', '.join(f'{one}: {who.count(one)}' for one in ('ours', 'alike', 'anonymeter', 'neither'))}."


Found = tuple[str, float, float]
"""The attack that saw most, its excess, and the p-value of the whole set."""


def _ours(line: dict[str, Any]) -> Found:
    default = {name: values for name, values in line["attacks"].items() if name not in _EXTENDED}
    excess = {each: _excess(values) for each, values in default.items()}
    name = min(default, key=lambda each: (default[each][3], -excess[each]))
    return name, excess[name], line["p"]


def _excess(values: Sequence[float]) -> float:
    """As stored, or at 1 % false positives where that is more: some attacks name few people, and those surely."""
    return float(np.nanmax([values[2], values[1] - 0.01, -1.0]))


def _theirs(line: dict[str, Any]) -> Found:
    """Of its games the one of the smallest p-value; all of them corrected for being several (Bonferroni)."""
    games = line["anonymeter"]
    name = min(games, key=lambda each: (games[each]["p"], games[each]["controls"] - games[each]["members"]))
    excess = games[name]["members"] - games[name]["controls"]
    return name, excess, min(1.0, len(games) * games[name]["p"])


def _stronger(ours: Found, theirs: Found) -> str:
    """Who calls it at 5 %; where both do, who is more often right about members than about controls, by 0.01."""
    seen = ours[2] <= 0.05, theirs[2] <= 0.05
    if seen == (True, True):
        return (
            "ours" if ours[1] > theirs[1] + 0.01 else "anonymeter" if theirs[1] > ours[1] + 0.01 else "alike"
        )
    return "neither" if not any(seen) else "ours" if seen[0] else "anonymeter"


def _told(found: Found) -> list[str]:
    return [found[0], f"{found[1]:.3f}", f"{found[2]:.1g}"]
