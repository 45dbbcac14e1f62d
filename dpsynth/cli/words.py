"""What the verbs say, in plain words with the technical word in brackets."""

from __future__ import annotations

from collections import Counter
from itertools import combinations
from typing import TYPE_CHECKING, Any

from dpsynth.domain import Clique
from dpsynth.model.rehearsal import told
from dpsynth.privacy.discovery import Search, ValueSearch
from dpsynth.privacy.events import GdpGrant, to_json
from dpsynth.synthesis import Plan
from dpsynth.unit_columns import several

if TYPE_CHECKING:
    from dpsynth.pipeline import Outcome  # most verbs never run one


def outcome_data(outcome: Outcome) -> dict[str, Any]:
    """For --json: what a run spent, found and wrote. The operator's screen is inside: it may hold attack rates."""
    certificate = outcome.model.receipt.certificate
    return {
        "folder": str(outcome.folder),
        "model": outcome.model.id,
        "method": outcome.model.method,
        "rows": outcome.rows,
        "epsilon": certificate.epsilon,
        "delta": certificate.delta,
        "accountant": certificate.accountant,
        "left": outcome.remaining.words,
        "verdict": outcome.suite.verdict,
        "headline": outcome.suite.headline,
        "verified": outcome.verification.words,
        "notices": list(outcome.notices),
    }


def outcome_text(outcome: Outcome) -> str:
    receipt = outcome.model.receipt
    certificate = receipt.certificate
    sections = [
        (
            "Spent",
            f"epsilon {certificate.epsilon:.4g} at delta {certificate.delta:g} for {receipt.unit}\n"
            f"accountant: {certificate.accountant}; in the ledger: {outcome.remaining.words}",
        ),
        ("Attacks", f"{_verdict(outcome)}\n{outcome.suite.headline}"),
        ("Usefulness", usefulness(outcome)),
        (
            "Where to look",
            f"{outcome.folder / 'public' / 'report.html'} (may be shared)\n"
            f"{outcome.folder / 'internal' / 'report.html'} (handle like the source)\n"
            f"{outcome.rows} synthetic rows in {outcome.folder / 'public'}",
        ),
        ("Verified", outcome.verification.words),
    ]
    notices = "".join(f"note: {notice}\n" for notice in outcome.notices)
    return notices + "\n".join(_section(title, body) for title, body in sections)


def _verdict(outcome: Outcome) -> str:
    within = outcome.suite.bound == "within"
    return f"{outcome.suite.verdict}, within the promise" if within else outcome.suite.verdict


def usefulness(outcome: Outcome) -> str:
    """Internal: synthetic rows against real ones, each beside the best that rows could reach."""
    found = outcome.evaluation
    lines = [
        f"{m.ways}-way marginals: {m.error.value:.1%} of rows in a wrong cell (total variation); "
        f"rows drawn from the real table {m.redrawn.value:.1%}"
        + (f", knowing no pairs {m.independent:.1%}" if m.independent else "")
        for m in found.marginals
    ]
    if found.score is not None:
        lines.append(found.score.words(found.entity))
    for one in found.learned:
        score = one.scores[0]
        lines.append(
            f"predicting {one.target} ({one.model}, {score.measure}): trained on synthetic {score.synthetic.value:.3f}, "
            f"on real {score.real.value:.3f}, guessing {score.guess:.3f}"
        )
    return "\n".join(lines)


def _section(title: str, body: str) -> str:
    first, *rest = body.splitlines()
    return "\n".join([f"{title + ':':<15}{first}", *(f"{'':<15}{line}" for line in rest)])


def plan_data(plan: Plan, rows: int) -> dict[str, Any]:
    """For --json: every charge, and the noise part of the error of each marginal that may be measured."""
    known = plan.noise()
    pairs = _chosen_pairs(plan)
    return {
        "method": plan.method,
        "epsilon": plan.certificate.epsilon,
        "delta": plan.certificate.delta,
        "accountant": plan.certificate.accountant,
        "charges": [{"purpose": c.purpose, "event": to_json(c.event)} for c in plan.charges],
        "searches": [
            {
                "column": s.column,
                "purpose": s.charge.purpose,
                "sigma_units": s.sigma,
                "threshold_units": s.threshold,
            }
            for s in plan.searches
        ],
        "marginals": [
            {
                "columns": list(clique),
                "cells": plan.domain.size(clique),
                "sigma": known.get(clique, plan.chosen_noise()),
                "expected_error": plan.expected_error(clique, rows),
                "measured": "always" if clique in known else "if the data chooses it",
            }
            for clique in [*known, *pairs]
        ],
        "doubts": list(plan.doubts),
        "largest_table_cells": max(plan.domain.size(clique) for clique in [*known, *pairs]),
        "memory_bytes": plan.memory(),
    }


def plan_text(plan: Plan, rows: int) -> str:
    certificate = plan.certificate
    counted = Counter(charge.purpose for charge in plan.charges)
    lines = [
        f"{plan.method}: epsilon {certificate.epsilon:.4g} at delta {certificate.delta:g} for {plan.unit} "
        f"({certificate.accountant})",
        "charges: " + "; ".join(f"{times} x {purpose}" for purpose, times in counted.items()),
        *(search_line(search, plan.unit.entity) for search in plan.searches),
        *(f"warning: {doubt}" for doubt in told(plan.doubts)),
        f"memory for tables of counts: about {max(1, round(plan.memory() / 2**20)):,} MB",
        f"error that the noise makes, as a share of {rows:,} rows (expected total variation):",
        *(_error_line(plan, clique, rows) for clique in plan.noise()),
    ]
    pairs = sorted(_chosen_pairs(plan), key=plan.domain.size)
    if pairs:
        lines.append("of a pair, if the data chooses it (for other pairs it depends on the data):")
        lines += [_error_line(plan, pair, rows) for pair in (pairs[0], pairs[len(pairs) // 2], pairs[-1])]
        lines.append(f"  ... and {len(pairs) - 3} more with --json" if len(pairs) > 3 else "")
    elif any(isinstance(charge.event, GdpGrant) for charge in plan.charges):
        lines.append("of what is chosen: depends on the data, which decides the noise too, within the grant")
    return "\n".join(lines).rstrip()


def search_line(search: Search, entity: str) -> str:
    """What a search for values or bounds will find; `entity` is the word for a unit."""
    units = several(entity)
    if isinstance(search, ValueSearch):
        return (
            f"to be discovered: values of {search.column} that about {search.threshold} {units} or more have, at most "
            f"{search.most:,} (noise {search.sigma:.3g} {units}, delta {search.delta:.2g})"
        )
    return (
        f"to be discovered: bounds of {search.column}, where about {search.threshold} {units} or more have a number "
        f"(noise {search.sigma:.3g} {units})"
    )


def _chosen_pairs(plan: Plan) -> list[Clique]:
    """Pairs that the data may choose."""
    if plan.chosen_noise() is None:
        return []
    return [pair for pair in combinations(plan.domain.attributes, 2) if pair not in plan.noise()]


def _error_line(plan: Plan, clique: Clique, rows: int) -> str:
    sigma = plan.noise().get(clique, plan.chosen_noise())
    error = plan.expected_error(clique, rows)
    cells = plan.domain.size(clique)
    return f"  {' x '.join(clique):<32} {error:>7.1%}   (noise of {sigma:.4g} rows on each of {cells} cells)"
