"""`dpsynth audit --guarantee`: is the promise kept? On made-up tables; on private rows only with --model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import attacks.guarantee.command as commands
from attacks.guarantee.campaign import Campaign, Claim, Trial, run_campaign
from attacks.guarantee.many_fits import Looks
from attacks.guarantee.pairs import pairs
from dpsynth import synthesis
from dpsynth.budget import Budget
from dpsynth.cli.common import Answer, Screen
from dpsynth.errors import AuditError, UsageError
from dpsynth.guarantee.findings import VIOLATION, Findings, verdict_of
from dpsynth.guarantee.fits import KNOWN, OwnTrial
from dpsynth.guarantee.of_model import audit_model
from dpsynth.guarantee.quick import quick_audits
from dpsynth.mechanisms import METHODS
from dpsynth.project import Project
from dpsynth.taken import split_again
from dpsynth.unfinished import load_held_out, write_private
from dpsynth.versions import VERSION

CONFIDENCE = 0.99
"""Of many fits, all campaigns of one call together; the quick audits accuse at 1 - 1e-6."""
BUDGET = Budget(1.0, 1e-6)
FEWEST = 100


@dataclass(frozen=True)
class Asked:
    """The options of `audit --guarantee`, as they were given."""

    methods: tuple[str, ...] = ()
    project: Path | None = None
    model: Path | None = None
    epsilon: float | None = None
    delta: float | None = None
    fits: int | None = None
    command: str | None = None
    tables: tuple[str, ...] = ()
    journal: Path | None = None
    workers: int = 1
    out: Path | None = None


def audit_guarantee(screen: Screen, asked: Asked) -> Answer:
    """Exit 6 when a lower bound is above the claim, or a structural check fails."""
    if asked.fits is not None and asked.fits < FEWEST:
        raise UsageError("U272", f"--fits {asked.fits} proves nothing", f"ask for {FEWEST} fits at least")
    found: list[Findings] = []
    campaigns: list[Campaign] = []
    with screen.progress() as progress:
        if asked.command is not None:
            campaigns = _of_command(asked, progress)
        elif asked.model is not None:
            found = [_of_model(asked)]
        else:
            methods, budget = _methods(asked)
            found = quick_audits(methods, budget, progress=progress)
            if asked.fits is not None:
                trials = [(f"many fits: {m}", OwnTrial(m, budget)) for m in methods]
                campaigns = _run(asked, [(n, t, t.claim) for n, t in trials], progress, KNOWN)
    return _answer(asked, found, campaigns)


def _answer(asked: Asked, found: Sequence[Findings], campaigns: Sequence[Campaign]) -> Answer:
    verdict = VIOLATION if any(c.violated for c in campaigns) else verdict_of(found)
    data: dict[str, Any] = {
        "verdict": verdict,
        "version": VERSION,
        "private": asked.model is not None,
        "findings": [each.as_json() for each in found],
        "many_fits": [each.as_json() for each in campaigns],
    }
    if asked.out is not None:
        write_private(asked.out, data)
    lines = [str(each) for each in found] + [str(each) for each in campaigns]
    text = "\n".join([*lines, f"verdict: {verdict}", _meaning(asked, verdict)])
    return Answer(data, text, AuditError.exit_code if verdict == VIOLATION else 0)


def _meaning(asked: Asked, verdict: str) -> str:
    if verdict == VIOLATION:
        return "what was found contradicts the claim: do not release anything made with this code"
    if asked.model is not None:
        return "computed from private rows: for the internal report only"
    return "made-up tables only; nothing was found, which proves no promise"


def _methods(asked: Asked) -> tuple[list[str], Budget]:
    """Methods and budget: the options', then the project's, then all methods at `BUDGET`."""
    project = None if asked.project is None else Project.load(asked.project)
    methods = list(asked.methods) or ([project.generator.method] if project else list(METHODS))
    for name in methods:
        if name not in METHODS:
            raise UsageError("U273", f"there is no method {name!r}", f"choose one of {', '.join(METHODS)}")
    default = project.run_budget(None) if project else BUDGET
    epsilon = default.epsilon if asked.epsilon is None else asked.epsilon
    return methods, Budget(epsilon, default.delta if asked.delta is None else asked.delta)


def _of_model(asked: Asked) -> Findings:
    """A fitted model against the rows it was fitted to; nothing is charged, nothing may be published."""
    if asked.project is None or asked.model is None:
        raise UsageError(
            "U274", "--model needs --project", "name the project file that the model was fitted with"
        )
    spec, model = Project.load(asked.project), synthesis.load(asked.model)
    private = split_again(spec.source, spec.schema, load_held_out(asked.model))
    return audit_model(model, private.training)


def _of_command(asked: Asked, progress: Any) -> list[Campaign]:
    """Anybody's generator on the built-in pairs."""
    if asked.epsilon is None or asked.delta is None:
        raise UsageError("U275", "a command makes no claim", "give --epsilon and --delta: what it promises")
    built_in = pairs()
    names = asked.tables or tuple(built_in)
    unknown = [name for name in names if name not in built_in]
    if unknown:
        raise UsageError("U276", f"there is no table {unknown[0]!r}", f"choose one of {', '.join(built_in)}")
    command = commands.Command.of(asked.command or "")
    claim = Claim(asked.epsilon, asked.delta)
    trials = [(f"table '{name}'", commands.OnPair(command, built_in[name]), claim) for name in names]
    return _run(asked, trials, progress)


def _run(
    asked: Asked,
    trials: Sequence[tuple[str, Trial, Claim]],
    progress: Any,
    known: tuple[str, float] | None = None,
) -> list[Campaign]:
    """Campaigns one after the other, which share the error probability."""
    each = 1 - (1 - CONFIDENCE) / len(trials)
    looks = Looks.doubling(asked.fits or 500, each)
    if asked.journal is not None:
        asked.journal.mkdir(parents=True, exist_ok=True)
    return [
        run_campaign(
            name,
            trial,
            claim,
            looks,
            workers=asked.workers,
            journal=None if asked.journal is None else asked.journal / f"{_slug(name)}.jsonl",
            progress=progress,
            known=known,
        )
        for name, trial, claim in trials
    ]


def _slug(name: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in name).strip("-")
