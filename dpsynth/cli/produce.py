"""Verbs that make something: fit, run, demo."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from dpsynth import demo_data, pipeline
from dpsynth.cli.clusters import Master, with_engine
from dpsynth.cli.common import Answer, ProjectFile, Screen
from dpsynth.cli.keys import PolicyFile, SignKey, passphrase
from dpsynth.cli.words import outcome_data, outcome_text
from dpsynth.errors import UsageError
from dpsynth.project import Project
from dpsynth.releasing import terms_of
from dpsynth.unfinished import holdout_file, require_room

LedgerFile = Annotated[
    Path | None,
    typer.Option("--ledger", help="The ledger file, instead of the project's.", show_default=False),
]
Despite = Annotated[
    bool, typer.Option("--despite-violations", help="Go on although rows break declared constraints.")
]
Engine = Annotated[
    str | None,
    typer.Option(
        "--engine",
        help="memory; duckdb for a table larger than that; spark for a cluster.",
        show_default=False,
    ),
]
Epsilon = Annotated[
    float | None,
    typer.Option("--epsilon", help="Instead of the project's; there is no default.", show_default=False),
]


def fit(
    screen: Screen,
    project: ProjectFile,
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="MODEL", help="Folder for the model.", show_default=False)
    ],
    epsilon: Epsilon = None,
    ledger: LedgerFile = None,
    despite: Despite = False,
    engine: Engine = None,
    master: Master = None,
) -> Answer:
    """Fit a model: reserves its whole cost in the ledger, then counts the rows. Spends.

    Beside MODEL a private file remembers who was held out of the fit, for dpsynth audit.
    """
    spec = Project.load(project)
    budget = spec.run_budget(epsilon)
    if out.exists() or holdout_file(out).exists():
        raise UsageError(
            "U101", f"{out} or {holdout_file(out).name} exists already", "name a new folder with -o"
        )
    spec = with_engine(spec, engine, master)
    require_room(out)
    with pipeline.open_ledger(spec, ledger, epsilon) as account, screen.progress() as progress:
        model = pipeline.fit_held_out(
            spec.source,
            spec.schema,
            method=spec.generator.method,
            budget=budget,
            ledger=account,
            out=out,
            settings=replace(pipeline.settings_of(spec), **_asked(spec, despite)),
            progress=progress,
        )
        left = account.remaining()
    spent = model.receipt.certificate
    text = (
        f"model: {out}\n"
        f"spent: epsilon {spent.epsilon:.4g} at delta {spent.delta:g} for {model.receipt.unit}\n"
        f"left in the ledger: {left.words}"
    )
    return Answer(
        {
            "model": str(out),
            "id": model.id,
            "epsilon": spent.epsilon,
            "delta": spent.delta,
            "left": left.words,
        },
        text,
    )


def run(
    screen: Screen,
    project: ProjectFile,
    out: Annotated[
        Path,
        typer.Option("--out", "-o", metavar="DIR", help="New folder for the release.", show_default=False),
    ],
    epsilon: Epsilon = None,
    ledger: LedgerFile = None,
    sign: SignKey = None,
    policy: PolicyFile = None,
    despite: Despite = False,
    engine: Engine = None,
    master: Master = None,
) -> Answer:
    """The main job: split, fit, sample, attack, evaluate, release, verify. Spends."""
    spec = with_engine(Project.load(project), engine, master)
    terms = {**terms_of(spec, sign, policy, passphrase), **_asked(spec, despite)}
    with screen.progress() as progress:
        outcome = pipeline.run(spec, out, epsilon=epsilon, ledger=ledger, terms=terms, progress=progress)
    return Answer(outcome_data(outcome), outcome_text(outcome))


def _asked(spec: Project, despite: bool) -> dict[str, Any]:
    """Settings that the command line changes."""
    return {"despite": despite or spec.data.violations == "allow", "engine": spec.data.engine}


def demo(
    screen: Screen,
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", help="New folder for the release.")
    ] = Path("demo"),
    ledger: LedgerFile = None,
) -> Answer:
    """The main job on a bundled real table (RAND Health Insurance Experiment). Spends, on public data."""
    folder = _fresh(out)
    account = ledger or out.with_name(f"{out.name}.ledger")
    screen.say(demo_data.STORY)
    with demo_data.project() as project, screen.progress() as progress:
        outcome = pipeline.run(project, folder, ledger=account, progress=progress)
    return Answer(outcome_data(outcome), outcome_text(outcome))


def _fresh(folder: Path) -> Path:
    """The folder, or the first of folder-2, folder-3, ... that does not exist: a demo is run more than once."""
    number = 1
    fresh = folder
    while fresh.exists():
        number += 1
        fresh = folder.with_name(f"{folder.name}-{number}")
    return fresh
