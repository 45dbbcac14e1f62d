"""What the verbs say, in plain words with the technical word in brackets."""

from __future__ import annotations

from typing import Any

from dpsynth.pipeline import Outcome


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
        ("Attacks", f"{outcome.suite.verdict}\n{outcome.suite.headline}"),
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


def usefulness(outcome: Outcome) -> str:
    """Internal: synthetic rows against real ones, each beside the best that rows could reach."""
    found = outcome.evaluation
    lines = [
        f"{m.ways}-way marginals: {m.error.value:.1%} of rows in a wrong cell (total variation); "
        f"at best {m.redrawn.value:.1%}"
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
